"""One connection at one end: what happens before the target is there, and while nothing may flow."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from commander.tunnel.buffers import INITIAL_CREDIT
from commander.tunnel.mux import MuxLimits
from commander.tunnel.pipe import READ_BYTES
from commander.tunnel.reports import TunnelLimits
from commander.tunnel.target import MakeProtocol
from commander.tunnel.transports.memory import memory_paths
from tests.support.tunnels import connect_named, eventually, joined
from tests.support.waiting import DEADLINE_S

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[tuple[str, bytearray]]:
    """A target that collects one connection's bytes and answers with their number."""
    received = bytearray()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            received.extend(data)
        writer.write(b"%d" % len(received))
        writer.close()

    server = await asyncio.start_server(collect, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", received


async def test_bytes_and_end_that_come_before_the_target_are_delivered() -> None:
    """A client may send and close its side while the gateway still connects."""
    may_connect = asyncio.Event()

    async def slow(meta: bytes, make_protocol: MakeProtocol) -> None:
        await may_connect.wait()
        await connect_named(meta, make_protocol)

    async with collecting() as (address, received), joined(connect=slow) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(b"x" * 20_000)
        writer.write_eof()
        await eventually(lambda: tunnel.gateway.mux.bytes_received == 20_000, "the early bytes")
        assert received == b""

        may_connect.set()
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b"20000"
        writer.close()


async def test_first_bytes_that_are_there_already_go_with_the_opening() -> None:
    """One message instead of two for each connection whose client speaks first."""
    came_before: list[int] = []

    async def connect(meta: bytes, make_protocol: MakeProtocol) -> None:
        came_before.append(tunnel.gateway.mux.bytes_received)
        await connect_named(meta, make_protocol)

    async with collecting() as (address, received), joined(connect=connect) as tunnel:
        port = await tunnel.port(address)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"first")
            await eventually(lambda: received == b"first", "the first bytes")
        assert came_before == [5]


async def test_before_the_target_is_there_only_the_first_credit_is_taken() -> None:
    """A flood into a connection that may be refused costs 32 KiB at the gateway."""
    may_connect = asyncio.Event()

    async def slow(meta: bytes, make_protocol: MakeProtocol) -> None:
        await may_connect.wait()
        await connect_named(meta, make_protocol)

    async with collecting() as (address, received), joined(connect=slow) as tunnel:
        _, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(bytes(2_000_000))
        await eventually(lambda: tunnel.client._paused, "the pause of the local socket")
        await eventually(lambda: tunnel.gateway.mux.bytes_received >= 32 * 1024, "the credit")
        assert tunnel.gateway.mux.bytes_received == 32 * 1024
        may_connect.set()
        await eventually(lambda: len(received) == 2_000_000, "all bytes")
        writer.close()


async def test_a_stalled_path_stops_the_reading_of_sockets_and_goes_on_later() -> None:
    """What is taken in the meantime is bounded by the stream's share."""
    paths = memory_paths()
    async with collecting() as (address, received), joined(paths) as tunnel:
        port = await tunnel.port(address)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        await eventually(lambda: received == b"x", "the first byte")
        paths[0].hold()
        writer.write(bytes(20_000_000))
        await eventually(lambda: tunnel.client._paused, "the pause")
        assert tunnel.client.mux.held_bytes < 8 * 1024 * 1024
        paths[0].release()
        await eventually(lambda: len(received) == 20_000_001, "all bytes")
        writer.close()


async def test_sockets_of_both_ends_have_nodelay() -> None:
    """Small writes go out at once."""
    async with collecting() as (address, _), joined() as tunnel:
        _, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        await eventually(
            lambda: tunnel.client.mux.streams_open and tunnel.gateway._pipes, "the stream"
        )
        await eventually(lambda: not tunnel.gateway._connecting, "the target")
        for end in (tunnel.client, tunnel.gateway):
            [pipe] = end._pipes.values()
            assert pipe._transport is not None
            sock = pipe._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()


async def test_urgent_bytes_arrive_in_their_place() -> None:
    """As bytes among the others, as with SO_OOBINLINE on a direct connection."""
    async with collecting() as (address, received), joined() as tunnel:
        _, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        await eventually(lambda: tunnel.gateway._pipes, "the stream")
        sock = writer.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(sock.fileno())) as raw:
            raw.send(b"a")
            raw.send(b"!", socket.MSG_OOB)
            raw.send(b"b")
        await eventually(lambda: len(received) == 3, "all bytes")
        assert received == b"a!b"
        writer.close()


async def test_reads_are_as_large_as_one_message_and_share_one_buffer() -> None:
    """A thousand connections, or tunnels, do not mean a thousand read buffers."""
    async with collecting() as (address, _), joined() as tunnel, joined() as other:
        pipe, others = tunnel.client.pipe(b"x"), other.client.pipe(b"y")
        assert len(pipe.get_buffer(-1)) <= READ_BYTES <= len(tunnel.client.read_buffer)
        assert pipe.get_buffer(-1).obj is others.get_buffer(-1).obj
        assert address


async def test_a_stream_with_little_credit_goes_on_when_its_slow_socket_has_taken_all() -> None:
    """
    What waits in front of a socket counts as taken once it is, below the buffer's mark too.

    The far end has used up its credit and waits for just that, so nothing else would tell us.
    """
    may_read, count = asyncio.Event(), 1_000_000

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        writer.write(b"%d" % len(await reader.read(-1)))
        writer.close()

    async def connect(meta: bytes, make_protocol: MakeProtocol) -> None:
        host, _, port = meta.decode().rpartition(":")
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        narrow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(narrow, (host, int(port)))
        await loop.create_connection(make_protocol, sock=narrow)

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    listening.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(collect, sock=listening, limit=1024)
    limits = TunnelLimits(mux=MuxLimits(max_streams=1, receive_budget=INITIAL_CREDIT))
    async with server, joined(connect=connect, limits=limits) as tunnel:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(bytes(count))
        writer.write_eof()
        mux = tunnel.gateway.mux
        await eventually(lambda: mux.bytes_received >= INITIAL_CREDIT, "the first credit")
        may_read.set()

        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b"%d" % count
        writer.close()
