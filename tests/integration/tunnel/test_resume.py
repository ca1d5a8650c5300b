"""Paths that are replaced, lost and forced under live connections: not a byte is lost, doubled or reordered."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from commander.tunnel.codes import CloseCode
from commander.tunnel.reports import TunnelLimits
from commander.tunnel.transports.memory import Faults, MemoryPath, memory_paths
from tests.integration.tunnel.test_engine import (
    MIB,
    answer_after_the_end,
    echo,
    finish,
    read_all,
    reset,
    target,
)
from tests.support.tunnels import Tunnel, conversation_keys, eventually, joined
from tests.support.waiting import DEADLINE_S

pytestmark = pytest.mark.integration
LIMITS = TunnelLimits(resume_s=DEADLINE_S, heartbeat_s=0.2, dead_after_s=1.0)


class Network:
    """The paths of one tunnel; each attempt has keys of its own, as from a command of its own."""

    def __init__(self, tunnel: Tunnel, first: tuple[MemoryPath, MemoryPath]) -> None:
        self.tunnel = tunnel
        self.paths = {1: first}
        self.generation = 1

    async def attach(self, *, carriers: int = 1, faults: Faults | None = None) -> int:
        """Bring up another group at both ends; returns its number."""
        group = self.generation + 1
        for generation in range(group, group + carriers):
            self.generation = generation
            one, two = self.paths[generation] = memory_paths(faults, seed=generation)
            secret = generation.to_bytes(32, "big")
            await asyncio.gather(
                self.tunnel.client.attach(
                    one, generation=generation, keys=conversation_keys(secret), group=group
                ),
                self.tunnel.gateway.attach(
                    two, generation=generation, keys=conversation_keys(secret), group=group
                ),
            )
        return group


@asynccontextmanager
async def network(faults: Faults | None = None) -> AsyncIterator[Network]:
    first = memory_paths(faults)
    async with joined(first, limits=LIMITS) as tunnel:
        yield Network(tunnel, first)


class Transfer:
    """A connection through the tunnel that sends random bytes and expects their hash."""

    def __init__(self, seed: int, size: int) -> None:
        self.data = random.Random(seed).randbytes(size)
        self.result: bytes | None = None

    async def run(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(self.data), 100_000):
            writer.write(self.data[start : start + 100_000])
            await writer.drain()
        writer.write_eof()
        self.result = await read_all(reader)
        await finish(writer)

    @property
    def is_right(self) -> bool:
        return self.result == hashlib.sha256(self.data).digest()


@pytest.mark.parametrize("how", ["cut", "hand-over", "carrier", "silence"])
async def test_transfers_survive_whatever_happens_to_their_paths(how: str) -> None:
    """Twenty times a path goes under twenty connections; every hash is right."""
    async with target(answer_after_the_end) as address, network() as net:
        port = await net.tunnel.port(address)
        transfers = [Transfer(seed, 3 * MIB) for seed in range(20)]
        running = asyncio.gather(*(transfer.run(port) for transfer in transfers))
        rounds = 4 if how == "silence" else 20
        for _ in range(rounds):
            await asyncio.sleep(0)
            if running.done():
                break
            old = net.tunnel.client.links()
            if how == "cut":
                net.paths[net.generation][0].cut()
                await net.attach()
            elif how == "silence":
                net.paths[net.generation][0].hold()
                net.paths[net.generation][1].hold()
                await net.attach()
            elif how == "carrier":
                group = await net.attach(carriers=4)
                net.tunnel.client.prefer(group)
                await net.tunnel.client.retire(old[0].group)
                net.paths[net.generation - 1][0].cut()
            else:
                group = await net.attach()
                net.tunnel.client.prefer(group)
                await net.tunnel.client.retire(old[0].group)
        await running
        assert all(transfer.is_right for transfer in transfers)
        for end in (net.tunnel.client, net.tunnel.gateway):
            await eventually(lambda end=end: end.mux.streams_open == 0, "no streams")  # type: ignore[misc]
            assert end.mux.held_bytes == 0


async def test_a_quiet_connection_survives_an_interruption_and_new_ones_wait() -> None:
    """What is written meanwhile, and who connects meanwhile, goes on when a path is back."""
    async with target(echo) as address, network() as net:
        port = await net.tunnel.port(address)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"

        net.paths[1][0].cut()
        await eventually(lambda: net.tunnel.client.is_interrupted, "the interruption")
        writer.write(b"meanwhile")
        new_reader, new_writer = await asyncio.open_connection("127.0.0.1", port)
        new_writer.write(b"new")
        await net.attach()

        assert await reader.readexactly(9) == b"meanwhile"
        assert await new_reader.readexactly(3) == b"new"
        assert net.tunnel.client_events.paths[-1] == "resumed memory"
        assert net.tunnel.gateway_events.paths[-1] == "resumed memory"
        await finish(writer)
        await finish(new_writer)


async def test_a_reset_during_an_interruption_arrives_afterwards() -> None:
    """The other end does not keep a connection that nobody has any more."""
    async with target(echo) as address, network() as net:
        port = await net.tunnel.port(address)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        await reader.readexactly(1)
        net.paths[1][0].cut()
        await eventually(lambda: net.tunnel.client.is_interrupted, "the interruption")
        reset(writer)
        await eventually(lambda: net.tunnel.client.mux.streams_open == 0, "the reset here")
        assert net.tunnel.gateway.mux.streams_open == 1
        await net.attach()
        await eventually(lambda: net.tunnel.gateway.mux.streams_open == 0, "the reset there")


async def test_a_stalled_side_costs_no_more_while_there_is_no_path() -> None:
    """The socket is not read any more once the buffers are full."""
    async with target(echo) as address, network() as net:
        _, writer = await asyncio.open_connection("127.0.0.1", await net.tunnel.port(address))
        net.paths[1][0].cut()
        await eventually(lambda: net.tunnel.client.is_interrupted, "the interruption")
        writer.write(bytes(64 * MIB))
        mux = net.tunnel.client.mux
        await eventually(lambda: mux.held_bytes and mux.room(1) < 4096, "full buffers")
        assert mux.held_bytes <= net.tunnel.client.limits.mux.max_held
        writer.transport.abort()


async def test_no_path_in_time_ends_the_tunnel_and_resets_connections() -> None:
    """The reason says what was lost and how long was waited."""
    limits = TunnelLimits(resume_s=0.1)
    first = memory_paths()
    async with target(echo) as address, joined(first, limits=limits) as tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", await tunnel.port(address))
        writer.write(b"x")
        await reader.readexactly(1)
        first[0].cut("pulled")
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        closed = await tunnel.client.closed
        assert (closed.code, closed.reason) == (
            CloseCode.PATH_LOST, "pulled; nothing came back in 0.1 s",
        )  # fmt: skip
        await finish(writer)


async def test_a_silent_path_is_left_for_one_that_answers() -> None:
    """Found by the heartbeat; the other end is told which path it was."""
    async with target(echo) as address, network() as net:
        reader, writer = await asyncio.open_connection("127.0.0.1", await net.tunnel.port(address))
        writer.write(b"x")
        await reader.readexactly(1)
        await net.attach()
        for end in net.paths[1]:
            end.hold()
        writer.write(b"y")
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.readexactly(1) == b"y"
        for tunnel_end in (net.tunnel.client, net.tunnel.gateway):
            await eventually(
                lambda end=tunnel_end: [link.generation for link in end.links()] == [2],  # type: ignore[misc]
                "one link",
            )
        assert not any("interrupted" in told for told in net.tunnel.client_events.paths)
        await finish(writer)


@pytest.mark.parametrize(
    "fault", [Faults(corrupt=0.05), Faults(reorder=0.05), Faults(duplicate=0.05)]
)
async def test_paths_that_alter_messages_are_replaced_and_alter_nothing(fault: Faults) -> None:
    """Each bad path ends its generation; the bytes go on over the next."""
    async with target(answer_after_the_end) as address, network() as net:
        transfer = Transfer(7, 4 * MIB)
        running = asyncio.ensure_future(transfer.run(await net.tunnel.port(address)))
        net.paths[1][0].cut()
        while not running.done():
            await eventually(
                lambda: running.done() or net.tunnel.client.is_interrupted, "the loss or the end"
            )
            if not running.done():
                done = await asyncio.gather(net.attach(faults=fault), return_exceptions=True)
                if isinstance(done[0], Exception) or net.generation > 60:
                    await net.attach()
        await running
        assert transfer.is_right


async def test_closing_while_interrupted_ends_at_once() -> None:
    """Nobody waits for a path that is not wanted any more."""
    async with target(echo) as address, network() as net:
        reader, writer = await asyncio.open_connection("127.0.0.1", await net.tunnel.port(address))
        writer.write(b"x")
        await reader.readexactly(1)
        net.paths[1][0].cut()
        await eventually(lambda: net.tunnel.client.is_interrupted, "the interruption")
        await net.tunnel.client.close(CloseCode.STOPPED, "enough")
        with pytest.raises(ConnectionResetError):
            await read_all(reader)
        await finish(writer)
