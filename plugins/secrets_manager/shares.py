"""`secrets-manager share`: which shared folders an application may read or write."""

from __future__ import annotations

from commander.authority.statements import Right
from commander.errors import NotFound, UsageError
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Done, Plain, Result, Unchanged
from commander.vault.replica import OpenFolder
from plugins.secrets_manager.leaving import tell_what_stays


async def add(context: Context, arguments: Arguments) -> Result:
    """Give an application folders, or change how it has them."""
    vault = context.vault
    await vault.refresh()
    application = vault.applications.find(arguments.text("app"))
    folders = _folders(context, arguments)
    editable = arguments.flag("editable")
    rights = (Right.VIEW, Right.EDIT) if editable else (Right.VIEW,)
    changed = [
        folder
        for folder in folders
        if await vault.applications.share_folder(application.uid, folder.uid, rights)
    ]
    data: dict[str, Plain] = {
        "app_uid": application.uid,
        "editable": editable,
        "added": [folder.uid for folder in changed],
    }
    how = "may write" if editable else "may read"
    names = _names(changed or folders)
    if not changed:
        return Unchanged(f"Application {application.title!r} {how} {names} already.", data)
    return Done(f"Application {application.title!r} {how} {names}.", data)


async def remove(context: Context, arguments: Arguments) -> Result:
    """End an application's access to folders."""
    vault = context.vault
    await vault.refresh()
    application = vault.applications.find(arguments.text("app"))
    folders = _folders(context, arguments)
    await context.console.confirm(
        f"Take {_names(folders)} from application {application.title!r}?",
        force=arguments.flag("force"),
    )
    changed = [
        folder
        for folder in folders
        if await vault.applications.unshare_folder(application.uid, folder.uid)
    ]
    data: dict[str, Plain] = {
        "app_uid": application.uid,
        "removed": [folder.uid for folder in changed],
    }
    names = _names(changed or folders)
    if not changed:
        return Unchanged(f"Application {application.title!r} has no access to {names}.", data)
    tell_what_stays(context, "its clients of now")
    return Done(f"Application {application.title!r} has no more access to {names}.", data)


def _names(folders: list[OpenFolder]) -> str:
    return ", ".join(repr(folder.name) for folder in folders)


def _folders(context: Context, arguments: Arguments) -> list[OpenFolder]:
    """All folders that are named, found before anything is changed."""
    found = [_folder(context, text) for text in arguments.texts("secret")]
    return list({folder.uid: folder for folder in found}.values())


def _folder(context: Context, text: str) -> OpenFolder:
    vault, base = context.vault, context.location.folder
    try:
        return vault.find_folder(text, base=base)
    except NotFound:
        record = next(
            (r for r in vault.view.records.values() if text in (r.uid, r.data.title)), None
        )
        if record is None:
            raise
        raise UsageError(
            f"{text[:80]!r} is a record, and applications get whole shared folders",
            hint="name the shared folder that the record is in",
        ) from None
