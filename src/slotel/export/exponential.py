"""HDR counts as the buckets of an OTLP exponential histogram, with a proven error."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from slotel.measure.histogram import HdrCounts, Ints

MIN_SCALE = -10
"""Coarsest scale of the OpenTelemetry SDKs: one bucket spans 2**1024, all of a float64."""


class MaxSize(IntEnum):
    """How many buckets a side of an exponential histogram may have.

    160 is the default of the SDKs and what backends expect; 320 and 640 buy one and two scales
    more for the same range of values, a quarter and a half of the error gone each time.
    """

    STANDARD = 160
    FINE = 320
    FINEST = 640


@dataclass(frozen=True, slots=True)
class Side:
    """The buckets of one sign: bucket i covers (base**i, base**(i+1)].

    Attributes:
        offset: Index of the first bucket; 0 when there is none.
        counts: Counts of consecutive buckets from `offset` on, plain integers; empty for no value.
    """

    offset: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExponentialBuckets:
    """The buckets of one point.

    Attributes:
        scale: The base is 2**(2**-scale).
        zero_count: Values smaller than one histogram unit (a nanosecond, a millionth).
        positive: Buckets of the values above zero.
        negative: Buckets of the magnitudes of the values below zero.
    """

    scale: int
    zero_count: int
    positive: Side
    negative: Side


NOTHING = Side(0, ())


def exponential_buckets(
    positive: HdrCounts,
    negative: HdrCounts | None = None,
    *,
    max_size: int = MaxSize.STANDARD,
) -> ExponentialBuckets:
    """Return HDR counts as exponential buckets at the largest scale that fits.

    Each HDR bucket [L, L + w) is counted where its middle m = L + w/2 falls. For every value x in
    it |m - x| / x <= w / (2 L) <= 2**-8 with two significant digits, for values of at least 128
    histogram units; whoever answers with the harmonic middle e of an exponential bucket of base b
    has |e - m| / m <= (b - 1) / (b + 1). Together, at scale s with b = 2**(2**-s):

        |e - x| / x  <=  (1 + 2**-8) * (1 + (b - 1) / (b + 1)) - 1

    which is 0.93 % at scale 6, 1.48 % at 5, 2.56 % at 4, 4.74 % at 3 and 9.07 % at 2
    (`proven_error`). The scale is capped at 6 (9 with three digits): there the base is larger than
    1 + 2**-7, so an HDR bucket touches at most two exponential ones, no bucket inside the range is
    left empty by the conversion, and no value moves by more than one bucket.

    Args:
        positive: Values from zero up.
        negative: Magnitudes of the values below zero; None for a quantity that has none.
        max_size: Most buckets of one side, at least 2.

    Returns:
        Counts that add up to the total of both inputs.
    """
    zero, above = _indices(positive)
    more_zero, below = _indices(negative) if negative is not None else (0, None)
    cap = scale_cap(positive)
    shift = max(_shift(above, max_size), _shift(below, max_size))
    shift = min(shift, cap - MIN_SCALE)
    return ExponentialBuckets(
        scale=cap - shift,
        zero_count=zero + more_zero,
        positive=_dense(above, shift),
        negative=_dense(below, shift),
    )


def scale_cap(counts: HdrCounts) -> int:
    """Return the finest scale whose buckets are wider than the histogram's own: 6, or 9."""
    return counts.layout.bits - 1


def proven_error(counts: HdrCounts, scale: int) -> float:
    """Return the largest error, a ratio of the value, of a percentile read from the buckets.

    Args:
        counts: The histogram that was converted.
        scale: Scale of the result.

    Source:
        The inequality in the docstring of `exponential_buckets`.
    """
    base: float = 2.0 ** (2.0**-scale)
    return (1 + counts.relative_error) * (1 + (base - 1) / (base + 1)) - 1


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """Bucket numbers at the cap's scale (int64, ascending) and the counts to put there."""

    indices: Ints
    counts: Ints


def _indices(counts: HdrCounts) -> tuple[int, _Placed | None]:
    """Return how many values are below one unit, and where the others lie at the cap's scale."""
    buckets, found = counts.nonzero()
    zero = int(found[0]) if len(buckets) and int(buckets[0]) == 0 else 0
    if zero:
        buckets, found = buckets[1:], found[1:]
    if not len(buckets):
        return zero, None
    middles = counts.layout.midpoints(buckets) / counts.scale
    steps = float(1 << scale_cap(counts))
    return zero, _Placed(np.ceil(np.log2(middles) * steps).astype(np.int64) - 1, found)


def _shift(placed: _Placed | None, max_size: int) -> int:
    """Return by how many scales to coarsen so that the buckets of one side fit."""
    if placed is None:
        return 0
    low, high = int(placed.indices[0]), int(placed.indices[-1])
    shift = 0
    # One scale less joins neighbours 2i and 2i+1 exactly: index >> 1, for negative ones too.
    while (high >> shift) - (low >> shift) >= max_size:
        shift += 1
    return shift


def _dense(placed: _Placed | None, shift: int) -> Side:
    if placed is None:
        return NOTHING
    indices = placed.indices >> shift
    offset = int(indices[0])
    dense = np.zeros(int(indices[-1]) - offset + 1, np.int64)
    np.add.at(dense, indices - offset, placed.counts)
    # Python integers: the OTLP encoder refuses a whole batch for one numpy array in it.
    return Side(offset, tuple(dense.tolist()))
