"""What a measured path reads like; the probe itself is run by tests/e2e/test_diagnose.py."""

from __future__ import annotations

from commander.diagnosis.measure import Measured
from commander.diagnosis.probe import describe
from commander.diagnosis.report import State


def test_a_measurement_is_told_to_people_and_to_scripts() -> None:
    """Milliseconds and MiB a second for people, exact bytes for scripts."""
    outcome = describe(Measured(1.26, 50 * 1024 * 1024, 1024.0))

    assert outcome.state is State.OK
    assert outcome.figure == "round trip 1.3 ms, 50 MiB/s out, 0 MiB/s in"
    assert outcome.values == {
        "round_trip_ms": 1.26,
        "bytes_per_s_out": 52428800,
        "bytes_per_s_in": 1024,
    }
