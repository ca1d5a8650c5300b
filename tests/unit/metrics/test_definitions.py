"""The tables of metrics keep to the conventions, and to closed lists of label values."""

from __future__ import annotations

import re

from commander.metrics import gateway, server
from commander.metrics.definitions import Kind, Metric, tally, unknown_labels
from commander.metrics.histogram import Histogram

EVERY = {metric.name: metric for metric in (*server.METRICS, *gateway.METRICS)}.values()
FORBIDDEN = re.compile(r"uid|user|title|address|host|record|device_|email")


def test_metrics_keep_to_the_conventions() -> None:
    """Prefix, base units, `_total` for counters and for nothing else, a meaning in a sentence."""
    for metric in EVERY:
        check_conventions(metric)


def check_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"commander_[a-z_]+[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not re.search(r"_(ms|kb|mb|percent|minutes)(_|$)", metric.name)
    assert metric.help.endswith(".")
    assert len(metric.help) > 10
    if metric.kind is Kind.HISTOGRAM:
        assert metric.name.endswith("_seconds")
        assert not metric.labels


def test_no_label_can_tell_who_uses_what() -> None:
    """Every label has a closed list of values, but for the versions of the build."""
    labels = [(metric, *label) for metric in EVERY for label in metric.labels.items()]

    assert labels
    for metric, name, values in labels:
        assert not FORBIDDEN.search(name), metric.name
        assert values or metric.name == "commander_build_info", metric.name
        assert len(set(values)) == len(values) < 200, metric.name


def test_names_are_given_once() -> None:
    """No program has two metrics of one name."""
    for metrics in (server.METRICS, gateway.METRICS):
        names = [metric.name.removesuffix("_total") for metric in metrics]
        assert len(set(names)) == len(names)


def test_counts_of_unlisted_names_are_added_up_as_other() -> None:
    """What a later version or a peer calls otherwise can't grow the number of series."""
    counted = {"a": 1, "x": 2, "y": 3, "ok": 9}

    assert tally(counted, ["a"], leave_out=["ok"]) == {("a",): 1.0, ("other",): 5.0}


def test_label_values_outside_their_list_are_found() -> None:
    """The check that other tests rest on notices wrong values and wrong numbers of labels."""
    metric = Metric("commander_x", Kind.GAUGE, "X.", {"kind": ("a", "b"), "version": ()})

    assert unknown_labels(metric, {("a", "1.0"): 1.0}) == []
    assert unknown_labels(metric, {("c", "1.0"): 1.0, ("a",): 2.0}) == [("c", "1.0"), ("a",)]
    assert unknown_labels(metric, 1.0) == unknown_labels(metric, Histogram((1.0,))) == []
