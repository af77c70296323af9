"""Laws of windows: nothing is lost or doubled, whatever the order and the jumps."""

from hypothesis import given
from hypothesis import strategies as st

from slotel.measure.clock import SteadyClock
from slotel.measure.window import RESOLUTIONS, EventWindow
from slotel.testing import ManualClock

SECOND = 1_000_000_000
DAY = 86_400
T0 = 1_767_225_600 * SECOND

ages = st.integers(0, 35 * DAY * 1_000).map(lambda ms: ms * 1_000_000)
counts = st.integers(0, 1_000).flatmap(
    lambda total: st.tuples(st.integers(0, total), st.just(total))
)
events = st.lists(st.tuples(ages, counts), max_size=30)


def model(happened, seconds: int, now: int) -> tuple[int, int]:
    """Count the events whose slice overlaps the window, one by one."""
    width = next(w for w, span in RESOLUTIONS if seconds <= span) * SECOND
    oldest = (now - seconds * SECOND) // width
    inside = [c for unix_ns, c in happened if oldest <= unix_ns // width <= now // width]
    return sum(good for good, _ in inside), sum(total for _, total in inside)


@given(
    events, st.randoms(use_true_random=False), st.sampled_from([300, 3_600, 21_600, DAY, 28 * DAY])
)
def test_a_window_holds_exactly_the_events_of_its_time_in_whatever_order(given_events, random, s):
    """Adding in random order gives what counting one by one gives."""
    now = T0 + 35 * DAY * SECOND
    happened = [(now - age, count) for age, count in given_events]
    shuffled = random.sample(happened, len(happened))
    window = EventWindow()
    window.open_until(now)
    for unix_ns, (good, total) in shuffled:
        window.add(good, total, unix_ns=unix_ns)
    read = window.counts(s, now_unix_ns=now)
    assert (read.good, read.total) == model(happened, s, now)
    assert window.dropped == window.redated == 0


steps = st.one_of(
    st.tuples(st.just("advance"), st.floats(0, 400)),
    st.tuples(st.just("jump"), st.floats(-90_000, 90_000)),
    st.tuples(st.just("add"), st.integers(1, 9)),
)


@given(st.lists(steps, max_size=40))
def test_jumps_of_the_wall_clock_lose_no_event_and_invent_no_time(path):
    """With forward jumps made gaps, every event of the last weeks is in the long window, and the
    known time is what really passed."""
    clock = ManualClock()
    steady, window = SteadyClock(clock), EventWindow()
    window.open_until(steady.unix_ns())
    added = passed = 0
    for what, amount in path:
        if what == "add":
            window.add(0, int(amount), unix_ns=steady.unix_ns())
            added += int(amount)
            continue
        if what == "advance":
            clock.advance(amount)
            passed += amount
        else:
            clock.jump_wall(amount)
        jump = steady.check()
        if jump is not None and jump.forward:
            window.gap(jump.from_unix_ns, jump.to_unix_ns)
        window.open_until(steady.unix_ns())
    read = window.counts(35 * DAY, now_unix_ns=steady.unix_ns())
    if sum(amount for what, amount in path if what == "jump" and amount > 0) < 30 * DAY:
        assert read.total == added
        # Slewing bends the clock by at most 5 %.
        assert passed * 0.95 - 0.5 <= read.known_seconds <= passed * 1.05 + 0.5
    assert window.dropped == window.redated == 0
    assert 0 <= read.coverage_ratio <= 1


def filled(happened) -> EventWindow:
    window = EventWindow()
    for age, (good, total) in happened:
        window.add(good, total, unix_ns=T0 - age)
    return window


def everything(window: EventWindow):
    return [window.counts(s, now_unix_ns=T0) for s in (300, 3_600, 21_600, DAY, 35 * DAY)]


@given(events, events)
def test_merging_is_commutative_and_conserves_events(left, right):
    """The order of two windows does not matter, and their sum is the sum of their events."""
    ab, ba = filled(left), filled(right)
    ab.merge(filled(right))
    ba.merge(filled(left))
    assert everything(ab) == everything(ba)
    total = sum(total for _, (_, total) in left + right)
    assert ab.counts(35 * DAY, now_unix_ns=T0).total == total


@given(events, events, events)
def test_merging_is_associative(a, b, c):
    """Three windows give the same in either grouping."""
    left, right = filled(a), filled(b)
    left.merge(filled(b))
    left.merge(filled(c))
    right.merge(filled(c))
    whole = filled(a)
    whole.merge(right)
    assert everything(left) == everything(whole)


@given(st.lists(st.integers(1, 2_000_000), min_size=1, max_size=40))
def test_known_time_adds_up_over_any_ticks(ticks_ms):
    """However unevenly the ticks come, no millisecond is counted twice or not at all."""
    window, now = EventWindow(), T0
    window.open_until(now)
    for tick in ticks_ms:
        now += tick * 1_000_000
        window.open_until(now)
    assert window.counts(35 * DAY, now_unix_ns=now).known_seconds == sum(ticks_ms) / 1_000
