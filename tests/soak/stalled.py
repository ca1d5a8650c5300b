"""
Gate test T22: sides that do not read, beside bulk and a keystroke, on one tunnel.

Measured are the memory that each stalled connection costs client and gateway, and the round trip of one
byte: alone, beside bulk, and beside bulk and stalled sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.soak import Figure, Size
from tests.soak.measuring import cost_of, percentile
from tests.soak.pinging import Pinger, closing
from tests.soak.setting import Setting, wait_for_path
from tests.soak.target import FLOOD, NEVER_READS

STALLED = 16
SECONDS = 20.0
MEMORY_LIMIT_MIB = 8.0
LATENCY_LIMIT_MS = 20.0
_RECORD = "Forked target"
_PIECE = 256 * 1024
_SETTLE_S = 5.0


def run(size: Size) -> Iterator[Figure]:
    """Half of the stalled sides stand at the target, half are local programs."""
    count = size.of(STALLED, least=4)
    seconds = max(2.0, SECONDS * size.scale)
    with _program() as (_, target_port), Setting(size.folder) as setting:
        setting.user.add_target(_RECORD, f"127.0.0.1:{target_port}")
        for path in ("direct", "relay"):
            tunnel, port = setting.user.start_tunnel(_RECORD, "--new", "--path", path)
            wait_for_path(setting, path)
            pids = {"client": tunnel.pid, "gateway": setting.gateway.pid}
            size.tell(f"{path}: three times {seconds:.0f} s")
            found = asyncio.run(_measure(port, pids, count, seconds))
            for name, value, unit, limit in found:
                yield Figure(f"{path}: {name}", value, unit, limit)
            assert tunnel.is_running, tunnel.output
            tunnel.interrupt()
            tunnel.wait(deadline_s=60)


_Found = list[tuple[str, float, str, float | None]]


async def _measure(port: int, pids: dict[str, int], count: int, seconds: float) -> _Found:
    found: _Found = []
    alone = await _ping(port, seconds)
    with _program(str(port)):
        beside = await _ping(port, seconds)
        before = {name: cost_of(pid).memory_kib for name, pid in pids.items()}
        async with _stalled(port, count):
            await asyncio.sleep(_SETTLE_S)
            stalled = await _ping(port, seconds)
            for name, pid in pids.items():
                grown = (cost_of(pid).memory_kib - before[name]) / 1024 / count
                found.append(
                    (f"memory of a stalled connection, {name}", grown, "MiB", MEMORY_LIMIT_MIB)
                )
    quiet = percentile(alone, 99)
    found.append(("round trip alone, p99", quiet, "ms", None))
    found.append(("beside bulk, p99", percentile(beside, 99), "ms", quiet + LATENCY_LIMIT_MS))
    found.append(
        (
            "beside bulk and stalled sides, p99",
            percentile(stalled, 99),
            "ms",
            quiet + LATENCY_LIMIT_MS,
        )
    )
    return found


async def _ping(port: int, seconds: float) -> list[float]:
    pinger = Pinger(port, 0.005)
    pinging = asyncio.create_task(pinger.run())
    await asyncio.wait([pinging], timeout=seconds)
    pinging.cancel()
    await asyncio.gather(pinging, return_exceptions=True)
    assert not pinger.failure, pinger.failure
    return [1000 * trip for _, trip in pinger.trips]


@contextmanager
def _program(*words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of forked_target; with its port, when it is the target."""
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.forked_target", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, start_new_session=True,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield child, 0 if words else int(child.stdout.readline())
    finally:
        child.stdin.close()
        child.wait(30)
        child.stdout.close()


@asynccontextmanager
async def _stalled(port: int, count: int) -> AsyncIterator[None]:
    """Connections whose one side sends and whose other side does not read."""
    writers = []
    pushing = set()
    for number in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        if number % 2:
            # The reader of a stream that nobody reads stops after its limit, and so the socket.
            writer.write(FLOOD)
        else:
            writer.write(NEVER_READS)
            pushing.add(asyncio.create_task(_push(writer)))
        del reader
    async with closing(*writers):
        try:
            yield
        finally:
            for task in pushing:
                task.cancel()
            await asyncio.gather(*pushing, return_exceptions=True)


async def _push(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(bytes(_PIECE))
            await writer.drain()
