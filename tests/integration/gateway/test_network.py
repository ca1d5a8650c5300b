"""The gateway's control socket over a real WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from commander.errors import Unreachable
from commander.gateway.agent import SocketClosed
from commander.gateway.network import WebSocketControl

pytestmark = pytest.mark.integration


@asynccontextmanager
async def control(
    behave: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[WebSocketControl]:
    """A control socket to a router that behaves as told."""
    async with serve(behave, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        socket = WebSocketControl(await connect(f"ws://127.0.0.1:{port}", proxy=None))
        try:
            yield socket
        finally:
            await socket.close()


async def test_messages_and_pings_pass() -> None:
    """Binary messages both ways, and a pong in time."""

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with control(echo) as socket:
        await socket.send(b"hello")
        assert await socket.receive() == b"hello"
        await socket.ping(within_s=10)


async def test_the_close_code_is_told() -> None:
    """Fenced and revoked differ from a lost connection."""

    async def fence(connection: ServerConnection) -> None:
        await connection.close(4001, "fenced")

    async with control(fence) as socket:
        with pytest.raises(SocketClosed) as caught:
            await socket.receive()

    assert caught.value.close_code == 4001


async def test_a_cut_connection_is_told() -> None:
    """Without a close frame the code is 1006, and sending says unreachable."""

    async def cut(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with control(cut) as socket:
        with pytest.raises(SocketClosed) as caught:
            await socket.receive()
        assert caught.value.close_code == 1006
        with pytest.raises(Unreachable):
            await socket.send(b"x")


async def test_text_is_no_message() -> None:
    """A text message becomes one that cannot be parsed."""

    async def text(connection: ServerConnection) -> None:
        await connection.send("text")
        await connection.wait_closed()

    async with control(text) as socket:
        assert await socket.receive() == b""


async def test_a_peer_without_pongs_is_cut_off() -> None:
    """A connection that is dead without a sign is noticed at the deadline, by reader and writer."""

    over = asyncio.Event()

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    async with control(deaf) as socket:
        receiving = asyncio.ensure_future(socket.receive())
        with pytest.raises(Unreachable):
            await socket.ping(within_s=0.2)
        with pytest.raises(SocketClosed):
            await asyncio.wait_for(receiving, 10)
        over.set()
