from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from commander.errors import InvalidInput


class Clock(Protocol):
    """What time it is; passed in, so that decisions and tests never read the machine's clock."""

    def now(self) -> float:
        """Seconds since 1970 UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; for durations and deadlines."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told; for tests and simulations."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or a user would."""
        self._now += seconds


def iso_utc(seconds: float) -> str:
    """Write a time as ISO 8601 UTC with seconds, as every listing does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_iso(text: str) -> float:
    """
    Read a time written as ISO 8601; without an offset it is UTC, without a time midnight.

    Raises InvalidInput.
    """
    try:
        moment = datetime.fromisoformat(text[:40])
        known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = known.timestamp()
    except (ValueError, OverflowError):
        seconds = -1.0
    if len(text) > 40 or seconds < 0:
        raise InvalidInput(f"{text[:40]!r} is not a time", hint="write 2027-01-31T18:00:00Z")
    return seconds
