"""Time from the command to its end, for the simplest commands."""

from __future__ import annotations

import os
import statistics
import subprocess
import time

from scripts.lib.bench.page import BIN, Plan, table

ROUNDS = 15


def run(plan: Plan) -> str:
    """Time each program; interleaved, so that a busy moment of the machine hits all alike."""
    starts = {
        "python alone": [BIN / "python", "-c", ""],
        "commander --version": [BIN / "commander", "--version"],
        "commander help": [BIN / "commander", "help"],
        "commander -c version": [BIN / "commander", "-c", "version"],
        "commander pam tunnel list": [BIN / "commander", "pam", "tunnel", "list"],
    }
    taken: dict[str, list[float]] = {name: [] for name in starts}
    environment = {"PATH": os.environ["PATH"], "HOME": str(plan.folder), "LANG": "C.UTF-8"}
    for _ in range((plan.rounds or ROUNDS) + 1):
        for name, command in starts.items():
            begin = time.perf_counter()
            subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
            taken[name].append(time.perf_counter() - begin)
    # The first round fills the file cache.
    rows = [
        [f"`{name}`", *(f"{figure(seconds[1:]):.2f}" for figure in (min, statistics.median, max))]
        for name, seconds in taken.items()
    ]
    return f"## Start-up\n\n{table(['program', 'best s', 'median s', 'worst s'], rows)}"
