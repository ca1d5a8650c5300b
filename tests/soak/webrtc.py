"""
Gates T06 and T07: a hostile peer beside 20 tunnels, and a flood of broken packets at a tunnel's port.

The victim is this process; whoever attacks is another one, so that what it costs itself does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from commander.tasks import cancel_and_wait, spawn
from commander.tunnel.transports import webrtc
from commander.tunnel.transports.webrtc_drops import dropped
from tests.integration.tunnel.webrtc_ends import LOOPBACK, LoopLag, Owner, open_paths
from tests.soak import Figure, Size
from tests.soak.measuring import cost_of, percentile
from tests.support.tunnels import Tunnel, joined

NAME = "webrtc"
ROOT = Path(__file__).resolve().parents[2]
_OTHERS, _PACKETS, _PACKETS_A_PEER = 20, 20_000, 2_000
_RATE, _FLOOD_S, _CALM_S = 10_000, 10.0, 5.0


def run(size: Size) -> Iterator[Figure]:
    """Both gates, one after the other."""
    yield from asyncio.run(_hostile(size))
    yield from asyncio.run(_flooded(size))


class Watch:
    """Round trips through some tunnels, one at a time in each, until it is told to stop."""

    def __init__(self) -> None:
        self.trips: list[float] = []

    async def follow(self, tunnel: Tunnel, target: int) -> None:
        """Ask the echo behind a tunnel again and again."""
        port = await tunnel.port(f"127.0.0.1:{target}")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                began = time.monotonic()
                writer.write(b"x" * 64)
                await reader.readexactly(64)
                self.trips.append(time.monotonic() - began)
                await asyncio.sleep(0.02)
        finally:
            writer.close()

    def take(self) -> list[float]:
        """What was measured since the last time."""
        trips, self.trips = self.trips, []
        assert trips, "no round trip was completed"
        return trips


@asynccontextmanager
async def _watched(count: int) -> AsyncIterator[tuple[Watch, list[Tunnel]]]:
    """So many tunnels over WebRTC on loopback, each with somebody who types."""
    async with AsyncExitStack() as stack:
        echo = await asyncio.start_server(_echo, "127.0.0.1", 0)
        await stack.enter_async_context(echo)
        watch, tunnels = Watch(), []
        for _ in range(count):
            paths = await stack.enter_async_context(open_paths())
            tunnels.append(await stack.enter_async_context(joined(paths)))
        target = echo.sockets[0].getsockname()[1]
        followers = [spawn(watch.follow(tunnel, target), name="typist") for tunnel in tunnels]
        try:
            yield watch, tunnels
        finally:
            await cancel_and_wait(*followers)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # The typists are cut off at the end.
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(4096):
            writer.write(data)
    writer.close()


async def _hostile(size: Size) -> list[Figure]:
    packets, others = size.of(_PACKETS), size.of(_OTHERS, least=2)
    attacker = await _start_attacker()
    sent = rounds = 0
    async with _watched(others) as (watch, tunnels):
        await asyncio.sleep(_CALM_S * min(1.0, size.scale * 4))
        calm = percentile(watch.take(), 99)
        before = cost_of(_own_pid()).memory_kib
        async with LoopLag() as lag:
            while sent < packets:
                sent += await _one_attack(attacker, min(packets - sent, _PACKETS_A_PEER), rounds)
                rounds += 1
                if rounds % 20 == 0:
                    size.tell(f"{sent} damaged packets in {rounds} associations")
        attacked = percentile(watch.take(), 99)
        grown = cost_of(_own_pid()).memory_kib - before
        lost = sum(tunnel.client.closed.done() for tunnel in tunnels)
    await _end(attacker)
    return [
        Figure("damaged packets of logged-in peers (T06)", sent, ""),
        Figure("associations they took", rounds, ""),
        Figure("longest stall of the loop", lag.worst_s * 1000, "ms", 100),
        Figure(f"p99 of {others} other tunnels, before", calm * 1000, "ms"),
        Figure(f"p99 of {others} other tunnels, under attack", attacked * 1000, "ms"),
        Figure("that is so many times", attacked / calm, "x", 2),
        Figure("other tunnels that ended", lost, "", 0),
        Figure("memory", grown / 1024, "MiB", 16),
    ]


async def _one_attack(attacker: Process, packets: int, seed: int) -> int:
    """Let one association be attacked until it ends or the packets are out."""
    offer = await _order(attacker, do="offer")
    pending = await webrtc.accept(bytes.fromhex(offer["wire"]), LOOPBACK)
    attack = spawn(
        _order(attacker, do="attack", wire=pending.wire.hex(), packets=packets, seed=seed),
        name="attack",
    )
    path = await pending.connected()
    path.start(Owner())
    sent: int = (await attack)["sent"]
    await path.close()
    return max(1, sent)


async def _flooded(size: Size) -> list[Figure]:
    seconds, lines = max(1.0, _FLOOD_S * size.scale), _Lines()
    size.tell(f"a flood for {seconds:.0f} s")
    logging.getLogger().addHandler(lines)
    async with _watched(1) as (watch, tunnels), open_paths() as (_, gateway):
        await asyncio.sleep(1.0)
        calm = percentile(watch.take(), 99)
        ports = [
            protocol.transport.get_extra_info("sockname")[1]
            for protocol in gateway._agent._protocols
        ]
        seen, before = lines.count, sum(dropped.totals.values())
        arguments = ("flood", str(ports[0]), str(max(500, size.of(_RATE))), str(seconds))
        async with LoopLag() as lag:
            flood = await _start_attacker(*arguments)
            out, _ = await flood.communicate()
        attacked = percentile(watch.take(), 99)
        lost = sum(tunnel.client.closed.done() for tunnel in tunnels) + (
            gateway._lost_reason is not None
        )
    logging.getLogger().removeHandler(lines)
    return [
        Figure("malformed packets a second at the port (T07)", int(out) / seconds, ""),
        Figure("of them dropped by the guards", sum(dropped.totals.values()) - before, ""),
        Figure("log lines a second", (lines.count - seen) / (seconds + 1), "", 1),
        Figure("longest stall of the loop", lag.worst_s * 1000, "ms", 100),
        Figure("p99 of a tunnel, before", calm * 1000, "ms"),
        Figure("p99 of a tunnel, under the flood", attacked * 1000, "ms"),
        Figure("tunnels that ended", lost, "", 0),
    ]


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def _own_pid() -> int:
    return int(Path("/proc/self").readlink().name)


async def _start_attacker(*words: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.soak.hostile_peer", *words, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )


async def _order(process: Process, **order: Any) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    async with asyncio.timeout(120):
        line = await process.stdout.readline()
    assert line, "the attacker's process ended"
    answer: dict[str, Any] = json.loads(line)
    return answer


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(30):
        await process.wait()
