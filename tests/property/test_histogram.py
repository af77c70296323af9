"""Laws of the histogram: merging loses nothing, text survives, percentiles keep their error."""

import numpy as np
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from slotel.measure.hdr_text import decode, encode_here
from slotel.measure.histogram import HIGHEST_UNITS, LAYOUTS, HdrCounts

digits = st.sampled_from((2, 3))
units = st.integers(0, HIGHEST_UNITS)
samples = st.lists(units, max_size=60)


def counted(precision, values):
    layout = LAYOUTS[precision]
    array = np.array(values, np.float64)
    found = layout.index(array)
    first = int(found.min(initial=0))
    return HdrCounts(layout, 1.0, first, np.bincount(found - first).astype(np.int64))


def filled(counts):
    places, found = counts.nonzero()
    return places.tolist(), found.tolist()


@given(digits, units)
def test_every_whole_value_has_the_oracles_index(precision, value):
    """Any value up to an hour of nanoseconds lies in HdrHistogram's bucket."""
    oracle = HdrHistogram(1, HIGHEST_UNITS, precision)
    found = LAYOUTS[precision].index(np.array([value * 1.0]))
    assert found.tolist() == [oracle._counts_index_for(value)]


@given(digits, samples)
def test_text_goes_to_the_oracle_and_back(precision, values):
    """Our text is read by hdrh, and hdrh's text by us, with equal counts."""
    ours = counted(precision, values)
    theirs = HdrHistogram(1, HIGHEST_UNITS, precision)
    for value in values:
        theirs.record_value(value)
    assert filled(decode(encode_here(ours), scale=1.0)) == filled(ours)
    assert filled(decode(theirs.encode().decode(), scale=1.0)) == filled(ours)
    read = HdrHistogram.decode(encode_here(ours))
    places, found = ours.nonzero()
    assert [read.get_count_at_index(int(place)) for place in places] == found.tolist()
    assert read.get_total_count() == len(values)


@given(digits, samples, samples)
def test_merging_is_counting_all_at_once(precision, some, others):
    """Two histograms added are the histogram of both samples, in either order; minus undoes it."""
    one, two = counted(precision, some), counted(precision, others)
    both = counted(precision, some + others)
    assert filled(one.plus(two)) == filled(two.plus(one)) == filled(both)
    assert filled(both.minus(one)) == filled(two)


@given(digits, st.lists(units, min_size=1, max_size=60), st.floats(0, 100))
def test_a_percentile_is_within_its_error_of_the_sample(precision, values, percent):
    """It is the midpoint of the bucket of a value whose rank is the one asked for, or beside it."""
    counts = counted(precision, values)
    found = counts.percentile(percent)
    rank = max(1, int(np.ceil(percent / 100 * len(values))))
    ordered = sorted(values)
    near = {ordered[max(0, rank - 2)], ordered[rank - 1]} if percent else {ordered[0]}
    assert any(abs(found - value) <= counts.relative_error * value + 1e-9 for value in near)
