"""Fits the backend's gatekeeper to what the router asks for; the two rooms do not know each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from commander.authority.decide import Refuse
from commander.backend.core import Caller
from commander.backend.gatekeeper import Gatekeeper
from commander.router.ports import Principal
from commander.wire.commands import Head
from commander.wire.requests import SignedRequest


class RouterGate:
    """Fits `router.ports.Gatekeeper` and `router.ports.Journal`."""

    def __init__(self, gatekeeper: Gatekeeper) -> None:
        self._gatekeeper = gatekeeper

    async def authenticate(
        self, request: SignedRequest, *, method: str, path: str, address: str
    ) -> Principal:
        """Establish who asks for an upgrade. Raises Refused."""
        caller = await self._gatekeeper.authenticate(
            request, method=method, path=path, address=address
        )
        kind: Literal["device", "gateway"] = "gateway" if caller.kind == "gateway" else "device"
        return Principal(caller.principal, kind, caller.user, caller.session.hex())

    async def may_open(self, device: str, gateway: str) -> Refuse | None:
        """None, or why this device may not talk to this gateway."""
        return await self._gatekeeper.may_open(device, gateway)

    async def revoked(self, principals: Sequence[Principal]) -> Sequence[tuple[Principal, Refuse]]:
        """Those that may not be connected any more, and why."""
        judged = [(p, await self._gatekeeper.why_not(_caller(p))) for p in principals]
        return [(principal, refusal) for principal, refusal in judged if refusal is not None]

    def head(self) -> Head:
        """Where the log is now."""
        return self._gatekeeper.head()

    def subscribe(self, moved: Callable[[Head], None]) -> Callable[[], None]:
        """Have `moved` called after each commit that moved the head."""
        return self._gatekeeper.subscribe(moved)

    async def connection_fenced(self, principal: Principal, *, old: str, new: str) -> None:
        """Audit a second connection of one identity."""
        await self._gatekeeper.connection_fenced(_caller(principal), old=old, new=new)

    async def command_refused(
        self, principal: Principal, *, to: str, conversation: str, refusal: Refuse
    ) -> None:
        """Audit a message that was not passed on."""
        await self._gatekeeper.command_refused(
            _caller(principal), to=to, conversation=conversation, refusal=refusal
        )


def _caller(principal: Principal) -> Caller:
    return Caller(
        "", principal.kind, principal.uid, principal.owner, bytes.fromhex(principal.session)
    )
