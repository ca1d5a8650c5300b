"""
Every metric of server and gateway: its name, kind, labels and meaning. Pure; docs/metrics.md is made from it.

Names follow the Prometheus conventions: base units, `_total` for counters. No label ever holds a
uid, user, title or address, so the number of series is bounded and a scraper learns nothing of who
uses what: label values come from closed lists, and whatever is not on one counts as `other`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from commander.metrics.histogram import Histogram

OTHER = "other"


class Kind(StrEnum):
    """How a metric behaves; the words of the exposition format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric; `values` lists what each label may say, empty for free version numbers."""

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


COMMON: tuple[Metric, ...] = (
    Metric(
        "commander_build_info", Kind.GAUGE,
        "Always 1; the labels say which version of the program and of Python runs.",
        {"version": (), "python": ()},
    ),
    Metric(
        "commander_loop_lag_seconds", Kind.HISTOGRAM,
        "How late the event loop ran what was due; above 0.1 s the process is overloaded.",
    ),
    Metric(
        "commander_log_problems_total", Kind.COUNTER,
        "Lines of the program's log that report a problem.",
        {"level": ("warning", "error")},
    ),
)  # fmt: skip
"""What every program tells of itself."""

Series = float | Histogram | Mapping[tuple[str, ...], float]
"""A metric's value now: one number, one histogram, or a number for each set of label values."""
Readings = Mapping[str, Series]


def tally(
    counted: Mapping[str, int], known: Iterable[str], *, leave_out: Iterable[str] = ()
) -> dict[tuple[str, ...], float]:
    """Bring a counter by name to the closed list of a label; unlisted names are added up."""
    names, ignored = set(known), set(leave_out)
    found: dict[tuple[str, ...], float] = {}
    # A copy, so that what counts meanwhile does no harm.
    for name, count in dict(counted).items():
        if name not in ignored:
            label = (name if name in names else OTHER,)
            found[label] = found.get(label, 0.0) + count
    return found


def unknown_labels(metric: Metric, series: Series) -> list[tuple[str, ...]]:
    """Sets of label values that the metric does not list; for the tests of what is read."""
    if not isinstance(series, Mapping):
        return []
    lists = list(metric.labels.values())
    return [
        values
        for values in series
        if len(values) != len(lists)
        or any(
            allowed and value not in allowed for value, allowed in zip(values, lists, strict=True)
        )
    ]
