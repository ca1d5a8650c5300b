"""What all tunnels of a gateway have done since it started, for its metrics. No IO."""

from __future__ import annotations

from collections import Counter

from commander.metrics.histogram import RESUME_BOUNDS, Histogram
from commander.tunnel.reports import TunnelStats


class Totals:
    """
    Sums that only grow. Live tunnels are added by who reads them, ended ones are told here.

    A tunnel's share is counted once: `ended` when it is over, `plus` while it lives.
    """

    def __init__(self) -> None:
        self.streams = 0
        self.streams_failed = 0
        self.bytes_to_target = 0
        self.bytes_from_target = 0
        self.path_losses: Counter[str] = Counter()
        self.resumes = Histogram(RESUME_BOUNDS)

    def ended(self, stats: TunnelStats) -> None:
        """Add a tunnel that is over."""
        self.streams += stats.streams_total
        self.bytes_to_target += stats.bytes_in
        self.bytes_from_target += stats.bytes_out

    def path_lost(self, kind: str) -> None:
        """Count a path that was lost under a tunnel."""
        self.path_losses[kind] += 1

    def resumed(self, after_s: float) -> None:
        """Count a tunnel that had no path for a while and has one again."""
        self.resumes.observe(after_s)
