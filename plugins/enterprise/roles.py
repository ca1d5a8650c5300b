"""`enterprise-role`: show roles, or change them in one transaction."""

from __future__ import annotations

from collections.abc import Iterable

from commander.authority.decide import Action
from commander.authority.policies import POLICIES
from commander.authority.statements import Role
from commander.errors import UsageError
from commander.ids import RoleUid, UserUid, new_uid
from commander.plugin.command import Arguments
from commander.plugin.context import Context
from commander.plugin.results import Column, Document, Done, Plain, Result, Table, Unchanged
from commander.vault.draft import Draft
from commander.vault.session import Vault
from plugins.enterprise.role_plan import (
    RolePlan,
    RoleRequest,
    Verb,
    check_request,
    find_role,
    plan_roles,
    read_enforcements,
)

ROLE_COLUMNS = (
    Column("role_name", "Role"),
    Column("role_uid", "Role UID"),
    Column("user_count", "Users"),
    Column("users", "Members"),
    Column("enforcement_count", "Enforcements", detail=True),
    Column("enforcements", "Grants"),
)


async def enterprise_role(context: Context, arguments: Arguments) -> Result:
    """Show the named roles (all without a name), or do what the flags say to them."""
    vault = context.vault
    await vault.refresh()
    request = _request(vault, arguments)
    if request is None:
        return _show(vault, arguments.texts("name"))
    check_request(request)
    if request.verb is Verb.DELETE:
        roles = [plan.role for plan in plan_roles(vault.state, request)]
        names = ", ".join(repr(role.name) for role in roles)
        members = sum(len(vault.people.role_users(role.role)) for role in roles)
        await context.console.confirm(
            f"Delete role {names} with {members} memberships?", force=arguments.flag("force")
        )

    def build(draft: Draft) -> list[RolePlan]:
        vault.require(Action.ADMINISTER)
        plans = plan_roles(vault.state, request)
        for plan in plans:
            for statement in plan.statements:
                draft.state(statement)
        return plans

    return _outcome(await vault.commit(build))


def _request(vault: Vault, arguments: Arguments) -> RoleRequest | None:
    """What the flags ask for, or None when they only ask to show."""
    flags = [verb for verb in (Verb.ADD, Verb.COPY, Verb.DELETE) if arguments.flag(verb)]
    names = tuple(dict.fromkeys(arguments.texts("name")))
    request = RoleRequest(
        verb=flags[0] if flags else Verb.CHANGE,
        names=names,
        new_name=arguments.text_or_none("rename"),
        enforcements=read_enforcements(arguments.texts("enforcement")),
        add_users=_users(vault, arguments, "add_user"),
        remove_users=_users(vault, arguments, "remove_user"),
        if_missing=arguments.flag("if_missing"),
        new_uids={
            name: RoleUid(new_uid()) for name in (*names, arguments.text_or_none("rename") or "")
        },
    )
    nothing = RoleRequest(Verb.CHANGE, names, new_uids=request.new_uids)
    if request == nothing:
        return None
    if not names:
        raise UsageError("enterprise-role needs a NAME", hint="enterprise-role Developers --add")
    return request


def _users(vault: Vault, arguments: Arguments, key: str) -> tuple[UserUid, ...]:
    return tuple(vault.people.find_user(text).user for text in arguments.texts(key))


def _outcome(plans: list[RolePlan]) -> Done | Unchanged:
    data: dict[str, Plain] = {
        "roles": [
            {"role_name": plan.role.name, "role_uid": plan.role.role, "outcome": plan.outcome}
            for plan in plans
        ]
    }
    message = "\n".join(
        f"Role {plan.role.name!r} is as asked already."
        if plan.outcome == "unchanged"
        else f"Role {plan.role.name!r} was {plan.outcome}."
        for plan in plans
    )
    if all(plan.outcome == "unchanged" for plan in plans):
        return Unchanged(message, data)
    return Done(message, data)


def _show(vault: Vault, names: tuple[str, ...]) -> Table | Document:
    if len(names) == 1:
        role = find_role(vault.state, names[0])
        return Document(role_values(vault, role), title=f"Role {role.name}")
    roles = [find_role(vault.state, name) for name in names] or vault.people.roles()
    return Table(ROLE_COLUMNS, [role_values(vault, role) for role in roles], empty="No roles.")


def role_values(vault: Vault, role: Role) -> dict[str, Plain]:
    """A role as data; `enforcements` are the keys it grants."""
    users = sorted(vault.people.email_of(user) for user in vault.people.role_users(role.role))
    granted = sorted(key for key, value in role.enforcements.items() if value)
    return {
        "role_name": role.name,
        "role_uid": role.role,
        "user_count": len(users),
        "users": [user for user in users if user],
        "enforcement_count": len(granted),
        "enforcements": granted,
    }


def enforcement_candidates(context: Context) -> Iterable[str]:
    """Every enforcement key, granted, for completion."""
    return [f"{key}:true" for key in POLICIES]
