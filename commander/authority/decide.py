"""
The one function that decides a permission, in client, server and gateway alike.

Default is refuse. A user's rights in a folder come from owning it or from an `access`
statement; policies come from roles; an application has only `access` statements.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from commander.authority.refusals import Code
from commander.authority.state import State
from commander.authority.statements import Access, Right
from commander.errors import Refused


class Action(StrEnum):
    """What a principal wants to do to a target."""

    VIEW = "view"  # target: folder
    EDIT = "edit"  # target: folder
    SHARE = "share"  # target: folder
    CONFIGURE = "configure"  # target: folder; write PAM settings of its records
    LAUNCH_TUNNEL = "launch-tunnel"  # target: folder of the record
    ADMINISTER = "administer"  # no target
    CREATE_APPLICATION = "create-application"  # no target
    MANAGE_APPLICATION = "manage-application"  # target: application
    MANAGE_GATEWAY = "manage-gateway"  # target: application


@dataclass(frozen=True)
class Allow:
    """The answer yes."""

    def enforce(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Refuse:
    """The answer no, with a code from the published table and a sentence for people."""

    code: Code
    reason: str

    def enforce(self) -> None:
        """Raise Refused with this code and reason."""
        raise Refused(self.reason, code=self.code, hint="ask an administrator or the owner")


Decision = Allow | Refuse
_ALLOW = Allow()

_RIGHT_OF = {
    Action.VIEW: Right.VIEW,
    Action.EDIT: Right.EDIT,
    Action.SHARE: Right.SHARE,
    Action.CONFIGURE: Right.EDIT,
    Action.LAUNCH_TUNNEL: Right.VIEW,
}
_POLICY_OF = {
    Action.CONFIGURE: "ALLOW_CONFIGURE_PAM_TUNNELING_SETTINGS",
    Action.LAUNCH_TUNNEL: "ALLOW_LAUNCH_PAM_TUNNELS",
    Action.CREATE_APPLICATION: "ALLOW_SECRETS_MANAGER",
    Action.MANAGE_APPLICATION: "ALLOW_SECRETS_MANAGER",
    Action.MANAGE_GATEWAY: "ALLOW_PAM_GATEWAY",
}


def decide(
    state: State,
    principal: str,
    action: Action,
    target: str = "",
    *,
    now: float,
    at: int | None = None,
) -> Decision:
    """
    Say whether a principal (user, device, application or gateway UID) may act on a target.

    `now` is wall-clock time for shares that begin or end; `at` judges by an earlier log position.
    """
    gateway = state.gateways.get(principal, at)
    application = gateway.application if gateway else principal
    if state.applications.known(application):
        return _decide_application(state, application, action, target, now=now, at=at)
    user = _living_user(state, principal, at)
    if isinstance(user, Refuse):
        return user
    policy = _POLICY_OF.get(action)
    if policy and not has_policy(state, user, policy, at=at):
        return Refuse(Code.POLICY_MISSING, f"no role of {user} grants {policy}")
    if action in _RIGHT_OF:
        return _decide_folder(state, user, _RIGHT_OF[action], target, now=now, at=at)
    if action is Action.ADMINISTER:
        if state.administrators.get(user, at) is None:
            return Refuse(Code.NOT_ADMINISTRATOR, f"{user} is not an administrator")
        return _ALLOW
    if action is Action.CREATE_APPLICATION:
        return _ALLOW
    return _decide_application_right(state, user, action, target, at)


def has_policy(state: State, user: str, policy: str, *, at: int | None = None) -> bool:
    """Tell whether any role of a user grants an enforcement policy."""
    return any(role.enforcements.get(policy, False) for role in state.roles_of(user, at))


def _living_user(state: State, principal: str, at: int | None) -> str | Refuse:
    device = state.devices.get(principal, at)
    if device is None and state.devices.known(principal):
        return Refuse(Code.DEVICE_REVOKED, f"device {principal} was revoked")
    uid = device.user if device else principal
    if state.users.get(uid, at) is None:
        if state.users.known(uid):
            return Refuse(Code.USER_REVOKED, f"user {uid} was removed")
        return Refuse(Code.USER_UNKNOWN, f"{uid} is not a known user")
    return uid


def _decide_folder(
    state: State, user: str, right: Right, target: str, *, now: float, at: int | None
) -> Decision:
    folder = state.folders.get(target, at)
    if folder is None:
        return _missing(state.folders.known(target), f"folder {target}")
    if folder.owner == user:
        return _ALLOW
    return _judge_access(state.accesses.get((target, user), at), right, target, now)


def _decide_application(
    state: State, application: str, action: Action, target: str, *, now: float, at: int | None
) -> Decision:
    if state.applications.get(application, at) is None:
        return Refuse(Code.OBJECT_REVOKED, f"application {application} was removed")
    if action not in (Action.VIEW, Action.EDIT):
        return Refuse(Code.RIGHT_MISSING, f"an application may not {action}")
    if state.folders.get(target, at) is None:
        return _missing(state.folders.known(target), f"folder {target}")
    access = state.accesses.get((target, application), at)
    return _judge_access(access, Right(action.value), target, now)


def _judge_access(access: Access | None, right: Right, target: str, now: float) -> Decision:
    if access is None:
        return Refuse(Code.ACCESS_MISSING, f"folder {target} is not shared with the principal")
    if now < access.not_before:
        return Refuse(Code.ACCESS_NOT_YET, f"the share of folder {target} begins later")
    if access.not_after and now >= access.not_after:
        return Refuse(Code.ACCESS_EXPIRED, f"the share of folder {target} has ended")
    if right not in access.rights:
        return Refuse(Code.RIGHT_MISSING, f"the share of folder {target} does not include {right}")
    return _ALLOW


def _decide_application_right(
    state: State, user: str, action: Action, target: str, at: int | None
) -> Decision:
    application = state.applications.get(target, at)
    if application is None:
        return _missing(state.applications.known(target), f"application {target}")
    shared = state.accesses.get((target, user), at)
    # Gateways carry the traffic of everybody: they stay the owner's to add and to remove.
    is_admin = action is Action.MANAGE_APPLICATION and shared is not None
    if application.owner != user and not (is_admin and shared and Right.EDIT in shared.rights):
        return Refuse(Code.NOT_OWNER, f"application {target} belongs to another user")
    return _ALLOW


def _missing(known: bool, what: str) -> Refuse:
    if known:
        return Refuse(Code.OBJECT_REVOKED, f"{what} was removed")
    return Refuse(Code.OBJECT_UNKNOWN, f"{what} is not known")
