"""Bringing up the path of a new tunnel: what the offer says, and what follows the answer."""

from __future__ import annotations

from collections.abc import Mapping

from commander.api.client import Api
from commander.hosting.conversation import Accepted
from commander.hosting.relay import open_relay_path
from commander.hosting.webrtc import WebRtcAttempt, begin_webrtc
from commander.tunnel.path import KIND_RELAY, KIND_TURN, KIND_WEBRTC, Binding, Path

# The relay needs one round trip and, measured, carries more than a data channel, so "auto"
# takes it; a better path takes over once paths can be replaced.
PATH_KINDS = {
    "auto": (KIND_RELAY,),
    KIND_RELAY: (KIND_RELAY,),
    KIND_WEBRTC: (KIND_WEBRTC,),
    KIND_TURN: (KIND_TURN,),
}


class PathAttempt:
    """One path being brought up; `close` it when the tunnel does not come to be."""

    def __init__(self, webrtc: WebRtcAttempt | None) -> None:
        self._webrtc = webrtc
        self.offer = webrtc.offer if webrtc is not None else b""

    async def finish(
        self, api: Api, environment: Mapping[str, str], accepted: Accepted
    ) -> tuple[Path, Binding]:
        """The path that both ends agreed on. Raises Unreachable, Refused or InvalidInput."""
        if self._webrtc is not None:
            return await self._webrtc.make(accepted.answer.webrtc)
        return await open_relay_path(api, environment, accepted.conversation), Binding()

    async def close(self) -> None:
        """Give up; idempotent."""
        if self._webrtc is not None:
            await self._webrtc.close()


async def begin_path(kind: str, api: Api) -> PathAttempt:
    """Prepare what the offer must say. Raises Unreachable when no address can be offered."""
    if kind not in (KIND_WEBRTC, KIND_TURN):
        return PathAttempt(None)
    return PathAttempt(await begin_webrtc(kind, api))
