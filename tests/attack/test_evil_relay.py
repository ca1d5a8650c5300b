"""A relay that is not content with copying: what it does to the bytes between two ends of a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.codes import CloseCode
from commander.tunnel.transports.stream_relay import StreamRelayPath
from commander.wire.relay import write_farewell
from tests.support.tunnels import Tunnel, eventually, joined

pytestmark = pytest.mark.integration

Mutate = Callable[[bytes], list[bytes]]
"""What becomes of a piece under way from the client; an honest relay passes it on as it is."""
SENT = bytes(range(256)) * 8000
HONEST_BYTES = 400_000
"""HELLO and some data pass before the relay turns."""


class EvilRelay:
    """Joins two connections, and from some point on does to the client's bytes what it was told."""

    def __init__(self, mutate: Mutate) -> None:
        self._mutate = mutate
        self._first: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.touched = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The first to come is the client, the second the gateway."""
        if self._first is None:
            self._first = reader, writer
            return
        client_reader, client_writer = self._first
        copies = {
            spawn(self._copy(client_reader, writer), name="up"),
            spawn(_copy(reader, client_writer), name="down"),
        }
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait(*copies)
        for one in (writer, client_writer):
            one.transport.abort()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await source.read(50_000):
            evil = passed > HONEST_BYTES
            self.touched += evil
            for piece in self._mutate(data) if evil else [data]:
                sink.write(piece)
            passed += len(data)
            await sink.drain()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        sink.write(data)
        await sink.drain()


@asynccontextmanager
async def between(mutate: Mutate) -> AsyncIterator[tuple[Tunnel, EvilRelay]]:
    """A tunnel whose ends meet at such a relay."""
    relay = EvilRelay(mutate)
    server = await asyncio.start_server(relay.handle, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    paths = []
    for _ in range(2):
        transport, _ = await loop.create_connection(
            asyncio.Protocol, *server.sockets[0].getsockname()
        )
        paths.append(StreamRelayPath(transport))
        await asyncio.sleep(0)
        await eventually(lambda: relay._first is not None, "the client is there")
    async with joined((paths[0], paths[1])) as tunnel:
        yield tunnel, relay
    server.close()


async def upload(tunnel: Tunnel) -> tuple[bytes, bytes]:
    """Send through the tunnel to a target; what the target got, and what the sender got back."""
    got = bytearray()
    done = asyncio.Event()

    async def target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                got.extend(data)
            writer.write(b"whole")
            await writer.drain()
        writer.close()
        done.set()

    server = await asyncio.start_server(target, "127.0.0.1", 0)
    port = await tunnel.port(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(60):
            writer.write(SENT)
            writer.write_eof()
            answer = await reader.read()
    writer.close()
    async with asyncio.timeout(60):
        await done.wait()
    server.close()
    return bytes(got), answer


def flip(data: bytes) -> list[bytes]:
    middle = len(data) // 2
    return [data[:middle], bytes([data[middle] ^ 1]), data[middle + 1 :]]


def replay() -> Mutate:
    kept: list[bytes] = []

    def mutate(data: bytes) -> list[bytes]:
        kept.append(data)
        return [data, kept[0]]

    return mutate


def drop_every_second() -> Mutate:
    numbers = itertools.count()
    return lambda data: [data] if next(numbers) % 2 else []


def swap() -> Mutate:
    held: list[bytes] = []

    def mutate(data: bytes) -> list[bytes]:
        held.append(data)
        return [held.pop(), held.pop()] if len(held) == 2 else []

    return mutate


def insert(data: bytes) -> list[bytes]:
    return [b"\x00\x00\x00\x40" + bytes(64), data]


ATTACKS: dict[str, Mutate] = {
    "a flipped bit": flip,
    "a piece again": replay(),
    "a piece missing": drop_every_second(),
    "pieces in another order": swap(),
    "a message of its own": insert,
}


async def test_an_honest_relay_passes_everything() -> None:
    """The control: the same bytes through the same relay."""
    async with between(lambda data: [data]) as (tunnel, relay):
        assert await upload(tunnel) == (SENT, b"whole")
    assert relay.touched > 0


@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_a_relay_alters_reaches_no_target(attack: str) -> None:
    """The path ends; the target has a true beginning of what was sent, and never a whole."""
    async with between(ATTACKS[attack]) as (tunnel, relay):
        got, answer = await upload(tunnel)
        await eventually(tunnel.gateway.closed.done, "the gateway's end is over")
        closed = tunnel.gateway.closed.result()
    assert relay.touched > 0
    assert answer == b""
    assert len(got) < len(SENT)
    assert SENT.startswith(got)
    assert closed.code is CloseCode.PATH_LOST
    assert (
        closed.reason == "a frame does not verify" or "is empty or over the limit" in closed.reason
    )


async def test_a_relay_can_end_a_path_and_say_what_it_likes() -> None:
    """A false "the other side is gone" costs the path, as pulling the cable would, and nothing more."""
    async with between(lambda data: [write_farewell(4010)]) as (tunnel, _):
        got, answer = await upload(tunnel)
        await eventually(tunnel.gateway.closed.done, "the gateway's end is over")
        closed = tunnel.gateway.closed.result()
    assert answer == b""
    assert SENT.startswith(got)
    assert closed.code is CloseCode.PATH_LOST
