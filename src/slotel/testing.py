"""What tests of Slotel, and of programs that use it, are written with."""

from __future__ import annotations

import threading


class ManualClock:
    """A clock that moves only when told to; it stands in for the system's in tests. Any thread.

    Args:
        unix_ns: Wall time at the start, in nanoseconds since 1970-01-01 UTC.
            The default is 2026-01-01 00:00:00 UTC, which lies on every slice boundary.
        monotonic_ns: Monotonic time at the start, in nanoseconds.
    """

    def __init__(
        self, *, unix_ns: int = 1_767_225_600_000_000_000, monotonic_ns: int = 1_000_000_000
    ) -> None:
        self._lock = threading.Lock()
        self._unix_ns = unix_ns
        self._monotonic_ns = monotonic_ns

    def monotonic_ns(self) -> int:
        """Return the monotonic time in nanoseconds."""
        return self._monotonic_ns

    def unix_ns(self) -> int:
        """Return the wall time in nanoseconds since 1970-01-01 UTC."""
        return self._unix_ns

    def advance(self, seconds: float) -> None:
        """Let that much time pass on both clocks.

        Raises:
            ValueError: seconds is negative; time does not go back, `jump_wall` does.
        """
        if not seconds >= 0:
            raise ValueError(f"advance() needs seconds >= 0, got {seconds!r}. Use jump_wall().")
        step_ns = round(seconds * 1e9)
        with self._lock:
            self._monotonic_ns += step_ns
            self._unix_ns += step_ns

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock that much forward, or back if negative; no time passes."""
        with self._lock:
            self._unix_ns += round(seconds * 1e9)
