"""Bringing up the path of a new tunnel: what the offer says, and what follows the answer."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from commander.api.client import Api
from commander.api.websocket import open_relay
from commander.errors import Refused
from commander.hosting.conversation import Accepted
from commander.tunnel.path import KIND_RELAY, KIND_WEBRTC, Binding, Path
from commander.tunnel.transports.websocket import WebSocketPath

if TYPE_CHECKING:
    from commander.tunnel.transports.webrtc import Negotiation

# The relay needs one round trip and, measured, carries more than a data channel, so "auto"
# takes it; a better path takes over once paths can be replaced.
PATH_KINDS = {
    "auto": (KIND_RELAY,),
    KIND_RELAY: (KIND_RELAY,),
    KIND_WEBRTC: (KIND_WEBRTC,),
}


class PathAttempt:
    """One path being brought up; `close` it when the tunnel does not come to be."""

    def __init__(self, negotiation: Negotiation | None) -> None:
        self._negotiation = negotiation
        self.offer = negotiation.wire if negotiation is not None else b""

    async def finish(
        self, api: Api, environment: Mapping[str, str], accepted: Accepted
    ) -> tuple[Path, Binding]:
        """The path that both ends agreed on. Raises Unreachable, Refused or InvalidInput."""
        if self._negotiation is not None:
            if not accepted.answer.webrtc:
                raise Refused(
                    "the gateway offers no WebRTC path",
                    code="path-forbidden",
                    hint="use --path relay",
                )
            path = await self._negotiation.complete(accepted.answer.webrtc)
            return path, path.binding
        connection = await open_relay(api, environment, accepted.conversation)
        return WebSocketPath(connection), Binding()

    async def close(self) -> None:
        """Give up; idempotent."""
        if self._negotiation is not None:
            await self._negotiation.close()


async def begin_path(kind: str) -> PathAttempt:
    """Prepare what the offer must say. Raises Unreachable when no address can be offered."""
    if kind != KIND_WEBRTC:
        return PathAttempt(None)
    # aiortc costs a second and 60 MiB: it is loaded by those who ask for it.
    webrtc = importlib.import_module("commander.tunnel.transports.webrtc")
    return PathAttempt(await webrtc.offer())
