"""HdrHistogram's buckets, percentiles and interchange form, with the package as the oracle."""

import base64
import math
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from slotel.errors import SLOValueError
from slotel.measure.hdr_text import decode, encode, encode_here
from slotel.measure.histogram import (
    HIGHEST_UNITS,
    LAYOUTS,
    HdrCounts,
    SegmentPool,
    sum_counts,
)

DIGITS = (2, 3)


def oracle(digits):
    return HdrHistogram(1, HIGHEST_UNITS, digits)


def indices(layout, units):
    return layout.index(np.asarray(units, np.float64))


def counted(layout, units, scale=1.0):
    return HdrCounts(layout, scale, 0, np.bincount(indices(layout, units), minlength=layout.size))


def around_powers_of_two():
    powers = [1 << power for power in range(42)]
    near = {power + step for power in powers for step in (-1, 0, 1)}
    return [*sorted(value for value in near if value <= HIGHEST_UNITS), HIGHEST_UNITS]


@pytest.mark.parametrize("digits", DIGITS)
def test_there_are_as_many_buckets_as_hdr_histogram_has(digits):
    """The counts array has the length that HdrHistogram allocates for one hour."""
    assert LAYOUTS[digits].size == oracle(digits).counts_len


@pytest.mark.parametrize("digits", DIGITS)
def test_values_around_powers_of_two_fall_into_hdr_histograms_buckets(digits):
    """Where octaves meet, the index is bit for bit the oracle's."""
    values = around_powers_of_two()
    expected = [oracle(digits)._counts_index_for(value) for value in values]
    assert indices(LAYOUTS[digits], values).tolist() == expected


@pytest.mark.parametrize("digits", DIGITS)
def test_random_values_fall_into_hdr_histograms_buckets(digits):
    """100,000 whole values over all octaves have the oracle's index."""
    draw = np.random.default_rng(7)
    values = np.exp(draw.uniform(0, math.log(HIGHEST_UNITS), 100_000)).astype(np.int64)
    histogram = oracle(digits)
    expected = [histogram._counts_index_for(int(value)) for value in values]
    assert indices(LAYOUTS[digits], values).tolist() == expected


@pytest.mark.parametrize("digits", DIGITS)
def test_fractions_of_a_unit_belong_to_the_whole_unit_below(digits):
    """A value between two units is counted like the lower one, as after truncation."""
    draw = np.random.default_rng(8)
    values = np.exp(draw.uniform(-3, math.log(1e6), 20_000))
    assert indices(LAYOUTS[digits], values).tolist() == (
        indices(LAYOUTS[digits], np.floor(values)).tolist()
    )


@pytest.mark.parametrize("digits", DIGITS)
def test_lower_bounds_and_widths_are_hdr_histograms(digits):
    """Every bucket begins where the oracle's begins, ends where it ends, and holds both ends."""
    layout, histogram = LAYOUTS[digits], oracle(digits)
    every = np.arange(layout.size)
    lower, width = layout.lower_bounds(every), layout.widths(every)
    places = range(0, layout.size, 1 if digits == 2 else 7)
    assert [lower[at] for at in places] == [histogram.get_value_from_index(at) for at in places]
    inside = every[lower + width - 1 <= HIGHEST_UNITS]
    assert indices(layout, lower[inside]).tolist() == inside.tolist()
    assert indices(layout, (lower + width - 1)[inside]).tolist() == inside.tolist()
    assert [histogram.get_highest_equivalent_value(int(lower[at])) for at in inside[::7]] == (
        (lower + width - 1)[inside[::7]].tolist()
    )


@pytest.mark.parametrize("digits", DIGITS)
def test_midpoints_lie_within_the_stated_error_of_both_ends(digits):
    """A midpoint is at most 0.39 % (0.049 %) away from every value in its bucket."""
    layout = LAYOUTS[digits]
    every = np.arange(1, layout.size)
    lower, middle = layout.lower_bounds(every), layout.midpoints(every)
    last = lower + layout.widths(every) - 1
    allowed = {2: 0.0039063, 3: 0.00048829}[digits]
    assert layout.relative_error <= allowed
    assert ((middle - lower) / lower).max() <= layout.relative_error
    assert ((last - middle) / last).max() <= layout.relative_error


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 2.3e-308, 0.999])
def test_less_than_a_unit_is_bucket_zero(value):
    """Zero of either sign, subnormals and fractions of a nanosecond share the first bucket."""
    assert indices(LAYOUTS[2], [value, 5.0]).tolist() == [0, 5]


def lognormal(draw, size):
    return draw.lognormal(math.log(0.8), 1.0, size)


def bimodal(draw, size):
    slow = draw.random(size) < 0.4
    return np.where(slow, draw.normal(6.0, 0.5, size), draw.normal(0.04, 0.004, size)).clip(1e-3)


def time_per_token(draw, size):
    stalls = draw.random(size) < 0.005
    return np.where(stalls, draw.normal(2.0, 0.2, size), draw.gamma(4.0, 0.005, size)).clip(1e-5)


def log_uniform(draw, size):
    return np.exp(draw.uniform(math.log(1e-6), math.log(3600.0), size))


def inverted_cdf(values, percent):
    """Return numpy's `inverted_cdf`, of a rank that numpy does not round one too high at 99.9 %."""
    rank = math.ceil(Fraction(str(percent)) / 100 * len(values))
    exact = np.percentile(values, (rank - 0.5) / len(values) * 100, method="inverted_cdf")
    assert exact == np.sort(values)[rank - 1]
    return exact


@pytest.mark.parametrize("digits", DIGITS)
@pytest.mark.parametrize("distribution", [lognormal, bimodal, time_per_token, log_uniform])
def test_percentiles_are_within_the_bar_of_the_exact_ones(digits, distribution):
    """0.4 % with two digits, 0.1 % with three, at every percentile that anyone asks for."""
    values = distribution(np.random.default_rng(11), 100_000)
    counts = counted(LAYOUTS[digits], values * 1e9, scale=1e9)
    percents = (0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100)
    exact = [inverted_cdf(values, percent) for percent in percents]
    found = np.array(counts.percentiles(percents))
    assert (abs(found - exact) / exact).max() <= {2: 0.004, 3: 0.001}[digits]


@pytest.mark.parametrize(
    ("total", "percent", "rank"),
    [
        (1_000_000, 99.9, 999_000), (10**9, 99.9, 999_000_000), (1000, 55.0, 550), (2, 50, 1),
        (3, 0, 1), (3, 100, 3), (7, 100, 7), (10**12, 100, 10**12), (100, 29, 29),
        (10**9 + 1, 50, 500_000_001), (1000, 0.1, 1),
    ],
)  # fmt: skip
def test_a_percentile_is_the_value_of_the_rank_that_the_share_reaches(total, percent, rank):
    """Rounding moves no rank, whatever the total."""
    counts = np.zeros(64, np.int64)
    counts[10], counts[20], counts[30] = rank - 1, 1, total - rank
    assert HdrCounts(LAYOUTS[2], 1.0, 0, counts).percentile(percent) == 20


def test_percentiles_of_nothing_are_not_a_number():
    """An empty histogram, with or without buckets, has no percentile."""
    for size in (0, 200):
        empty = HdrCounts(LAYOUTS[2], 1.0, 0, np.zeros(size, np.int64))
        assert empty.total == 0
        assert all(math.isnan(value) for value in empty.percentiles((0, 50, 100)))


def test_all_percentiles_of_one_value_are_that_value():
    """One value is its own minimum, median and maximum."""
    one = counted(LAYOUTS[2], [100.0])
    assert one.percentiles((0, 50, 99.9, 100)) == (100.0,) * 4


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan, math.inf])
def test_a_percent_out_of_range_is_refused(percent):
    """Ratios above one hundred percent and not-a-number are the caller's mistake."""
    with pytest.raises(SLOValueError, match="between 0 and 100, got"):
        counted(LAYOUTS[2], [1.0]).percentile(percent)


def test_plus_and_minus_work_between_different_octaves():
    """Adding and subtracting align buckets first."""
    layout = LAYOUTS[2]
    low = HdrCounts(layout, 1.0, 10, np.array([1, 2]))
    high = HdrCounts(layout, 1.0, 500, np.array([3]))
    both = low.plus(high)
    places, counts = both.nonzero()
    assert (places.tolist(), counts.tolist()) == ([10, 11, 500], [1, 2, 3])
    assert both.minus(low).nonzero()[0].tolist() == [500]
    assert sum_counts((), layout=layout, scale=1.0).total == 0


# --- interchange ------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", DIGITS)
@pytest.mark.parametrize("units", [[], [0], [1], [HIGHEST_UNITS], [5] * 300, [0, 1, 10**9] * 70])
def test_the_oracle_reads_what_we_write(digits, units):
    """hdrh decodes our text to the same counts, bucket by bucket."""
    counts = counted(LAYOUTS[digits], units)
    read = HdrHistogram.decode(encode_here(counts))
    assert read.get_total_count() == len(units)
    assert [read.get_count_at_index(at) for at in range(LAYOUTS[digits].size)] == (
        counts.counts.tolist()
    )


def test_text_begins_where_the_row_begins():
    """A row trimmed to its octaves is written with the run of zeros before it."""
    row = HdrCounts(LAYOUTS[2], 1e9, 1280, np.array([7, 0, 1]))
    places, counts = decode(encode_here(row), scale=1e9).nonzero()
    assert (places.tolist(), counts.tolist()) == ([1280, 1282], [7, 1])


@pytest.mark.parametrize("count", [1, 63, 64, 8191, 8192, 2**31, 2**55, 2**62])
def test_large_counts_survive(count):
    """Counts of one to nine bytes come back as they were."""
    row = HdrCounts(LAYOUTS[2], 1.0, 3, np.array([count, 0, 0, count]))
    assert decode(encode_here(row), scale=1.0).counts[[3, 6]].tolist() == [count, count]


def text_of(payload, *, digits=2, lowest=1, cookie=0x1C849313, size=None):
    header = struct.pack(
        ">IIIIQQd", cookie, len(payload) if size is None else size, 0, digits, lowest, 10**9, 1.0
    )
    packed = zlib.compress(header + payload)
    return base64.b64encode(struct.pack(">II", 0x1C849314, len(packed)) + packed).decode()


def run_of_zeros(length):
    coded, out = 2 * length - 1, bytearray()
    while coded >= 0x80:
        out.append(coded & 0x7F | 0x80)
        coded >>= 7
    return bytes([*out, coded])


@pytest.mark.parametrize(
    "text",
    [
        "", "HISTFAAA", "not base64 at all", "é", base64.b64encode(b"\0" * 60).decode(),
        text_of(b"\x02", cookie=1), text_of(b"\x02", size=2), text_of(b"\x80"),
        text_of(run_of_zeros(2**40)), text_of(run_of_zeros(60_000) * 2), text_of(b"\0" * 70_000),
        text_of(b"\x02", digits=4), text_of(b"\x02", digits=0), text_of(b"\x02", lowest=1000),
        encode_here(counted(LAYOUTS[2], [1.0]))[:-8],
    ],
)  # fmt: skip
def test_text_that_is_no_histogram_of_ours_is_refused(text):
    """Whatever it is, it is named, and no memory is spent on it."""
    with pytest.raises(SLOValueError, match="HdrHistogram"):
        decode(text, scale=1.0)


# --- the pool of rows -------------------------------------------------------------------------


def test_rows_grow_octave_by_octave_and_keep_their_counts():
    """A thousand rows that widen to both sides in random order end with every value counted."""
    layout, draw = LAYOUTS[2], np.random.default_rng(3)
    pool = SegmentPool(layout)
    pool.resize(1000)
    model = np.zeros((1000, layout.size), np.int64)
    for _ in range(30):
        rows = np.sort(draw.integers(0, 1000, 600))
        places = draw.integers(0, layout.size, 600)
        pool.add(rows, places)
        np.add.at(model, (rows, places), 1)
    pool.add_counts(5, 700, np.array([1, 2, 3]))
    model[5, 700:703] += [1, 2, 3]
    for row in range(1000):
        first, counts = pool.row(row)
        assert first % 128 == 0
        assert len(counts) % 128 == 0
        assert counts.tolist() == model[row, first : first + len(counts)].tolist()
        assert counts.sum() == model[row].sum()
    assert pool.nbytes <= 4 * 8 * int(pool.width.sum())


def test_a_row_weighs_one_kilobyte_an_octave():
    """Values of one power of two take 128 counts, not 4,608."""
    pool = SegmentPool(LAYOUTS[2])
    pool.resize(1)
    pool.add(np.zeros(3, np.int64), np.array([1280, 1290, 1407]))
    assert pool.row(0)[1].nbytes == 1024


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 5e9, 5e9], [float(3**k) for k in range(26)]])
def test_the_reference_writes_what_we_write(values):
    """With the `hdrhistogram` package or without it, the text reads back as the same counts."""
    counts = counted(LAYOUTS[2], values)
    read = [decode(text, scale=1.0) for text in (encode(counts), encode_here(counts))]
    assert [part.total for part in read] == [len(values)] * 2
    assert [p.nonzero()[0].tolist() for p in read] == [counts.nonzero()[0].tolist()] * 2
