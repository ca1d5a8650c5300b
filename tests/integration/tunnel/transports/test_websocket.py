"""What is special about the relay path; the rest is in tests/contract/test_paths.py."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from commander.tunnel.path import STREAM_MESSAGE_BYTES
from commander.tunnel.transports.framing import frame_header
from commander.tunnel.transports.websocket import RELAY_OPTIONS, WebSocketPath
from commander.wire.relay import farewell_text
from tests.contract.test_paths import Collected
from tests.support.tunnels import eventually, relay

pytestmark = pytest.mark.integration


async def lost_after(*pieces: str | bytes) -> Collected:
    """Let a server send a message, perhaps in pieces, and see what becomes of the path."""

    async def send(connection: ServerConnection) -> None:
        for piece in pieces:
            await connection.send(piece)
        await connection.wait_closed()

    async with serve(send, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        path = WebSocketPath(await connect(f"ws://127.0.0.1:{port}", **RELAY_OPTIONS))
        seen = Collected()
        path.start(seen)
        await eventually(lambda: seen.lost or seen.messages, "what became of it")
        await path.close()
    return seen


async def test_a_text_message_loses_the_path() -> None:
    """Sealed messages are binary; anything else is not from our router."""
    seen = await lost_after("hello")
    assert seen.messages == []
    assert seen.lost == ["the relay sent a message of another kind"]


async def test_a_message_over_the_limit_loses_the_path() -> None:
    """Before it is read into memory; the largest allowed one arrives."""
    too_large = await lost_after(frame_header(STREAM_MESSAGE_BYTES + 1))
    assert too_large.messages == []
    assert len(too_large.lost) == 1
    largest = bytes(STREAM_MESSAGE_BYTES)
    framed = frame_header(len(largest)) + largest
    pieces = [framed[at : at + 60_000] for at in range(0, len(framed), 60_000)]
    assert (await lost_after(*pieces)).messages == [largest]


async def test_a_relay_that_dies_is_told_with_its_close_code() -> None:
    """A log shows why."""
    async with relay() as (server, make):
        paths = await make()
        seen = Collected(), Collected()
        for path, events in zip(paths, seen, strict=True):
            path.start(events)
        paths[0].send(b"x")
        await eventually(lambda: seen[1].messages, "the message")
        for connection in server.connections:
            connection.transport.abort()
        await eventually(lambda: seen[0].lost and seen[1].lost, "the loss")
        assert seen[0].lost == [farewell_text(None)]
        await asyncio.gather(*(path.close() for path in paths))


@pytest.mark.parametrize(("code", "gone"), [(4010, True), (1012, False), (4003, False)])
async def test_the_relays_close_code_tells_whether_the_far_end_is_gone(
    code: int, gone: bool
) -> None:
    """Only "peer gone" speaks of the other end; a restart or a revocation does not."""

    async def leave(connection: ServerConnection) -> None:
        await connection.close(code)

    async with serve(leave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        path = WebSocketPath(await connect(f"ws://127.0.0.1:{port}", **RELAY_OPTIONS))
        seen = Collected()
        path.start(seen)
        await eventually(lambda: seen.lost, "the loss")
        await path.close()
    assert (seen.lost, seen.gone) == ([farewell_text(code)], [gone])


async def test_a_relay_that_takes_nothing_does_not_block_and_close_does_not_hang() -> None:
    """The backlog grows, `send` returns, `close` gives up after its deadline."""
    done = asyncio.Event()

    async def stalls(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await done.wait()

    async with serve(stalls, "127.0.0.1", 0, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        path = WebSocketPath(await connect(f"ws://127.0.0.1:{port}", **RELAY_OPTIONS))
        seen = Collected()
        path.start(seen)
        for _ in range(400):
            path.send(bytes(STREAM_MESSAGE_BYTES))
        assert path.backlog_bytes() == 400 * (STREAM_MESSAGE_BYTES + len(frame_header(1)))
        async with asyncio.timeout(10):
            await path.close()
        assert len(seen.lost) == 1
        assert path.backlog_bytes() == 0
        done.set()
