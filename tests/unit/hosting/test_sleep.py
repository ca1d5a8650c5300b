from __future__ import annotations

import pytest

from commander.hosting.sleep import SleepWatch


@pytest.mark.parametrize(
    ("ran", "passed", "says"),
    [
        (1.0, 1.0, ""),
        (4.9, 4.9, ""),
        (6.0, 6.0, "the process stood still for 6 s"),
        (1.0, 3601.0, "the machine slept for 3600 s"),
        (60.0, 3660.0, "the machine slept for 3600 s"),
        (1.0, 2.9, ""),
        (1.0, -3600.0, ""),
    ],
)
def test_standing_still_is_noticed_at_the_next_tick(ran: float, passed: float, says: str) -> None:
    """Both kinds are told apart; a late tick or a clock that is set back says nothing."""
    watch = SleepWatch(100.0, 5000.0)

    assert watch.tick(100.0 + ran, 5000.0 + passed) == says


def test_each_sleep_is_told_once() -> None:
    """The next tick counts from the last one."""
    watch = SleepWatch(0.0, 0.0)

    assert watch.tick(1.0, 601.0)
    assert not watch.tick(2.0, 602.0)
