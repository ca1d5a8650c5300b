"""The client's side of a WebRTC path: asking the server for relays, offering, taking the answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from commander.api.client import Api
from commander.api.tls import turn_context
from commander.errors import Refused
from commander.tunnel.path import KIND_TURN, Binding, Path
from commander.tunnel.transports.ice import find_options
from commander.tunnel.transports.webrtc_engine import load_engine
from commander.wire.calls import ICE, Empty

if TYPE_CHECKING:
    from commander.tunnel.transports.channel import Negotiation


NO_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({})


class WebRtcAttempt:
    """One attempt; `offer` goes into the offer, `close` gives up what did not become a path."""

    def __init__(self, negotiation: Negotiation) -> None:
        self._negotiation = negotiation
        self._is_made = False
        self.offer = negotiation.wire

    async def make(self, answer: bytes) -> tuple[Path, Binding]:
        """
        The path that the gateway's answer leads to; once.

        Raises Refused(path-forbidden) when the gateway gave none, Unreachable, TimedOut,
        InvalidInput or Conflict when it leads nowhere.
        """
        if not answer:
            raise Refused(
                "the gateway offers no WebRTC path", code="path-forbidden", hint="use --path relay"
            )
        path = await self._negotiation.complete(answer)
        self._is_made = True
        return path, path.binding

    async def close(self) -> None:
        """Give up; idempotent, harmless to a path that was made."""
        if not self._is_made:
            await self._negotiation.close()


async def begin_webrtc(
    kind: str, api: Api, environment: Mapping[str, str] = NO_ENVIRONMENT
) -> WebRtcAttempt:
    """
    Offer a path of kind "webrtc" or "turn"; the environment may choose the library.

    Raises Unreachable when the server gives no relays to look with, or nothing can be offered.
    """
    options = await find_options(
        lambda: api.call(ICE, Empty()),
        relay_only=kind == KIND_TURN,
        tls=turn_context(api.server.ca),
    )
    return WebRtcAttempt(await load_engine(environment, options).offer(options))
