"""What arrived over OTLP as plain records: spans and data points, read from protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from opentelemetry.proto.metrics.v1 import metrics_pb2

DELTA = int(metrics_pb2.AGGREGATION_TEMPORALITY_DELTA)

# Sorted (name, value) pairs: hashable, so that series can be told apart.
Pairs = tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span as it arrived.

    Attributes:
        name: Span name.
        kind: Number of the span kind in the protocol; 1 internal, 3 client.
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        parent_span_id: 16 hexadecimal digits; empty for a root.
        start_unix_ns: When it began.
        end_unix_ns: When it ended.
        attributes: Its attributes.
        status: Number of the status code; 0 unset, 1 ok, 2 error.
        status_message: Description of an error; may be empty.
        events: Names of its events, in order.
        scope: Name of the instrumentation scope.
        resource: Attributes of the resource.
    """

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_span_id: str
    start_unix_ns: int
    end_unix_ns: int
    attributes: dict[str, object]
    status: int
    status_message: str
    events: tuple[str, ...]
    scope: str
    resource: dict[str, object]


@dataclass(frozen=True, slots=True)
class Point:
    """What all data points have: metric, series, temporality and time.

    Attributes:
        metric: Name of the metric.
        unit: Unit in UCUM.
        attributes: Attributes of the point, sorted.
        resource: Attributes of the resource, sorted.
        start_unix_ns: When the accumulation began; 0 for a gauge.
        unix_ns: When the point was taken.
        delta: True for delta temporality, False for cumulative and for gauges.
        exemplars: Values and ids of the calls attached to the point.
    """

    metric: str
    unit: str
    attributes: Pairs
    resource: Pairs
    start_unix_ns: int
    unix_ns: int
    delta: bool
    exemplars: tuple[ReceivedExemplar, ...]

    def carries(self, attributes: dict[str, object]) -> bool:
        """Return whether the point carries at least these attributes with these values."""
        own = dict(self.attributes)
        return all(name in own and own[name] == value for name, value in attributes.items())


@dataclass(frozen=True, slots=True)
class ReceivedExemplar:
    """One value of one call, with the span it belongs to (hexadecimal; empty when none)."""

    value: float
    unix_ns: int
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class NumberPoint(Point):
    """A point of a sum or a gauge; `monotonic` is True for a counter only."""

    value: float
    monotonic: bool


@dataclass(frozen=True, slots=True)
class HistogramPoint(Point):
    """A point of a histogram of either kind.

    Attributes:
        count: Number of values.
        sum: Their sum, in the unit of the metric.
        minimum: Smallest value; None when not sent.
        maximum: Largest value; None when not sent.
        bounds: Inclusive upper bounds of the explicit buckets; empty for an exponential one.
        bucket_counts: Counts of the explicit buckets, one more than bounds.
        scale: Scale of an exponential histogram; None for an explicit one.
        zero_count: Values in the zero bucket of an exponential histogram.
        positive: Bucket index and count of the positive values, ascending, empty ones left out.
        negative: The same for the absolute value of the negative ones.
    """

    count: int
    sum: float
    minimum: float | None
    maximum: float | None
    bounds: tuple[float, ...]
    bucket_counts: tuple[int, ...]
    scale: int | None
    zero_count: int
    positive: tuple[tuple[int, int], ...]
    negative: tuple[tuple[int, int], ...]


Kept = TypeVar("Kept", NumberPoint, HistogramPoint)


def latest(points: Iterable[Kept]) -> list[Kept]:
    """Return one point a series: the last of cumulative ones, the sum of delta ones.

    A cumulative series that began anew (another start time) is a series of its own, so that adding
    the result up counts what came before the restart too.
    """
    series: dict[object, Kept] = {}
    for point in points:
        begun = 0 if point.delta else point.start_unix_ns
        key = (point.metric, point.attributes, point.resource, point.delta, begun)
        earlier = series.get(key)
        if earlier is None:
            series[key] = point
        elif point.delta:
            series[key] = _added(earlier, point)
        elif point.unix_ns >= earlier.unix_ns:
            series[key] = point
    return list(series.values())


def read_spans(message: Any) -> list[ReceivedSpan]:
    """Return the spans of an ExportTraceServiceRequest."""
    return [
        ReceivedSpan(
            name=span.name,
            kind=int(span.kind),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_span_id=span.parent_span_id.hex(),
            start_unix_ns=span.start_time_unix_nano,
            end_unix_ns=span.end_time_unix_nano,
            attributes=dict(_pairs(span.attributes)),
            status=int(span.status.code),
            status_message=span.status.message,
            events=tuple(event.name for event in span.events),
            scope=scoped.scope.name,
            resource=dict(_pairs(of_resource.resource.attributes)),
        )
        for of_resource in message.resource_spans
        for scoped in of_resource.scope_spans
        for span in scoped.spans
    ]


def read_points(message: Any) -> list[Point]:
    """Return the data points of an ExportMetricsServiceRequest; summaries are passed over."""
    return [
        point
        for of_resource in message.resource_metrics
        for scoped in of_resource.scope_metrics
        for metric in scoped.metrics
        for point in _points_of(metric, _pairs(of_resource.resource.attributes))
    ]


def _points_of(metric: Any, resource: Pairs) -> Iterator[Point]:
    kind = metric.WhichOneof("data")
    if kind in ("gauge", "sum"):
        data = getattr(metric, kind)
        for point in data.data_points:
            yield _number(metric, data, point, resource)
    elif kind in ("histogram", "exponential_histogram"):
        data = getattr(metric, kind)
        for point in data.data_points:
            yield _histogram(metric, data, point, resource)


def _common(metric: Any, data: Any, point: Any, resource: Pairs) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "attributes": _pairs(point.attributes),
        "resource": resource,
        "start_unix_ns": point.start_time_unix_nano,
        "unix_ns": point.time_unix_nano,
        "delta": int(getattr(data, "aggregation_temporality", 0)) == DELTA,
        "exemplars": tuple(
            ReceivedExemplar(
                float(_scalar(exemplar)),
                exemplar.time_unix_nano,
                exemplar.trace_id.hex(),
                exemplar.span_id.hex(),
            )
            for exemplar in point.exemplars
        ),
    }


def _number(metric: Any, data: Any, point: Any, resource: Pairs) -> NumberPoint:
    return NumberPoint(
        value=float(_scalar(point)),
        monotonic=bool(getattr(data, "is_monotonic", False)),
        **_common(metric, data, point, resource),
    )


def _histogram(metric: Any, data: Any, point: Any, resource: Pairs) -> HistogramPoint:
    exponential = hasattr(point, "scale")
    return HistogramPoint(
        count=point.count,
        sum=point.sum,
        minimum=point.min if point.HasField("min") else None,
        maximum=point.max if point.HasField("max") else None,
        bounds=() if exponential else tuple(point.explicit_bounds),
        bucket_counts=() if exponential else tuple(point.bucket_counts),
        scale=point.scale if exponential else None,
        zero_count=point.zero_count if exponential else 0,
        positive=_buckets(point.positive) if exponential else (),
        negative=_buckets(point.negative) if exponential else (),
        **_common(metric, data, point, resource),
    )


def _buckets(buckets: Any) -> tuple[tuple[int, int], ...]:
    return tuple(
        (buckets.offset + place, count)
        for place, count in enumerate(buckets.bucket_counts)
        if count
    )


def _scalar(point: Any) -> float:
    return float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)


def _pairs(attributes: Any) -> Pairs:
    return tuple(sorted((pair.key, _value(pair.value)) for pair in attributes))


def _value(value: Any) -> object:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "array_value":
        return tuple(_value(item) for item in content.values)
    if kind == "kvlist_value":
        return _pairs(content.values)
    return content


def _added(one: Kept, other: Kept) -> Kept:
    if isinstance(one, NumberPoint) and isinstance(other, NumberPoint):
        return replace(one, value=one.value + other.value, unix_ns=other.unix_ns)
    if isinstance(one, HistogramPoint) and isinstance(other, HistogramPoint):
        return _added_histograms(one, other)
    raise TypeError(f"cannot add a {type(other).__name__} to a {type(one).__name__}")


def _added_histograms(one: HistogramPoint, other: HistogramPoint) -> HistogramPoint:
    scale = None
    if one.scale is not None and other.scale is not None:
        scale = min(one.scale, other.scale)
    return replace(
        one,
        unix_ns=other.unix_ns,
        count=one.count + other.count,
        sum=one.sum + other.sum,
        minimum=_either(min, one.minimum, other.minimum),
        maximum=_either(max, one.maximum, other.maximum),
        bucket_counts=tuple(
            a + b for a, b in zip(one.bucket_counts, other.bucket_counts, strict=True)
        ),
        scale=scale,
        zero_count=one.zero_count + other.zero_count,
        positive=_merged(one.positive, one.scale, other.positive, other.scale),
        negative=_merged(one.negative, one.scale, other.negative, other.scale),
        exemplars=one.exemplars + other.exemplars,
    )


def _merged(
    one: tuple[tuple[int, int], ...],
    one_scale: int | None,
    other: tuple[tuple[int, int], ...],
    other_scale: int | None,
) -> tuple[tuple[int, int], ...]:
    if one_scale is None or other_scale is None:
        return ()
    scale = min(one_scale, other_scale)
    counts: dict[int, int] = {}
    for buckets, own in ((one, one_scale), (other, other_scale)):
        for index, count in buckets:
            # A lower scale joins 2^n neighbours: index >> n, for negative indexes too.
            counts[index >> (own - scale)] = counts.get(index >> (own - scale), 0) + count
    return tuple(sorted(counts.items()))


def _either(choose: Any, one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return choose(known) if known else None
