"""The gateway's side of bringing a path up, by kind."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from commander.authority.refusals import Code
from commander.errors import CommanderError, Refused
from commander.tunnel.path import KIND_RELAY, KIND_WEBRTC, Binding, Path
from commander.wire.commands import Offer

if TYPE_CHECKING:
    from commander.tunnel.transports.webrtc import Negotiation


class PathPlan(Protocol):
    """One kind of path of one attempt, prepared before the reply."""

    @property
    def answer(self) -> bytes:
        """What the reply tells the client about it."""
        ...

    async def make(self, carrier: int) -> tuple[Path, Binding]:
        """
        Open one carrier, once the reply is on its way; called once for each number below the
        kind's count, all at once. Raises CommanderError.
        """
        ...

    async def close(self) -> None:
        """Give up what is not open yet; idempotent, harmless to carriers that were made."""
        ...


class PathKinds(Protocol):
    """Which kinds of path this gateway can open."""

    @property
    def supported(self) -> tuple[str, ...]:
        """Their names."""
        ...

    async def prepare(self, kind: str, conversation: str, offer: Offer) -> PathPlan:
        """Get one ready. Raises Refused(offer-broken) when the offer does not fit it."""
        ...


OpenRelay = Callable[[str], Awaitable[Path]]
"""Opens our side of a conversation's relay. Raises CommanderError."""


class _RelayPlan:
    answer = b""

    def __init__(self, conversation: str, open_relay: OpenRelay) -> None:
        self._conversation = conversation
        self._open = open_relay

    async def make(self, carrier: int) -> tuple[Path, Binding]:
        return await self._open(self._conversation), Binding()

    async def close(self) -> None:
        """Nothing was opened yet."""


class _WebRtcPlan:
    def __init__(self, negotiation: Negotiation) -> None:
        self._negotiation = negotiation
        self._is_made = False
        self.answer = negotiation.wire

    async def make(self, carrier: int) -> tuple[Path, Binding]:
        self._is_made = True
        path = await self._negotiation.connected()
        return path, path.binding

    async def close(self) -> None:
        if not self._is_made:
            await self._negotiation.close()


class NetworkPaths:
    """Relay always, WebRTC where its libraries load."""

    supported = (KIND_RELAY, KIND_WEBRTC)

    def __init__(self, open_relay: OpenRelay) -> None:
        self._open_relay = open_relay

    async def prepare(self, kind: str, conversation: str, offer: Offer) -> PathPlan:
        """Get a path of a kind ready."""
        if kind == KIND_RELAY:
            return _RelayPlan(conversation, self._open_relay)
        try:
            # aiortc takes a second and 60 MiB: loaded by the first tunnel that asks for it.
            webrtc = importlib.import_module("commander.tunnel.transports.webrtc")
            return _WebRtcPlan(await webrtc.accept(offer.webrtc))
        except CommanderError as error:
            raise Refused(
                f"the WebRTC offer can't be answered: {error.message}", code=Code.OFFER_BROKEN
            ) from error
