"""Ready points of OpenTelemetry metrics, made of the SDK's public classes.

Everything in them is a plain Python int, float, str or tuple: the OTLP encoder fails a whole batch
for one numpy array, and writes a numpy integer as a float.
"""

from __future__ import annotations

from typing import cast

from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics.export import (
    Buckets,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    NumberDataPoint,
)

from slotel.export.accumulation import Accumulation
from slotel.export.exponential import exponential_buckets
from slotel.export.naming import Attributes
from slotel.measure.series import Exemplar


def explicit_point(
    found: Accumulation, *, bounds: tuple[float, ...], attributes: Attributes, unix_ns: int
) -> HistogramDataPoint:
    """Return a point with the quantity's own bounds, whose counts are exact.

    Args:
        found: What to count.
        bounds: Upper bounds, inclusive, ascending.
        attributes: Attributes of the point.
        unix_ns: When the stretch of time ends.
    """
    return HistogramDataPoint(
        attributes=dict(attributes),
        start_time_unix_nano=found.start_unix_ns,
        time_unix_nano=unix_ns,
        count=found.count,
        sum=_sum(found),
        bucket_counts=found.bucket_counts,
        explicit_bounds=bounds,
        min=found.minimum,
        max=found.maximum,
        exemplars=exemplars(found.exemplars),
    )


def exponential_point(
    found: Accumulation, *, max_size: int, attributes: Attributes, unix_ns: int
) -> ExponentialHistogramDataPoint:
    """Return a point with exponential buckets; their error is that of `exponential_buckets`.

    Args:
        found: What to count.
        max_size: Most buckets of one side.
        attributes: Attributes of the point.
        unix_ns: When the stretch of time ends.
    """
    buckets = exponential_buckets(found.positive, found.negative, max_size=max_size)
    return ExponentialHistogramDataPoint(
        attributes=dict(attributes),
        start_time_unix_nano=found.start_unix_ns,
        time_unix_nano=unix_ns,
        count=found.count,
        sum=_sum(found),
        scale=buckets.scale,
        zero_count=buckets.zero_count,
        positive=Buckets(buckets.positive.offset, buckets.positive.counts),
        negative=Buckets(buckets.negative.offset, buckets.negative.counts),
        flags=0,
        min=found.minimum,
        max=found.maximum,
        exemplars=exemplars(found.exemplars),
    )


def number_point(
    value: float, *, attributes: Attributes, start_unix_ns: int, unix_ns: int
) -> NumberDataPoint:
    """Return a point of a counter or a gauge.

    Args:
        value: An int stays an int on the wire.
        attributes: Attributes of the point.
        start_unix_ns: Since when a counter counts; 0 for a gauge.
        unix_ns: When it was read.
    """
    return NumberDataPoint(
        attributes=dict(attributes),
        start_time_unix_nano=start_unix_ns,
        time_unix_nano=unix_ns,
        value=value,
    )


def exemplars(found: tuple[Exemplar, ...]) -> tuple[SdkExemplar, ...]:
    """Return exemplars with both ids; the encoder leaves out one that stands alone."""
    return tuple(
        SdkExemplar(
            filtered_attributes={},
            value=float(one.value),
            time_unix_nano=one.unix_ns,
            span_id=one.span_id,
            trace_id=one.trace_id,
        )
        for one in found
    )


def _sum(found: Accumulation) -> float:
    """Return the sum, or nothing when a value was negative.

    Source:
        "Negative events can be recorded, but sum should not be filled out when doing so":
        opentelemetry/proto/metrics/v1/metrics.proto, HistogramDataPoint.sum. The field is optional
        there and the encoder passes None on; only the SDK's class does not say so.
    """
    return cast("float", None) if found.minimum < 0 else found.sum
