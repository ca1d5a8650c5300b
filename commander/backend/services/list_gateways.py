"""`gateways`: which gateways there are for the caller, and whether they are connected."""

from __future__ import annotations

from commander.authority.decide import Action, Allow, decide
from commander.authority.state import State
from commander.backend.core import Caller, Core
from commander.backend.services.sync import decide_alive, visible_folders
from commander.backend.storage import grants
from commander.wire.calls import Empty, GatewayRow, GatewaysAnswer


async def list_gateways(core: Core, caller: Caller, request: Empty) -> GatewaysAnswer:
    """
    Gateways of applications that the caller owns, holds the key of, or shares a folder with.

    An administrator sees all.
    """
    state = core.state
    decide_alive(state, caller)
    async with core.database.reading() as connection:
        granted = await grants.objects(connection, caller.user, "application")
    seen = granted | visible_applications(state, caller.user, now=core.now())
    is_administrator = isinstance(
        decide(state, caller.user, Action.ADMINISTER, now=core.now()), Allow
    )
    rows = [
        _row(core, gateway.gateway)
        for gateway in state.gateways.values()
        if is_administrator or gateway.application in seen
    ]
    return GatewaysAnswer(tuple(sorted(rows, key=lambda row: row.gateway)))


def visible_applications(state: State, user: str, *, now: float) -> set[str]:
    """Applications that the user owns, or that have a folder which the user may view."""
    owned = {app.application for app in state.applications.values() if app.owner == user}
    folders = visible_folders(state, user, now=now)
    shared = {
        access.principal
        for access in state.accesses.values()
        if access.principal_kind == "application" and access.folder in folders
    }
    return {str(uid) for uid in owned | shared}


def _row(core: Core, gateway: str) -> GatewayRow:
    online = core.presence.online(gateway)
    if online is None:
        return GatewayRow(gateway, False, "", "", 0)
    return GatewayRow(gateway, True, online.version, online.address, online.since)
