"""Histograms over time: sliding percentiles in bounded memory.

A slice holds, for all rows of a bank together, the non-empty buckets of a span of time: sorted
keys (row and bucket in one number) and their counts. 12 bytes a non-empty bucket, whatever the
number of series: a series that sees fewer than 100 calls in 10 s costs at most 1.2 kB a slice,
0.43 MB an hour.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slotel.measure.histogram import Ints

KEY_BITS = 17
"""Bits of a key for bucket and sign; 3-digit histograms have 33,792 buckets."""
_PENDING_LIMIT = 1 << 16
_PENDING_PARTS = 32
_SECOND_NS = 1_000_000_000
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Ring:
    """How finely and for how long slices are kept.

    Attributes:
        width_seconds: Span of one slice.
        slots: Number of closed slices kept, beside the open one.
        merged_seconds: Grid that slices are merged to when memory runs short: the next ring's.
    """

    width_seconds: int
    slots: int
    merged_seconds: int


RINGS = (Ring(10, 360, 300), Ring(300, 288, 3600), Ring(3600, 840, 86_400))
"""10 s for an hour; 5 min for a day and 1 h for 35 days, these two for named rows only."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Counts of one span of time; `last` - `slot` + 1 grid slots wide once merged.

    Attributes:
        keys: int64, shape (n,), ascending: row << KEY_BITS | bucket.
        counts: int32, shape (n,).
    """

    slot: int
    last: int
    keys: Ints
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
    """Slices of one width, newest last. Only its owner, under the owner's lock, may call.

    Attributes:
        slices: The closed slices that hold anything, oldest first.
        slot: Grid slot that is open; None before the first `advance`.
        nbytes: Bytes of the closed slices.
    """

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.slices: deque[Slice] = deque()
        self.slot: int | None = None
        self.nbytes = 0
        self._dropped = -1
        self._keys: list[Ints] = []
        self._counts: list[Ints] = []
        self._pending = 0

    def add(self, keys: Ints, counts: Ints) -> None:
        """Add counts to the open slice; `advance` has opened one."""
        self._keys.append(keys)
        self._counts.append(counts)
        self._pending += len(keys)
        if self._pending > _PENDING_LIMIT or len(self._keys) > _PENDING_PARTS:
            self._fold()

    def advance(self, unix_ns: int) -> Slice | None:
        """Open the slice of that time; returns the one closed by it when it held anything.

        A time before the open slice changes nothing: no slice is opened twice.
        """
        slot = unix_ns // (self.ring.width_seconds * _SECOND_NS)
        if self.slot is None or slot <= self.slot:
            self.slot = slot if self.slot is None else self.slot
            return None
        closed = self.open_slice()
        if closed is not None:
            self.slices.append(closed)
            self.nbytes += closed.nbytes
        self._keys, self._counts, self._pending = [], [], 0
        self.slot = slot
        while self.slices and self.slices[0].last < slot - self.ring.slots:
            self.nbytes -= self.slices.popleft().nbytes
        return closed

    def open_slice(self) -> Slice | None:
        """Return what the open slice holds so far; None when it holds nothing."""
        if self.slot is None or not self._keys:
            return None
        self._fold()
        return Slice(self.slot, self.slot, self._keys[0], self._counts[0].astype(np.int32))

    def within(self, since: int, upper: int | None) -> list[Slice]:
        """Return the slices that reach into `since` or later and end by `upper`, unix seconds.

        The open slice comes last, where `upper` is None.
        """
        width = self.ring.width_seconds
        found = [part for part in self.slices if (part.last + 1) * width > since]
        if upper is not None:
            return [part for part in found if (part.last + 1) * width <= upper]
        newest = self.open_slice()
        return found if newest is None else [*found, newest]

    def end_of_straddling(self, second: int) -> int:
        """Return that unix second, or the end of the closed slice that it cuts in two."""
        width = self.ring.width_seconds
        for part in reversed(self.slices):
            if part.slot * width < second < (part.last + 1) * width:
                return (part.last + 1) * width
        return second

    @property
    def known_from(self) -> int:
        """Return the time from which every slice is kept, unix seconds; 0 before the first."""
        if self.slot is None:
            return 0
        return max(self.slot - self.ring.slots, self._dropped + 1) * self.ring.width_seconds

    def merge_oldest(self) -> bool:
        """Merge the oldest two slices that share a slot of the coarser grid; False for none."""
        parts = self.slices
        grid = self.ring.merged_seconds // self.ring.width_seconds
        for place in range(len(parts) - 1):
            older, newer = parts[place], parts[place + 1]
            if older.slot // grid == newer.slot // grid:
                keys, counts = merge_counts(
                    np.concatenate([older.keys, newer.keys]),
                    np.concatenate([older.counts, newer.counts]).astype(np.int64),
                )
                merged = Slice(older.slot, newer.last, keys, counts)
                parts[place] = merged
                del parts[place + 1]
                self.nbytes += merged.nbytes - older.nbytes - newer.nbytes
                return True
        return False

    def drop_oldest(self) -> bool:
        """Forget the oldest slice, and say so in `known_from`; False when there is none.

        What belongs to the open slot of the next ring stays: nothing else answers for it yet.
        """
        grid = self.ring.merged_seconds // self.ring.width_seconds
        if self.slot is None or not self.slices or self.slices[0].slot // grid == self.slot // grid:
            return False
        oldest = self.slices.popleft()
        self.nbytes -= oldest.nbytes
        self._dropped = oldest.last
        return True

    def _fold(self) -> None:
        if len(self._keys) == 1 and not self._pending:
            return
        keys, counts = merge_counts(np.concatenate(self._keys), np.concatenate(self._counts))
        self._keys, self._counts = [keys], [counts.astype(np.int64)]
        self._pending = 0


class HistogramSlices:
    """The three rings of one bank. Only its owner, under the owner's lock, may call."""

    def __init__(self) -> None:
        self.rings = [SliceRing(ring) for ring in RINGS]
        self._named_from: Ints = np.zeros(0, np.int64)
        self._next_unix_ns = 0

    def name(self, rows: Ints, from_unix_seconds: Ints) -> None:
        """Keep the longer rings for these rows from now on; a second time changes nothing.

        Args:
            rows: int64, shape (n,).
            from_unix_seconds: int64, shape (n,): since when each row's counts are all kept.
        """
        if not len(rows):
            return
        self._reach(int(rows.max()) + 1)
        self._named_from[rows] = np.minimum(self._named_from[rows], from_unix_seconds)

    def renewed(self) -> HistogramSlices:
        """Return empty rings with the same rows named, since ever."""
        made = HistogramSlices()
        made._named_from = np.where(self._named_from == _NEVER, _NEVER, 0)
        return made

    def unnamed(self, rows: Ints) -> Ints:
        """Return those of the rows that have not been named."""
        known = np.append(self._named_from, _NEVER)
        found: Ints = rows[known[np.minimum(rows, len(known) - 1)] == _NEVER]
        return found

    def known_from(self, rows: Ints, since_unix_ns: int) -> int:
        """Return from when on a window that begins then knows these rows, unix seconds."""
        since = since_unix_ns // _SECOND_NS
        finest = self.rings[0].known_from
        if finest > since:
            finest = self._seam(0)
        if not len(rows) or len(self.unnamed(rows)):
            return finest
        return min(finest, max(int(self._named_from[rows].max()), self.rings[-1].known_from))

    def add(self, keys: Ints, counts: Ints) -> None:
        """Add counts to the open slice of the finest ring."""
        self.rings[0].add(keys, counts)

    def advance(self, unix_ns: int) -> None:
        """Close what has ended by that time, and pass named rows on to the next ring.

        The next ring is advanced after that, so what it is passed lands in the slice that was open
        when it was counted, however long ago that was.
        """
        if unix_ns < self._next_unix_ns:
            return
        width_ns = RINGS[0].width_seconds * _SECOND_NS
        self._next_unix_ns = (unix_ns // width_ns + 1) * width_ns
        for position, ring in enumerate(self.rings):
            closed = ring.advance(unix_ns)
            if closed is None or position + 1 == len(self.rings):
                continue
            keys, counts = closed.keys, closed.counts
            if position == 0:
                rows = keys >> KEY_BITS
                self._reach(int(rows[-1]) + 1)
                kept = self._named_from[rows] != _NEVER
                keys, counts = keys[kept], counts[kept]
            if len(keys):
                self.rings[position + 1].add(keys, counts.astype(np.int64))

    def select(self, since_unix_ns: int) -> list[Slice]:
        """Return slices that together cover the time since then, each event once.

        The youngest hour comes from the finest ring, the day before it from the middle one, and so
        on; a slice that straddles the beginning is counted whole.
        """
        return [part for parts, _ in self._answers(since_unix_ns) for part in parts]

    def resolution(self, since_unix_ns: int) -> int:
        """Return how exactly a window that begins then begins, in seconds."""
        parts, ring = self._answers(since_unix_ns)[-1]
        width = ring.ring.width_seconds
        oldest = min(parts, key=lambda part: part.slot, default=None)
        return width if oldest is None else (oldest.last - oldest.slot + 1) * width

    def shrink(self) -> bool:
        """Give up resolution of the oldest slices once; False when nothing is left to give."""
        largest_first = sorted(self.rings, key=lambda ring: -ring.nbytes)
        return any(ring.merge_oldest() for ring in largest_first) or any(
            ring.drop_oldest() for ring in largest_first
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the closed slices."""
        return sum(ring.nbytes for ring in self.rings)

    def _answers(self, since_unix_ns: int) -> list[tuple[list[Slice], SliceRing]]:
        """Return, youngest first, each ring that a window needs and its slices."""
        since = since_unix_ns // _SECOND_NS
        found: list[tuple[list[Slice], SliceRing]] = []
        upper: int | None = None
        for position, ring in enumerate(self.rings):
            if ring.known_from <= since or ring is self.rings[-1]:
                found.append((ring.within(since, upper), ring))
                break
            seam = self._seam(position)
            found.append((ring.within(seam, upper), ring))
            upper = seam
        return found

    def _seam(self, position: int) -> int:
        """Return from when on that ring answers, and before which the next one does, unix seconds.

        No slice of either ring reaches over it: merged slices lie within the next ring's grid.
        """
        ring = self.rings[position]
        grid = ring.ring.merged_seconds
        lower = -(-ring.known_from // grid) * grid
        return self.rings[position + 1].end_of_straddling(lower)

    def _reach(self, rows: int) -> None:
        more = rows - len(self._named_from)
        if more > 0:
            self._named_from = np.concatenate([self._named_from, np.full(more, _NEVER, np.int64)])
