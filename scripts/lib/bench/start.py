"""From the command to a usable port: `pam tunnel start` in a process of its own, as it is typed."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from scripts.lib.bench.page import Plan, percentile, progress, table
from tests.support.distance import Distance
from tests.support.namespaces import Host
from tests.support.product import Product, User

ROUND_TRIP_S = 0.05
ROUNDS = 40
RECORD = "Target"


def run(plan: Plan) -> str:
    """Start again and again, on loopback and over a long link; server and gateway at the far end."""
    rounds = plan.rounds or (3 if plan.is_quick else ROUNDS)
    rows = [_row("loopback", _starts(plan.folder / "loopback", rounds))]
    if plan.is_private:
        with Distance(round_trip_s=ROUND_TRIP_S) as distance:
            taken = _starts(plan.folder / "far", rounds, near=distance.near, far=distance.far)
        rows.append(_row(f"{1000 * ROUND_TRIP_S:.0f} ms round trip", taken))
    heads = ["between client and the rest", "starts", "best s", "median s", "p99 s"]
    return (
        "## Start of a tunnel\n\nFrom the command (`commander pam tunnel start RECORD --new`, the start of "
        f"Python included) to the line that names its port, which comes once a path is verified.\n\n{table(heads, rows)}"
    )


def _row(name: str, taken: list[float]) -> list[str]:
    figures = (min(taken), statistics.median(taken), percentile(taken, 0.99))
    return [name, str(len(taken)), *(f"{figure:.2f}" for figure in figures)]


def _starts(
    folder: Path, rounds: int, *, near: Host | None = None, far: Host | None = None
) -> list[float]:
    folder.mkdir(mode=0o755)
    with Product(folder) as product:
        product.start_server(host=far)
        user = product.set_up(host=near)
        product.start_gateway(host=far)
        user.configure_network()
        user.add_target(RECORD, "127.0.0.1:9")
        # The first fills the file cache and remembers the port.
        taken = [_start(user) for _ in range(rounds + 1)][1:]
    progress(f"start: {', '.join(f'{value:.2f}' for value in taken)}")
    return taken


def _start(user: User) -> float:
    begin = time.perf_counter()
    child, _ = user.start_tunnel(RECORD, "--new")
    taken = time.perf_counter() - begin
    child.interrupt()
    child.wait()
    return taken
