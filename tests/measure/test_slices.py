"""Sliding windows against a brute-force model, over gaps, days and under the memory cap."""

import numpy as np
import pytest

from slotel.measure.drain import SLICES_CAP_BYTES
from slotel.measure.histogram import LAYOUTS
from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Recorder
from slotel.measure.slices import KEY_BITS, RINGS, HistogramSlices, Ring, SliceRing, merge_counts
from slotel.testing import ManualClock

SECOND = 1_000_000_000
HOUR, DAY = 3600, 86_400
CHAT = SeriesKey("chat", "openai", "a")


class Watched:
    """A recorder beside the list of all that it was told, and when it was drained."""

    def __init__(self, *, named=True):
        self.clock = ManualClock()
        self.recorder = Recorder(clock=self.clock)
        self.ledger = self.recorder.ledger()
        self.duration = self.recorder.series(CHAT).duration
        self.ledger.keys("duration")
        if named:
            self.ledger.name("duration", [0])
        self.told = []

    def record(self, *values):
        for value in values:
            self.duration.record(value)
        self.ledger.drain()
        self.told += [(self.clock.unix_ns() // SECOND, value) for value in values]

    def expected(self, seconds):
        """Return what a window holds whose beginning is rounded down to the slice it reaches."""
        now = self.clock.unix_ns() // SECOND
        since = now - seconds
        for width, slots in ((10, 360), (300, 288), (3600, 840)):
            if since >= (now // width - slots) * width:
                break
        return [value for second, value in self.told if second >= since // width * width]

    def check(self, seconds):
        found = self.ledger.window("duration", [0], seconds=seconds).counts
        expected = self.expected(seconds)
        places = LAYOUTS[2].index(np.array(expected, np.float64) * 1e9)
        assert found.counts.tolist() == np.bincount(places, minlength=LAYOUTS[2].size).tolist()


def test_windows_slide_like_the_model_through_an_hour():
    """At every tick, windows from 10 s to 1 h hold exactly the slices that they reach."""
    seen, draw = Watched(), np.random.default_rng(1)
    for _ in range(500):
        seen.clock.advance(float(draw.choice([1.0, 7.3, 10.0, 61.0])))
        seen.record(*draw.lognormal(0, 1, draw.integers(0, 4)).tolist())
        for seconds in (10, 60, 300, 1800, HOUR):
            seen.check(seconds)


def test_windows_slide_like_the_model_through_forty_days():
    """Named rows answer for hours, days and weeks, over gaps of up to a day, each event once."""
    seen, draw = Watched(), np.random.default_rng(2)
    for step in range(700):
        seen.clock.advance(float(draw.choice([1.0, 9.0, 120.0, 900.0, 7200.0, DAY / 2, DAY])))
        seen.record(*draw.lognormal(0, 1, draw.integers(0, 3)).tolist())
        if step % 5 == 0:
            for seconds in (10, 300, HOUR, HOUR + 1, 2 * HOUR, 6 * HOUR, DAY):
                seen.check(seconds)
            for seconds in (DAY + 1, 3 * DAY, 7 * DAY, 28 * DAY, 35 * DAY):
                seen.check(seconds)


@pytest.mark.parametrize("gap", [11, 301, HOUR - 10, HOUR + 10, DAY, DAY + 10, 30 * DAY])
def test_a_pause_of_the_ticks_moves_no_value(gap):
    """What was counted before a pause lies in the slice of its own time afterwards, and once."""
    seen = Watched()
    seen.record(0.5, 0.5)
    seen.clock.advance(gap)
    for seconds in (10, 300, HOUR, DAY, 35 * DAY):
        seen.check(seconds)
    seen.record(2.0)
    for seconds in (10, 300, HOUR, DAY, 35 * DAY):
        seen.check(seconds)


def test_a_caller_that_drains_after_a_pause_opens_the_slice_of_now():
    """With no tick thread, values drained by a full buffer are counted at the time of the drain."""
    seen = Watched()
    seen.record(1.0)
    seen.clock.advance(2 * HOUR)
    for _ in range(4096):
        seen.duration.record(3.0)
    found = seen.ledger.window("duration", [0], seconds=60)
    assert found.counts.total == 4096


def test_a_clock_that_goes_back_opens_no_slice_twice():
    """Values recorded after a step back count at the time already reached, once."""
    seen = Watched()
    seen.record(1.0)
    seen.clock.jump_wall(-1000)
    seen.duration.record(2.0)
    seen.ledger.drain()
    seen.clock.jump_wall(1000)
    assert seen.ledger.window("duration", [0], seconds=10).counts.total == 2
    seen.clock.advance(11)
    seen.ledger.drain()
    assert seen.ledger.window("duration", [0], seconds=300).counts.total == 2


def test_rows_without_a_name_are_known_for_an_hour():
    """Older values of theirs are gone, and the coverage says so."""
    seen = Watched(named=False)
    seen.record(1.0)
    seen.clock.advance(HOUR)
    found = seen.ledger.window("duration", [0], seconds=HOUR)
    assert (found.counts.total, found.coverage_ratio, found.resolution_seconds) == (1, 1.0, 10)
    seen.clock.advance(HOUR)
    seen.ledger.drain()
    found = seen.ledger.window("duration", [0], seconds=2 * HOUR)
    assert found.counts.total == 0
    assert 0.45 < found.coverage_ratio <= 0.5


def test_a_row_named_late_is_known_from_then_on():
    """Values from before the name leave with the hour; coverage counts from the name."""
    seen = Watched(named=False)
    seen.record(1.0)
    seen.clock.advance(1800)
    seen.ledger.drain()
    seen.ledger.name("duration", [0])
    seen.record(2.0)
    seen.clock.advance(5 * HOUR)
    found = seen.ledger.window("duration", [0], seconds=10 * HOUR)
    assert found.counts.total == 1
    assert found.coverage_ratio == 0.5


def test_a_series_that_appears_later_takes_no_coverage_from_the_others():
    """A row named in the slice of its first value has always been known completely."""
    seen = Watched()
    seen.record(1.0)
    seen.clock.advance(10 * HOUR)
    other = seen.recorder.series(SeriesKey("chat", "openai", "b")).duration
    other.record(3.0)
    seen.ledger.drain()
    seen.ledger.name("duration", [0, 1])
    found = seen.ledger.window("duration", [0, 1], seconds=10 * HOUR)
    assert (found.counts.total, found.coverage_ratio) == (2, 1.0)


def test_coverage_begins_with_the_process_and_ends_with_the_longest_ring():
    """A window longer than the process is partly known, and nothing is known beyond 35 days."""
    seen = Watched()
    seen.clock.advance(30)
    assert seen.ledger.window("duration", [0], seconds=300).coverage_ratio == pytest.approx(0.1)
    seen.clock.advance(70 * DAY)
    seen.ledger.drain()
    assert seen.ledger.window("duration", [0], seconds=70 * DAY).coverage_ratio == (
        pytest.approx(0.5, abs=0.001)
    )
    assert seen.ledger.window("duration", [0], seconds=0).coverage_ratio == 0.0


def test_a_window_sums_the_rows_that_it_was_asked_for():
    """Any selection of rows, adjoining or apart, and none."""
    recorder = Recorder(clock=ManualClock())
    ledger = recorder.ledger()
    for number in range(6):
        series = recorder.series(SeriesKey("chat", model=str(number)))
        for _ in range(10**number // 10 + 1):
            series.duration.record(0.1 * (number + 1))
    ledger.drain()
    sizes = ledger.counts("duration")
    for rows in ([0], [5], [1, 2, 3], [0, 5], [5, 0], [2, 4], list(range(6)), []):
        found = ledger.window("duration", rows, seconds=60).counts
        assert found.total == sizes[rows].sum() if rows else found.total == 0
    slowest = ledger.window("duration", [1, 5], seconds=60).counts.percentile(99.99)
    assert slowest == pytest.approx(0.6, rel=0.004)


def test_negative_values_are_in_the_window_with_their_sign():
    """Percentiles of a signed quantity run from the largest negative magnitude upwards."""
    recorder = Recorder(clock=ManualClock())
    score = recorder.series(CHAT).buffer("score.similarity")
    for value in (-0.5, -0.25, 0.0, 0.75):
        score.record(value)
    ledger = recorder.ledger()
    ledger.drain()
    window = ledger.window("score.similarity", [0], seconds=60).counts
    for found in (window, ledger.merged("score.similarity", [0])):
        assert found.total == 4
        assert found.percentiles((0, 25, 50, 75, 100)) == (
            pytest.approx((-0.5, -0.5, -0.25, 0.0, 0.75), rel=0.004)
        )


# --- the memory cap ---------------------------------------------------------------------------


def fill(slices, *, seconds, per_slice=20, step=10, start=0, rows=3):
    """Add `per_slice` distinct buckets to each row in every step; return how many values."""
    added = 0
    for second in range(start, start + seconds, step):
        slices.advance(second * SECOND)
        for row in range(rows):
            keys = (row << KEY_BITS) + np.arange(per_slice) + (second // step) % 50
            slices.add(keys, np.ones(per_slice, np.int64))
            added += per_slice
    return added


def total(slices, since):
    return sum(int(part.counts.sum()) for part in slices.select(since * SECOND))


def named(rows=3):
    slices = HistogramSlices()
    slices.name(np.arange(rows), np.zeros(rows, np.int64))
    return slices


def test_over_the_cap_the_oldest_slices_lose_resolution_first():
    """Merging keeps every value; a window then begins as exactly as it says."""
    slices = named()
    added = fill(slices, seconds=HOUR)
    before = slices.nbytes
    assert slices.shrink()
    assert slices.nbytes < before
    oldest, *others = slices.rings[0].slices
    assert (oldest.slot, oldest.last) == (0, 1)
    assert all(part.slot == part.last for part in others)
    assert total(slices, 0) == added
    assert slices.resolution(0) == 20
    assert slices.resolution((HOUR - 60) * SECOND) == 10


def test_merged_slices_never_reach_over_the_next_rings_grid():
    """However hard it is pressed, the finest ring is left with five-minute slices."""
    slices = named()
    added = fill(slices, seconds=HOUR)
    while slices.rings[0].merge_oldest():
        pass
    assert [part.slot // 30 for part in slices.rings[0].slices] == list(range(12))
    assert total(slices, 0) == added
    assert total(slices, HOUR - 300) == added // 12


def test_what_is_dropped_is_no_longer_covered():
    """When merging gains nothing more, the oldest slices go, and are no longer said to be known."""
    slices = HistogramSlices()
    added = fill(slices, seconds=HOUR, rows=1)
    while slices.rings[0].merge_oldest():
        pass
    assert slices.shrink()
    assert slices.known_from(np.array([0]), 0) == 300
    assert total(slices, 0) == added - added // 12


def test_shrinking_ends_with_what_nothing_else_can_answer_for():
    """Slices of the running five minutes stay; then there is nothing left to give."""
    slices = named()
    fill(slices, seconds=2 * DAY, step=100)
    for _ in range(100_000):
        if not slices.shrink():
            break
    assert not slices.shrink()
    assert [len(ring.slices) for ring in slices.rings] == [1, 1, 1]
    assert total(slices, 2 * DAY - 200) > 0


@pytest.mark.parametrize("pressure", [1, 3, 50])
def test_named_rows_lose_nothing_by_merging(pressure):
    """Under constant pressure the total over all rings stays what was counted, each event once."""
    slices = named()
    added = 0
    for start in range(0, 3 * DAY, 1800):
        added += fill(slices, seconds=1800, step=300, start=start)
        for _ in range(pressure):
            any(ring.merge_oldest() for ring in slices.rings)
    for since in (0, DAY, 2 * DAY):
        expected = added * (3 * DAY - since) // (3 * DAY)
        resolution = slices.resolution(since * SECOND)
        assert expected <= total(slices, since) <= expected + resolution // 300 * 60


def test_memory_stays_under_the_cap_and_says_what_is_left():
    """A small cap is kept at every drain; totals since start do not depend on it."""
    clock = ManualClock()
    recorder = Recorder(clock=clock)
    ledger = recorder.ledger()
    ledger._cap_bytes = 40_000
    draw = np.random.default_rng(4)
    duration = recorder.series(CHAT).duration
    largest = 0
    for _ in range(400):
        clock.advance(10)
        for value in draw.lognormal(0, 1, 40):
            duration.record(float(value))
        ledger.drain()
        largest = max(largest, ledger._banks["duration"].slices.nbytes)
    assert largest <= 40_000
    assert ledger.counts("duration").tolist() == [16_000]
    found = ledger.window("duration", [0], seconds=HOUR)
    assert found.resolution_seconds == 300
    assert 0.0 < found.coverage_ratio <= 1.0
    share = found.counts.total / (40 * 361)
    assert share == pytest.approx(found.coverage_ratio, abs=0.1)
    assert ledger.window("duration", [0], seconds=60).counts.total == 40 * 7


def test_the_cap_is_64_megabytes():
    """What a process spends on sliding histograms is bounded by default."""
    assert SLICES_CAP_BYTES == 64 * 1024 * 1024


def test_bytes_are_counted_as_they_come_and_go():
    """The running count of a ring's bytes is that of its slices, after every step."""
    ring, draw = SliceRing(Ring(10, 30, 100)), np.random.default_rng(5)
    for second in range(0, 2000, 10):
        ring.advance(second * SECOND)
        ring.add(np.sort(draw.integers(0, 900, 20)), np.ones(20, np.int64))
        if second % 70 == 0:
            ring.merge_oldest()
        if second % 330 == 0:
            ring.drop_oldest()
        assert ring.nbytes == sum(part.nbytes for part in ring.slices)


def test_a_slice_takes_twelve_bytes_a_filled_bucket():
    """Keys of 8 bytes and counts of 4, whatever the number of series."""
    slices = named()
    fill(slices, seconds=20, per_slice=20, rows=3)
    assert slices.nbytes == 12 * 60
    assert [ring.width_seconds * ring.slots for ring in RINGS] == [HOUR, DAY, 35 * DAY]


def test_counts_of_equal_keys_are_added():
    """Merging sorts keys and sums counts; nothing merges to nothing."""
    keys, counts = merge_counts(np.array([5, 1, 5, 1, 2]), np.array([1, 2, 3, 4, 5]))
    assert (keys.tolist(), counts.tolist()) == ([1, 2, 5], [6, 5, 4])
    assert len(merge_counts(np.zeros(0, np.int64), np.zeros(0, np.int64))[0]) == 0


def test_many_small_parts_of_an_open_slice_are_folded():
    """An open slice holds each bucket once, however many drains added to it."""
    ring = SliceRing(RINGS[0])
    ring.add(np.array([7]), np.array([1]))
    ring.advance(0)
    for _ in range(1000):
        ring.add(np.array([7, 9]), np.array([1, 2]))
    assert len(ring._keys) <= 33
    newest = ring.open_slice()
    assert (newest.keys.tolist(), newest.counts.tolist()) == ([7, 9], [1001, 2000])
