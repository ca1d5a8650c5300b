"""
Counts of what the WebRTC guards drop, and quiet for the event loop: no traceback per packet.

A flood of broken packets must not become a flood of log lines, which would fill a disk and
hide what matters; so there is at most one line a second, with the counts since the last one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from commander.clock import Clock, SystemClock

LIBRARIES: Final = frozenset({"aiortc", "aioice", "pyee", "OpenSSL"})
HARMLESS: Final = frozenset({"stun-late"})
"""What honest peers cause as well, on slow machines: counted, and no line by itself."""
OURS: Final = frozenset({"commander", "plugins", "tests"})

_log = logging.getLogger(__name__)

LoopHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]


class DropCounter:
    """Counts what the guards drop, and writes at most one log line per interval about it."""

    def __init__(self, clock: Clock, interval_s: float = 1.0) -> None:
        self.totals: Counter[str] = Counter()
        self._since_line: Counter[str] = Counter()
        self._clock = clock
        self._interval_s = interval_s
        self._last_line = float("-inf")

    def count(self, kind: str) -> None:
        """Add one; `kind` is one of our own words, never a peer's."""
        self.totals[kind] += 1
        self._since_line[kind] += 1
        if kind in HARMLESS:
            return
        now = self._clock.monotonic()
        if now - self._last_line < self._interval_s:
            return
        self._last_line = now
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self._since_line.items()))
        self._since_line.clear()
        _log.warning("webrtc dropped hostile or broken input: %s", counts)


dropped: Final = DropCounter(SystemClock())


def thin_log(name: str) -> None:
    """Let at most one record a second of a library's logger through; idempotent."""
    logger = logging.getLogger(name)
    if not any(isinstance(item, _OneLineASecond) for item in logger.filters):
        logger.addFilter(_OneLineASecond(SystemClock()))


class _OneLineASecond(logging.Filter):
    """Lets one record a second of a library's logger through."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock.monotonic()
        if now - self._last < 1.0:
            return False
        self._last = now
        return True


def guard_loop(loop: asyncio.AbstractEventLoop) -> None:
    """
    Count errors that the libraries leave to the event loop, instead of one traceback each.

    Errors of everyone else reach the handler that was there before. Idempotent.
    """
    previous = loop.get_exception_handler()
    if not isinstance(previous, _CountingHandler):
        loop.set_exception_handler(_CountingHandler(previous))


class _CountingHandler:
    def __init__(self, previous: LoopHandler | None) -> None:
        self._previous = previous

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception) and is_library_error(error):
            dropped.count("library-error")
        elif self._previous is not None:
            self._previous(loop, context)
        else:
            loop.default_exception_handler(context)


def is_library_error(error: Exception) -> bool:
    """Whether the innermost frame that belongs to the libraries or to us is the libraries'."""
    owner = ""
    trace = error.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in LIBRARIES or package in OURS:
            owner = package
        trace = trace.tb_next
    return owner in LIBRARIES
