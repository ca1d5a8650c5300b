"""A link that goes and comes: every few moments all connections below ten tunnels are broken, for minutes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

from tests.soak import Figure, Size
from tests.soak.measuring import cost_of, percentile
from tests.soak.pinging import Pingers
from tests.soak.setting import Setting, cut_between
from tests.support.processes import Child

TUNNELS = 10
SECONDS = 180.0
LONGEST_PAUSE_S = 2.0
STALL_LIMIT_S = 5.0
GROWTH_LIMIT_MIB = 8.0


def run(size: Size) -> Iterator[Figure]:
    """Cut at random moments; nothing may be lost, and nothing may pile up."""
    with Setting(size.folder) as setting:
        tunnels = [setting.open_tunnel() for _ in range(size.of(TUNNELS, least=2))]
        children = [child for child, _ in tunnels]
        ports = [port for _, port in tunnels]
        before = cost_of(setting.gateway.pid).memory_kib
        seconds = max(5.0, SECONDS * size.scale)
        size.tell(f"{len(tunnels)} tunnels are open; cuts for {seconds:.0f} s")
        cuts, stalls, failures = asyncio.run(_flap(setting, children, ports, seconds))
        yield Figure("tunnels", len(tunnels), "")
        yield Figure("cuts", cuts, "")
        yield Figure("connections lost", len(failures), "", 0)
        yield Figure("stall, median of the longest", percentile(stalls, 50), "s")
        yield Figure("stall, longest", max(stalls), "s", STALL_LIMIT_S)
        grown = (cost_of(setting.gateway.pid).memory_kib - before) / 1024
        yield Figure("memory grown, gateway", grown, "MiB", GROWTH_LIMIT_MIB)
        assert all(child.is_running for child in children)
        assert not failures, failures[:3]


async def _flap(
    setting: Setting, children: list[Child], ports: list[int], seconds: float
) -> tuple[int, list[float], list[str]]:
    rng = random.Random(9)
    others = setting.server, setting.gateway
    cuts = 0
    async with Pingers(ports, pause_s=0.05) as pingers:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            child = rng.choice([*children, setting.gateway])
            await asyncio.to_thread(cut_between, child, *others)
            cuts += 1
            await asyncio.sleep(rng.random() * LONGEST_PAUSE_S)
        await pingers.all_answer(time.monotonic())
        return cuts, [one.longest() for one in pingers.all], pingers.failures
