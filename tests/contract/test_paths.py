"""What every path must do, whatever carries it; each transport adds its own way to be made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import pytest_asyncio

from commander.tunnel.path import MIN_MESSAGE_BYTES, Path
from tests.integration.tunnel.webrtc_ends import open_fast_paths, open_paths
from tests.support.direct import direct_paths
from tests.support.relay_streams import stream_paths
from tests.support.tunnels import eventually, make_memory_paths, relay

pytestmark = pytest.mark.integration

PathPair = tuple[Path, Path]
PairMaker = Callable[[], AbstractAsyncContextManager[PathPair]]


class Collected:
    """Path events of one end, with a check of their order."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.ready = 0
        self.lost: list[str] = []
        self.gone: list[bool] = []

    def message_received(self, message: bytes | memoryview) -> None:
        assert not self.lost
        self.messages.append(bytes(message))

    def path_ready(self) -> None:
        assert not self.lost
        self.ready += 1

    def path_lost(self, reason: str, *, gone: bool = False) -> None:
        assert not self.lost
        self.lost.append(reason)
        self.gone.append(gone)


@asynccontextmanager
async def memory_pair() -> AsyncIterator[PathPair]:
    yield await make_memory_paths()


@asynccontextmanager
async def relay_pair() -> AsyncIterator[PathPair]:
    async with relay() as (_, make):
        yield await make()


@asynccontextmanager
async def webrtc_pair() -> AsyncIterator[PathPair]:
    async with open_paths() as paths:
        yield paths


@asynccontextmanager
async def direct_pair() -> AsyncIterator[PathPair]:
    yield await direct_paths()


@asynccontextmanager
async def stream_pair() -> AsyncIterator[PathPair]:
    async with stream_paths() as paths:
        yield paths


@asynccontextmanager
async def tls_stream_pair() -> AsyncIterator[PathPair]:
    async with stream_paths(tls=True) as paths:
        yield paths


@asynccontextmanager
async def fast_webrtc_pair() -> AsyncIterator[PathPair]:
    async with open_fast_paths() as paths:
        yield paths


MAKERS: dict[str, PairMaker] = {
    "memory": memory_pair,
    "relay": relay_pair,
    "relay-stream": stream_pair,
    "relay-tls-stream": tls_stream_pair,
    "direct": direct_pair,
    "webrtc": webrtc_pair,
    "webrtc-native": fast_webrtc_pair,
}


@pytest_asyncio.fixture(params=MAKERS.values(), ids=MAKERS.keys())
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[PathPair]:
    make: PairMaker = request.param
    async with make() as paths:
        try:
            yield paths
        finally:
            for path in paths:
                await path.close()


def started(pair: PathPair) -> tuple[Collected, Collected]:
    seen = Collected(), Collected()
    for path, events in zip(pair, seen, strict=True):
        path.start(events)
    return seen


async def test_messages_keep_their_borders_and_order(pair: PathPair) -> None:
    """What is sent comes out whole, in order, both ways at once."""
    seen = started(pair)
    size = pair[0].max_message_bytes
    sent = [bytes([number % 256]) * length for number, length in enumerate([1, 2, size, 3, 1000])]
    for message in sent:
        pair[0].send(message)
        pair[1].send(message[::-1])

    await eventually(lambda: len(seen[0].messages) == len(seen[1].messages) == 5, "all messages")
    assert seen[1].messages == sent
    assert seen[0].messages == [message[::-1] for message in sent]


async def test_the_message_limit_leaves_room_for_the_mux(pair: PathPair) -> None:
    """No path is smaller than the least that the tunnel needs."""
    assert all(path.max_message_bytes >= MIN_MESSAGE_BYTES for path in pair)


async def test_messages_before_start_are_kept(pair: PathPair) -> None:
    """An end that starts later misses nothing."""
    first, second = Collected(), Collected()
    pair[0].start(first)
    for number in range(10):
        pair[0].send(b"%d" % number)
    await eventually(lambda: pair[0].backlog_bytes() == 0, "everything is on its way")
    pair[1].start(second)

    await eventually(lambda: len(second.messages) == 10, "all messages")
    assert second.messages == [b"%d" % number for number in range(10)]


async def test_the_backlog_rises_and_path_ready_tells_when_it_fell(pair: PathPair) -> None:
    """`send` never blocks; what it took is counted until it is on the network."""
    seen = started(pair)
    message = bytes(pair[0].max_message_bytes)
    count = 4 * 1024 * 1024 // len(message) + 1
    for _ in range(count):
        pair[0].send(message)
    assert pair[0].backlog_bytes() > 1024 * 1024

    await eventually(lambda: len(seen[1].messages) == count, "all messages")
    await eventually(lambda: seen[0].ready >= 1, "path_ready")
    await eventually(lambda: pair[0].backlog_bytes() == 0, "an empty backlog")


async def test_close_is_told_once_to_both_ends(pair: PathPair) -> None:
    """Whoever closes, each end hears of the loss exactly once."""
    seen = started(pair)
    await pair[0].close("done")
    await pair[0].close("again")

    await eventually(lambda: seen[0].lost and seen[1].lost, "both ends know")
    await pair[1].close()
    assert len(seen[0].lost) == len(seen[1].lost) == 1


async def test_what_was_sent_before_close_arrives(pair: PathPair) -> None:
    """The last message, such as CLOSE, is not cut off."""
    seen = started(pair)
    pair[0].send(b"last word")
    await asyncio.gather(pair[0].close())

    await eventually(lambda: seen[1].lost, "the loss")
    assert seen[1].messages == [b"last word"]


async def test_send_on_a_dead_path_is_silent(pair: PathPair) -> None:
    """`path_lost` is the only sign; nothing piles up."""
    seen = started(pair)
    await pair[1].close()
    await eventually(lambda: seen[0].lost, "the loss")
    for _ in range(1000):
        pair[0].send(bytes(1000))
    assert pair[0].backlog_bytes() == 0


async def test_close_before_start_is_safe(pair: PathPair) -> None:
    """A path that was never used can be thrown away."""
    await pair[0].close()
    await pair[0].close()
