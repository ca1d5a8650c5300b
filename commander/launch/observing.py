"""What a program shows to those who watch it: the endpoint, the loop's lag, its last problem."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from commander import __version__
from commander.clock import Clock, iso_utc
from commander.metrics.definitions import Metric, Readings
from commander.metrics.endpoint import Endpoint, Listen, NotReady, Pages, read_listen
from commander.metrics.exposition import Exposition, build_info
from commander.metrics.loop_lag import LoopLag

MAX_PROBLEM = 300
Say = Callable[[str], None]


def add_metrics_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words by which a program is told to serve metrics."""
    parser.add_argument(
        "--metrics-listen", default="", metavar="ADDRESS:PORT",
        help="serve /metrics, /healthz and /readyz there by plain HTTP, such as 127.0.0.1:9464",
    )  # fmt: skip
    parser.add_argument(
        "--metrics-allow-remote", action="store_true",
        help="let that address be one that other machines reach; it asks nobody who they are",
    )  # fmt: skip


def metrics_listen(options: argparse.Namespace) -> Listen | None:
    """Where to serve metrics, if anywhere. Raises UsageError, NotAllowed."""
    if not options.metrics_listen:
        return None
    return read_listen(options.metrics_listen, allow_remote=options.metrics_allow_remote)


class Problems(logging.Handler):
    """Counts the log's warnings and errors, and keeps the last one for `status`."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self.counted: Counter[str] = Counter()
        self.last = ""
        self.last_at = ""
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log; messages never hold secrets, so neither does this."""
        is_error = record.levelno >= logging.ERROR
        self.counted["error" if is_error else "warning"] += 1
        with contextlib.suppress(TypeError, ValueError):
            self.last = " ".join(record.getMessage().split())[:MAX_PROBLEM]
            self.last_at = iso_utc(self._clock.now())

    def readings(self) -> dict[tuple[str, ...], float]:
        """The value of `commander_log_problems_total`."""
        return {(level,): float(self.counted[level]) for level in ("warning", "error")}

    def described(self) -> str:
        """The last problem with its time, or ""."""
        return f"{self.last_at} {self.last}" if self.last else ""


class Observer:
    """
    Everything that watches one run of a program; enter `serving` once its parts are there.

    Without `listen` nothing listens, and only lag and problems are noted for `status`.
    """

    def __init__(self, clock: Clock, listen: Listen | None, say: Say) -> None:
        self.lag = LoopLag()
        self.problems = Problems(clock)
        self._listen = listen
        self._say = say

    @asynccontextmanager
    async def serving(
        self, metrics: Sequence[Metric], read: Callable[[], Readings], not_ready: NotReady
    ) -> AsyncIterator[None]:
        """Watch, and serve the pages, while the context lasts."""

        def readings() -> Readings:
            return {
                "commander_build_info": build_info(__version__),
                "commander_loop_lag_seconds": self.lag.histogram,
                "commander_log_problems_total": self.problems.readings(),
                **read(),
            }

        async def reasons() -> list[str]:
            late = [f"the event loop was {self.lag.worst():.1f} s late"]
            return [*(late if self.lag.is_stalled() else []), *await not_ready()]

        logging.getLogger().addHandler(self.problems)
        self.lag.start()
        endpoint = None
        try:
            if self._listen is not None:
                pages = Pages(Exposition(metrics, readings).render, reasons)
                endpoint = Endpoint(self._listen, pages)
                address = await endpoint.start()
                self._say(
                    f"metrics on http://{address}/metrics"
                    if address
                    else "metrics are off: the address is taken or not ours; see the log"
                )
            yield
        finally:
            if endpoint is not None:
                await endpoint.close()
            self.lag.stop()
            logging.getLogger().removeHandler(self.problems)
