"""How long connections stand still: path cut, hand-over to a better path, router killed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence

from scripts.lib.bench.page import Plan, percentile, progress, table
from tests.soak.pinging import Pinger, Pingers
from tests.soak.setting import Setting, cut_between, wait_for_path
from tests.support.processes import Child

CUTS = 40
HAND_OVERS = 10
KILLS = 10


def run(plan: Plan) -> str:
    """Measure the longest round trip of a connection around each event."""
    assert plan.is_private, "needs root: connections are broken in a network namespace of our own"
    few = 2 if plan.is_quick else plan.rounds
    with Setting(plan.folder) as setting:
        rows = [
            _row(
                "all TCP connections below a direct tunnel broken",
                _cuts(setting, "direct", few or CUTS),
            ),
            _row(
                "all TCP connections below a relayed tunnel broken",
                _cuts(setting, "relay", few or CUTS),
            ),
            _row(
                "hand-over from the relay to the direct path",
                _hand_overs(setting, few or HAND_OVERS),
            ),
            _row("router killed, a direct tunnel", _kills(setting, "direct", few or KILLS)),
            _row(
                "router killed, a relayed tunnel; from its return",
                _kills(setting, "relay", few or KILLS),
            ),
        ]
    heads = ["what happens", "times", "median s", "p99 s"]
    return (
        "## Interruptions\n\nThe longest round trip of a connection that sends 16 bytes 200 times a second, loopback. "
        f"No connection was lost.\n\n{table(heads, rows)}"
    )


def _row(name: str, stalls: Sequence[float]) -> list[str]:
    progress(f"resume: {name}: {', '.join(f'{value:.3f}' for value in stalls)}")
    return [
        name, str(len(stalls)), f"{statistics.median(stalls):.3f}", f"{percentile(stalls, 0.99):.3f}",
    ]  # fmt: skip


def _cuts(setting: Setting, path: str, times: int) -> list[float]:
    child, port = setting.open_tunnel("--path", path)
    wait_for_path(setting, path)

    def cut() -> float:
        began = time.monotonic()
        assert cut_between(child, setting.server, setting.gateway), "nothing to cut"
        return began

    stalls = asyncio.run(_around(port, cut, times))
    _end(child)
    return stalls


def _kills(setting: Setting, path: str, times: int) -> list[float]:
    child, port = setting.open_tunnel("--path", path)
    wait_for_path(setting, path)
    downs: list[float] = []

    def kill() -> float:
        began = time.monotonic()
        setting.restart_server()
        downs.append(time.monotonic() - began)
        return began

    stalls = asyncio.run(_around(port, kill, times))
    _end(child)
    # While there is no router nothing passes through it.
    return [max(0.0, stall - down) for stall, down in zip(stalls, downs, strict=True)]


async def _around(port: int, event: Callable[[], float], times: int) -> list[float]:
    stalls = []
    async with Pingers([port], pause_s=0.005) as pingers:
        (pinger,) = pingers.all
        for _ in range(times):
            began = await asyncio.to_thread(event)
            await pingers.all_answer(time.monotonic())
            # Paths that come back one after the other settle before the next.
            await asyncio.sleep(1.0)
            stalls.append(pinger.longest(began))
        assert not pingers.failures, pingers.failures
    return stalls


def _hand_overs(setting: Setting, times: int) -> list[float]:
    stalls = []
    for _ in range(times):
        child, port = setting.open_tunnel("--path", "auto")
        stalls.append(asyncio.run(_ping_until_direct(setting, port)))
        _end(child)
    return stalls


async def _ping_until_direct(setting: Setting, port: int) -> float:
    async with Pingers([port], pause_s=0.005) as pingers:
        pinger: Pinger = pingers.all[0]
        await asyncio.to_thread(wait_for_path, setting, "direct")
        await pingers.all_answer(time.monotonic())
        # The first round trip connects the target.
        return max(trip for _, trip in pinger.trips[1:])


def _end(child: Child) -> None:
    child.interrupt()
    child.wait()
