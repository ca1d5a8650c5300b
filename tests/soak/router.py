"""
Gate test T09, first half: kill -9 of the router under 100 live tunnels, and a new one in its place.

Each tunnel has a connection that echoes all the time. None may be lost, whichever path carries it, and
new tunnels must work within 5 s of the router's return.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from tests.soak import Figure, Size
from tests.soak.measuring import percentile
from tests.soak.pinging import Pingers
from tests.soak.setting import RECORD, Setting
from tests.support.processes import Child
from tests.support.waiting import until

TUNNELS = 100
KILLS = 5
SIGNALLING_LIMIT_S = 5.0
STALL_LIMIT_S = 3.0
_PATHS = ("relay", "auto")


def run(size: Size) -> Iterator[Figure]:
    """The same for tunnels that are held to the relay, and for those that may go directly."""
    with Setting(size.folder) as setting:
        for path in _PATHS:
            count = size.of(TUNNELS, least=3)
            child, ports = _open(setting, path, count)
            size.tell(f"{path}: {count} tunnels are open")
            kills = asyncio.run(_kill(setting, ports, size.of(KILLS, least=1), size))
            yield Figure(f"{path}: tunnels", count, "")
            yield Figure(f"{path}: kills", len(kills.signalling), "")
            yield Figure(f"{path}: connections lost", len(kills.failures), "", 0)
            yield Figure(f"{path}: stall, median", percentile(kills.stalls, 50), "s")
            yield Figure(f"{path}: stall, p99", percentile(kills.stalls, 99), "s", STALL_LIMIT_S)
            signalling = max(kills.signalling)
            yield Figure(f"{path}: new tunnels work again", signalling, "s", SIGNALLING_LIMIT_S)
            assert child.is_running, child.output
            assert not kills.failures, kills.failures[:3]
            child.interrupt()
            child.wait(deadline_s=60)


class _Kills:
    def __init__(self) -> None:
        self.stalls: list[float] = []
        self.signalling: list[float] = []
        self.failures: list[str] = []


async def _kill(setting: Setting, ports: list[int], times: int, size: Size) -> _Kills:
    kills = _Kills()
    async with Pingers(ports) as pingers:
        for _ in range(times):
            before = time.monotonic()
            await asyncio.to_thread(setting.restart_server)
            back = time.monotonic()
            await asyncio.to_thread(_try_new_tunnel, setting)
            kills.signalling.append(time.monotonic() - back)
            await pingers.all_answer(time.monotonic())
            # From the kill to the return nothing can go through the relay: that is no stall of ours.
            down = back - before
            stalls = [max(0.0, one.longest(before) - down) for one in pingers.all]
            kills.stalls += stalls
            size.tell(
                f"killed, back after {down:.1f} s, a new tunnel {kills.signalling[-1]:.1f} s later; "
                f"longest stall {max(stalls):.1f} s"
            )
        kills.failures = pingers.failures
    return kills


def _try_new_tunnel(setting: Setting) -> None:
    """Open a tunnel as a user would, again and again until one works."""

    def works() -> bool:
        done = setting.user.run("pam", "tunnel", "start", RECORD, "--new", "--run", "true")
        return done.returncode == 0

    until(works, "a new tunnel", deadline_s=60)


def _open(setting: Setting, path: str, count: int) -> tuple[Child, list[int]]:
    """So many tunnels in one process; it and their ports."""
    entries = [f"  t{number}:\n    record: {RECORD}\n    path: {path}" for number in range(count)]
    file = setting.user.home.work / f"{path}.yaml"
    file.write_text("\n".join(["version: 1", "tunnels:", *entries, ""]))
    child = setting.user.start("pam", "tunnel", "up", "-f", file, "--timeout", "300")

    def ports() -> list[int]:
        rows = setting.user.json("pam", "tunnel", "list")
        ours = [row for row in rows if row["file"]]
        return [int(row["local"].rpartition(":")[2]) for row in ours] if len(ours) >= count else []

    return child, until(ports, f"{count} tunnels", deadline_s=240)
