"""Good and total events over time: integer slices on the epoch grid, in three resolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from slotel.errors import SLOValueError

_MS = 1_000_000
# (slice width in seconds, span in seconds): windows up to 1 h, up to 6 h, up to 35 d.
RESOLUTIONS = ((10, 3_600), (60, 21_600), (300, 35 * 86_400))
MAX_WINDOW_SECONDS = RESOLUTIONS[-1][1]
# An event dated further ahead of the window's own time than this carries a broken clock's time.
MAX_AHEAD_MS = RESOLUTIONS[-1][0] * 1_000
# The head of a ring that has seen no time yet, older than any slice of any clock.
_NEVER = -(1 << 60)

_Number = TypeVar("_Number", np.int64, np.uint32)


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """What a window holds at one moment.

    Attributes:
        good: Good events.
        total: Valid events; 0 <= good <= total.
        coverage_ratio: Share of the window's time in which the process was up, 0..1.
        known_seconds: That time in seconds, at most the window's length.
        data_slices: Slices with at least one event.
        idle_slices: Slices in which the process was up for some time and nothing came.
        unknown_slices: Slices in which it was not up and nothing came.
        slice_seconds: Width of the slices read. The window reaches back up to one slice further
            than asked, never less far.
    """

    good: int
    total: int
    coverage_ratio: float
    known_seconds: float
    data_slices: int
    idle_slices: int
    unknown_slices: int
    slice_seconds: int

    @property
    def bad(self) -> int:
        """Return the number of bad events."""
        return self.total - self.good


class _Ring:
    """Slices of one width; slot `index % size` belongs to the slice of that absolute index."""

    __slots__ = ("good", "head", "known_ms", "size", "total", "width_ms")

    def __init__(self, width_seconds: int, span_seconds: int) -> None:
        self.width_ms = width_seconds * 1_000
        # One slot more than the span: a window cuts its oldest slice, and that is kept whole.
        self.size = span_seconds // width_seconds + 1
        self.good = np.zeros(self.size, np.int64)
        self.total = np.zeros(self.size, np.int64)
        self.known_ms = np.zeros(self.size, np.uint32)
        self.head = _NEVER

    @property
    def nbytes(self) -> int:
        return self.good.nbytes + self.total.nbytes + self.known_ms.nbytes

    def advance(self, index: int) -> None:
        """Make `index` the newest slice, clearing those that are reused; never goes back."""
        if index > self.head:
            for part in self._parts(max(self.head + 1, index - self.size + 1), index):
                self.good[part] = self.total[part] = 0
                self.known_ms[part] = 0
            self.head = index

    def add(self, good: int, total: int, at_ms: int) -> bool:
        """Add events to the slice of their own time; False when that slice is gone already."""
        index = at_ms // self.width_ms
        self.advance(index)
        if index <= self.head - self.size:
            return False
        self.good[index % self.size] += good
        self.total[index % self.size] += total
        return True

    def mark(self, from_ms: int, to_ms: int) -> None:
        """Add the time from..to, not marked before, to what is known."""
        self.advance(to_ms // self.width_ms)
        for part, overlap_ms in self._overlaps(from_ms, to_ms):
            self.known_ms[part] += np.uint32(overlap_ms)

    def unmark(self, from_ms: int, to_ms: int) -> None:
        """Take the time from..to away from what is known."""
        self.advance(to_ms // self.width_ms)
        for part, overlap_ms in self._overlaps(from_ms, to_ms):
            rest = np.uint32(self.width_ms - overlap_ms)
            np.minimum(self.known_ms[part], rest, out=self.known_ms[part])

    def _overlaps(self, from_ms: int, to_ms: int) -> list[tuple[slice, int]]:
        """Return slots and how many milliseconds of each lie in from..to."""
        width, oldest = self.width_ms, self.head - self.size + 1
        from_ms = max(from_ms, oldest * width)
        if to_ms <= from_ms:
            return []
        first, last = from_ms // width, (to_ms - 1) // width
        if first == last:
            return [(part, to_ms - from_ms) for part in self._parts(first, first)]
        ends = [
            *((part, (first + 1) * width - from_ms) for part in self._parts(first, first)),
            *((part, to_ms - last * width) for part in self._parts(last, last)),
        ]
        return ends + [(part, width) for part in self._parts(first + 1, last - 1)]

    def _parts(self, first: int, last: int) -> list[slice]:
        """Return the one or two runs of slots that hold the slices first..last, inclusive."""
        if last < first:
            return []
        low, high = first % self.size, last % self.size
        if low <= high:
            return [slice(low, high + 1)]
        return [slice(low, self.size), slice(0, high + 1)]

    def read(self, window_ms: int, now_ms: int) -> WindowCounts:
        first, last = (now_ms - window_ms) // self.width_ms, now_ms // self.width_ms
        asked = last - first + 1
        expected_ms = max(1, now_ms - first * self.width_ms)
        parts = self._parts(max(first, self.head - self.size + 1), min(last, self.head))
        total, known = _picked(self.total, parts), _picked(self.known_ms, parts)
        known_ms = min(int(known.sum(dtype=np.int64)), expected_ms)
        data = int(np.count_nonzero(total))
        idle = int(np.count_nonzero((total == 0) & (known > 0)))
        return WindowCounts(
            good=int(_picked(self.good, parts).sum()),
            total=int(total.sum()),
            coverage_ratio=known_ms / expected_ms,
            known_seconds=min(known_ms, window_ms) / 1_000,
            data_slices=data,
            idle_slices=idle,
            unknown_slices=asked - data - idle,
            slice_seconds=self.width_ms // 1_000,
        )

    def merge(self, other: _Ring) -> None:
        self.advance(other.head)
        # The same absolute slice lies in the same slot of both.
        for part in self._parts(self.head - self.size + 1, other.head):
            self.good[part] += other.good[part]
            self.total[part] += other.total[part]
            np.maximum(self.known_ms[part], other.known_ms[part], out=self.known_ms[part])


def _picked(values: npt.NDArray[_Number], parts: list[slice]) -> npt.NDArray[_Number]:
    return np.concatenate([values[part] for part in parts]) if parts else values[:0]


class EventWindow:
    """Integer counts of good and total events for every window up to 35 days.

    Three rings of slices on the absolute epoch grid: 10 s over 1 h, 1 min over 6 h, 5 min over
    35 d, 216 kB in all, allocated at once. Every event is added to each ring that still holds the
    slice of its own time, however late it comes. A slice holds data, or no traffic (the process
    was up and nothing came), or is unknown (it was not up); the time the process was up is kept
    to the millisecond. Reading is O(slices in the window), about 10 to 30 µs.

    One owner: it has no lock of its own, the evaluator's guards it.
    """

    __slots__ = ("_horizon_ms", "_rings", "dropped", "redated")

    def __init__(self) -> None:
        self._rings = tuple(_Ring(width, span) for width, span in RESOLUTIONS)
        self._horizon_ms: int | None = None
        self.dropped = 0
        """Events older than 35 days when they came; they are in no window any more."""
        self.redated = 0
        """Events dated more than 5 min ahead of `open_until`; counted at that time instead."""

    @property
    def nbytes(self) -> int:
        """Return the size of the slices in bytes; at most 300,000."""
        return sum(ring.nbytes for ring in self._rings)

    def add(self, good: int, total: int, *, unix_ns: int) -> None:
        """Add events that happened at that time, in whatever order.

        Args:
            good: Good events among them.
            total: Valid events, 0 <= good <= total; 0 adds nothing.
            unix_ns: When they happened, nanoseconds since 1970-01-01 UTC.

        Raises:
            SLOValueError: A count is negative or good exceeds total.
        """
        if not 0 <= good <= total:
            raise SLOValueError(f"a slice needs 0 <= good <= total, got {good} good of {total}.")
        at_ms = unix_ns // _MS
        if self._horizon_ms is not None and at_ms > self._horizon_ms + MAX_AHEAD_MS:
            self.redated += total
            at_ms = self._horizon_ms
        # Every ring is offered the event; the coarsest decides whether it is anywhere.
        if total and not [ring.add(good, total, at_ms) for ring in self._rings][-1]:
            self.dropped += total

    def open_until(self, unix_ns: int) -> None:
        """State that the process was up from the last such time, or gap, until this one.

        The first call only sets the start. A time before the last one changes nothing.
        """
        now_ms = unix_ns // _MS
        if self._horizon_ms is None:
            for ring in self._rings:
                ring.advance(now_ms // ring.width_ms)
            self._horizon_ms = now_ms
        elif now_ms > self._horizon_ms:
            for ring in self._rings:
                ring.mark(self._horizon_ms, now_ms)
            self._horizon_ms = now_ms

    def gap(self, from_unix_ns: int, to_unix_ns: int) -> None:
        """State that nothing is known about that time: a suspend, or a clock set forward."""
        from_ms, to_ms = from_unix_ns // _MS, to_unix_ns // _MS
        for ring in self._rings:
            ring.unmark(from_ms, to_ms)
        if self._horizon_ms is None or to_ms > self._horizon_ms:
            self._horizon_ms = to_ms

    def counts(self, window_seconds: float, *, now_unix_ns: int) -> WindowCounts:
        """Return the events of the window that ends now.

        Args:
            window_seconds: Length of the window, 0 < window_seconds <= 35 days; it is read from
                the finest slices that reach so far back.
            now_unix_ns: End of the window.

        Raises:
            SLOValueError: The length is outside its range.
        """
        if not 0 < window_seconds <= MAX_WINDOW_SECONDS:
            raise SLOValueError(f"a window is 0 < seconds <= 35 days, got {window_seconds!r} s.")
        fine = sum(window_seconds > span for _, span in RESOLUTIONS)
        return self._rings[fine].read(round(window_seconds * 1_000), now_unix_ns // _MS)

    def merge(self, other: EventWindow) -> None:
        """Add another process's window to this one, slice by slice.

        A slice is known as far as either knew it. What rolled out of either is not brought back.
        """
        for mine, theirs in zip(self._rings, other._rings, strict=True):
            mine.merge(theirs)
        self.dropped += other.dropped
        self.redated += other.redated
        if other._horizon_ms is not None:
            self._horizon_ms = max(other._horizon_ms, self._horizon_ms or other._horizon_ms)
