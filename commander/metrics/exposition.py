"""From readings to the text that Prometheus scrapes, by prometheus-client."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from commander.metrics.definitions import Kind, Metric, Readings, Series
from commander.metrics.histogram import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """
    Renders a program's metrics; nothing is counted here, `read` is asked at each scrape.

    A metric that `read` leaves out is left out; an unknown name in the readings is an error.
    """

    def __init__(self, metrics: Sequence[Metric], read: Callable[[], Readings]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Readings(metrics, read))
        # Memory, processor time, open descriptors and start of the process, by their usual names.
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The whole page."""
        return generate_latest(self._registry)


def build_info(version: str) -> dict[tuple[str, ...], float]:
    """The value of `commander_build_info`."""
    return {(version, platform.python_version()): 1.0}


class _Readings(Collector):
    def __init__(self, metrics: Sequence[Metric], read: Callable[[], Readings]) -> None:
        self._metrics = {metric.name: metric for metric in metrics}
        self._read = read

    def collect(self) -> Iterator[Family]:
        readings = self._read()
        for name, series in readings.items():
            yield _family(self._metrics[name], series)


def _family(metric: Metric, series: Series) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        assert isinstance(series, Histogram)
        histogram = HistogramMetricFamily(metric.name, metric.help)
        histogram.add_metric([], buckets=series.buckets(), sum_value=series.total)
        return histogram
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=list(metric.labels))
    assert not isinstance(series, Histogram)
    named = series if isinstance(series, Mapping) else {(): series}
    for values, value in named.items():
        family.add_metric(list(values), value)
    return family
