"""`enterprise-user`: show users, give and take roles, end an account."""

from __future__ import annotations

from commander.authority.decide import Action
from commander.authority.statements import Body, Kind, Membership, Revoke, User
from commander.errors import Conflict, UsageError
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Done, Plain, Result, Table, Unchanged
from commander.vault.draft import Draft
from commander.vault.session import Vault
from plugins.enterprise.role_plan import find_role

USER_COLUMNS = (
    Column("email", "E-mail"),
    Column("user_uid", "User UID"),
    Column("is_administrator", "Administrator"),
    Column("roles"),
    Column("device_count", "Devices"),
)


async def enterprise_user(context: Context, arguments: Arguments) -> Result:
    """Show the named users (all without a name), or change them in one transaction."""
    vault = context.vault
    await vault.refresh()
    names = arguments.texts("user")
    users = list({u.user: u for u in (vault.people.find_user(name) for name in names)}.values())
    changes = [key for key in ("delete", "add_role", "remove_role") if arguments.was_given(key)]
    if not changes:
        return _show(vault, users)
    if not users:
        raise UsageError("enterprise-user needs a USER", hint="enterprise-info --users lists them")
    if "delete" in changes:
        if len(changes) > 1:
            raise UsageError("--delete goes with no other change")
        return await _delete(context, users, force=arguments.flag("force"))
    return await _change_roles(vault, users, arguments)


def _show(vault: Vault, users: list[User]) -> Table | Document:
    if len(users) == 1:
        return Document(user_values(vault, users[0]), title=f"User {users[0].email}")
    rows = [user_values(vault, user) for user in users or vault.people.users()]
    return Table(USER_COLUMNS, rows)


def user_values(vault: Vault, user: User) -> dict[str, Plain]:
    """A user as data."""
    return {
        "email": user.email,
        "user_uid": user.user,
        "is_administrator": vault.people.is_administrator(user.user),
        "roles": sorted(role.name for role in vault.state.roles_of(user.user)),
        "device_count": len(vault.people.devices(user.user)),
    }


async def _delete(context: Context, users: list[User], *, force: bool) -> Done:
    vault = context.vault
    if any(user.user == vault.user for user in users):
        raise Conflict(
            "you cannot end your own account", hint="another administrator can: enterprise-user"
        )
    uids = {user.user for user in users}
    owned = [f for f in vault.state.folders.values() if f.owner in uids and not f.personal]
    emails = ", ".join(user.email for user in users)
    lost = f" {len(owned)} shared folders lose their owner." if owned else ""
    await context.console.confirm(f"End the account of {emails}?{lost}", force=force)

    def build(draft: Draft) -> None:
        vault.require(Action.ADMINISTER)
        for user in users:
            draft.state(Revoke(Kind.USER, user.user, ""))

    await vault.commit(build)
    removed: list[Plain] = [user.user for user in users]
    return Done(f"The account of {emails} was ended.", {"removed": removed})


async def _change_roles(vault: Vault, users: list[User], arguments: Arguments) -> Result:
    added = [find_role(vault.state, name).role for name in arguments.texts("add_role")]
    removed = [find_role(vault.state, name).role for name in arguments.texts("remove_role")]
    if set(added) & set(removed):
        raise UsageError("a role is both added and removed")

    def build(draft: Draft) -> bool:
        vault.require(Action.ADMINISTER)
        statements: list[Body] = []
        for user in users:
            has = {m.role for m in vault.state.memberships.values() if m.user == user.user}
            statements += [Membership(role, user.user) for role in added if role not in has]
            statements += [
                Revoke(Kind.MEMBERSHIP, role, user.user) for role in removed if role in has
            ]
        for statement in statements:
            draft.state(statement)
        return bool(statements)

    data: dict[str, Plain] = {"users": [user.user for user in users]}
    emails = ", ".join(user.email for user in users)
    if not await vault.commit(build):
        return Unchanged(f"The roles of {emails} are as asked already.", data)
    return Done(f"The roles of {emails} were changed.", data)
