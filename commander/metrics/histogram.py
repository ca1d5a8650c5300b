"""A histogram as plain numbers: counts below bounds, and their sum. No IO."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

RESUME_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
"""Seconds that a tunnel was interrupted; 2 s is what a resume should take, 600 s its limit."""
LAG_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds by which the event loop was late."""


class Histogram:
    """Observations by size; costs one list of counts however many there are."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one; less than nothing counts as nothing."""
        value = max(0.0, value)
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, the last `+Inf`, as the exposition format wants them."""
        below = 0
        found = []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            below += count
            found.append(("+Inf" if bound == float("inf") else str(bound), float(below)))
        return found
