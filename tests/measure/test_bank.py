"""Exact buckets, cuts, sums and extremes of both ways of counting, and what a row weighs."""

import math
from bisect import bisect_left

import numpy as np
import pytest

from slotel.measure.bank import Bank
from slotel.measure.histogram import LAYOUTS
from slotel.measure.measurement import DURATION_BOUNDS, SeriesKey, quantity
from slotel.measure.series import Recorder

LARGE, SMALL = 600, 1
KEY = SeriesKey("chat")


class Measured:
    """One buffer and its ledger; `record` drains what it was given at once."""

    def __init__(self, name="duration", **settings):
        self.recorder = Recorder(**settings)
        self.ledger = self.recorder.ledger()
        self.name = name
        self.buffer = self.recorder.series(KEY).buffer(name)

    def record(self, values, *, times=SMALL):
        """Record the values that many times, so that 600 times take the path of large buffers."""
        self.buffer.values.extend(list(values) * times)
        self.ledger.drain()

    def only(self, **settings):
        (found,) = self.ledger.snapshot(**settings).distributions
        return found

    def within(self, bound, *, at_least=False):
        column = self.ledger.cut(self.name, bound=bound, at_least=at_least)
        return int(self.ledger.within(self.name, column)[0])


def buckets(values, bounds):
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return tuple(counts)


@pytest.mark.parametrize("times", [SMALL, LARGE])
def test_buckets_are_those_of_the_sdk_at_and_around_every_bound(times):
    """A value equal to a bound belongs below it; the next float belongs above."""
    near = [
        edge
        for bound in DURATION_BOUNDS
        for edge in (math.nextafter(bound, 0), bound, math.nextafter(bound, math.inf))
    ]
    measured = Measured()
    measured.record(near, times=times)
    assert measured.only().bucket_counts == buckets(near * times, DURATION_BOUNDS)


@pytest.mark.parametrize("times", [SMALL, LARGE])
@pytest.mark.parametrize("bound", [0.3, 0.1 + 0.2, 1.0, 5e-324, 0.0])
def test_cuts_are_exact_to_the_last_bit(times, bound):
    """0.1 + 0.2 is over a cut at 0.3, and exactly at one of its own value."""
    values = [math.nextafter(bound, -math.inf), bound, math.nextafter(bound, math.inf)]
    values = [value for value in values if value >= 0]
    measured = Measured()
    assert measured.within(bound) == measured.within(bound, at_least=True) == 0
    measured.record(values, times=times)
    assert measured.within(bound) == sum(value <= bound for value in values) * times
    assert measured.within(bound, at_least=True) == sum(value >= bound for value in values) * times


@pytest.mark.parametrize("times", [SMALL, LARGE])
def test_a_cut_counts_from_its_registration(times):
    """What was counted before is not in it, in neither direction."""
    measured = Measured()
    measured.record([0.1, 5.0], times=times)
    assert (measured.within(1.0), measured.within(1.0, at_least=True)) == (0, 0)
    measured.record([0.5, 1.0, 2.0], times=times)
    assert measured.within(1.0) == 2 * times
    assert measured.within(1.0, at_least=True) == 2 * times
    assert measured.ledger.counts("duration").tolist() == [5 * times]


def test_a_cut_registered_again_is_the_same_column():
    """Two SLOs with one threshold share it; direction and bound tell cuts apart."""
    ledger = Recorder().ledger()
    columns = [
        ledger.cut("duration", bound=bound, at_least=at_least)
        for bound, at_least in [(1.0, False), (1.0, True), (2.0, False), (1.0, False), (1, True)]
    ]
    assert columns == [0, 1, 2, 0, 1]


def test_cuts_of_rows_that_come_later_begin_at_zero():
    """More rows than there was room for: each has its own counts under both cuts."""
    measured = Measured()
    measured.within(1.0), measured.within(1.0, at_least=True)
    for number in range(50):
        series = measured.recorder.series(SeriesKey("chat", model=str(number)))
        for _ in range(number):
            series.duration.record(1.0)
            series.duration.record(2.0)
    measured.ledger.drain()
    column = measured.ledger.cut("duration", bound=1.0)
    assert measured.ledger.within("duration", column).tolist() == [0, *range(50)]
    column = measured.ledger.cut("duration", bound=1.0, at_least=True)
    assert measured.ledger.within("duration", column).tolist() == [0, *range(0, 100, 2)]


@pytest.mark.parametrize("times", [SMALL, LARGE])
def test_sums_and_extremes_are_those_of_the_values(times):
    """Sum to rounding, minimum and maximum exactly."""
    draw = np.random.default_rng(2)
    values = draw.lognormal(0, 2, 100).tolist()
    measured = Measured()
    measured.record(values, times=times)
    found = measured.only()
    assert found.sum == pytest.approx(math.fsum(values * times), rel=1e-12)
    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert measured.ledger.sums("duration").tolist() == [found.sum]
    assert found.count == found.positive.total == sum(found.bucket_counts) == 100 * times


@pytest.mark.parametrize("times", [SMALL, LARGE])
def test_interval_extremes_begin_again_with_each_delta_reading(times):
    """Only the reader that resets moves them; an interval without values has none."""
    measured = Measured()
    measured.record([3.0, 1.0], times=times)
    assert measured.only().interval_maximum == 3.0
    first = measured.only(reset_interval=True)
    assert (first.interval_minimum, first.interval_maximum) == (1.0, 3.0)
    empty = measured.only(reset_interval=True)
    assert math.isnan(empty.interval_minimum)
    assert math.isnan(empty.interval_maximum)
    measured.record([2.0], times=times)
    last = measured.only()
    assert (last.interval_minimum, last.interval_maximum) == (2.0, 2.0)
    assert (last.minimum, last.maximum) == (1.0, 3.0)


@pytest.mark.parametrize("times", [SMALL, LARGE])
@pytest.mark.parametrize("values", [[-0.5, -0.25, 0.0, 0.75], [-1.0, -0.5], [-0.0, 0.5], [0.1]])
def test_signed_quantities_have_two_histograms(times, values):
    """Magnitudes of negative values are counted apart; buckets, sums and extremes see the sign."""
    measured = Measured("score.margin")
    measured.record(values, times=times)
    found = measured.only()
    negative = [value for value in values if value < 0]
    assert found.negative.total == len(negative) * times
    assert found.positive.total == (len(values) - len(negative)) * times
    assert found.sum == pytest.approx(math.fsum(values) * times)
    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert found.bucket_counts == buckets(values * times, quantity("score.margin").bounds)
    if negative:
        assert found.negative.percentile(100) == pytest.approx(-min(negative), rel=0.004)
    assert measured.within(0.0) == 0
    measured.record(values, times=times)
    assert measured.within(0.0) == sum(value <= 0 for value in values) * times


@pytest.mark.parametrize("times", [SMALL, LARGE])
@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, 0.0), (5e-324, 0.0), (1e-9, 1e-9), (15 / 1e9, 1.5e-8), (126 / 1e9, 1.26e-7)],
)
def test_the_smallest_values_are_counted_to_the_nanosecond(times, value, shown):
    """Zero, subnormals and whole nanoseconds that floating point rounds down."""
    measured = Measured()
    measured.record([value], times=times)
    found = measured.only()
    assert found.positive.percentile(50) == pytest.approx(shown)
    assert (found.minimum, found.maximum, found.count) == (value, value, times)


@pytest.mark.parametrize("scale", [1e9, 1e6])
def test_every_whole_number_of_units_keeps_its_bucket(scale):
    """Seconds made from nanoseconds, ratios from millionths: rounding costs nobody a bucket."""
    bank = Bank(quantity("duration" if scale == 1e9 else "category.x"), LAYOUTS[2])
    units = np.unique(np.exp(np.linspace(0, math.log(3.6e12), 50_000)).astype(np.int64))
    values = units / scale
    found = bank._indices(values, values.min(), values.max())
    assert found.tolist() == LAYOUTS[2].index(units.astype(np.float64)).tolist()


@pytest.mark.parametrize("times", [SMALL, LARGE])
@pytest.mark.parametrize("value", [3600.5, 1e6, 1e290])
def test_more_than_an_hour_is_clamped_and_counted(times, value):
    """The histogram ends at an hour; count, sum, maximum and cuts know the true value."""
    measured = Measured()
    measured.within(3600.0)
    measured.record([value, 1.0], times=times)
    found = measured.only()
    assert found.positive.percentile(100) == pytest.approx(3600.0, rel=0.004)
    assert found.maximum == value
    assert found.sum == pytest.approx((value + 1.0) * times)
    assert measured.within(3600.0) == times
    assert measured.ledger.faults == {"clamped.duration": times}


def test_exactly_an_hour_is_not_clamped():
    """The largest trackable value is in range."""
    measured = Measured()
    measured.record([3600.0])
    assert not measured.ledger.faults


def test_exemplars_begin_at_the_lowest_threshold_on_every_buffer():
    """Buffers made before and after a cut, within and beyond the first rows, know what is slow."""
    measured = Measured()
    for number in range(20):
        measured.recorder.series(SeriesKey("chat", model=str(number)))
    measured.ledger.drain()
    assert {buffer.exemplar_floor for buffer in measured.recorder.buffers()} == {0.0}
    measured.within(2.0), measured.within(1.0), measured.within(0.5, at_least=True)
    for number in range(20, 40):
        measured.recorder.series(SeriesKey("chat", model=str(number)))
    measured.ledger.drain()
    assert {buffer.exemplar_floor for buffer in measured.recorder.buffers()} == {1.0}


@pytest.mark.parametrize(("digits", "limit_bytes"), [(2, 16_000), (3, 120_000)])
def test_a_row_weighs_what_is_said(digits, limit_bytes):
    """Latencies of a language model: 15 kB a row with two digits, sliding slices aside."""
    recorder = Recorder(digits=digits)
    ledger = recorder.ledger()
    for bound in (0.25, 0.5, 1.0, 2.0, 5.0):
        ledger.cut("duration", bound=bound)
    draw = np.random.default_rng(6)
    for number in range(64):
        duration = recorder.series(SeriesKey("chat", model=str(number))).duration
        values = draw.lognormal(math.log(0.8), 1.0, 2000)
        duration.values.extend(values.clip(0.009, 120.0).tolist())
        duration.values.extend([0.009, 120.0])
    ledger.drain()
    bank = ledger._banks["duration"]
    row = bank.histogram(0).counts.nbytes + 8 * (13 + len(DURATION_BOUNDS) + 2 * 5)
    assert 0.85 * limit_bytes < row <= limit_bytes
    assert (ledger.nbytes - bank.slices.nbytes) / 64 <= 4 * limit_bytes


def test_both_ways_of_counting_agree():
    """The same values drained as one large buffer and as many small ones give equal figures."""
    draw = np.random.default_rng(9)
    values = draw.normal(0.2, 0.5, 3000).tolist()
    large, small = Measured("score.margin"), Measured("score.margin")
    for measured in (large, small):
        measured.within(0.25), measured.within(0.25, at_least=True)
    large.record(values)
    for start in range(0, 3000, 100):
        small.record(values[start : start + 100])
    one, other = large.only(), small.only()
    assert one.bucket_counts == other.bucket_counts
    assert (one.count, one.minimum, one.maximum) == (other.count, other.minimum, other.maximum)
    assert one.positive.minus(other.positive).nonzero()[0].size == 0
    assert one.negative.minus(other.negative).nonzero()[0].size == 0
    for at_least in (False, True):
        assert large.within(0.25, at_least=at_least) == small.within(0.25, at_least=at_least)
