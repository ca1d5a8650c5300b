"""The gateway's side of a WebRTC path: asking the server for relays, answering, opening."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from commander.authority.refusals import Code
from commander.errors import CommanderError, Refused
from commander.tunnel.path import KIND_TURN, Binding, Path
from commander.tunnel.transports.ice import AskServer, find_options
from commander.tunnel.transports.webrtc_engine import load_engine

if TYPE_CHECKING:
    from commander.tunnel.transports.channel import Negotiation


NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})


class WebRtcPlan:
    """Fits `paths.PathPlan`: one data channel, whose description is the answer."""

    def __init__(self, negotiation: Negotiation) -> None:
        self._negotiation = negotiation
        self._is_made = False
        self.answer = negotiation.wire

    async def make(self, carrier: int) -> tuple[Path, Binding]:
        """Wait for the client. Raises Unreachable or TimedOut."""
        self._is_made = True
        path = await self._negotiation.connected()
        return path, path.binding

    async def close(self) -> None:
        """Give up what nobody waits for; idempotent."""
        if not self._is_made:
            await self._negotiation.close()


async def prepare_webrtc(
    kind: str,
    offer: bytes,
    ask: AskServer,
    tls: ssl.SSLContext | None,
    environment: Mapping[str, str] = NO_ENVIRONMENT,
) -> WebRtcPlan:
    """
    Answer an offer of kind "webrtc" or "turn"; the environment may choose the library.

    Raises Refused(offer-broken) when it does not fit, or no relay can be had.
    """
    try:
        options = await find_options(ask, relay_only=kind == KIND_TURN, tls=tls)
        return WebRtcPlan(await load_engine(environment, options).accept(offer, options))
    except CommanderError as error:
        raise Refused(
            f"the WebRTC offer can't be answered: {error.message}", code=Code.OFFER_BROKEN
        ) from error
