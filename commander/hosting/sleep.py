"""Did this process, or the whole machine, stand still? Pure: told the clocks, once a tick."""

from __future__ import annotations

from dataclasses import dataclass

TICK_S = 1.0
STOPPED_S = 5.0
"""A tick that comes so late means that the process did not run."""
SLEPT_S = 2.0
"""A clock that goes on in sleep got so far ahead of one that does not."""


@dataclass
class SleepWatch:
    """
    Compares two clocks from tick to tick: the monotonic one, which stands still while the machine
    sleeps, and one that goes on: CLOCK_BOOTTIME, or where there is none the wall clock.
    """

    monotonic: float
    going_on: float

    def tick(self, monotonic: float, going_on: float) -> str:
        """Why paths should be tested now, or "". A wall clock that is set back says nothing."""
        ran, passed = monotonic - self.monotonic, going_on - self.going_on
        self.monotonic, self.going_on = monotonic, going_on
        if passed - ran > SLEPT_S:
            return f"the machine slept for {passed - ran:.0f} s"
        if ran > STOPPED_S:
            return f"the process stood still for {ran:.0f} s"
        return ""
