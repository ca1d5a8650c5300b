"""`secrets-manager app share` and `unshare`: people who see or manage an application."""

from __future__ import annotations

from commander.errors import Conflict
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Plain, Result, Unchanged
from commander.vault import application_users
from plugins.secrets_manager.leaving import tell_what_stays


async def share(context: Context, arguments: Arguments) -> Result:
    """Give somebody an application: to look at, or to manage with --admin."""
    vault, is_admin = context.vault, arguments.flag("admin")
    await vault.refresh()
    application = vault.applications.find(arguments.text("name"))
    user = vault.people.find_user(arguments.text("email"))
    owner = vault.state.applications.get(application.uid)
    if owner is not None and owner.owner == user.user:
        raise Conflict(
            f"application {application.title!r} belongs to {user.email}",
            hint="its owner manages it",
        )
    changed = await application_users.share(vault, application.uid, user.user, is_admin=is_admin)
    how = "Application Admin" if is_admin else "Viewer"
    data: dict[str, Plain] = {
        "app_uid": application.uid,
        "user": user.email,
        "role": "admin" if is_admin else "viewer",
    }
    if not changed:
        return Unchanged(f"{user.email} is {how} of {application.title!r} already.", data)
    return Done(f"{user.email} is {how} of {application.title!r} and may view its folders.", data)


async def unshare(context: Context, arguments: Arguments) -> Result:
    """Take an application from somebody; the folders they were given stay theirs to view."""
    vault = context.vault
    await vault.refresh()
    application = vault.applications.find(arguments.text("name"))
    user = vault.people.find_user(arguments.text("email"))
    await context.console.confirm(
        f"Take application {application.title!r} from {user.email}? Its folders stay shared with "
        "them: share-folder takes those.",
        force=arguments.flag("force"),
    )
    changed = await application_users.unshare(vault, application.uid, user.user)
    data: dict[str, Plain] = {"app_uid": application.uid, "user": user.email}
    if not changed:
        return Unchanged(f"{user.email} has no part in {application.title!r}.", data)
    tell_what_stays(context, user.email)
    return Done(f"{user.email} has no more part in {application.title!r}.", data)
