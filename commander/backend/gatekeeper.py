"""What the router asks about rights, answered from the log; `launch` fits it to the router's port."""

from __future__ import annotations

from collections.abc import Callable

from commander.audit.events import CommandRefused, clip
from commander.authority.decide import Refuse, has_policy
from commander.authority.refusals import Code
from commander.authority.state import State
from commander.backend.authenticate import authenticate
from commander.backend.core import Caller, Core
from commander.backend.services import sessions
from commander.backend.services.list_gateways import visible_applications
from commander.backend.storage import accounts
from commander.errors import Refused
from commander.wire.commands import Head
from commander.wire.requests import SignedRequest

_LAUNCH = "ALLOW_LAUNCH_PAM_TUNNELS"


class Gatekeeper:
    """Answers for one server."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def authenticate(
        self, request: SignedRequest, *, method: str, path: str, address: str
    ) -> Caller:
        """Establish who asks for an upgrade. Raises Refused; see `backend.authenticate`."""
        caller = await authenticate(
            self._core, request, method=method, path=path, address=address, proof="either"
        )
        if caller.kind == "device" and self._core.state.devices.get(caller.principal) is None:
            raise Refused("the device is not certified yet", code=Code.DEVICE_UNKNOWN)
        return caller

    async def may_open(self, device: str, gateway: str) -> Refuse | None:
        """Say early what the gateway will decide anyway; None when nothing speaks against it."""
        state, now = self._core.state, self._core.now()
        alive = _alive(state, device)
        if isinstance(alive, Refuse):
            return alive
        if not has_policy(state, alive, _LAUNCH):
            return Refuse(Code.POLICY_MISSING, f"no role of {alive} grants {_LAUNCH}")
        found = state.gateways.get(gateway)
        if found is None or found.application not in visible_applications(state, alive, now=now):
            return Refuse(Code.PEER_UNKNOWN, "no such gateway")
        return None

    async def why_not(self, caller: Caller) -> Refuse | None:
        """Why a principal may not be connected any more, or None."""
        state = self._core.state
        if caller.kind == "gateway":
            gateway = state.gateways.get(caller.principal)
            if gateway is None or state.applications.get(gateway.application) is None:
                return Refuse(Code.DEVICE_REVOKED, f"gateway {caller.principal} was removed")
            return None
        alive = _alive(state, caller.principal)
        if isinstance(alive, Refuse):
            return alive
        async with self._core.database.reading() as connection:
            row = await accounts.session(connection, caller.session)
        if row is None:
            return Refuse(Code.SESSION_UNKNOWN, "the session was ended")
        try:
            sessions.check_device(state, row)
        except Refused as error:
            return Refuse(Code(error.code), error.message)
        return None

    def head(self) -> Head:
        """Where the log is now."""
        return self._core.ledger.head()

    def subscribe(self, moved: Callable[[Head], None]) -> Callable[[], None]:
        """Have `moved` called after each commit that moved the head; returns what ends it."""
        return self._core.ledger.subscribe(moved)

    async def command_refused(
        self, caller: Caller, *, to: str, conversation: str, refusal: Refuse
    ) -> None:
        """Put a message that was not passed on into the server's audit log. Never raises."""
        is_device = caller.kind == "device"
        await self._core.note(
            CommandRefused(
                code=str(refusal.code),
                action="route",
                conversation=clip(conversation, 64),
                user=caller.user if is_device else "",
                device=caller.principal if is_device else "",
                gateway=clip(to, 64),
                record="",
                reason=clip(refusal.reason),
            )
        )

    async def connection_fenced(self, caller: Caller, *, old: str, new: str) -> None:
        """Put a second connection of one identity into the audit log. Never raises."""
        is_device = caller.kind == "device"
        await self._core.note(
            CommandRefused(
                code=str(Code.FENCED),
                action="connect",
                conversation="",
                user=caller.user if is_device else "",
                device=caller.principal if is_device else "",
                gateway="" if is_device else caller.principal,
                record="",
                reason=clip(f"connected from {new} while connected from {old}"),
            )
        )


def _alive(state: State, device: str) -> str | Refuse:
    """The user of a device that may act, or why it may not."""
    found = state.devices.get(device)
    if found is None:
        code = Code.DEVICE_REVOKED if state.devices.known(device) else Code.DEVICE_UNKNOWN
        return Refuse(code, f"device {device} is not certified, or was revoked")
    if state.users.get(found.user) is None:
        return Refuse(Code.USER_REVOKED, f"user {found.user} was removed")
    return str(found.user)
