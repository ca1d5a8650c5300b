"""Sums over all tunnels of a gateway."""

from __future__ import annotations

from commander.gateway.totals import Totals
from commander.tunnel.reports import TunnelStats


def test_tunnels_that_ended_are_added_up() -> None:
    """Bytes are named as the targets see them; losses by kind; resumes by length."""
    totals = Totals()
    stats = TunnelStats(100, 7, 0, 3, None, "relay", 1, 0.0)

    totals.ended(stats)
    totals.ended(stats)
    totals.path_lost("relay")
    totals.resumed(1.5)

    assert (totals.bytes_to_target, totals.bytes_from_target, totals.streams) == (200, 14, 6)
    assert totals.path_losses == {"relay": 1}
    assert totals.resumes.total == 1.5
