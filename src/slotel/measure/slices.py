"""Histograms over time: sliding percentiles in bounded memory.

A slice holds, for all rows of a bank together, the non-empty buckets of a span of time: sorted
keys (row and bucket in one number) and their counts. 12 bytes a non-empty bucket, whatever the
number of series.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slotel.measure.histogram import Ints

KEY_BITS = 17
"""Bits of a key for bucket and sign; 3-digit histograms have 33,792 buckets."""
_PENDING_LIMIT = 1 << 16
_PENDING_PARTS = 32
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ring:
    """How finely and for how long slices are kept.

    Attributes:
        width_seconds: Span of one slice.
        slots: Number of slices kept.
    """

    width_seconds: int
    slots: int


RINGS = (Ring(10, 360), Ring(300, 288), Ring(3600, 840))
"""10 s for an hour; 5 min for a day and 1 h for 35 days, these two for named rows only."""


@dataclass(slots=True)
class Slice:
    """Counts of one span of time; `last` - `slot` + 1 grid slots wide once merged."""

    slot: int
    last: int
    keys: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return int(self.keys.nbytes + self.counts.nbytes)


def merge_counts(keys: Ints, counts: Ints) -> tuple[Ints, npt.NDArray[np.int32]]:
    """Return the distinct keys, ascending, and the sum of each one's counts."""
    if not len(keys):
        return keys, counts.astype(np.int32)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    summed = np.add.reduceat(counts[order], starts)
    return ordered[starts], summed.astype(np.int32)


class SliceRing:
    """Slices of one width, newest last. Only its owner, under the owner's lock, may call."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.slices: deque[Slice] = deque()
        self.slot: int | None = None
        self._keys: list[Ints] = []
        self._counts: list[Ints] = []
        self._pending = 0

    def add(self, keys: Ints, counts: Ints) -> None:
        """Add counts to the open slice."""
        self._keys.append(keys)
        self._counts.append(counts)
        self._pending += len(keys)
        if self._pending > _PENDING_LIMIT or len(self._keys) > _PENDING_PARTS:
            self._fold()

    def advance(self, unix_ns: int) -> Slice | None:
        """Open the slice of that time; returns the one closed by it when it held anything."""
        slot = unix_ns // (self.ring.width_seconds * _SECOND_NS)
        closed = None
        if self.slot is not None and slot > self.slot:
            closed = self._close(self.slot)
        if self.slot is None or slot > self.slot:
            self.slot = slot
        return closed

    def within(self, oldest_slot: int) -> list[Slice]:
        """Return the closed slices that reach into `oldest_slot` or later, and the open one."""
        found = [part for part in self.slices if part.last >= oldest_slot]
        if self._keys and self.slot is not None:
            self._fold()
            found.append(
                Slice(self.slot, self.slot, self._keys[0], self._counts[0].astype(np.int32))
            )
        return found

    def complete_from(self, grid_seconds: int) -> int | None:
        """Return the first time on a coarser grid from which this ring answers alone, unix seconds.

        None before anything was added.
        """
        if self.slot is None:
            return None
        width = self.ring.width_seconds
        lower = -(-(self.slot - self.ring.slots + 1) * width // grid_seconds) * grid_seconds
        if self.slices:
            oldest = self.slices[0]
            end = (oldest.last + 1) * width
            if oldest.slot * width < lower < end:
                lower = -(-end // grid_seconds) * grid_seconds
        return lower

    def merge_oldest(self) -> bool:
        """Merge the two oldest slices, or drop the only one; False when there is none."""
        if not self.slices:
            return False
        oldest = self.slices.popleft()
        if self.slices:
            second = self.slices.popleft()
            keys, counts = merge_counts(
                np.concatenate([oldest.keys, second.keys]),
                np.concatenate([oldest.counts, second.counts]).astype(np.int64),
            )
            self.slices.appendleft(Slice(oldest.slot, second.last, keys, counts))
        return True

    def clear(self) -> None:
        """Forget everything."""
        self.slices.clear()
        self._keys, self._counts, self._pending, self.slot = [], [], 0, None

    @property
    def nbytes(self) -> int:
        """Bytes of the closed slices."""
        return sum(part.nbytes for part in self.slices)

    def _fold(self) -> None:
        keys, counts = merge_counts(np.concatenate(self._keys), np.concatenate(self._counts))
        self._keys, self._counts = [keys], [counts.astype(np.int64)]
        self._pending = 0

    def _close(self, slot: int) -> Slice | None:
        closed = None
        if self._keys:
            self._fold()
            closed = Slice(slot, slot, self._keys[0], self._counts[0].astype(np.int32))
            self.slices.append(closed)
        self._keys, self._counts = [], []
        while self.slices and self.slices[0].last <= slot - self.ring.slots:
            self.slices.popleft()
        return closed


class HistogramSlices:
    """The three rings of one bank. Only its owner, under the owner's lock, may call."""

    def __init__(self) -> None:
        self.rings = [SliceRing(ring) for ring in RINGS]
        self._named: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._named_unix_ns = 0

    def name(self, rows: Ints, unix_ns: int) -> None:
        """Keep the longer rings for these rows from now on."""
        if not len(rows):
            return
        self._reach(int(rows.max()) + 1)
        if not self._named[rows].all():
            self._named_unix_ns = unix_ns
        self._named[rows] = True

    def known_from(self, rows: Sequence[int], unix_ns: int) -> int:
        """Return the time from which a window over these rows can be answered, unix ns."""
        finest = RINGS[0]
        hour_ago = unix_ns - finest.width_seconds * finest.slots * _SECOND_NS
        wanted = np.array(list(rows), np.int64)
        if len(wanted) and int(wanted.max()) < len(self._named) and self._named[wanted].all():
            return min(hour_ago, self._named_unix_ns)
        return hour_ago

    def resolution(self, since_unix_ns: int, unix_ns: int) -> int:
        """Return the width of the slices at the window's beginning, seconds."""
        age = (unix_ns - since_unix_ns) / _SECOND_NS
        for ring in RINGS:
            if age <= ring.width_seconds * ring.slots:
                return ring.width_seconds
        return RINGS[-1].width_seconds

    def add(self, keys: Ints, counts: Ints) -> None:
        """Add counts to the open slice of the finest ring."""
        self.rings[0].add(keys, counts)

    def advance(self, unix_ns: int) -> None:
        """Close what has ended by that time, and pass named rows on to the next ring."""
        for position, ring in enumerate(self.rings):
            closed = ring.advance(unix_ns)
            if closed is None or position + 1 == len(self.rings):
                continue
            following = self.rings[position + 1]
            following.advance(closed.slot * ring.ring.width_seconds * _SECOND_NS)
            keys, counts = closed.keys, closed.counts
            if position == 0:
                rows = keys >> KEY_BITS
                if len(rows):
                    self._reach(int(rows[-1]) + 1)
                kept = self._named[rows]
                keys, counts = keys[kept], counts[kept]
            if len(keys):
                following.add(keys, counts.astype(np.int64))

    def select(self, since_unix_ns: int) -> list[Slice]:
        """Return slices that together cover the time since then, each event once.

        The youngest hour comes from the finest ring, the day before it from the middle one, and so
        on; a slice that straddles the beginning is counted whole.
        """
        since = since_unix_ns // _SECOND_NS
        found: list[Slice] = []
        upper: int | None = None
        for ring, coarser in zip(self.rings, [*RINGS[1:], None], strict=True):
            width = ring.ring.width_seconds
            parts = [
                part
                for part in ring.within(since // width)
                if upper is None or (part.last + 1) * width <= upper
            ]
            lower = ring.complete_from(coarser.width_seconds) if coarser else None
            if lower is None or lower <= since:
                return found + parts
            found += [part for part in parts if part.slot * width >= lower]
            upper = lower
        return found

    def shrink(self) -> bool:
        """Give up resolution of the oldest slices once; False when nothing is left to give."""
        largest = max(self.rings, key=lambda ring: ring.nbytes)
        return largest.merge_oldest()

    def clear(self) -> None:
        """Forget all counts; named rows stay named."""
        for ring in self.rings:
            ring.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of the closed slices."""
        return sum(ring.nbytes for ring in self.rings)

    def _reach(self, rows: int) -> None:
        if rows > len(self._named):
            more = np.zeros(rows - len(self._named), np.bool_)
            self._named = np.concatenate([self._named, more])
