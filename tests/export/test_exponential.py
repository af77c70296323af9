"""HDR counts become exponential buckets: right totals, right places, within the proven error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotel.export.exponential import (
    MIN_SCALE,
    ExponentialBuckets,
    Side,
    exponential_buckets,
    proven_error,
)
from slotel.measure.histogram import LAYOUTS, HdrCounts

NANO = 1e9


def hdr(values, *, scale: float = NANO, digits: int = 2) -> HdrCounts:
    """Count values, in base units, as the recorder does."""
    layout = LAYOUTS[digits]
    if not len(values):
        return HdrCounts(layout, scale, 0, np.zeros(0, np.int64))
    indices = layout.index(np.asarray(values, np.float64) * scale)
    counts = np.bincount(indices, minlength=1).astype(np.int64)
    return HdrCounts(layout, scale, 0, counts)


def total(found: ExponentialBuckets) -> int:
    return found.zero_count + sum(found.positive.counts) + sum(found.negative.counts)


def answer(found: ExponentialBuckets, rank: int) -> float:
    """Return the harmonic middle of the bucket that holds the value of that rank, from 1."""
    seen = found.zero_count
    for place, count in enumerate(found.positive.counts):
        seen += count
        if seen >= rank:
            low = 2.0 ** ((found.positive.offset + place) * 2.0**-found.scale)
            high = 2.0 ** ((found.positive.offset + place + 1) * 2.0**-found.scale)
            return 2 * low * high / (low + high)
    raise AssertionError("no such rank")


def test_nothing_becomes_nothing():
    """No value gives no bucket, at the finest scale."""
    found = exponential_buckets(hdr([]))
    assert found == ExponentialBuckets(6, 0, Side(0, ()), Side(0, ()))


def test_one_second_lies_in_the_bucket_that_ends_at_one():
    """Upper bounds are inclusive: 1.0 has index -1 at every scale."""
    layout = LAYOUTS[2]
    # A bucket one unit wide, so that its middle is the value itself.
    counts = HdrCounts(layout, 1.0, 1, np.array([1], np.int64))
    assert exponential_buckets(counts).positive == Side(-1, (1,))


@pytest.mark.parametrize(("digits", "cap"), [(2, 6), (3, 9)])
def test_the_scale_is_capped_by_the_histogram_that_it_is_made_of(digits: int, cap: int):
    """A single value would fit any scale; finer buckets than the source's would be a comb."""
    assert exponential_buckets(hdr([0.5], digits=digits)).scale == cap


@pytest.mark.parametrize(("max_size", "scale"), [(160, 3), (320, 4), (640, 5)])
def test_more_buckets_buy_a_finer_scale(max_size: int, scale: int):
    """From 1 ms to 100 s 133, 266 and 532 buckets are needed at scales 3, 4 and 5."""
    values = np.geomspace(0.001, 100.0, 5000)
    found = exponential_buckets(hdr(values), max_size=max_size)
    assert found.scale == scale
    assert len(found.positive.counts) <= max_size


def test_the_smallest_size_still_holds_everything():
    """One nanosecond to one hour in two buckets."""
    found = exponential_buckets(hdr([1e-9, 3600.0]), max_size=2)
    assert MIN_SCALE <= found.scale < 0
    assert len(found.positive.counts) <= 2
    assert total(found) == 2


def test_values_below_one_unit_are_zero():
    """Half a nanosecond is not told apart from zero, on either side."""
    found = exponential_buckets(hdr([0.0, 0.4e-9, 1.0]), hdr([0.4e-9, 2.0]))
    assert found.zero_count == 3
    assert sum(found.positive.counts) == 1
    assert sum(found.negative.counts) == 1


def test_both_signs_share_one_scale():
    """The wider side decides; a similarity of -0.5 lies where 0.5 lies."""
    narrow, wide = hdr([0.5], scale=1e6), hdr(np.geomspace(0.002, 1.0, 500), scale=1e6)
    found = exponential_buckets(narrow, wide)
    mirrored = exponential_buckets(wide, narrow)
    assert found.scale == mirrored.scale == 4
    assert found.negative == mirrored.positive
    assert found.positive.offset in (-17, -16)  # 0.5 ends bucket -17; its HDR middle is above it


def test_counts_are_python_integers():
    """One numpy number in a batch and the encoder fails all of it."""
    found = exponential_buckets(hdr([0.1, 0.2]), hdr([0.3]))
    numbers = [found.zero_count, found.positive.offset, *found.positive.counts]
    numbers += [found.negative.offset, *found.negative.counts, found.scale]
    assert {type(number) for number in numbers} == {int}


@pytest.mark.parametrize(
    ("scale", "bound"), [(2, 0.0907), (3, 0.0474), (4, 0.0256), (5, 0.0148), (6, 0.0093)]
)
def test_the_proven_error_is_the_table_in_the_docstring(scale: int, bound: float):
    """The figures that users read are those of the formula."""
    assert proven_error(hdr([1.0]), scale) == pytest.approx(bound, abs=5e-5)


@given(
    st.lists(st.floats(1.28e-7, 3600.0), min_size=1, max_size=200),
    st.sampled_from([2, 20, 160, 320, 640]),
    st.sampled_from([2, 3]),
)
def test_every_percentile_is_within_the_proven_error(values, max_size, digits):
    """For every rank, at any size and precision, the answer keeps the stated distance."""
    counts = hdr(values, digits=digits)
    found = exponential_buckets(counts, max_size=max_size)
    assert total(found) == len(values)
    bound = proven_error(counts, found.scale)
    for rank, exact in enumerate(sorted(values), start=1):
        assert abs(answer(found, rank) - exact) <= bound * exact * (1 + 1e-9)


@given(st.lists(st.floats(1e-6, 3600.0), min_size=1, max_size=200))
def test_no_count_moves_by_more_than_one_bucket(values):
    """Each value lies at most one bucket from where its own index would put it."""
    found = exponential_buckets(hdr(values))
    direct = sorted(math.ceil(math.log2(value) * 2.0**found.scale) - 1 for value in values)
    ours = [
        found.positive.offset + place
        for place, count in enumerate(found.positive.counts)
        for _ in range(count)
    ]
    assert max(abs(a - b) for a, b in zip(direct, ours, strict=True)) <= 1


def test_the_range_that_is_filled_has_no_comb():
    """Evenly spread values leave no bucket empty at the finest scale."""
    values = np.geomspace(1.0, 2.0, 200_000)
    found = exponential_buckets(hdr(values))
    assert found.scale == 6
    assert min(found.positive.counts) > 0
