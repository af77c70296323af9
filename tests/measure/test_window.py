"""Windows of events: integer slices on the epoch grid, three resolutions, three states."""

import pytest

from slotel.errors import SLOValueError
from slotel.measure.window import MAX_WINDOW_SECONDS, EventWindow

SECOND = 1_000_000_000
DAY = 86_400
T0 = 1_767_225_600 * SECOND  # 2026-01-01, on the grid of every ring


@pytest.fixture
def window() -> EventWindow:
    made = EventWindow()
    made.open_until(T0)
    return made


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def read(window: EventWindow, seconds: float, now: float) -> tuple[int, int]:
    counts = window.counts(seconds, now_unix_ns=at(now))
    return counts.good, counts.total


def test_an_slo_window_takes_less_than_300_kb(window):
    """All slices together stay under the stated limit, whatever was recorded."""
    for day in range(40):
        window.open_until(at(day * DAY))
        window.add(1, 2, unix_ns=at(day * DAY))
    assert window.nbytes == 216_060
    assert window.nbytes <= 300_000


@pytest.mark.parametrize(
    ("seconds", "slice_seconds"),
    [(5, 10), (300, 10), (3_600, 10), (3_601, 60), (21_600, 60), (86_400, 300), (28 * DAY, 300)],
)
def test_each_window_reads_the_finest_ring_that_reaches_back(window, seconds, slice_seconds):
    """Up to 1 h reads 10 s slices, up to 6 h minutes, the rest 5 minutes."""
    assert window.counts(seconds, now_unix_ns=T0).slice_seconds == slice_seconds


@pytest.mark.parametrize("seconds", [0, -1, MAX_WINDOW_SECONDS + 1, float("nan")])
def test_a_window_outside_the_range_is_refused(window, seconds):
    """Nothing, the past's past and more than 35 days cannot be read."""
    with pytest.raises(SLOValueError, match="35 days"):
        window.counts(seconds, now_unix_ns=T0)


@pytest.mark.parametrize(("good", "total"), [(-1, 1), (2, 1), (0, -1)])
def test_impossible_counts_are_refused(window, good, total):
    """More good than total, or negative counts, are errors."""
    with pytest.raises(SLOValueError, match="0 <= good <= total"):
        window.add(good, total, unix_ns=T0)


@pytest.mark.parametrize("seconds", [300, 3_600, 21_600, 3 * DAY, 28 * DAY, 35 * DAY])
def test_an_event_leaves_the_window_within_one_slice_after_its_end(window, seconds):
    """It counts for the window's whole length and not longer than one slice more."""
    window.add(1, 1, unix_ns=at(0))
    width = window.counts(seconds, now_unix_ns=T0).slice_seconds
    assert read(window, seconds, seconds) == (1, 1)
    assert read(window, seconds, seconds + width) == (0, 0)


def test_rings_forget_only_what_is_older_than_their_span(window):
    """After 35 days and a slice the event is gone; the memory is reused by new ones."""
    window.add(1, 1, unix_ns=at(0))
    window.open_until(at(35 * DAY))
    assert read(window, 35 * DAY, 35 * DAY) == (1, 1)
    window.add(2, 3, unix_ns=at(35 * DAY + 300))
    assert read(window, 35 * DAY, 35 * DAY + 300) == (2, 3)


def test_late_events_go_into_their_own_slice(window):
    """An event that comes a day late counts in 3 d but neither in 5 m nor in 6 h."""
    window.open_until(at(DAY))
    window.add(0, 4, unix_ns=at(60))
    assert read(window, 300, DAY) == (0, 0)
    assert read(window, 21_600, DAY) == (0, 0)
    assert read(window, 3 * DAY, DAY) == (0, 4)
    assert window.dropped == 0


def test_events_older_than_the_longest_ring_are_counted_as_dropped(window):
    """What comes after 35 days is in no window, and is not lost in silence."""
    window.open_until(at(36 * DAY))
    window.add(1, 5, unix_ns=at(0))
    assert read(window, 35 * DAY, 36 * DAY) == (0, 0)
    assert window.dropped == 5


def test_an_event_from_the_far_future_does_not_wipe_the_past(window):
    """A date in 2099 is counted at the window's own time instead of clearing 35 days."""
    window.add(1, 1, unix_ns=at(0))
    window.add(0, 1, unix_ns=at(73 * 365 * DAY))
    assert read(window, 28 * DAY, 10) == (1, 2)
    assert window.redated == 1


def test_coverage_is_exact_to_the_millisecond(window):
    """Ninety seconds of life are ninety known seconds in every window, 30 % of five minutes."""
    for tick in range(1, 91):
        window.open_until(at(tick))
    for seconds in (300, 3_600, 21_600, DAY, 28 * DAY):
        assert window.counts(seconds, now_unix_ns=at(90)).known_seconds == 90
    assert window.counts(300, now_unix_ns=at(90)).coverage_ratio == pytest.approx(0.3)


def test_slices_are_data_idle_or_unknown():
    """Silence while the process was up is no traffic; before it started nothing is known."""
    window = EventWindow()
    window.open_until(at(100))
    window.add(1, 1, unix_ns=at(100))
    window.open_until(at(130))
    counts = window.counts(200, now_unix_ns=at(130))
    assert (counts.data_slices, counts.idle_slices) == (1, 2)
    assert counts.unknown_slices == 21 - 3
    assert counts.bad == 0


def test_a_gap_is_unknown_not_idle(window):
    """Time that the process did not live through lowers the coverage and adds no idle slice."""
    window.open_until(at(100))
    window.gap(at(100), at(200))
    window.open_until(at(300))
    counts = window.counts(300, now_unix_ns=at(300))
    assert counts.known_seconds == 200
    assert counts.coverage_ratio == pytest.approx(200 / 300)
    assert counts.idle_slices == 20
    assert counts.unknown_slices == 31 - 20


def test_a_gap_takes_back_time_that_was_known(window):
    """What turns out to be unknown afterwards is no longer counted as lived."""
    window.open_until(at(100))
    window.gap(at(35), at(65))
    assert window.counts(300, now_unix_ns=at(100)).known_seconds == 70


def test_going_back_changes_nothing(window):
    """A time before the last one neither rewinds the rings nor adds known time."""
    window.open_until(at(50))
    window.add(1, 1, unix_ns=at(50))
    window.open_until(at(20))
    window.gap(at(0), at(0))
    counts = window.counts(300, now_unix_ns=at(50))
    assert (counts.good, counts.known_seconds) == (1, 50)


def test_a_leap_of_a_year_leaves_empty_unknown_rings(window):
    """The slots of before are not read as the present."""
    window.add(1, 1, unix_ns=at(0))
    window.gap(at(0), at(365 * DAY))
    counts = window.counts(35 * DAY, now_unix_ns=at(365 * DAY))
    assert (counts.total, counts.known_seconds, counts.data_slices) == (0, 0, 0)


def test_a_window_that_never_opened_knows_nothing():
    """Before anything happened every figure is zero."""
    counts = EventWindow().counts(28 * DAY, now_unix_ns=T0)
    assert (counts.good, counts.total, counts.known_seconds, counts.coverage_ratio) == (0, 0, 0, 0)


def test_merging_adds_slices_of_the_same_time_and_keeps_the_better_knowledge():
    """Two processes with staggered lives give one window over both."""
    first, second = EventWindow(), EventWindow()
    first.open_until(at(0))
    first.add(1, 2, unix_ns=at(5))
    first.open_until(at(60))
    second.open_until(at(30))
    second.add(3, 3, unix_ns=at(35))
    second.add(0, 1, unix_ns=at(95))
    second.open_until(at(100))
    first.merge(second)
    counts = first.counts(300, now_unix_ns=at(100))
    assert (counts.good, counts.total, counts.known_seconds) == (4, 6, 100)
    assert first.counts(28 * DAY, now_unix_ns=at(100)).total == 6
