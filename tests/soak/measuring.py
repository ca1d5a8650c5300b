"""What a process costs, as /proc says it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commander.tasks import cancel_and_wait, spawn
from tests.soak import Size

TELL_EVERY_S = 5.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Memory in KiB, processor time in seconds, descriptors and threads of a process at a moment."""

    memory_kib: int
    processor_s: float
    descriptors: int
    threads: int
    at: float


def cost_of(pid: int) -> Cost:
    """Measure a living process of this user."""
    proc = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    return Cost(
        memory_kib=int(status["VmRSS"].split()[0]),
        processor_s=(int(fields[11]) + int(fields[12])) / _TICKS,
        descriptors=len(os.listdir(proc / "fd")),
        threads=int(status["Threads"]),
        at=time.monotonic(),
    )


def processor_share(before: Cost, after: Cost) -> float:
    """Per cent of one core between two measurements."""
    return 100 * (after.processor_s - before.processor_s) / max(0.001, after.at - before.at)


def percentile(values: list[float], per_cent: float) -> float:
    """The value below which so many per cent of them are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * per_cent / 100))]


@asynccontextmanager
async def telling(
    size: Size, tasks: Sequence[asyncio.Future[Any]], what: str
) -> AsyncIterator[None]:
    """Tell every few seconds how many of the tasks are done."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            size.tell(f"{sum(task.done() for task in tasks)} of {len(tasks)} {what}")

    teller = spawn(tell(), name="soak-teller")
    try:
        yield
    finally:
        await cancel_and_wait(teller)
