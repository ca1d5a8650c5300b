"""The client's side of bringing a path up, by kind: what the offer says, and what follows the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from commander.api.client import Api
from commander.errors import Unreachable
from commander.hosting.conversation import Accepted
from commander.hosting.direct import DirectKind
from commander.hosting.relay import open_relay_path
from commander.hosting.webrtc import WebRtcAttempt, begin_webrtc
from commander.tunnel.path import KIND_DIRECT, KIND_RELAY, KIND_TURN, KIND_WEBRTC, Binding, Path


@dataclass(frozen=True)
class PathNetwork:
    """What paths are opened with: the signed-in side, the environment for its proxy, the kinds."""

    api: Api
    environment: Mapping[str, str]
    kinds: Mapping[str, BeginKind]


class KindAttempt(Protocol):
    """One kind of path of one attempt."""

    @property
    def offer(self) -> bytes:
        """What the offer says about it."""
        ...

    async def make(self, accepted: Accepted, carrier: int) -> tuple[Path, Binding]:
        """
        Open one carrier, once the gateway accepted the kind; called once for each number below
        the kind's count, all at once. Raises CommanderError.
        """
        ...

    async def close(self) -> None:
        """Give up what is not open yet; idempotent, harmless to carriers that were made."""
        ...


BeginKind = Callable[[PathNetwork], Awaitable[KindAttempt]]


class _Relay:
    offer = b""

    def __init__(self, network: PathNetwork) -> None:
        self._network = network

    async def make(self, accepted: Accepted, carrier: int) -> tuple[Path, Binding]:
        network = self._network
        path = await open_relay_path(network.api, network.environment, accepted.conversation)
        return path, Binding()

    async def close(self) -> None:
        """Nothing is opened before `make`."""


class _WebRtc:
    def __init__(self, attempt: WebRtcAttempt) -> None:
        self._attempt = attempt
        self.offer = attempt.offer

    async def make(self, accepted: Accepted, carrier: int) -> tuple[Path, Binding]:
        return await self._attempt.make(accepted.answer.webrtc)

    async def close(self) -> None:
        await self._attempt.close()


async def _begin_relay(network: PathNetwork) -> KindAttempt:
    return _Relay(network)


async def _begin_direct(network: PathNetwork) -> KindAttempt:
    return DirectKind()


async def _begin_webrtc(network: PathNetwork) -> KindAttempt:
    return _WebRtc(await begin_webrtc(KIND_WEBRTC, network.api, network.environment))


async def _begin_turn(network: PathNetwork) -> KindAttempt:
    return _WebRtc(await begin_webrtc(KIND_TURN, network.api, network.environment))


KINDS: Mapping[str, BeginKind] = {
    KIND_RELAY: _begin_relay,
    KIND_DIRECT: _begin_direct,
    KIND_WEBRTC: _begin_webrtc,
    KIND_TURN: _begin_turn,
}
"""Every kind that this program can open."""


async def begin_kind(kind: str, network: PathNetwork) -> KindAttempt:
    """Prepare what the offer must say. Raises Unreachable when the kind cannot be offered here."""
    begin = network.kinds.get(kind)
    if begin is None:
        raise Unreachable(f"this program opens no {kind} paths")
    return await begin(network)
