"""The steady clock: the wall clock's epoch, carried by the monotonic clock, never going back."""

import itertools
import threading
import time

import pytest

from slotel.measure.clock import JUMP_THRESHOLD_NS, SteadyClock, SystemClock
from slotel.testing import ManualClock

SECOND = 1_000_000_000


def test_system_clock_reads_the_machine():
    """Both readings agree with the standard library's."""
    clock = SystemClock()
    assert abs(clock.unix_ns() - time.time_ns()) < 10 * SECOND
    assert abs(clock.monotonic_ns() - time.monotonic_ns()) < 10 * SECOND


def test_manual_clock_moves_both_readings():
    """Time that passes passes on both clocks, to the nanosecond."""
    clock = ManualClock()
    unix_ns, monotonic_ns = clock.unix_ns(), clock.monotonic_ns()
    clock.advance(1.5)
    assert (clock.unix_ns() - unix_ns, clock.monotonic_ns() - monotonic_ns) == (
        1_500_000_000,
        1_500_000_000,
    )


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_manual_clock_refuses_to_go_back(seconds):
    """A negative or meaningless step is an error that names the cure."""
    with pytest.raises(ValueError, match=r"Use jump_wall\(\)"):
        ManualClock().advance(seconds)


def test_steady_clock_starts_at_the_wall_clock_and_follows_elapsed_time():
    """Without any jump it reads what the wall clock reads."""
    clock = ManualClock()
    steady = SteadyClock(clock)
    clock.advance(12.25)
    assert steady.unix_ns() == clock.unix_ns()
    assert steady.monotonic_ns() == clock.monotonic_ns()
    assert steady.check() is None


def test_forward_jump_is_followed_and_reported_once():
    """A suspend of an hour is a jump from the last time lived to the present."""
    clock = ManualClock()
    steady = SteadyClock(clock)
    clock.advance(5)
    before = steady.unix_ns()
    clock.jump_wall(3_600)
    jump = steady.check()
    assert jump is not None
    assert jump.forward
    assert (jump.from_unix_ns, jump.to_unix_ns) == (before, before + 3_600 * SECOND)
    assert steady.unix_ns() == clock.unix_ns()
    assert steady.check() is None


def test_backward_jump_is_reported_once_and_never_rewinds():
    """The wall clock set back by an hour slows the steady clock by 5 %, no more."""
    clock = ManualClock()
    steady = SteadyClock(clock)
    clock.jump_wall(-3_600)
    before = steady.unix_ns()
    jump = steady.check()
    assert jump is not None
    assert not jump.forward
    readings = [before]
    for _ in range(100):
        clock.advance(10)
        readings.append(steady.unix_ns())
        assert steady.check() is None
    steps = {b - a for a, b in itertools.pairwise(readings)}
    assert steps == {9_500_000_000}


def test_backward_jump_is_slewed_away_in_the_end():
    """After twenty times the jump's length both clocks agree again and a new jump is reported."""
    clock = ManualClock()
    steady = SteadyClock(clock)
    clock.jump_wall(-60)
    assert steady.check() is not None
    for _ in range(60 * 21):
        clock.advance(1)
        steady.check()
    assert steady.unix_ns() == clock.unix_ns()
    clock.jump_wall(-60)
    assert steady.check() is not None


@pytest.mark.parametrize("seconds", [19.0, -19.0])
def test_small_difference_is_slewed_without_a_jump(seconds):
    """A step below two slices is caught up with at 5 % of the elapsed time, without overshoot."""
    clock = ManualClock()
    steady = SteadyClock(clock)
    assert abs(seconds) * 1e9 < JUMP_THRESHOLD_NS
    clock.jump_wall(seconds)
    assert steady.check() is None
    clock.advance(100)
    error_seconds = (clock.unix_ns() - steady.unix_ns()) / SECOND
    assert error_seconds == pytest.approx(seconds * 14 / 19)
    clock.advance(10_000)
    assert steady.unix_ns() == clock.unix_ns()


class HeldUp(ManualClock):
    """A clock whose reader is stopped for half a minute after each of its next wall readings."""

    times = 0

    def monotonic_ns(self) -> int:
        reading = super().monotonic_ns()
        if self.times:
            self.times -= 1
            self.advance(30)
        return reading


@pytest.mark.parametrize(("times", "jumps"), [(1, False), (2, False), (99, True)])
def test_a_reader_that_is_held_up_between_two_clocks_sees_no_jump(times, jumps):
    """Being stopped between the two readings is not a jump, unless it never ends."""
    clock = HeldUp()
    steady = SteadyClock(clock)
    clock.times = times
    assert (steady.check() is not None) is jumps


def test_readings_never_go_back_while_another_thread_checks():
    """Four readers see rising times while a checker meets jumps both ways."""
    clock = ManualClock()
    steady = SteadyClock(clock)
    fallen: list[tuple[int, int]] = []
    stop = threading.Event()

    def read() -> None:
        last = 0
        while not stop.is_set():
            now = steady.unix_ns()
            if now < last:
                fallen.append((last, now))
            last = now

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for step in range(3_000):
        clock.advance(0.5)
        clock.jump_wall((-40, 3, 30, -1)[step % 4])
        steady.check()
    stop.set()
    for reader in readers:
        reader.join()
    assert fallen == []
