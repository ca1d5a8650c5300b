"""Who may use which record through this gateway, now and until when. Pure; asked at every new head."""

from __future__ import annotations

from dataclasses import dataclass

from commander.authority.decide import Action, Refuse, decide
from commander.authority.refusals import Code
from commander.authority.state import State

# What speaks of the user alone is told before any record is read.
_WITHOUT_RECORD = frozenset(
    {Code.POLICY_MISSING, Code.USER_REVOKED, Code.USER_UNKNOWN, Code.DEVICE_REVOKED}
)


@dataclass(frozen=True)
class Rights:
    """Everything a tunnel rests on; `folder` of the record and `configuration_folder`."""

    gateway: str
    user: str
    device: str
    record: str
    folder: str
    configuration: str
    configuration_folder: str


def judge_user(state: State, device: str, *, now: float) -> Refuse | None:
    """What speaks against a device's user whatever the record: removed, or without the policy."""
    decision = decide(state, device, Action.LAUNCH_TUNNEL, "", now=now)
    if isinstance(decision, Refuse) and decision.code in _WITHOUT_RECORD:
        return decision
    return None


def judge_rights(state: State, rights: Rights, *, now: float) -> Refuse | None:
    """What speaks against a tunnel, or None."""
    if state.gateways.get(rights.gateway) is None:
        return Refuse(Code.OBJECT_REVOKED, f"gateway {rights.gateway} was removed")
    questions = (
        (rights.device, Action.LAUNCH_TUNNEL, rights.folder),
        (rights.gateway, Action.VIEW, rights.folder),
        (rights.gateway, Action.VIEW, rights.configuration_folder),
    )
    for principal, action, folder in questions:
        decision = decide(state, principal, action, folder, now=now)
        if isinstance(decision, Refuse):
            return decision
    return None


def ends_at(state: State, rights: Rights) -> int:
    """When the first share that a tunnel rests on ends, in seconds since 1970; 0 for never."""
    gateway = state.gateways.get(rights.gateway)
    application = gateway.application if gateway else ""
    pairs = (
        (rights.folder, rights.user),
        (rights.folder, application),
        (rights.configuration_folder, application),
    )
    ends = [
        access.not_after
        for access in (state.accesses.get(pair) for pair in pairs)
        if access is not None
        and access.not_after
        and not _owns(state, access.folder, access.principal)
    ]
    return min(ends, default=0)


def _owns(state: State, folder: str, principal: str) -> bool:
    found = state.folders.get(folder)
    return found is not None and found.owner == principal
