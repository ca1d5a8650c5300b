from __future__ import annotations

import time

import pytest

from commander.clock import Clock, ManualClock, SystemClock, iso_utc, parse_iso
from commander.errors import InvalidInput


def test_system_clock_is_the_machines() -> None:
    """Both clocks agree with the machine and the steady one does not go back."""
    clock: Clock = SystemClock()

    assert abs(clock.now() - time.time()) < 60
    first, second = clock.monotonic(), clock.monotonic()
    assert first <= second <= time.monotonic()


def test_manual_clock_moves_only_when_told() -> None:
    """`advance` moves both clocks."""
    clock = ManualClock(now=100.0)
    before = clock.monotonic()
    assert clock.now() == 100.0

    clock.advance(2.5)

    assert (clock.now(), clock.monotonic() - before) == (102.5, 2.5)


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_jump_moves_the_wall_clock_alone(seconds: float) -> None:
    """Durations do not change when NTP or a user sets the clock."""
    clock = ManualClock()
    wall, steady = clock.now(), clock.monotonic()

    clock.jump(seconds)

    assert (clock.now() - wall, clock.monotonic() - steady) == (seconds, 0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_800_000_000, "2027-01-15T08:00:00Z"),
     (1_800_000_000.999, "2027-01-15T08:00:00Z"), (-1, "1969-12-31T23:59:59Z")],
)  # fmt: skip
def test_times_are_written_in_utc_with_seconds(
    seconds: float, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time zone of the machine plays no part, and fractions are cut."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert iso_utc(seconds) == text
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2027-01-15T08:00:00Z", 1_800_000_000),
        ("2027-01-15T13:45:00+05:45", 1_800_000_000),
        ("2027-01-15T08:00", 1_800_000_000),
        ("2027-01-15", 1_799_971_200),
    ],
)
def test_times_without_an_offset_are_utc(text: str, seconds: int) -> None:
    """What is typed is read the same on every machine."""
    assert parse_iso(text) == seconds


@pytest.mark.parametrize("text", ["", "tomorrow", "1960-01-01", "0001-01-01T00:00+14", "2" * 50])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Only documented errors come out, also for years that no clock knows."""
    with pytest.raises(InvalidInput):
        parse_iso(text)
