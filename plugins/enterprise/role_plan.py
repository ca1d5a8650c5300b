"""What a call of `enterprise-role` states in the log, all of it or nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from commander.authority.policies import parse_policy
from commander.authority.state import State
from commander.authority.statements import MAX_NAME, Body, Kind, Membership, Revoke, Role
from commander.errors import Conflict, InvalidInput, NotFound, UsageError
from commander.ids import RoleUid, UserUid


class Verb(StrEnum):
    """The one thing a call does to roles as a whole; `change` also goes with the others."""

    CHANGE = "change"
    ADD = "add"
    COPY = "copy"
    DELETE = "delete"


@dataclass(frozen=True)
class RoleRequest:
    """
    What was asked for. `names` are roles that exist, by name or UID (for ADD: names to be).

    `new_uids` has a UID for each name that may be made, so that a change built twice is the same.
    """

    verb: Verb
    names: tuple[str, ...]
    new_name: str | None = None
    enforcements: Mapping[str, bool] = field(default_factory=dict)
    add_users: tuple[UserUid, ...] = ()
    remove_users: tuple[UserUid, ...] = ()
    if_missing: bool = False
    new_uids: Mapping[str, RoleUid] = field(default_factory=dict)


@dataclass(frozen=True)
class RolePlan:
    """Statements for one role and what they do to it: made, changed, removed or unchanged."""

    role: Role
    outcome: str
    statements: tuple[Body, ...] = ()


def read_enforcements(texts: Iterable[str]) -> dict[str, bool]:
    """Read `KEY:VALUE`s. Raises InvalidInput, UsageError for a key with two values."""
    found: dict[str, bool] = {}
    for text in texts:
        key, value = parse_policy(text)
        if found.setdefault(key, value) != value:
            raise UsageError(f"{key} is given as true and as false")
    return found


def check_request(request: RoleRequest) -> None:
    """Raise UsageError for flags that do not go together, InvalidInput for a bad name."""
    changes = bool(request.enforcements or request.add_users or request.remove_users)
    verb, several = request.verb, len(request.names) > 1
    if verb is Verb.DELETE and (changes or request.new_name is not None):
        raise UsageError("--delete goes with no other change")
    if verb is Verb.ADD and (request.new_name is not None or request.remove_users):
        raise UsageError("--add takes the name as NAME, and a new role has nobody to remove")
    if verb is Verb.COPY and request.new_name is None:
        raise UsageError("--copy needs --name NEW")
    if request.new_name is not None and several:
        raise UsageError(f"--name is for one role, not for {len(request.names)}")
    if request.if_missing and verb not in (Verb.ADD, Verb.COPY):
        raise UsageError("--if-missing goes with --add or --copy")
    if set(request.add_users) & set(request.remove_users):
        raise UsageError("a user is both added and removed")
    for name in request.names if verb is Verb.ADD else ():
        _check_name(name)
    if request.new_name is not None:
        _check_name(request.new_name)


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise InvalidInput(f"a role's name has 1 to {MAX_NAME} printable characters")


def plan_roles(state: State, request: RoleRequest) -> list[RolePlan]:
    """One plan for each role. Raises NotFound, Conflict when a name is taken or differs."""
    if request.verb is Verb.ADD:
        return [_plan_new(state, request, name, {}) for name in request.names]
    found = [find_role(state, name) for name in request.names]
    roles = list({role.role: role for role in found}.values())
    if request.verb is Verb.DELETE:
        return [RolePlan(r, "removed", (Revoke(Kind.ROLE, r.role, ""),)) for r in roles]
    if request.verb is Verb.COPY:
        assert request.new_name is not None, "check_request demands it"
        return [_plan_new(state, request, request.new_name, roles[0].enforcements)]
    return [_plan_change(state, request, role) for role in roles]


def find_role(state: State, text: str) -> Role:
    """A role by UID or name. Raises NotFound, Conflict for names that differ in case only."""
    roles = list(state.roles.values())
    found = [role for role in roles if text in (role.role, role.name)]
    found = found or [role for role in roles if role.name.casefold() == text.casefold()]
    if not found:
        raise NotFound(f"no role {text[:80]!r}", hint="enterprise-info --roles lists them")
    if len(found) > 1:
        shown = ", ".join(f"{role.name} ({role.role})" for role in found[:10])
        raise Conflict(f"{text[:80]!r} names {len(found)} roles: {shown}", hint="use the UID")
    return found[0]


def _plan_new(
    state: State, request: RoleRequest, name: str, inherited: Mapping[str, bool]
) -> RolePlan:
    known = next((role for role in state.roles.values() if role.name == name), None)
    if known is not None:
        if not request.if_missing:
            raise Conflict(
                f"role {name!r} exists already", hint="choose another name, or --if-missing"
            )
        _check_same(state, request, known, inherited)
        return RolePlan(known, "unchanged")
    role = Role(request.new_uids[name], name, _merged(inherited, request.enforcements))
    members = tuple(Membership(role.role, user) for user in dict.fromkeys(request.add_users))
    return RolePlan(role, "made", (role, *members))


def _check_same(
    state: State, request: RoleRequest, known: Role, inherited: Mapping[str, bool]
) -> None:
    """What was asked for must hold; what later commands added to the role does not count."""
    wanted = {**inherited, **request.enforcements}
    for key, value in wanted.items():
        if known.enforcements.get(key, False) != value:
            raise Conflict(
                f"role {known.name!r} exists with {key} {str(not value).lower()}",
                hint=f"enterprise-role {known.name!r} --enforcement {key}:{str(value).lower()}",
            )
    missing = [user for user in request.add_users if not _is_member(state, known.role, user)]
    if missing:
        raise Conflict(
            f"role {known.name!r} exists without {len(missing)} of the users",
            hint=f"enterprise-role {known.name!r} -au USER adds one",
        )


def _is_member(state: State, role: str, user: str) -> bool:
    return state.memberships.get((role, user)) is not None


def _merged(before: Mapping[str, bool], changes: Mapping[str, bool]) -> dict[str, bool]:
    # An absent key refuses, so false is not kept.
    return {key: True for key, value in {**before, **changes}.items() if value}


def _plan_change(state: State, request: RoleRequest, role: Role) -> RolePlan:
    enforcements = role.enforcements
    if any(enforcements.get(key, False) != value for key, value in request.enforcements.items()):
        enforcements = _merged(enforcements, request.enforcements)
    name = request.new_name or role.name
    taken = any(r.name == name and r.role != role.role for r in state.roles.values())
    if taken:
        raise Conflict(f"role {name!r} exists already", hint="choose another name")
    after = Role(role.role, name, enforcements)
    statements: list[Body] = [after] if after != role else []
    for user in dict.fromkeys(request.add_users):
        if not _is_member(state, role.role, user):
            statements.append(Membership(role.role, user))
    for user in dict.fromkeys(request.remove_users):
        if _is_member(state, role.role, user):
            statements.append(Revoke(Kind.MEMBERSHIP, role.role, user))
    return RolePlan(after, "changed" if statements else "unchanged", tuple(statements))
