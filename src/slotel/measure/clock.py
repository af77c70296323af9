"""Time that only moves forward: the wall clock's epoch carried by the monotonic clock."""

from __future__ import annotations

import os
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Protocol

# Two of the finest slices (10 s): a smaller disagreement is slewed, a larger one is a jump.
JUMP_THRESHOLD_NS = 20_000_000_000
# At most this share of the elapsed time is spent on catching up with the wall clock.
SLEW_DIVISOR = 20
_SAME_MOMENT_NS = 10_000_000
_ATTEMPTS = 5


class Clock(Protocol):
    """Where time comes from; both readings are integers in nanoseconds."""

    def monotonic_ns(self) -> int:
        """Return a time that never goes back; its zero has no meaning."""
        ...

    def unix_ns(self) -> int:
        """Return the wall clock's time since 1970-01-01 UTC; it may jump either way."""
        ...


class SystemClock:
    """The machine's own clocks. Any thread."""

    __slots__ = ()

    def monotonic_ns(self) -> int:
        """Return `time.monotonic_ns()`; on Linux and macOS it stands still in a suspend."""
        return time.monotonic_ns()

    def unix_ns(self) -> int:
        """Return `time.time_ns()`."""
        return time.time_ns()


@dataclass(frozen=True, slots=True)
class Jump:
    """A disagreement of the wall clock with the elapsed time, larger than two slices.

    Attributes:
        from_unix_ns: What the steady clock read just before.
        to_unix_ns: What the wall clock reads now. After a forward jump the steady clock reads
            this too; after a backward one it keeps its own time and slows down.
    """

    from_unix_ns: int
    to_unix_ns: int

    @property
    def forward(self) -> bool:
        """Return True when the time between the two was not lived through by this process."""
        return self.to_unix_ns > self.from_unix_ns


@dataclass(frozen=True, slots=True)
class _Anchor:
    """One straight piece of the steady clock; replaced whole, never changed."""

    monotonic_ns: int
    unix_ns: int
    correction_ns: int

    def at(self, monotonic_ns: int) -> int:
        elapsed = max(0, monotonic_ns - self.monotonic_ns)
        slewed = min(abs(self.correction_ns), elapsed // SLEW_DIVISOR)
        return self.unix_ns + elapsed + (slewed if self.correction_ns > 0 else -slewed)


class SteadyClock:
    """A Unix time that never goes back, however the wall clock is set.

    The wall clock is read once at the start; from then on time advances by the monotonic clock.
    `check()` compares the two, once a tick: a small difference is slewed away at no more than 5 %
    of the elapsed time, a forward jump (a suspend, a corrected clock) is followed at once and
    reported, and a backward jump is reported once and slewed, so no slice is ever rewound.

    Any thread may call; one lock of its own makes readings and checks follow one another; a
    reading costs under 1 µs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.renew_lock()
        self._anchor = _Anchor(clock.monotonic_ns(), clock.unix_ns(), 0)
        self._behind = False
        _STEADY.add(self)

    def renew_lock(self) -> None:
        """Replace the lock, which another thread may have held when this process was forked."""
        self._lock = threading.RLock()

    def monotonic_ns(self) -> int:
        """Return the underlying monotonic time in nanoseconds."""
        return self._clock.monotonic_ns()

    def unix_ns(self) -> int:
        """Return nanoseconds since 1970-01-01 UTC; never less than an earlier call returned."""
        # Under the lock: with an anchor read before and a time read after another thread's
        # check, this reading could lie ahead of the next one.
        with self._lock:
            return self._anchor.at(self._clock.monotonic_ns())

    def _both(self) -> tuple[int, int]:
        """Return monotonic and wall time of one moment, read again if this thread was held up."""
        for _ in range(_ATTEMPTS - 1):
            before_ns, wall_ns = self._clock.monotonic_ns(), self._clock.unix_ns()
            if self._clock.monotonic_ns() - before_ns < _SAME_MOMENT_NS:
                return before_ns, wall_ns
        return self._clock.monotonic_ns(), self._clock.unix_ns()

    def check(self) -> Jump | None:
        """Compare with the wall clock, correct what can be corrected, and report a jump.

        Returns:
            The jump, or None when the clocks agree within 20 s or a backward jump that was
            reported before is still being slewed away.
        """
        with self._lock:
            monotonic_ns, wall_ns = self._both()
            steady_ns = self._anchor.at(monotonic_ns)
            drift_ns = wall_ns - steady_ns
            jump = Jump(steady_ns, wall_ns) if abs(drift_ns) > JUMP_THRESHOLD_NS else None
            if jump is not None and jump.forward:
                steady_ns, drift_ns = wall_ns, 0
            self._anchor = _Anchor(monotonic_ns, steady_ns, drift_ns)
            known, self._behind = self._behind, jump is not None and not jump.forward
            return None if known and self._behind else jump


_STEADY: weakref.WeakSet[SteadyClock] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for clock in list(_STEADY):
        clock.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
