"""Tunnels whose paths come and go: the real keeper, commands, checks and engines, over memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from commander.audit.events import PathAttached, TunnelKilled, TunnelPaths
from commander.authority.refusals import Code
from commander.authority.statements import Kind, Right
from commander.errors import Refused, Unreachable
from commander.hosting.hosted import HostedTunnel
from commander.wire.pam import ConfigurationSettings
from tests.support.gateway_world import World, database
from tests.support.kept_tunnels import kept
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world whose record leads to an echo server."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    world = World(tmp_path)
    world.edit(world.record, database("127.0.0.1", server.sockets[0].getsockname()[1]))
    try:
        yield world
    finally:
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Program:
    """A local program with one connection through a tunnel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def says(self, data: bytes) -> None:
        """Send bytes and get the same back."""
        self.writer.write(data)
        async with asyncio.timeout(30):
            assert await self.reader.readexactly(len(data)) == data


@asynccontextmanager
async def program(tunnel: HostedTunnel) -> AsyncIterator[Program]:
    info = tunnel.info()
    reader, writer = await asyncio.open_connection(info.local_host, info.local_port)
    try:
        yield Program(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def path_of(tunnel: HostedTunnel) -> str:
    return tunnel.info().path


async def test_a_start_takes_what_comes_first_and_moves_to_direct(
    world: World, tmp_path: Path
) -> None:
    """Both kinds in one command; the connection never notices that direct takes over."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start()
        async with program(tunnel) as it_runs:
            await it_runs.says(b"one")
            await eventually(lambda: path_of(tunnel) == "direct", "direct carries")
            await it_runs.says(b"two")

        assert len(it.router.commands) == 1
        info = tunnel.info()
        assert (info.status, info.status_text) == ("open", "open")
        assert {link.path for link in info.links if link.preferred} == {"direct"}
        assert it.log(tunnel, "preferred")


async def test_a_cut_tunnel_comes_back_and_its_connection_lives(
    world: World, tmp_path: Path
) -> None:
    """All paths cut, again and again: bytes go on where they were, and each step is in the log."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start()
        async with program(tunnel) as it_runs:
            for number in range(3):
                await it_runs.says(b"before" * 1000)
                await it.board.cut("relay", "direct")
                await it_runs.says(f"after {number}".encode() * 1000)

        steps = [line["event"] for line in it.log(tunnel, "interrupted", "trying", "resumed")]
        assert steps[:3] == ["interrupted", "trying", "resumed"]
        assert it.notices[0] == "Tunnel Orders is interrupted: cut. Its connections wait."
        assert it.notices[1].startswith("Tunnel Orders is back after ")
        assert tunnel.info().interruptions == 3
        await it.hosting.close_all("done")
        await eventually(lambda: not len(it.running.service.sessions), "the gateway's end")

    events = world.journal.events
    attached = [event for event in events if isinstance(event, PathAttached)]
    assert {event.path for event in attached} <= {"relay", "direct"}
    assert all(event.conversation == tunnel.conversation for event in attached)
    assert len({event.attempt for event in attached}) >= 3
    paths = next(event for event in events if isinstance(event, TunnelPaths))
    assert (paths.interruptions, paths.resumes) == (3, 3)


async def test_a_path_that_loses_much_gets_more_carriers(world: World, tmp_path: Path) -> None:
    """They join the group that carries, at both ends, and a connection goes on beside it."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start(path="direct")
        (session,) = it.running.service.sessions.all()
        assert session.end is not None
        before = len(tunnel.end.links())
        group = tunnel.end.links()[0].group
        async with program(tunnel) as it_runs:
            await it_runs.says(b"one")
            tunnel.path_narrow("direct", group)
            ends = (tunnel.end, session.end)
            await eventually(
                lambda: all(len(end.links()) == 2 * before for end in ends), "more carriers"
            )
            for end in ends:
                assert {link.group for link in end.links() if link.is_preferred} == {group}
            await it_runs.says(b"two" * 100_000)

        assert [line["reason"] for line in it.log(tunnel, "trying")] == [
            "what carries is long and loses much"
        ]


async def test_losing_the_better_path_interrupts_nothing(world: World, tmp_path: Path) -> None:
    """While the relay is still there it takes over at once, and direct is asked for again later."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start()
        await eventually(lambda: path_of(tunnel) == "direct", "direct carries")
        async with program(tunnel) as it_runs:
            it.board.down.add("direct")
            await it.board.cut("direct")
            await it_runs.says(b"still here")

        assert path_of(tunnel) == "relay"
        assert not it.log(tunnel, "interrupted")
        assert it.notices == []


async def test_an_interrupted_tunnel_waits_for_the_router(world: World, tmp_path: Path) -> None:
    """Server and paths away together: it says that it is resuming, and resumes when they are back."""
    async with kept(world, tmp_path, "relay") as it:
        tunnel = await it.start()
        async with program(tunnel) as it_runs:
            it.router.take_down()
            await it.board.cut("relay")
            await eventually(lambda: tunnel.info().status == "resuming", "it resumes")
            assert tunnel.info().status_text.startswith("resuming (")
            sent = len(it.router.commands)
            it_runs.writer.write(b"meanwhile")
            late = asyncio.create_task(_open(tunnel))

            it.router.is_up = True
            async with asyncio.timeout(30):
                assert await it_runs.reader.readexactly(9) == b"meanwhile"
            assert len(it.router.commands) == sent + 1
            reader, writer = await late
            writer.write(b"new")
            async with asyncio.timeout(30):
                assert await reader.readexactly(3) == b"new"
            writer.close()


async def _open(tunnel: HostedTunnel) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that comes while there is no path."""
    info = tunnel.info()
    return await asyncio.open_connection(info.local_host, info.local_port)


async def test_a_share_that_is_revoked_meanwhile_ends_it_at_once(
    world: World, tmp_path: Path
) -> None:
    """The gateway judges a tunnel without a path like any other; the client is told the code."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start()
        it.board.down |= {"relay", "direct"}
        await it.board.cut("relay", "direct")
        world.enterprise.revoke(Kind.ACCESS, world.folder, world.bob.user)
        await it.running.follower.catch_up()

        assert await it.running.service.judge_log() == 1
        code, reason = await it.ended(tunnel)

        assert code == "revoked"
        assert Code.ACCESS_MISSING in reason
        assert len(it.running.service.sessions) == 0
        killed = [event for event in world.journal.events if isinstance(event, TunnelKilled)]
        assert [event.code for event in killed] == [Code.ACCESS_MISSING]


async def test_a_resume_that_may_not_be_is_refused(world: World, tmp_path: Path) -> None:
    """The role changed while it was interrupted, and the gateway has not looked yet: it looks now."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start()
        it.router.take_down()
        await it.board.cut("relay", "direct")
        world.configure(world.configuration, ConfigurationSettings(world.gateway, tunneling="off"))
        it.router.is_up = True

        code, reason = await it.ended(tunnel)

        assert (code, Code.TUNNELING_OFF in reason) == ("revoked", True)
        assert len(it.running.service.sessions) == 0


async def test_a_restarted_gateway_ends_it_at_once(world: World, tmp_path: Path) -> None:
    """Its answer is that it knows no such tunnel; the log says what happened."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start()
        before = it.running
        it.router.running = await world.service()
        await it.board.cut("relay", "direct")

        code, reason = await it.ended(tunnel)

        assert code == "path-lost"
        assert "restarted" in reason
        assert it.log(tunnel, "failed")[-1]["code"] == Code.CONVERSATION_UNKNOWN
        await before.service.close()


async def test_a_pinned_path_stays_pinned(world: World, tmp_path: Path) -> None:
    """With --path relay nothing else is ever offered."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start("relay")
        await it.board.cut("relay")
        await it.resumed(tunnel)

        offered = {line["path"] for line in it.log(tunnel, "path-up")}
        assert offered == {"relay"}


async def test_a_rule_that_forbids_the_pinned_kind_is_named(world: World, tmp_path: Path) -> None:
    """Known from the record's settings before anybody is asked, or told by the gateway."""
    async with kept(world, tmp_path) as it:
        with pytest.raises(Refused) as known:
            await it.start("direct", kinds=("relay",))
        assert "--path direct" in str(known.value)
        assert "allow relay only" in str(known.value)

        rule = ConfigurationSettings(world.gateway, tunneling="on", paths=("relay",))
        world.configure(world.configuration, rule)
        with pytest.raises(Refused) as told:
            await it.start("direct")
        assert told.value.code == Code.PATH_FORBIDDEN
        assert "PAM configuration" in str(told.value)
        assert "relay" in str(told.value)


async def test_kinds_that_a_rule_forbids_are_left_out(world: World, tmp_path: Path) -> None:
    """Auto takes what is allowed, and does not ask for the rest again."""
    rule = ConfigurationSettings(world.gateway, tunneling="on", paths=("relay",))
    world.configure(world.configuration, rule)
    async with kept(world, tmp_path) as it:
        tunnel = await it.start()
        await it.board.cut("relay")
        await it.resumed(tunnel)

        assert {line["path"] for line in it.log(tunnel, "path-not-offered")} == {"direct"}
        assert it.log(tunnel, "trying")[-1]["paths"] == "relay"


async def test_without_any_path_a_start_fails_and_leaves_nothing(
    world: World, tmp_path: Path
) -> None:
    """The last path's reason, no listener, no tunnel."""
    async with kept(world, tmp_path) as it:
        it.board.down |= {"relay", "direct"}

        with pytest.raises(Unreachable, match="is down"):
            await it.start()

        assert it.hosting.open_count() == 0


async def test_new_surroundings_bring_a_fresh_path(world: World, tmp_path: Path) -> None:
    """After sleep or a new address the live path is tested and replaced, make-before-break."""
    async with kept(world, tmp_path, "relay") as it:
        tunnel = await it.start()
        async with program(tunnel) as it_runs:
            await it_runs.says(b"one")
            before = tunnel.info().generation
            tunnel.surroundings_changed("the machine slept for 60 s", is_moved=True)
            await eventually(lambda: tunnel.info().generation != before, "a fresh path carries")
            await it_runs.says(b"two")
            await eventually(lambda: len(tunnel.info().links) == 1, "the old one is retired")
            await it_runs.says(b"three")

        assert not it.log(tunnel, "interrupted")
        assert it.log(tunnel, "surroundings")[0]["reason"] == "the machine slept for 60 s"


async def test_a_dead_path_is_found_out_by_a_test(world: World, tmp_path: Path) -> None:
    """A path that swallows everything is dropped within the probe's deadline, not the heartbeat's."""
    async with kept(world, tmp_path, "relay") as it:
        tunnel = await it.start()
        async with program(tunnel) as it_runs:
            await it_runs.says(b"one")
            for pair in it.board.pairs:
                for end in pair:
                    end.hold()
            tunnel.surroundings_changed("addresses or routes changed", is_moved=False)
            await it_runs.says(b"two")

        lost = it.log(tunnel, "path-lost")[0]
        assert "no answer within 1.5 s" in str(lost["reason"])


async def test_a_share_that_ends_meanwhile_ends_it(world: World, tmp_path: Path) -> None:
    """To the second, without a path: the clock needs no network."""
    async with kept(world, tmp_path, "relay") as it:
        ends = int(world.clock.now()) + 3
        world.enterprise.share(
            world.alice, world.folder, world.bob.user, Right.VIEW, not_after=ends
        )
        await it.running.follower.catch_up()
        tunnel = await it.start()
        it.board.down.add("relay")
        await it.board.cut("relay")

        await eventually(lambda: not len(it.running.service.sessions), "the gateway ends it")
        assert ends <= world.clock.now() < ends + 2
        code, reason = await it.ended(tunnel)

        assert (code, Code.ACCESS_EXPIRED in reason) == ("expired", True)


async def test_a_gateway_that_is_offline_and_closed_the_path_has_ended(
    world: World, tmp_path: Path
) -> None:
    """The client waits five seconds for it, and not ten minutes."""
    async with kept(world, tmp_path, "relay") as it:
        tunnel = await it.start()
        it.router.running = None
        await it.board.cut("relay")
        await eventually(lambda: tunnel.end.is_interrupted, "it is interrupted")
        tunnel.tunnel_interrupted("closed by the far end", gone=True)

        code, reason = await it.ended(tunnel)

        assert (code, reason) == ("path-lost", "the gateway's process ended, it is offline")


async def test_a_retired_path_that_is_the_last_one_left_counts_again(
    world: World, tmp_path: Path
) -> None:
    """Direct dies in the moment the relay is retired: the tunnel goes on, and looks for direct again."""
    async with kept(world, tmp_path) as it:
        tunnel = await it.start()
        await eventually(lambda: path_of(tunnel) == "direct", "direct carries")
        relay = next(link.group for link in tunnel.info().links if link.path == "relay")
        it.board.down.add("direct")
        await asyncio.gather(it.board.cut("direct"), tunnel.end.retire(relay))
        async with program(tunnel) as it_runs:
            await it_runs.says(b"here")


async def test_a_tunnel_without_a_session_says_so_when_it_loses_its_path(
    world: World, tmp_path: Path
) -> None:
    """Nothing is waited for: only a login could help, and it would be a new tunnel."""
    async with kept(world, tmp_path, "relay") as it:
        tunnel = await it.start()
        it.router.is_signed_out = True
        it.router.take_down()
        await it.board.cut("relay")

        code, reason = await it.ended(tunnel)

        assert (code, reason) == ("path-lost", "no such session: log in and start it again")


async def test_a_new_login_takes_over_the_tunnels_that_are_open(
    world: World, tmp_path: Path
) -> None:
    """The session ended while a path lived; who has logged in again loses nothing."""
    async with kept(world, tmp_path, "relay") as it:
        tunnel = await it.start()
        it.router.is_signed_out = True
        it.router.take_down()
        it.router.is_up, it.router.is_signed_out = True, False
        it.sign_in()
        async with program(tunnel) as it_runs:
            await it_runs.says(b"before")
            await it.board.cut("relay")
            await it_runs.says(b"after")
