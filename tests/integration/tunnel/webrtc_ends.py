"""Both ends of a WebRTC path in one process, over loopback, and an owner that keeps what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import msgspec

from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.transports import sdp, webrtc, webrtc_fast
from commander.tunnel.transports.channel import ChannelPath, Negotiation
from commander.tunnel.transports.ice import WebRtcOptions
from commander.tunnel.transports.webrtc import WebRtcPath
from commander.tunnel.transports.webrtc_engine import Engine

LOOPBACK = WebRtcOptions(
    rules=sdp.CandidateRules(loopback=True),
    choose_addresses=lambda addresses: ["127.0.0.1"],
    connect_timeout_s=20.0,
)


# The native library leaves loopback out: the machine's own address, which no packet leaves by.
THIS_MACHINE = WebRtcOptions(connect_timeout_s=20.0)


class Owner:
    """Keeps the callbacks of one path."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.losses: list[str] = []
        self.gone: list[bool] = []
        self.readies = 0
        self.changed = asyncio.Event()

    def message_received(self, message: bytes | memoryview) -> None:
        self.messages.append(bytes(message))
        self.changed.set()

    def path_ready(self) -> None:
        self.readies += 1
        self.changed.set()

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        self.losses.append(reason)
        self.gone.append(gone)
        self.changed.set()

    async def has_messages(self, count: int) -> None:
        await self._until(lambda: len(self.messages) >= count)

    async def has_lost(self) -> str:
        await self._until(lambda: bool(self.losses))
        return self.losses[0]

    async def has_room(self, seen: int) -> None:
        await self._until(lambda: self.readies > seen)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


async def negotiate(
    client: WebRtcOptions = LOOPBACK, gateway: WebRtcOptions = LOOPBACK
) -> tuple[Negotiation, Negotiation]:
    """Offer and answer, both not yet completed."""
    offered = await webrtc.offer(client)
    return offered, await webrtc.accept(offered.wire, gateway)


@contextlib.asynccontextmanager
async def open_paths() -> AsyncIterator[tuple[WebRtcPath, WebRtcPath]]:
    """A client's and a gateway's path, joined and not started."""
    offered, accepted = await negotiate()
    client, gateway = await asyncio.gather(offered.complete(accepted.wire), accepted.connected())
    assert isinstance(client, WebRtcPath)
    assert isinstance(gateway, WebRtcPath)
    try:
        yield client, gateway
    finally:
        await client.close()
        await gateway.close()


@contextlib.asynccontextmanager
async def open_fast_paths(
    *engines: Engine,
) -> AsyncIterator[tuple[ChannelPath, ChannelPath]]:
    """The same by the native library, or by one library at each end."""
    one, other = engines or (webrtc_fast, webrtc_fast)
    offered = await one.offer(THIS_MACHINE)
    accepted = await other.accept(offered.wire, THIS_MACHINE)
    client, gateway = await asyncio.gather(offered.complete(accepted.wire), accepted.connected())
    try:
        yield client, gateway
    finally:
        await client.close()
        await gateway.close()


def altered(wire: bytes, **fields: object) -> bytes:
    """A description with some values replaced, in canonical form."""
    description = sdp.from_wire(wire, LOOPBACK.rules)
    return msgspec.structs.replace(description, **fields).to_wire()


class LoopLag:
    """
    Measures how late a timer of 5 ms comes while the block runs; `worst_s` holds the maximum.

    Only time that this process was computing counts: tests share their cores with others.
    """

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def __aenter__(self) -> Self:
        self._task = spawn(self._measure(), name="loop-lag")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await cancel_and_wait(self._task)

    async def _measure(self) -> None:
        while True:
            began, busy = time.monotonic(), time.process_time()
            await asyncio.sleep(0.005)
            late = min(time.monotonic() - began - 0.005, time.process_time() - busy)
            self.worst_s = max(self.worst_s, late)
