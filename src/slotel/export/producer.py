"""The producer of ready metrics: one batch of everything that this process has to tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from weakref import WeakKeyDictionary

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
from slotel.measure.series import Recorder
from slotel.measure.snapshot import Distribution, Snapshot
from slotel.semconv import Metric, Naming

Point = tuple[str, frozenset[tuple[str, str | bool]]]
"""What tells a point from all others: the metric's name and the attributes."""
Counted = tuple[Point, int]
"""What tells a counter from all others: the point and the start, for a counter can begin anew."""
Grouped = list[tuple[Metric, Attributes, Distribution, Accumulation]]
"""What to export, with its metric and its attributes."""


class Readings(Protocol):
    """Where a producer gets its counters and gauges from."""

    def read(self) -> list[Reading]:
        """Return all numbers as they stand now."""
        ...


class _Told:
    """Where the delivered deltas of a recorder end: those of one way out after the other.

    A process that is configured anew goes on where it was, and tells nothing a second time.
    """

    def __init__(self, epoch_unix_ns: int) -> None:
        self.epoch_unix_ns = epoch_unix_ns
        self.baseline = Baseline()
        self.counted: dict[Counted, int] = {}


_told: WeakKeyDictionary[Recorder, _Told] = WeakKeyDictionary()


def _told_by(recorder: Recorder) -> _Told:
    """Return where the recorder's deltas end; at its start in a forked child."""
    known = _told.get(recorder)
    if known is None or known.epoch_unix_ns != recorder.epoch_unix_ns:
        known = _told[recorder] = _Told(recorder.epoch_unix_ns)
    return known


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
        self._told = _told_by(recorder)
        self._pending: tuple[Snapshot, dict[Counted, int]] | None = None

    def produce(self, temporality: Temporality) -> list[SdkMetric]:
        """Return everything there is to tell now; no metric without a point.

        Args:
            temporality: Delta or cumulative. A producer is asked for one and the same always.
        """
        numbers = self._readings.read() if self._readings is not None else []
        snapshot = self._recorder.ledger().snapshot(reset_interval=temporality.histograms_are_delta)
        if temporality.histograms_are_delta:
            counted = {_counted(one): int(one.value) for one in _counters(numbers)}
            self._pending = (snapshot, counted)
        return [
            *self._histograms(snapshot, temporality),
            *self._sums(numbers, snapshot.time_unix_ns, temporality),
            *_gauges(numbers, snapshot.time_unix_ns),
        ]

    def delivered(self) -> None:
        """Let the next delta begin where the last batch ended."""
        if self._pending is not None:
            snapshot, self._told.counted = self._pending
            self._told.baseline.move(snapshot)
            self._pending = None

    def _histograms(self, snapshot: Snapshot, temporality: Temporality) -> list[SdkMetric]:
        if temporality.histograms_are_delta:
            found = self._told.baseline.differences(snapshot)
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
        start, before = reading.start_unix_ns, 0
        if delta:
            start = max(start, self._told.baseline.unix_ns or 0)
            before = self._told.counted.get(_counted(reading), 0)
        return number_point(
            int(reading.value) - before,
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
        point = point_of(name.metric, name.attributes)
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


def _counted(reading: Reading) -> Counted:
    return point_of(reading.metric, reading.attributes), reading.start_unix_ns


def point_of(metric: Metric, attributes: Attributes) -> Point:
    """Return what tells a point from all others."""
    return metric.name, frozenset(attributes.items())


def _metric(metric: Metric, data: Histogram | ExponentialHistogram | Sum | Gauge) -> SdkMetric:
    return SdkMetric(metric.name, metric.description, metric.unit, data)
