"""Who is on the local end of a tunnel: shown while it is open, in the log afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from commander.clock import ManualClock
from commander.codec import decode
from commander.errors import Conflict
from commander.gateway.tally import Tally
from commander.hosting.journal import Follower, Journal
from commander.hosting.local_end import TOLD_PER_MINUTE, Entrance, Refusals
from commander.tunnel.codes import ResetCode, StreamRefused
from commander.tunnel.listener import ListenOn
from commander.tunnel.peer import Peer
from commander.tunnel.target import MakeProtocol
from commander.tunnel.unix_place import UnixPlace
from commander.wire.commands import StreamMeta
from tests.support.hosted_tunnels import hosted, to_target
from tests.support.tunnels import eventually

pytestmark = pytest.mark.integration

CALLER = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.sendall(b"hello")
    sys.stdout.buffer.write(connection.recv(5))
    sys.stdout.flush()
    sys.stdin.read()
"""


async def expect_reset(reader: asyncio.StreamReader) -> None:
    """The connection ends as a reset, not as an end of file that could pass for a whole answer."""
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_each_stream_shows_the_program_behind_it(tmp_path: Path, echo_port: int) -> None:
    """Pid, uid, name, bytes and state; the same program is in the log."""
    async with hosted(tmp_path, to_target("127.0.0.1", echo_port)) as world:
        await world.tunnel.listen([Entrance(ListenOn())])
        told = world.tunnel.info()
        # A program that has just started: the search begins with those and gives up after a while.
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CALLER, told.local_host, str(told.local_port),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert program.stdin is not None
        assert program.stdout is not None
        assert await program.stdout.readexactly(5) == b"hello"

        (stream,) = world.tunnel.info(with_streams=True).streams

        assert (stream.pid, stream.uid) == (program.pid, os.getuid())
        assert stream.program == Path(f"/proc/{program.pid}/comm").read_text().strip()
        assert (stream.bytes_in, stream.bytes_out, stream.state) == (5, 5, "open")
        assert stream.address.startswith("127.0.0.1:")
        program.stdin.close()
        assert await program.wait() == 0
        await eventually(lambda: world.logged("close"), "the end of the connection")
        (accepted,) = world.logged("accept")
        assert (accepted["pid"], accepted["uid"]) == (program.pid, os.getuid())
        assert world.tunnel.info(with_streams=True).streams == ()


async def test_half_closed_streams_say_which_side_closed(tmp_path: Path, echo_port: int) -> None:
    """The state column tells why a connection lingers."""
    async with hosted(tmp_path, to_target("127.0.0.1", echo_port)) as world:
        await world.tunnel.listen([Entrance(ListenOn())])
        told = world.tunnel.info()
        with socket.create_connection((told.local_host, told.local_port)) as client:
            await eventually(lambda: world.tunnel.info().streams_open, "the stream")
            states = [s.state for s in world.tunnel.info(with_streams=True).streams]
            assert states == ["open"]
            client.shutdown(socket.SHUT_WR)
            await eventually(lambda: not world.tunnel.info().streams_open, "its end")


async def test_a_tunnel_listens_at_several_places_or_at_none(tmp_path: Path) -> None:
    """When one place is taken, those before it are given back."""
    async with hosted(tmp_path, to_target("127.0.0.1", 9)) as world:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            unix = tmp_path / "orders.sock"
            with pytest.raises(Conflict):
                await world.tunnel.listen(
                    [Entrance(UnixPlace(unix)), Entrance(ListenOn(port=port))]
                )
            assert not unix.exists()

            await world.tunnel.listen(
                [Entrance(ListenOn(port=port)), Entrance(UnixPlace(unix))],
                [Entrance(UnixPlace(unix)), Entrance(ListenOn())],
            )
        told = world.tunnel.info()
        assert (told.unix, told.local_host, told.local_port) == (str(unix), str(unix), 0)
        assert told.also[0].host == "127.0.0.1"


async def test_connections_beyond_the_limit_are_reset_with_a_line_in_the_log(
    tmp_path: Path, echo_port: int
) -> None:
    """1,024 at once, then a coded refusal; when one ends, the next one gets in."""
    limit = 1024
    async with hosted(tmp_path, to_target("127.0.0.1", echo_port)) as world:
        await world.tunnel.listen([Entrance(ListenOn())])
        told = world.tunnel.info()
        clients = []
        for _ in range(limit):
            clients.append(await asyncio.open_connection(told.local_host, told.local_port))
        await eventually(lambda: world.tunnel.info().streams_open == limit, "all of them")

        reader, writer = await asyncio.open_connection(told.local_host, told.local_port)
        await expect_reset(reader)
        writer.close()

        await eventually(lambda: world.logged("close"), "the refusal in the log")
        (line,) = world.logged("close")
        assert line["cause"] == "too-many-streams"
        assert str(limit) in str(line["reason"])
        clients.pop()[1].close()
        await eventually(lambda: world.tunnel.info().streams_open < limit, "room")
        reader, writer = await asyncio.open_connection(told.local_host, told.local_port)
        writer.write(b"next")
        assert await reader.readexactly(4) == b"next"
        for _, open_writer in [*clients, (reader, writer)]:
            open_writer.close()


async def test_short_connections_leave_nothing_behind(tmp_path: Path, echo_port: int) -> None:
    """Descriptors, tasks and tables are as before after many of them; ids are never used again."""
    count = 300
    async with hosted(tmp_path, to_target("127.0.0.1", echo_port)) as world:
        await world.tunnel.listen([Entrance(ListenOn())])
        told = world.tunnel.info()

        async def once() -> None:
            reader, writer = await asyncio.open_connection(told.local_host, told.local_port)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            writer.close()
            await writer.wait_closed()

        def left() -> tuple[int, int, int]:
            return (
                len(os.listdir("/proc/self/fd")),
                len(asyncio.all_tasks()),
                world.tunnel.info().streams_open,
            )

        await once()
        await eventually(lambda: left()[2] == 0, "the first one's end")
        before = left()
        for _ in range(count // 10):
            await asyncio.gather(*(once() for _ in range(10)))

        await eventually(lambda: left() == before, f"nothing left over: {before}")
        assert world.tunnel.info().streams_total == count + 1
        assert len(world.tunnel._ends._callers) == 0
        assert len(world.tunnel._ends._fresh) == 0


def test_a_stranger_cannot_fill_the_log(tmp_path: Path) -> None:
    """A minute's share is told one by one, the rest as a number; the count is exact."""
    clock = ManualClock()
    path = tmp_path / "logs" / "t.jsonl"
    journal = Journal(path, clock)
    told: list[StreamMeta] = []
    refusals = Refusals(journal, lambda meta: told.append(decode(StreamMeta, meta)))
    for _ in range(10 * TOLD_PER_MINUTE):
        refusals.add(Peer(("127.0.0.1", 5), 54321), "another user")
    clock.advance(61)
    refusals.add(Peer(("127.0.0.1", 5), None), "unknown owner")
    refusals.tell_rest()

    follower = Follower(path)
    lines = list(follower.new_lines())
    follower.close()
    journal.close()
    assert refusals.total == 10 * TOLD_PER_MINUTE + 1
    assert refusals.uids == (54321,)
    events = [line["event"] for line in lines]
    assert events == ["refused"] * TOLD_PER_MINUTE + ["refused-more", "refused"]
    assert lines[TOLD_PER_MINUTE]["count"] == 9 * TOLD_PER_MINUTE
    assert {said.uid for said in told} == {54321, -1}
    assert len(told) == TOLD_PER_MINUTE + 1


async def test_the_gateway_hears_who_was_turned_away(tmp_path: Path, echo_port: int) -> None:
    """For its signed audit log; such a word is no connection and leaves nothing behind."""
    tally = Tally()
    seen: list[str] = []

    async def connect(meta: bytes, make_protocol: MakeProtocol) -> None:
        tally.stream_opened(1, meta)
        seen.append("connected")
        raise StreamRefused(ResetCode.NOT_ALLOWED, "noted")

    async with hosted(tmp_path, connect) as world:
        await world.tunnel.listen([Entrance(ListenOn())])
        for _ in range(3):
            world.tunnel._ends.connection_refused(Peer(("127.0.0.1", 5), 54321), "another user")
        await eventually(lambda: len(seen) == 3, "the words at the gateway")

        assert tally.turned_away == {54321: 3}
        assert tally.streams == 0
        await eventually(lambda: not world.tunnel.info().streams_open, "their ends")


async def test_a_target_that_refuses_is_in_the_log(tmp_path: Path) -> None:
    """With its coded cause and the program that asked."""
    async with hosted(tmp_path, to_target("127.0.0.1", 1)) as world:
        await world.tunnel.listen([Entrance(ListenOn())])
        told = world.tunnel.info()
        reader, writer = await asyncio.open_connection(told.local_host, told.local_port)
        await expect_reset(reader)
        writer.close()
        await eventually(lambda: world.logged("close"), "the end")
        assert world.logged("close")[0]["cause"] == "target-refused"
