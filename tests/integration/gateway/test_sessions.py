"""The gateway with real target sockets, over memory paths."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from commander.audit.events import Event, TunnelKilled, TunnelOutcome
from commander.authority.refusals import Code
from commander.authority.statements import Kind, Right
from commander.crypto.aead import new_key
from commander.errors import CommanderError
from commander.gateway.targets import TargetConnector
from commander.tunnel.codes import CloseCode, ResetCode
from commander.tunnel.engine import TunnelEnd
from commander.tunnel.reports import NoEvents, StreamReport
from commander.wire.pam import ConfigurationSettings, ResourceSettings
from tests.support.gateway_world import Asked, Running, World, database
from tests.support.servers.blackhole import Blackhole
from tests.support.waiting import free_port

pytestmark = pytest.mark.integration


@dataclass
class Heard(NoEvents):
    """What the client's end tells."""

    closed_streams: list[StreamReport] = field(default_factory=list)

    def stream_closed(self, report: StreamReport) -> None:
        """Keep it."""
        self.closed_streams.append(report)


@dataclass
class Client:
    """A client's end of a tunnel."""

    end: TunnelEnd
    heard: Heard
    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A local program connects."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        """The user stops the tunnel, and the programs end."""
        await self.end.close(CloseCode.STOPPED, "end of test")
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def attach(world: World, asked: Asked) -> Client:
    """Let the client prove itself on its end of the memory path."""
    heard = Heard()
    end = TunnelEnd("client", asked.keys, events=heard)
    await end.attach(world.kinds.client_ends[asked.command.conversation])
    return Client(end, heard)


@asynccontextmanager
async def tunnel(running: Running) -> AsyncIterator[Client]:
    """A tunnel from command to a local port."""
    asked, reply = await running.start()
    assert reply.accepted, reply.code
    client = await attach(running.world, asked)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: client.end.pipe(b""), "127.0.0.1", 0)
    client.port = server.sockets[0].getsockname()[1]
    try:
        yield client
    finally:
        server.close()
        await client.close()
        await until(lambda: not len(running.service.sessions), "the gateway forgets the tunnel")


@asynccontextmanager
async def target(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object],
) -> AsyncIterator[int]:
    """A real TCP server; its port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]  # coroutine functions only
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


def outcome(world: World) -> TunnelOutcome:
    """The last outcome in the audit log."""
    found: list[Event] = [e for e in world.journal.events if isinstance(e, TunnelOutcome)]
    assert isinstance(found[-1], TunnelOutcome)
    return found[-1]


async def test_bytes_reach_the_target_and_are_counted(world: World) -> None:
    """What a program sends is echoed by the target, and the audit outcome tells how much."""
    async with target(echo) as port:
        world.edit(world.record, database("127.0.0.1", port))
        running = await world.service()
        async with tunnel(running) as client:
            reader, writer = await client.connect()
            writer.write(b"x" * 100_000)
            async with asyncio.timeout(20):
                assert await reader.readexactly(100_000) == b"x" * 100_000
            writer.close()
            await until(lambda: client.heard.closed_streams, "the stream ends")

    told = outcome(world)
    assert (told.bytes_to_target, told.bytes_from_target, told.streams) == (100_000, 100_000, 1)
    assert (told.code, told.path) == ("stopped", "memory")
    assert world.journal.kinds() == ["TunnelIntent", "TunnelOutcome"]


async def test_a_refusing_target_is_a_coded_reset(world: World) -> None:
    """The stream ends with target-refused, the tunnel stays."""
    world.edit(world.record, database("127.0.0.1", free_port()))
    running = await world.service()

    async with tunnel(running) as client:
        await client.connect()
        await until(lambda: client.heard.closed_streams, "the stream ends")
        assert client.heard.closed_streams[0].cause == ResetCode.TARGET_REFUSED.label
        assert not client.end.closed.done()

    assert outcome(world).streams_refused == 1


async def test_an_unknown_name_is_a_coded_reset(world: World) -> None:
    """A name that does not resolve ends the stream, with its own code."""
    world.edit(world.record, database("nowhere.internal", 5432))
    running = await world.service()

    async with tunnel(running) as client:
        await client.connect()
        await until(lambda: client.heard.closed_streams, "the stream ends")
        assert client.heard.closed_streams[0].cause in (
            ResetCode.TARGET_NAME_UNKNOWN.label,
            ResetCode.TARGET_UNREACHABLE.label,
        )


async def test_a_name_that_changes_is_checked_again(world: World) -> None:
    """DNS that turns to a forbidden address after the check gets no connection."""
    accepted: list[object] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)
        writer.close()

    async with target(note) as port:
        world.edit(world.record, database("db.internal", port))
        world.names["db.internal"] = ["10.255.255.1"]
        running = await world.service(allowances=())
        async with tunnel(running) as client:
            world.names["db.internal"] = ["127.0.0.1"]
            await client.connect()
            await until(lambda: client.heard.closed_streams, "the stream ends")
            assert client.heard.closed_streams[0].cause == ResetCode.NOT_ALLOWED.label
    assert accepted == []


async def test_only_the_checked_address_is_connected(world: World) -> None:
    """The connection goes to what was resolved and allowed, with no second look-up."""
    async with target(echo) as port:
        world.edit(world.record, database("localhost", port))
        world.names["localhost"] = ["127.0.0.1"]
        running = await world.service()
        async with tunnel(running) as client:
            reader, writer = await client.connect()
            writer.write(b"hi")
            async with asyncio.timeout(20):
                assert await reader.readexactly(2) == b"hi"


async def test_a_black_hole_times_out_with_its_code(world: World) -> None:
    """A target that never answers ends the stream within the deadline."""
    with Blackhole.silent() as hole:
        world.edit(world.record, database("127.0.0.1", hole.port))
        running = await world.service()
        async with tunnel(running) as client:
            session = running.service.sessions.all()[0]
            assert isinstance(session.target, TargetConnector)
            session.target._deadline_s = 0.3
            await client.connect()
            await until(lambda: client.heard.closed_streams, "the stream ends")
            assert client.heard.closed_streams[0].cause == ResetCode.TARGET_TIMED_OUT.label


Change = Callable[[World], None]
KILLS: dict[str, tuple[Code, Change]] = {
    "unshared": (
        Code.ACCESS_MISSING,
        lambda w: w.enterprise.revoke(Kind.ACCESS, w.folder, w.bob.user),
    ),
    "device revoked": (
        Code.DEVICE_REVOKED,
        lambda w: w.enterprise.revoke(Kind.DEVICE, w.bob.device),
    ),
    "user removed": (Code.USER_REVOKED, lambda w: w.enterprise.revoke(Kind.USER, w.bob.user)),
    "role lost": (
        Code.POLICY_MISSING,
        lambda w: w.enterprise.revoke(Kind.MEMBERSHIP, w.launchers, w.bob.user),
    ),
    "folder removed": (Code.OBJECT_REVOKED, lambda w: w.enterprise.revoke(Kind.FOLDER, w.folder)),
    "gateway removed": (
        Code.OBJECT_REVOKED,
        lambda w: w.enterprise.revoke(Kind.GATEWAY, w.gateway),
    ),
    "application unshared": (
        Code.ACCESS_MISSING,
        lambda w: w.enterprise.revoke(Kind.ACCESS, w.folder, w.application),
    ),
}


@pytest.mark.parametrize("name", KILLS)
async def test_a_revocation_kills_the_live_tunnel(world: World, name: str) -> None:
    """At the next head the tunnel ends with RST to program and target, and both are told why."""
    code, change = KILLS[name]
    target_ended: list[str] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(100):
                pass
            target_ended.append("eof")
        except ConnectionResetError:
            target_ended.append("reset")
        writer.close()

    async with target(hold) as port:
        world.edit(world.record, database("127.0.0.1", port))
        running = await world.service()
        async with tunnel(running) as client:
            reader, writer = await client.connect()
            writer.write(b"x")
            await until(lambda: running.service.sessions.all()[0].tally.streams, "a stream")
            world.enterprise.add_folder(world.alice)
            await running.follower.catch_up()
            assert await running.service.judge_log() == 0

            change(world)
            await running.follower.catch_up()
            assert await running.service.judge_log() == 1

            with pytest.raises(ConnectionResetError):
                async with asyncio.timeout(20):
                    await reader.read()
            closed = await asyncio.wait_for(asyncio.shield(client.end.closed), 20)
            assert (closed.code, closed.reason) == (CloseCode.REVOKED, Code.REVOKED_MEANWHILE)
            await until(lambda: target_ended, "the target is told")

    assert target_ended == ["reset"]
    killed = next(e for e in world.journal.events if isinstance(e, TunnelKilled))
    assert killed.code == code
    assert outcome(world).code == Code.REVOKED_MEANWHILE


SWITCHES: dict[str, tuple[Code, Change]] = {
    "tunneling off": (
        Code.TUNNELING_OFF,
        lambda w: w.configure(w.configuration, ConfigurationSettings(w.gateway, tunneling="off")),
    ),
    "tunnel disabled": (
        Code.TUNNEL_DISABLED,
        lambda w: w.configure(w.record, ResourceSettings(configuration=w.configuration.uid)),
    ),
    "record deleted": (Code.RECORD_UNKNOWN, lambda w: w.records.clear()),
}


@pytest.mark.parametrize("name", SWITCHES)
async def test_a_switch_that_goes_off_kills_the_live_tunnel(world: World, name: str) -> None:
    """The watch over records ends a tunnel whose record or configuration forbids it now."""
    code, change = SWITCHES[name]
    running = await world.service()
    async with tunnel(running) as client:
        await running.service.judge_records()
        assert not client.end.closed.done()

        change(world)
        await running.service.judge_records()

        closed = await asyncio.wait_for(asyncio.shield(client.end.closed), 20)
        assert closed.code == CloseCode.REVOKED
    killed = next(e for e in world.journal.events if isinstance(e, TunnelKilled))
    assert killed.code == code


async def test_an_unreachable_server_does_not_kill(world: World) -> None:
    """A restart of the server costs no tunnel."""
    running = await world.service()
    async with tunnel(running) as client:
        world.server.is_down = True

        with pytest.raises(CommanderError):
            await running.service.judge_records()

        assert not client.end.closed.done()


async def test_a_share_that_ends_ends_the_tunnel(world: World) -> None:
    """At the second its share ends a tunnel is closed as expired, without any new head."""
    ends = int(world.clock.now()) + 4
    world.enterprise.share(world.alice, world.folder, world.bob.user, Right.VIEW, not_after=ends)
    running = await world.service()

    async with tunnel(running) as client:
        closed = await asyncio.wait_for(asyncio.shield(client.end.closed), 20)
        assert closed.code == CloseCode.EXPIRED

    killed = next(e for e in world.journal.events if isinstance(e, TunnelKilled))
    assert killed.code == Code.ACCESS_EXPIRED


async def test_who_has_not_the_seed_gets_no_stream(world: World) -> None:
    """A client that was let in by the command but can't open the record fails at HELLO."""
    running = await world.service(hello_s=1.0)
    asked, reply = await running.start()
    assert reply.accepted
    forged = world.command(seed=new_key(), secret=asked.command.secret)

    end = TunnelEnd("client", forged.keys)
    with pytest.raises(CommanderError):
        await end.attach(world.kinds.client_ends[asked.command.conversation])

    await until(lambda: not len(running.service.sessions), "the session ends")
    assert outcome(world).streams == 0


async def test_a_client_that_never_comes_is_forgotten(world: World) -> None:
    """An accepted command without a path costs nothing after the deadline."""
    running = await world.service(hello_s=0.2)
    _, reply = await running.start()
    assert reply.accepted

    await until(lambda: not len(running.service.sessions), "the session ends")

    assert outcome(world).code == "hello-failed"


async def test_a_stopping_gateway_ends_all_tunnels(world: World) -> None:
    """Each client is told that the gateway goes away, and each outcome is written."""
    running = await world.service()
    async with tunnel(running) as one, tunnel(running) as two:
        await running.service.close()

        for client in (one, two):
            closed = await asyncio.wait_for(asyncio.shield(client.end.closed), 20)
            assert closed.code == CloseCode.GOING_AWAY
        assert world.journal.kinds().count("TunnelOutcome") == 2
