"""The producer of ready metrics: one batch of everything that this process has to tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as SdkMetric

from slotel.export.accumulation import Accumulation, Baseline, since_start, together
from slotel.export.exponential import MaxSize
from slotel.export.naming import Attributes, named
from slotel.export.points import explicit_point, exponential_point, number_point
from slotel.export.readings import Kind, Reading
from slotel.export.settings import HistogramType, Temporality
from slotel.measure.drain import Distribution, Snapshot
from slotel.measure.series import Recorder
from slotel.semconv import Metric, Naming

Point = tuple[str, frozenset[tuple[str, str | bool]]]
"""What tells a point from all others: the metric's name and the attributes."""
Grouped = list[tuple[Metric, Attributes, Distribution, Accumulation]]
"""What to export, with its metric and its attributes."""


class Readings(Protocol):
    """Where a producer gets its counters and gauges from."""

    def read(self) -> list[Reading]:
        """Return all numbers as they stand now."""
        ...


class Producer:
    """Makes batches of the SDK's metric classes from the ledger and the SLOs.

    Its shape is that of the specification's MetricProducer. One thread calls it. After a batch was
    delivered the thread calls `delivered`; a batch that was not is part of the next one, so a delta
    reader loses nothing while the collector is away. What it keeps for that is one distribution a
    series, and nothing at all for cumulative readers.

    Args:
        recorder: Where histograms come from.
        readings: Where counters and gauges come from; None for a producer of histograms alone.
        histogram: Explicit or exponential buckets.
        max_size: Most buckets of one side of an exponential histogram.
        naming: Which set of convention names to use.

    Source:
        https://opentelemetry.io/docs/specs/otel/metrics/sdk/#metricproducer
    """

    def __init__(
        self,
        recorder: Recorder,
        readings: Readings | None = None,
        *,
        histogram: HistogramType = HistogramType.EXPLICIT,
        max_size: int = MaxSize.STANDARD,
        naming: Naming = Naming.SHIPPED,
    ) -> None:
        self._recorder = recorder
        self._readings = readings
        self._histogram = histogram
        self._max_size = max_size
        self._naming = naming
        self._baseline = Baseline()
        self._counted: dict[Point, int] = {}
        self._pending: tuple[Snapshot, dict[Point, int]] | None = None

    def produce(self, temporality: Temporality) -> list[SdkMetric]:
        """Return everything there is to tell now; no metric without a point.

        Args:
            temporality: Delta or cumulative. A producer is asked for one and the same always.
        """
        numbers = self._readings.read() if self._readings is not None else []
        snapshot = self._recorder.ledger().snapshot(reset_interval=temporality.histograms_are_delta)
        counted = {_point(one.metric, one.attributes): int(one.value) for one in _counters(numbers)}
        self._pending = (snapshot, counted)
        return [
            *self._histograms(snapshot, temporality),
            *self._sums(numbers, snapshot.time_unix_ns, temporality),
            *_gauges(numbers, snapshot.time_unix_ns),
        ]

    def delivered(self) -> None:
        """Let the next delta begin where the last batch ended."""
        if self._pending is not None:
            snapshot, self._counted = self._pending
            self._baseline.move(snapshot)
            self._pending = None

    def _histograms(self, snapshot: Snapshot, temporality: Temporality) -> list[SdkMetric]:
        if temporality.histograms_are_delta:
            found = self._baseline.differences(snapshot)
            kind = AggregationTemporality.DELTA
        else:
            found = [(one, since_start(one)) for one in snapshot.distributions]
            kind = AggregationTemporality.CUMULATIVE
        grouped = group(found, self._naming)
        if self._histogram is HistogramType.EXPONENTIAL:
            return self._exponential(grouped, snapshot.time_unix_ns, kind)
        return _explicit(grouped, snapshot.time_unix_ns, kind)

    def _exponential(
        self, grouped: Grouped, unix_ns: int, kind: AggregationTemporality
    ) -> list[SdkMetric]:
        points: dict[Metric, list[ExponentialHistogramDataPoint]] = {}
        for metric, attributes, _, found in grouped:
            point = exponential_point(
                found, max_size=self._max_size, attributes=attributes, unix_ns=unix_ns
            )
            points.setdefault(metric, []).append(point)
        return [_metric(one, ExponentialHistogram(found, kind)) for one, found in points.items()]

    def _sums(
        self, numbers: list[Reading], unix_ns: int, temporality: Temporality
    ) -> list[SdkMetric]:
        delta = temporality.counters_are_delta
        kind = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
        points: dict[Metric, list[NumberDataPoint]] = {}
        for one in _counters(numbers):
            point = self._sum_point(one, unix_ns, delta=delta)
            points.setdefault(one.metric, []).append(point)
        return [_metric(one, Sum(found, kind, True)) for one, found in points.items()]

    def _sum_point(self, reading: Reading, unix_ns: int, *, delta: bool) -> NumberDataPoint:
        start, before = self._recorder.epoch_unix_ns, 0
        if delta:
            start = max(start, self._baseline.unix_ns or 0)
            before = self._counted.get(_point(reading.metric, reading.attributes), 0)
        now = int(reading.value)
        return number_point(
            now - before if now >= before else now,
            attributes=reading.attributes,
            start_unix_ns=start,
            unix_ns=unix_ns,
        )


def group(found: Iterable[tuple[Distribution, Accumulation]], naming: Naming) -> Grouped:
    """Return the distributions with their metrics; those that would be one point are one.

    Two series can end up with the same name and attributes when a user's attribute has the name of
    one of the conventions'. Two points of one identity are something that receivers drop.

    Args:
        found: What to export.
        naming: Which set of convention names to use.
    """
    places: dict[Point, tuple[Metric, Attributes, Distribution]] = {}
    parts: dict[Point, list[Accumulation]] = {}
    for distribution, accumulation in found:
        name = named(distribution, naming)
        point = _point(name.metric, name.attributes)
        places.setdefault(point, (name.metric, name.attributes, distribution))
        parts.setdefault(point, []).append(accumulation)
    return [(*place, together(parts[point])) for point, place in places.items()]


def _explicit(grouped: Grouped, unix_ns: int, kind: AggregationTemporality) -> list[SdkMetric]:
    points: dict[Metric, list[HistogramDataPoint]] = {}
    for metric, attributes, distribution, found in grouped:
        point = explicit_point(
            found, bounds=distribution.quantity.bounds, attributes=attributes, unix_ns=unix_ns
        )
        points.setdefault(metric, []).append(point)
    return [_metric(one, Histogram(found, kind)) for one, found in points.items()]


def _gauges(numbers: list[Reading], unix_ns: int) -> list[SdkMetric]:
    points: dict[Metric, list[NumberDataPoint]] = {}
    for one in numbers:
        if one.kind is Kind.GAUGE:
            point = number_point(
                one.value, attributes=one.attributes, start_unix_ns=0, unix_ns=unix_ns
            )
            points.setdefault(one.metric, []).append(point)
    return [_metric(one, Gauge(found)) for one, found in points.items()]


def _counters(numbers: Iterable[Reading]) -> list[Reading]:
    return [one for one in numbers if one.kind is Kind.COUNTER]


def _point(metric: Metric, attributes: Attributes) -> Point:
    return metric.name, frozenset(attributes.items())


def _metric(metric: Metric, data: Histogram | ExponentialHistogram | Sum | Gauge) -> SdkMetric:
    return SdkMetric(metric.name, metric.description, metric.unit, data)
