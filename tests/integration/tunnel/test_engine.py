"""The engine between real sockets: TCP's meaning, bounds, and what is reported."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from commander.clock import ManualClock
from commander.errors import SealBroken, TimedOut, Unreachable
from commander.tunnel.codes import CloseCode, ProtocolViolation, ResetCode, Role, StreamRefused
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.path import Binding
from commander.tunnel.reports import TunnelLimits
from commander.tunnel.target import MakeProtocol
from commander.tunnel.transports.memory import Faults, memory_paths
from tests.support.tunnels import (
    MakePaths,
    conversation_keys,
    eventually,
    joined,
    lossy_paths,
    make_memory_paths,
    relay,
)
from tests.support.waiting import DEADLINE_S, free_port

pytestmark = pytest.mark.integration

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MIB = 1024 * 1024


@asynccontextmanager
async def target(handler: Handler) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def answer_after_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    data = await reader.read()
    writer.write(hashlib.sha256(data).digest())
    writer.write_eof()
    await writer.drain()


async def finish(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return await reader.read()


@asynccontextmanager
async def paths_of(name: str) -> AsyncIterator[MakePaths]:
    if name == "memory":
        yield make_memory_paths
        return
    async with relay() as (_, make):
        yield make


@pytest.mark.parametrize("kind", ["memory", "relay"])
async def test_bytes_come_back_from_an_echo(kind: str) -> None:
    """Both ways, through a path of each kind, and the report counts them."""
    async with (
        target(echo) as address,
        paths_of(kind) as make,
        joined(await make()) as tunnel,
    ):
        port = await tunnel.port(address)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for size in (1, 1000, 200_000):
            writer.write(bytes(size))
            async with asyncio.timeout(DEADLINE_S):
                assert len(await reader.readexactly(size)) == size
        writer.write_eof()
        assert await read_all(reader) == b""
        await finish(writer)
        await eventually(lambda: tunnel.gateway_events.ended, "the gateway's report")

        [report] = tunnel.client_events.ended
        assert (report.bytes_in, report.bytes_out, report.cause) == (201_001, 201_001, "closed")
        [report] = tunnel.gateway_events.ended
        assert (report.bytes_in, report.bytes_out, report.cause) == (201_001, 201_001, "closed")
        assert report.meta == address.encode()
        stats = tunnel.client.stats()
        assert stats.path_kind == kind
        assert (stats.bytes_in, stats.bytes_out, stats.streams_total) == (201_001, 201_001, 1)


async def test_an_end_from_the_client_leaves_the_answer_open() -> None:
    """`nc -N`: the target sees the end and still answers."""
    async with target(answer_after_the_end) as address, joined() as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(b"question" * 1000)
        writer.write_eof()
        assert await read_all(reader) == hashlib.sha256(b"question" * 1000).digest()
        await finish(writer)


async def test_an_end_from_the_target_leaves_the_question_open() -> None:
    """A target that ends its direction first still reads all that the client sends."""
    received = bytearray()

    async def ends_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"banner")
        writer.write_eof()
        received.extend(await reader.read())

    async with target(ends_first) as address, joined() as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        assert await read_all(reader) == b"banner"
        writer.write(b"still here")
        await writer.drain()
        writer.write_eof()
        await eventually(lambda: received == b"still here", "the bytes after the end")
        await finish(writer)
        await eventually(lambda: tunnel.client.stats().streams_open == 0, "the stream's end")


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_a_reset_of_the_application_reaches_the_target() -> None:
    """RST stays RST: the target must not take cut data for complete."""
    failures: list[type[BaseException]] = []

    async def note_failure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionResetError as error:
            failures.append(type(error))

    async with target(note_failure) as address, joined() as tunnel:
        _, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(b"half a message")
        await eventually(lambda: tunnel.gateway.stats().bytes_in == 14, "the bytes")
        await eventually(
            lambda: tunnel.gateway.streams()[0].bytes_in == 14, "the target's connection"
        )
        reset(writer)
        await eventually(lambda: failures == [ConnectionResetError], "the reset at the target")
        await eventually(lambda: tunnel.gateway_events.ended, "the report")
        assert tunnel.gateway_events.ended[0].cause == "aborted"
        assert tunnel.gateway_events.ended[0].by_peer


async def test_a_reset_of_the_target_reaches_the_application() -> None:
    """And the other way round."""

    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        reset(writer)

    async with target(resets) as address, joined() as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)
        await eventually(lambda: tunnel.client_events.ended, "the report")
        assert tunnel.client_events.ended[0].cause == "aborted"


async def test_a_refused_target_resets_the_local_socket_with_a_coded_reason() -> None:
    """The application sees a reset; the log says why."""
    async with joined() as tunnel:
        port = await tunnel.port(f"127.0.0.1:{free_port()}")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)
        await eventually(lambda: tunnel.client_events.ended, "the report")
        report = tunnel.client_events.ended[0]
        assert (report.cause, report.reason) == (
            "target-refused",
            "the target refused the connection",
        )


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (StreamRefused(ResetCode.NOT_ALLOWED, "forbidden by rule"), "not-allowed"),
        (socket.gaierror("no such name"), "target-name-unknown"),
        (OSError(113, "no route"), "target-unreachable"),
        (ZeroDivisionError("a bug"), "internal"),
    ],
)
async def test_failures_of_connect_become_codes(failure: Exception, cause: str) -> None:
    """Whatever `connect` raises, one stream is reset and the tunnel lives."""

    async def fails(meta: bytes, make_protocol: MakeProtocol) -> None:
        raise failure

    async with joined(connect=fails) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port("x:1"))
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)
        await eventually(lambda: tunnel.client_events.ended, "the report")
        assert tunnel.client_events.ended[0].cause == cause
        assert not tunnel.client.closed.done()


async def test_a_target_that_does_not_answer_times_out() -> None:
    """Within the connect deadline, with its own code."""

    async def hangs(meta: bytes, make_protocol: MakeProtocol) -> None:
        await asyncio.Event().wait()

    async with joined(connect=hangs, limits=TunnelLimits(connect_s=0.05)) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port("x:1"))
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)
        await eventually(lambda: tunnel.client_events.ended, "the report")
        assert tunnel.client_events.ended[0].cause == "target-timed-out"


async def test_a_client_that_leaves_while_the_target_connects_stops_the_attempt() -> None:
    """Nothing is left of a connection that nobody waits for."""
    stopped: list[bool] = []

    async def hangs(meta: bytes, make_protocol: MakeProtocol) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)

    async with joined(connect=hangs) as tunnel:
        _, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port("x:1"))
        await eventually(lambda: tunnel.gateway.stats().streams_open == 1, "the request")
        reset(writer)
        await eventually(lambda: stopped, "the end of the attempt")
        await eventually(lambda: tunnel.gateway_events.ended, "the report")
        assert not tunnel.gateway.streams()


@pytest.mark.parametrize("kind", ["memory", "relay"])
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_reader_that_stalls_costs_little_and_stops_nobody(
    kind: str, direction: str
) -> None:
    """Megabytes offered, at most 8 MiB taken; another connection goes on meanwhile."""
    stall = asyncio.Event()
    stalled_bytes = 48 * MIB

    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if direction == "up":
            await stall.wait()
            while await reader.read(MIB):
                continue
        else:
            with contextlib.suppress(ConnectionError):
                for _ in range(stalled_bytes // MIB):
                    writer.write(bytes(MIB))
                    await writer.drain()

    async with (
        target(stalls) as stalled,
        target(echo) as address,
        paths_of(kind) as make,
        joined(await make()) as tunnel,
    ):
        slow_port, echo_port = await tunnel.port(stalled), await tunnel.port(address)
        loop = asyncio.get_running_loop()
        slow = socket.create_connection(("127.0.0.1", slow_port))
        slow.setblocking(False)

        async def pour() -> None:
            for _ in range(stalled_bytes // MIB):
                await loop.sock_sendall(slow, bytes(MIB))

        pouring = asyncio.ensure_future(pour() if direction == "up" else asyncio.sleep(0))
        reader, writer = await asyncio.open_connection("127.0.0.1", echo_port)
        for _ in range(100):
            writer.write(bytes(20_000))
            async with asyncio.timeout(DEADLINE_S):
                await reader.readexactly(20_000)
        held = sum(end.mux.held_bytes + end.mux._granted for end in (tunnel.client, tunnel.gateway))
        assert held <= 8 * MIB
        taken = (
            tunnel.client.mux.bytes_sent if direction == "up" else tunnel.client.mux.bytes_received
        )
        assert taken <= 2 * 2_000_000 + 8 * MIB

        stall.set()
        received = 0
        if direction == "down":
            while data := await loop.sock_recv(slow, MIB):
                received += len(data)
            assert received == stalled_bytes
        else:
            async with asyncio.timeout(DEADLINE_S):
                await pouring
        await pouring
        slow.close()
        await finish(writer)


async def test_two_thousand_short_connections_leave_nothing_behind() -> None:
    """All tables are empty afterwards, at both ends."""

    async with target(echo) as address, joined() as tunnel:
        port = await tunnel.port(address)

        async def once(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"%d" % number)
            writer.write_eof()
            assert await read_all(reader) == b"%d" % number
            await finish(writer)

        for start in range(0, 2000, 100):
            await asyncio.gather(*(once(start + offset) for offset in range(100)))
        for end in (tunnel.client, tunnel.gateway):
            await eventually(lambda end=end: end.mux.streams_open == 0, "no streams")  # type: ignore[misc]
            await eventually(lambda end=end: not end.streams(), "no pipes")  # type: ignore[misc]
            assert end.mux.held_bytes == 0
            assert not end._connecting
            assert not end._paused
            assert not end._unopened
            assert end.stats().streams_total == 2000
        assert len(tunnel.client_events.ended) == len(tunnel.gateway_events.ended) == 2000


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_64_mib_arrive_unchanged_over_the_relay(direction: str) -> None:
    """Equal SHA-256 at both ends."""
    chunk = random.Random(3).randbytes(MIB)
    expected = hashlib.sha256(chunk * 64).digest()

    async def sends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(64):
            writer.write(chunk)
            await writer.drain()

    handler = answer_after_the_end if direction == "up" else sends
    async with target(handler) as address, relay() as (_, make), joined(await make()) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        if direction == "up":
            for _ in range(64):
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
            assert await read_all(reader) == expected
        else:
            assert hashlib.sha256(await read_all(reader)).digest() == expected
        await finish(writer)


async def test_1024_streams_work_and_the_next_is_refused() -> None:
    """The limit is exact; a place that becomes free is used again."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    async with target(echo) as address, joined() as tunnel:
        port = await tunnel.port(address)
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1024)]
        for reader, writer in connections:
            writer.write(b"hi")
            assert await reader.readexactly(2) == b"hi"

        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)
        await eventually(lambda: tunnel.client_events.ended, "the report")
        assert tunnel.client_events.ended[0].cause == "too-many-streams"

        for _, other in connections:
            other.write_eof()
        for other_reader, other in connections:
            assert await read_all(other_reader) == b""
            await finish(other)
        await eventually(lambda: tunnel.client.stats().streams_open == 0, "free places")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        await finish(writer)


async def test_heartbeats_measure_the_round_trip_and_acknowledge_remainders() -> None:
    """After a beat the round trip is known and nothing is held for replay."""
    limits = TunnelLimits(heartbeat_s=0.02, dead_after_s=DEADLINE_S)
    paths = memory_paths(Faults(delay_s=0.01))
    async with target(echo) as address, joined(paths, limits=limits) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(b"x")
        await reader.readexactly(1)
        await eventually(lambda: tunnel.client.stats().rtt_s is not None, "a round trip")
        assert (tunnel.client.stats().rtt_s or 0) >= 0.02
        await eventually(lambda: tunnel.client.mux.held_bytes == 0, "the acknowledgement")
        await finish(writer)


async def test_a_silent_path_is_dead_after_its_deadline() -> None:
    """A black hole is noticed by the missing sign of life; sockets are reset."""
    limits = TunnelLimits(heartbeat_s=0.02, dead_after_s=0.2)
    paths = memory_paths(Faults(black_hole_after=20))
    async with target(echo) as address, joined(paths, limits=limits) as tunnel:
        port = await tunnel.port(address)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(DEADLINE_S):
            closed = await tunnel.client.closed
        assert closed.code is CloseCode.PATH_LOST
        assert tunnel.client_events.paths == ["up memory 1", "lost memory"]
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)


async def test_an_end_that_slept_gives_its_peer_time_to_be_heard() -> None:
    """After a suspend the signs of life are still unread; they count before the deadline does."""
    clock = ManualClock()
    limits = TunnelLimits(heartbeat_s=0.02, dead_after_s=6.0)
    async with joined(limits=limits, clock=clock) as tunnel:
        link = tunnel.client._carriage.senders[0]
        for _ in range(3):
            clock.advance(3600.0)
            await eventually(lambda before=link._ping_token: link._ping_token > before, "a beat")  # type: ignore[misc]
        assert not tunnel.client.closed.done()
        assert not tunnel.gateway.closed.done()


async def test_a_lost_path_ends_the_tunnel_and_resets_connections() -> None:
    """Where nothing may be resumed, cut data must not look complete."""
    paths = memory_paths()
    async with target(echo) as address, joined(paths) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(b"x")
        await reader.readexactly(1)
        paths[0].cut()
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        assert (await tunnel.client.closed).code is CloseCode.PATH_LOST
        assert (await tunnel.gateway.closed).code is CloseCode.PATH_LOST
        await finish(writer)


@pytest.mark.parametrize("kind", ["memory", "relay"])
async def test_close_tells_the_other_end_why(kind: str) -> None:
    """Code and reason arrive; connections of both ends are reset."""
    async with target(echo) as address, paths_of(kind) as make, joined(await make()) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(b"x")
        await reader.readexactly(1)
        await tunnel.gateway.close(CloseCode.REVOKED, "access ended")
        async with asyncio.timeout(DEADLINE_S):
            closed = await tunnel.client.closed
        assert (closed.code, closed.reason) == (CloseCode.REVOKED, "access ended")
        assert tunnel.client_events.closes == [(CloseCode.REVOKED, "access ended")]
        assert tunnel.gateway_events.closes == [(CloseCode.REVOKED, "access ended")]
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)
        assert tunnel.client_events.ended[0].cause == "tunnel-closed"


async def test_an_idle_tunnel_closes_when_asked_to() -> None:
    """Heartbeats do not count as use."""
    limits = TunnelLimits(heartbeat_s=0.02, idle_s=0.1)
    async with joined(limits=limits) as tunnel:
        async with asyncio.timeout(DEADLINE_S):
            closed = await tunnel.client.closed
        assert closed.code is CloseCode.IDLE


@pytest.mark.parametrize(
    "faults", [Faults(corrupt=0.2), Faults(reorder=0.2), Faults(duplicate=0.2)]
)
async def test_a_path_that_alters_messages_loses_its_generation_and_no_more(faults: Faults) -> None:
    """Altered, reordered and repeated messages never reach a socket."""
    delivered = bytearray()
    written = random.Random(4).randbytes(4 * MIB)

    async def collects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                delivered.extend(data)

    for seed in range(20):
        paths = memory_paths(faults, seed=seed)
        with contextlib.suppress(SealBroken, ProtocolViolation, TimedOut, Unreachable):
            limits = TunnelLimits(hello_s=0.1)
            async with target(collects) as address, joined(paths, limits=limits) as tunnel:
                _, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
                writer.write(written)
                async with asyncio.timeout(DEADLINE_S):
                    await asyncio.wait(
                        [tunnel.client.closed, tunnel.gateway.closed],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                await finish(writer)
        assert written.startswith(delivered)
        delivered.clear()


async def test_jitter_and_delay_change_nothing() -> None:
    """A slow uneven path delivers the same bytes."""
    paths = memory_paths(Faults(delay_s=0.002, jitter_s=0.01))
    written = random.Random(5).randbytes(2 * MIB)
    async with target(answer_after_the_end) as address, joined(paths) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(written)
        writer.write_eof()
        assert await read_all(reader) == hashlib.sha256(written).digest()
        await finish(writer)


async def attach_both(
    client: TunnelEnd, gateway: TunnelEnd, **gateway_options: object
) -> list[object]:
    one, two = memory_paths()
    binding = gateway_options.get("binding")
    assert binding is None or isinstance(binding, Binding)
    try:
        return list(
            await asyncio.gather(
                client.attach(one), gateway.attach(two, binding), return_exceptions=True
            )
        )
    finally:
        await client.close()
        await gateway.close()


async def test_nobody_with_other_keys_gets_a_frame_through() -> None:
    """HELLO fails at both ends; the control, with equal keys, verifies."""
    limits = TunnelLimits(hello_s=1.0)
    control = await attach_both(
        TunnelEnd(Role.CLIENT, conversation_keys(), limits=limits),
        TunnelEnd(Role.GATEWAY, conversation_keys(), limits=limits),
    )
    assert control == [None, None]

    strangers = await attach_both(
        TunnelEnd(Role.CLIENT, conversation_keys(), limits=limits),
        TunnelEnd(Role.GATEWAY, conversation_keys(b"x" * 32), limits=limits),
    )
    assert any(isinstance(result, SealBroken) for result in strangers)
    assert None not in strangers


async def test_another_transport_in_between_fails_hello() -> None:
    """The binding of the path is part of the proof."""
    limits = TunnelLimits(hello_s=1.0)
    results = await attach_both(
        TunnelEnd(Role.CLIENT, conversation_keys(), limits=limits),
        TunnelEnd(Role.GATEWAY, conversation_keys(), limits=limits),
        binding=Binding(client=b"another fingerprint"),
    )
    assert any(isinstance(result, SealBroken) for result in results)
    assert None not in results


async def test_a_gateway_may_wait_on_several_paths_and_the_clients_choice_wins() -> None:
    """The other attempts fail and close their paths."""
    limits = TunnelLimits(hello_s=0.5)
    gateway = TunnelEnd(Role.GATEWAY, conversation_keys(), limits=limits)
    client = TunnelEnd(Role.CLIENT, conversation_keys(), limits=limits)
    first, second = memory_paths(), memory_paths()
    results = await asyncio.gather(
        gateway.attach(first[1], generation=1),
        gateway.attach(second[1], generation=2),
        client.attach(second[0], generation=2),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [TimedOut, type(None), type(None)]
    assert gateway.stats().generation == 2
    await client.close()
    await gateway.close()


async def test_where_packets_get_lost_a_few_bytes_go_by_two_links() -> None:
    """The leading one stands still, and both directions of an interactive stream are there in time."""
    first, second = lossy_paths(), lossy_paths()
    limits = TunnelLimits(heartbeat_s=0.05, dead_after_s=3600.0)
    async with target(echo) as to, joined(first, limits=limits) as tunnel:
        ends = (tunnel.client, tunnel.gateway)
        await asyncio.gather(
            *(end.attach(path, generation=2) for end, path in zip(ends, second, strict=True))
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(to))

        async def says(data: bytes) -> None:
            writer.write(data)
            async with asyncio.timeout(DEADLINE_S):
                assert await reader.readexactly(len(data)) == data

        await says(b"x" * 20_000)
        await eventually(lambda: all(end._carriage.is_lossy for end in ends), "losses seen")
        for path in first:
            path.hold()
        for number in range(20):
            await says(f"keystroke {number}".encode())
        for path in first:
            path.release()
        await says(b"both again")
        await says(b"bulk" * 100_000)
        writer.close()

        assert [len(end.links()) for end in ends] == [2, 2]
        await eventually(lambda: tunnel.client.stats().streams_open == 0, "the stream is over")


async def test_a_peer_that_says_nothing_times_out() -> None:
    """HELLO has a deadline; another path may be tried afterwards."""
    end = TunnelEnd(Role.CLIENT, conversation_keys(), limits=TunnelLimits(hello_s=0.05))
    one, _ = memory_paths()
    with pytest.raises(TimedOut):
        await end.attach(one)

    peer = TunnelEnd(Role.GATEWAY, conversation_keys())
    one, two = memory_paths()
    await asyncio.gather(end.attach(one), peer.attach(two))
    await end.close()
    await peer.close()


async def test_bytes_before_hello_lose_the_path() -> None:
    """A frame, or noise, ahead of the proof is never looked at."""
    end = TunnelEnd(Role.GATEWAY, conversation_keys())
    one, two = memory_paths()
    two.send(b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00 a frame, too early")
    with pytest.raises(ProtocolViolation):
        await end.attach(one)
    await end.close()


async def test_a_hostile_peer_is_closed_with_a_protocol_error() -> None:
    """A verified peer that breaks the mux rules is told and dropped."""
    async with joined() as tunnel:
        link = tunnel.client._carriage.senders[0]
        link.send(b"\x01\x06\x00\x00\x00\x63\x00\x00\x00\x00\x00\x00\x00\x01")
        async with asyncio.timeout(DEADLINE_S):
            assert (await tunnel.gateway.closed).code is CloseCode.PROTOCOL_ERROR
            assert (await tunnel.client.closed).code is CloseCode.PROTOCOL_ERROR


async def test_after_the_end_connections_are_reset_at_once() -> None:
    """A listener that has not heard yet cannot leave an application hanging."""
    async with joined() as tunnel:
        port = await tunnel.port("x:1")
        await tunnel.client.close()
        await tunnel.client.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)
        with pytest.raises(Unreachable):
            await tunnel.client.attach(memory_paths()[0])
