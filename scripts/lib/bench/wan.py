"""The tunnels over a long link: 40 ms round trip, without loss and with 1 % of it."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.lib.bench.page import BIN, Plan, percentile, progress, table
from scripts.lib.bench.steady import Steps
from tests.support.distance import Distance
from tests.support.processes import Child
from tests.support.product import Product, User
from tests.support.servers.sshd import Sshd
from tests.support.waiting import NeverHappened, free_port

ROUND_TRIP_S = 0.04
LOSSES = (0.0, 0.01)
ROUNDS = 2
TARGET_PORT = 7300
FULL = Steps(warm_s=1.0, window_s=3.0, pings=50, connects=10, parallel=16)
QUICK = Steps(warm_s=0.3, window_s=0.7, pings=10, connects=2, parallel=4)
LEAD_S = 10.0
MEASURE_S = 120.0
"""All steps of one tunnel; each has a deadline of its own, and this is the last."""
BASELINE = "ssh -L"
RECORD = "Target of the measurement"
_STEADY = Path(__file__).resolve().parent / "steady.py"
_RATES = ("down x1", "up x1", "down x{many}", "up x{many}")


@dataclass
class Row:
    """One tunnel with one congestion control, and what was found of it."""

    name: str
    control: str
    start: Callable[[], tuple[Child, int]]
    rounds: list[dict[str, Any]] = field(default_factory=list)
    _running: tuple[Child, int] | None = None

    def opened(self) -> int:
        """Its local port; begun anew after a round in which it failed. Raises NeverHappened."""
        if self._running is None or self.rounds[-1]["failed"]:
            self.close()
            self._running = self.start()
        return self._running[1]

    def close(self) -> None:
        """End its client."""
        if self._running is not None:
            with contextlib.suppress(AssertionError):
                self._running[0].stop(deadline_s=10.0)
            self._running = None

    def mean(self, figure: str) -> float | None:
        """Of the rounds that have it."""
        values = [one["figures"][figure] for one in self.rounds if figure in one["figures"]]
        return statistics.mean(values) if values else None

    def trips(self, kind: str) -> list[float]:
        """Round trips of all rounds."""
        return [trip for one in self.rounds for trip in one[kind]]

    def reasons(self) -> list[str]:
        """Why figures are missing."""
        return [f"{step}: {why}" for one in self.rounds for step, why in one["failed"].items()]


def run(plan: Plan) -> str:
    """Measure over both links; the clients sit at one end, all else at the other."""
    assert plan.is_private, "needs root: network namespaces"
    steps = QUICK if plan.is_quick else FULL
    parts = []
    for loss in LOSSES:
        folder = plan.folder / f"loss-{loss}"
        folder.mkdir(mode=0o755)
        with Distance(round_trip_s=ROUND_TRIP_S, loss=loss) as distance:
            rounds = plan.rounds or (1 if plan.is_quick else ROUNDS)
            rows = _over(distance, folder, rounds, steps, is_lossy=loss > 0)
        title = f"### {1000 * ROUND_TRIP_S:.0f} ms, {100 * loss:g} % loss"
        parts.append(f"{title}\n\n{figures(rows, steps.parallel)}")
    return (
        "## Tunnels over a long link\n\nTwo network namespaces joined by `scripts/tools/tap_link.py`, "
        "MTU 1500; server, gateway and target at the far end. The link itself passes about 30 MiB/s. "
        f"MiB/s that arrive in {steps.window_s:g} s after {steps.warm_s:g} s of warm-up; *loaded* is the "
        "round trip of a byte beside the one transfer. With loss each tunnel has "
        f"carried bulk for {LEAD_S:g} s before.\n\n" + "\n\n".join(parts)
    )


def _over(
    distance: Distance, folder: Path, rounds: int, steps: Steps, *, is_lossy: bool
) -> list[Row]:
    near, far = distance.near, distance.far
    far.start(BIN / "python", _STEADY, "target", "127.0.0.1", str(TARGET_PORT))
    with Product(folder) as product, Sshd(far.address, far.prefix) as sshd:
        product.start_server(host=far)
        user = product.set_up(host=near)
        product.start_gateway(host=far)
        user.configure_network()
        user.add_target(RECORD, f"127.0.0.1:{TARGET_PORT}")
        lead_s = LEAD_S if is_lossy and steps is FULL else 0.0
        rows = list(_rows(distance, user, sshd, is_lossy=is_lossy))
        for number in range(rounds):
            for row in rows:
                if not distance.use_congestion_control(row.control):
                    row.rounds.append(_nothing("start", f"the kernel has no {row.control}"))
                    continue
                progress(f"wan: round {number + 1}: {row.name}, {row.control}")
                row.rounds.append(_measured(distance, row, steps, lead_s))
        for row in rows:
            row.close()
    return rows


def _rows(distance: Distance, user: User, sshd: Sshd, *, is_lossy: bool) -> Iterator[Row]:
    def ssh(cipher: str = "") -> tuple[Child, int]:
        port = free_port()
        words = ["ssh", "-N", *(["-c", cipher] if cipher else []), *sshd.client_options()]
        words += [
            "-o",
            "ExitOnForwardFailure=yes",
            "-L",
            f"127.0.0.1:{port}:127.0.0.1:{TARGET_PORT}",
        ]
        words += ["-p", str(sshd.port), f"{sshd.user}@{sshd.host}"]
        return distance.near.start(*words), port

    def ours(path: str, **environment: str) -> tuple[Child, int]:
        words = ("pam", "tunnel", "start", RECORD, "--new", "--path", path)
        child = user.start(*words, environment=environment)
        return child, int(child.wait_for_line(r"Listening on: \S*?:(\d+)\b")[1])

    yield Row(BASELINE, "cubic", ssh)
    if not is_lossy:
        # Where losses are what limits, the cipher is not seen.
        yield Row("ssh -L, AES-GCM", "cubic", lambda: ssh("aes256-gcm@openssh.com"))
    yield Row("commander, direct", "cubic", lambda: ours("direct"))
    yield Row("commander, relay, stream", "cubic", lambda: ours("relay", COMMANDER_RELAY="stream"))
    yield Row("commander, webrtc", "cubic", lambda: ours("webrtc"))
    if is_lossy:
        # Without loss the two controls do the same.
        yield Row(BASELINE, "bbr", ssh)
        yield Row("commander, direct", "bbr", lambda: ours("direct"))


def _measured(distance: Distance, row: Row, steps: Steps, lead_s: float) -> dict[str, Any]:
    """One round of one tunnel; whatever goes wrong there leaves its reason and nothing else."""
    try:
        port = row.opened()
        # Once is enough: the tunnel stays.
        return _driven(distance, port, steps if row.rounds else replace(steps, lead_s=lead_s))
    except NeverHappened as error:
        return _nothing("start", str(error).splitlines()[0])
    except subprocess.TimeoutExpired:
        return _nothing("all", f"not done within {MEASURE_S:g} s")
    except (subprocess.CalledProcessError, ValueError) as error:
        return _nothing("all", f"{_STEADY.name}: {error}")


def _driven(distance: Distance, port: int, steps: Steps) -> dict[str, Any]:
    words = [word for name, value in vars(steps).items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [*distance.near.prefix, BIN / "python", _STEADY, "measure", str(port), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=MEASURE_S,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _nothing(step: str, why: str) -> dict[str, Any]:
    progress(f"    {step}: {why}")
    return {"figures": {}, "failed": {step: why}, "idle": [], "loaded": []}


# --- the page --------------------------------------------------------------------------------


def figures(rows: Sequence[Row], many: int) -> str:
    """What was measured, ratios to the baseline with the same congestion control, and what failed."""
    rates = [name.format(many=many) for name in _RATES]
    heads = [
        "tunnel", "TCP", *(f"MiB/s {name}" for name in rates), "p50 ms", "p99 ms",
        "p50 loaded ms", "p99 loaded ms", "first byte ms", "bulk x1", f"bulk x{many}",
    ]  # fmt: skip
    lines = []
    for row in rows:
        base = next(one for one in rows if (one.name, one.control) == (BASELINE, row.control))
        first = row.mean("first byte")
        lines.append(
            [
                row.name,
                "-" if "webrtc" in row.name else row.control,
                *(_cell(row.mean(name), 1, ".2f") for name in rates),
                *(
                    _trip(row.trips(kind), share)
                    for kind in ("idle", "loaded")
                    for share in (0.5, 0.99)
                ),
                _cell(first, 1000, ".0f"),
                *(_ratio(row, base, pair) for pair in (rates[:2], rates[2:])),
            ]
        )
    text = f"{table(heads, lines)}\n\nThe last two: against `{BASELINE}` with the same TCP, the mean of both directions."
    failed = [
        f"* {row.name}, {row.control}: {'; '.join(why)}" for row in rows if (why := row.reasons())
    ]
    return text + ("\n\nFailed:\n\n" + "\n".join(failed) if failed else "")


def _cell(value: float | None, factor: float, form: str) -> str:
    return "-" if value is None else format(factor * value, form)


def _trip(trips: Sequence[float], share: float) -> str:
    return _cell(percentile(trips, share) if trips else None, 1000, ".1f")


def _ratio(row: Row, base: Row, names: Sequence[str]) -> str:
    pairs = [(row.mean(name), base.mean(name)) for name in names]
    known = [ours / theirs for ours, theirs in pairs if ours is not None and theirs]
    return f"{statistics.mean(known):.1f}" if known else "-"
