"""What is special about the relay path on a stream; the rest is in tests/contract/test_paths.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from commander.tunnel.path import STREAM_MESSAGE_BYTES
from commander.tunnel.transports.framing import frame_header
from commander.tunnel.transports.stream_relay import StreamRelayPath
from commander.wire.relay import PEER_GONE, farewell_text, write_farewell
from tests.contract.test_paths import Collected
from tests.support.relay_streams import stream_paths
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration
MESSAGE = frame_header(5) + b"first"


@asynccontextmanager
async def path_to(*pieces: bytes, early: bytes = b"") -> AsyncIterator[StreamRelayPath]:
    """A path whose relay says these things and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    transport, _ = await asyncio.get_running_loop().create_connection(
        asyncio.Protocol, *server.sockets[0].getsockname()
    )
    transport.pause_reading()
    path = StreamRelayPath(transport, early)
    yield path
    await path.close()
    server.close()


async def told_by(*pieces: bytes, early: bytes = b"") -> Collected:
    async with path_to(*pieces, early=early) as path:
        seen = Collected()
        path.start(seen)
        await eventually(lambda: seen.lost, "the loss")
    return seen


@pytest.mark.parametrize(("code", "gone"), [(PEER_GONE, True), (1012, False), (4003, False)])
async def test_the_relays_last_word_tells_whether_the_far_end_is_gone(
    code: int, gone: bool
) -> None:
    """Only "peer gone" speaks of the other end, also when it cuts a message short."""
    for last in (write_farewell(code), frame_header(100) + b"half" + write_farewell(code)):
        seen = await told_by(MESSAGE, last)
        assert seen.messages == [b"first"]
        assert (seen.lost, seen.gone) == ([farewell_text(code)], [gone])


async def test_an_end_without_a_word_is_the_relays_own() -> None:
    """It crashed, or the network broke: the far end may be well."""
    seen = await told_by(MESSAGE, frame_header(100) + b"half")
    assert (seen.lost, seen.gone) == (["the connection to the relay broke"], [False])


async def test_what_was_read_with_the_answer_comes_first() -> None:
    """Also when a message begins in it and ends later."""
    seen = await told_by(b"rst" + MESSAGE, early=MESSAGE + frame_header(5) + b"fi")
    assert seen.messages == [b"first"] * 3


@pytest.mark.parametrize("size", [0, STREAM_MESSAGE_BYTES + 1])
async def test_an_impossible_length_loses_the_path(size: int) -> None:
    """Read early or late, it is told once."""
    for seen in (await told_by(frame_header(size)), await told_by(early=frame_header(size))):
        assert len(seen.lost) == 1
        assert seen.messages == []


async def test_a_loss_before_the_start_is_told_after_it() -> None:
    """The relay closed while the path waited for its tunnel."""
    async with path_to() as path:
        await path.close("not needed")
        seen = Collected()
        path.start(seen)
        assert seen.lost == []
        await eventually(lambda: seen.lost, "the loss")
        assert seen.lost == ["not needed"]


async def test_a_far_end_that_closes_is_gone() -> None:
    """Through a real relay."""
    async with stream_paths() as (one, two):
        seen = Collected(), Collected()
        one.start(seen[0])
        two.start(seen[1])
        await one.close("done")
        await eventually(lambda: seen[1].lost, "the loss")
        assert (seen[0].lost, seen[0].gone) == (["done"], [False])
        assert (seen[1].lost, seen[1].gone) == ([farewell_text(PEER_GONE)], [True])
        await two.close()


async def test_who_is_still_writing_hears_the_relays_last_word() -> None:
    """A connection that is closed while an end writes would be reset, and the reason lost with it."""
    async with stream_paths(tls=True) as (one, two):
        seen = Collected(), Collected()
        one.start(seen[0])
        two.start(seen[1])
        loop = asyncio.get_running_loop()

        def write() -> None:
            for _ in range(10):
                two.send(bytes(2000))
            if not seen[1].lost:
                loop.call_soon(write)

        write()
        await eventually(lambda: len(seen[0].messages) > 100, "messages")
        one._transport.abort()
        await eventually(lambda: seen[1].lost, "the loss")
        assert (seen[1].lost, seen[1].gone) == ([farewell_text(PEER_GONE)], [True])
        await one.close()
        await two.close()
