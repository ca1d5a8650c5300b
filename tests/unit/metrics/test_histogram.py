"""A histogram counts each value in the bucket of its size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from commander.metrics.histogram import Histogram


def test_each_value_counts_at_its_bound_and_above() -> None:
    """Buckets are cumulative, a value on a bound is within it, and less than nothing is nothing."""
    histogram = Histogram((1.0, 10.0))

    for value in (-5.0, 1.0, 1.5, 10.0, 99.0):
        histogram.observe(value)

    assert histogram.buckets() == [("1.0", 2.0), ("10.0", 4.0), ("+Inf", 5.0)]
    assert histogram.total == 0.0 + 1.0 + 1.5 + 10.0 + 99.0


@given(values=st.lists(st.floats(0, 1000), max_size=50))
def test_counts_never_fall_towards_infinity(values: list[float]) -> None:
    """Whatever is observed, the buckets grow and the last holds everything."""
    histogram = Histogram((0.1, 1.0, 100.0))

    for value in values:
        histogram.observe(value)
    counts = [count for _, count in histogram.buckets()]

    assert counts == sorted(counts)
    assert counts[-1] == len(values)
