"""The page reads as Prometheus' own parser expects."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from commander.metrics.definitions import Kind, Metric, Readings
from commander.metrics.exposition import Exposition, build_info
from commander.metrics.histogram import Histogram

METRICS = (
    Metric("commander_things", Kind.GAUGE, "Things."),
    Metric("commander_ends_total", Kind.COUNTER, "Ends.", {"code": ("a", 'b"\n')}),
    Metric("commander_lag_seconds", Kind.HISTOGRAM, "Lag."),
)


def test_every_kind_of_metric_is_read_back() -> None:
    """Gauge, counter with labels and histogram come out with their values."""
    lag = Histogram((0.1, 1.0))
    lag.observe(0.5)
    readings: Readings = {
        "commander_things": 3.0,
        "commander_ends_total": {("a",): 1.0, ('b"\n',): 2.0},
        "commander_lag_seconds": lag,
    }

    page = Exposition(METRICS, lambda: readings).render().decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}

    assert families["commander_things"].samples[0].value == 3.0
    ends = families["commander_ends"].samples
    assert {(sample.labels["code"], sample.value) for sample in ends} == {("a", 1.0), ('b"\n', 2.0)}
    lags = {
        sample.labels.get("le"): sample.value
        for sample in families["commander_lag_seconds"].samples
    }
    assert (lags["0.1"], lags["1.0"], lags["+Inf"]) == (0.0, 1.0, 1.0)
    assert "process_resident_memory_bytes" in families


def test_readings_are_asked_for_at_each_scrape() -> None:
    """Nothing is kept between scrapes, and a name that no table has is an error."""
    numbers = iter([1.0, 2.0])
    exposition = Exposition(METRICS, lambda: {"commander_things": next(numbers)})

    assert b"commander_things 1.0" in exposition.render()
    assert b"commander_things 2.0" in exposition.render()
    with pytest.raises(KeyError):
        Exposition(METRICS, lambda: {"commander_unknown": 1.0}).render()


def test_the_build_is_told_by_version() -> None:
    """The value is 1; what matters is in the labels."""
    assert list(build_info("1.2.3").values()) == [1.0]
    assert next(iter(build_info("1.2.3")))[0] == "1.2.3"
