"""The gateway's side of bringing a path up, by kind."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from commander.gateway.direct import DirectDoor
from commander.gateway.webrtc import NO_ENVIRONMENT, prepare_webrtc
from commander.tunnel.path import KIND_DIRECT, KIND_RELAY, KIND_TURN, KIND_WEBRTC, Binding, Path
from commander.tunnel.transports.ice import AskServer, no_servers
from commander.wire.commands import Offer


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


class NetworkPaths:
    """
    Relay always, WebRTC where its libraries load, direct paths where the owner lets them be.

    `ask` gets the server's STUN and TURN servers, `tls` verifies those over TLS;
    `environment` may choose the WebRTC library.
    """

    def __init__(
        self,
        open_relay: OpenRelay,
        ask: AskServer = no_servers,
        tls: ssl.SSLContext | None = None,
        *,
        direct: DirectDoor | None = None,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
    ) -> None:
        self._open_relay = open_relay
        self._ask = ask
        self._tls = tls
        self._environment = environment
        self._direct = direct if direct is not None and direct.is_allowed else None

    @property
    def supported(self) -> tuple[str, ...]:
        """Their names."""
        own = (KIND_DIRECT,) if self._direct is not None else ()
        return (KIND_RELAY, *own, KIND_WEBRTC, KIND_TURN)

    async def prepare(self, kind: str, conversation: str, offer: Offer) -> PathPlan:
        """Get a path of a kind ready."""
        if kind == KIND_RELAY:
            return _RelayPlan(conversation, self._open_relay)
        if kind == KIND_DIRECT:
            assert self._direct is not None  # only supported kinds are prepared
            return self._direct.prepare(offer.direct)
        return await prepare_webrtc(kind, offer.webrtc, self._ask, self._tls, self._environment)
