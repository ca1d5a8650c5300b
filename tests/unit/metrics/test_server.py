"""The server's table lists every value that its labels can take."""

from __future__ import annotations

from commander.authority.refusals import Code
from commander.metrics.server import CODES, METRICS


def test_every_refusal_code_has_a_series_of_its_own() -> None:
    """A code added to the published table is counted by its name, not as `other`."""
    assert set(CODES) == {*map(str, Code), "other"}


def test_metrics_with_codes_list_them_all() -> None:
    """No metric has a shorter list of codes."""
    lists = [metric.labels["code"] for metric in METRICS if "code" in metric.labels]

    assert lists
    assert all(set(CODES) <= set(values) for values in lists)
