"""A bank: the state of one quantity over all series, as arrays with one row a series.

What a row weighs, with 2 digits: 13 numbers of 8 bytes, 8 more for each bucket bound, 16 for each
cut, and its histogram, 1 kB for each power of two that it touched. Latencies of a language model
(8 ms to 2 min, 14 bounds, 5 cuts) come to about 15 kB, at most four times that while the arrays
have grown ahead of need; with 3 digits a power of two takes 8 kB. Sliding histograms are apart:
see `slices`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from slotel.measure.histogram import (
    HIGHEST_UNITS,
    Floats,
    HdrCounts,
    Ints,
    Layout,
    SegmentPool,
    sum_counts,
)
from slotel.measure.measurement import Quantity
from slotel.measure.series import Buffer
from slotel.measure.slices import KEY_BITS, HistogramSlices

# Half a unit in the last place more than two roundings can take away: 15 / 1e9 * 1e9 is below 15
# and would be counted a unit, for small values a bucket, too low.
_ROUNDING = 1.0 + 2.0**-51
_ROW_ARRAYS = ("counts", "sums", "minima", "maxima", "interval_minima", "interval_maxima")
_BUCKET_MASK = (1 << KEY_BITS) - 1
_EMPTY = {
    "counts": 0, "sums": 0.0, "minima": math.inf, "maxima": -math.inf,
    "interval_minima": math.nan, "interval_maxima": math.nan,
}  # fmt: skip


class Bank:
    """Counts, sums, extremes, exact buckets, cuts and histograms of one quantity.

    Only the ledger, under its lock, may call.

    Attributes:
        buffers: The buffer of each row.
        counts: int64, shape (capacity,): values of each row.
        sums: float64, shape (capacity,): sum of each row, base unit.
        minima: float64, shape (capacity,); inf before the first value. `maxima` likewise.
        below: int64, shape (capacity, n_bounds + n_cuts): how many values of each row are at or
            below each bucket bound and each cut, exactly.
    """

    counts: Ints
    sums: Floats
    minima: Floats
    maxima: Floats
    interval_minima: Floats
    interval_maxima: Floats

    def __init__(self, measured: Quantity, layout: Layout) -> None:
        self.quantity = measured
        self.layout = layout
        self._highest = HIGHEST_UNITS / measured.scale
        self._factor = measured.scale * _ROUNDING
        self.buffers: list[Buffer] = []
        self.clamped = 0
        self._cuts: list[tuple[float, bool]] = []
        # Bucket bounds, then cuts. A cut "at least b" counts those that miss it: what is at or
        # below the float that comes just before b.
        self._edges: Floats = np.array(measured.bounds, np.float64)
        self._exemplar_floor = 0.0
        self.slices = HistogramSlices()
        for name in _ROW_ARRAYS:
            setattr(self, name, np.zeros(0, np.int64 if name == "counts" else np.float64))
        self.below: Ints = np.zeros((0, len(self._edges)), np.int64)
        self._registered: Ints = np.zeros((0, 0), np.int64)
        self._positive = SegmentPool(layout)
        self._negative = SegmentPool(layout)

    def admit(self, buffer: Buffer) -> None:
        """Give a buffer the next row."""
        buffer.row = len(self.buffers)
        buffer.exemplar_floor = self._exemplar_floor
        self.buffers.append(buffer)
        if len(self.buffers) > len(self.counts):
            self._extend(max(8, 2 * len(self.counts)))

    def cut(self, bound: float, at_least: bool) -> int:
        """Register an exact threshold; returns its column."""
        wanted = (bound, at_least)
        if wanted in self._cuts:
            return self._cuts.index(wanted)
        self._cuts.append(wanted)
        edge = math.nextafter(bound, -math.inf) if at_least else bound
        self._edges = np.append(self._edges, edge)
        fresh = np.zeros((len(self.counts), 1), np.int64)
        self.below = np.concatenate([self.below, fresh], axis=1)
        self._registered = np.concatenate([self._registered, self.counts[:, None]], axis=1)
        self._set_exemplar_floors()
        return len(self._cuts) - 1

    def count_row(self, row: int, values: Floats) -> None:
        """Count many values of one row; float64, shape (n,), ascending, base unit, all usable.

        Sorted values cost one pass for all thresholds together, and give the extremes for nothing.
        """
        # The histogram first: it is the step that may run out of memory.
        negatives = int(values.searchsorted(0.0)) if values[0] < 0.0 else 0
        if negatives:
            self._histogram_row(row, -values[:negatives][::-1], negative=True)
        if negatives < len(values):
            self._histogram_row(row, values[negatives:], negative=False)
        below = values.searchsorted(self._edges, side="right")
        self.counts[row] += len(values)
        self.sums[row] += values.sum()
        self.below[row] += below
        self._widen(row, float(values[0]), float(values[-1]))

    def count_rows(self, rows: Ints, values: Floats) -> None:
        """Count values of many rows, float64, shape (n,); equal rows stand together."""
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        heads = rows[starts]
        lows = np.minimum.reduceat(values, starts)
        highs = np.maximum.reduceat(values, starts)
        self._histogram_both(rows, values, signed=bool(lows.min() < 0.0))
        below = np.add.reduceat(values[:, None] <= self._edges, starts, axis=0, dtype=np.int64)
        self.counts[heads] += np.diff(starts, append=len(rows))
        self.sums[heads] += np.add.reduceat(values, starts)
        self.below[heads] += below
        self.minima[heads] = np.minimum(self.minima[heads], lows)
        self.maxima[heads] = np.maximum(self.maxima[heads], highs)
        self.interval_minima[heads] = np.fmin(self.interval_minima[heads], lows)
        self.interval_maxima[heads] = np.fmax(self.interval_maxima[heads], highs)

    def within(self, column: int) -> Ints:
        """Return each row's number of values that met the cut since it was registered."""
        used = len(self.buffers)
        below = self.below[:used, len(self.quantity.bounds) + column]
        if not self._cuts[column][1]:
            return below.copy()
        found: Ints = self.counts[:used] - self._registered[:used, column] - below
        return found

    def bucket_counts(self, row: int) -> tuple[int, ...]:
        """Return a row's exact bucket counts, one more than there are bounds."""
        edges = self.below[row, : len(self.quantity.bounds)].tolist()
        upper = [*edges, int(self.counts[row])]
        return tuple(high - low for high, low in zip(upper, [0, *edges], strict=True))

    def rows_of(self, name: str) -> Any:
        """Return a copy of the named array, one element a row."""
        return getattr(self, name)[: len(self.buffers)].copy()

    def histogram(self, row: int, *, negative: bool = False) -> HdrCounts:
        """Return a row's histogram since start, or that of its negative values' magnitudes."""
        first, counts = (self._negative if negative else self._positive).row(row)
        return HdrCounts(self.layout, self.quantity.scale, first, counts)

    def merged(self, rows: Sequence[int]) -> HdrCounts:
        """Return the histogram since start, summed over rows."""
        layout, scale = self.layout, self.quantity.scale
        found = sum_counts([self.histogram(row) for row in rows], layout=layout, scale=scale)
        if not self.quantity.signed:
            return found
        below = [self.histogram(row, negative=True) for row in rows]
        return replace(found, negative=sum_counts(below, layout=layout, scale=scale))

    def name(self, rows: Ints, unix_ns: int) -> None:
        """Keep the longer rings of these rows, int64, shape (n,), from now on.

        A row whose values all lie in the open slice is known since ever, the others since now.
        """
        fresh = self.slices.unnamed(rows)
        if not len(fresh):
            return
        pending = np.zeros(len(self.counts), np.int64)
        open_slice = self.slices.rings[0].open_slice()
        if open_slice is not None:
            np.add.at(pending, open_slice.keys >> KEY_BITS, open_slice.counts)
        complete = pending[fresh] == self.counts[fresh]
        self.slices.name(fresh, np.where(complete, 0, unix_ns // 1_000_000_000))

    def window(self, rows: Ints, since_unix_ns: int) -> HdrCounts:
        """Return the histogram of the time since then, summed over rows."""
        # Negative values lie above the others, as in the keys of slices.
        size = self.layout.size
        total = np.zeros(2 * size, np.int64)
        if len(rows):
            wanted = np.zeros(len(self.buffers), np.bool_)
            wanted[rows] = True
            low, high = int(rows.min()), int(rows.max())
            every = bool(wanted[low : high + 1].all())
            for part in self.slices.select(since_unix_ns):
                begin, end = part.keys.searchsorted([low << KEY_BITS, (high + 1) << KEY_BITS])
                keys, counts = part.keys[begin:end], part.counts[begin:end]
                if not every:
                    kept = wanted[keys >> KEY_BITS]
                    keys, counts = keys[kept], counts[kept]
                buckets = keys & _BUCKET_MASK
                # Sums of counts are exact in float64 up to 2**53.
                found = np.bincount(buckets, weights=counts, minlength=len(total))
                total += found.astype(np.int64)
        scale = self.quantity.scale
        negative = HdrCounts(self.layout, scale, 0, total[size:]) if self.quantity.signed else None
        return HdrCounts(self.layout, scale, 0, total[:size], negative)

    def reset_interval(self) -> None:
        """Forget the extremes of the interval."""
        self.interval_minima.fill(math.nan)
        self.interval_maxima.fill(math.nan)

    def renewed(self) -> Bank:
        """Return a bank without rows and values that has the same cuts and named rows."""
        made = Bank(self.quantity, self.layout)
        for bound, at_least in self._cuts:
            made.cut(bound, at_least)
        made.slices = self.slices.renewed()
        return made

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, sliding histograms included."""
        arrays = sum(int(getattr(self, name).nbytes) for name in _ROW_ARRAYS)
        pools = self._positive.nbytes + self._negative.nbytes
        return (
            int(arrays + pools + self.below.nbytes + self._registered.nbytes) + self.slices.nbytes
        )

    def _extend(self, capacity: int) -> None:
        more = capacity - len(self.counts)
        for name in _ROW_ARRAYS:
            old = getattr(self, name)
            extra = np.full(more, _EMPTY[name], old.dtype)
            setattr(self, name, np.concatenate([old, extra]))
        self.below = np.concatenate([self.below, np.zeros((more, len(self._edges)), np.int64)])
        self._registered = np.concatenate(
            [self._registered, np.zeros((more, len(self._cuts)), np.int64)]
        )
        self._positive.resize(capacity)
        self._negative.resize(capacity)

    def _widen(self, row: int, low: float, high: float) -> None:
        if low < self.minima[row]:
            self.minima[row] = low
        if high > self.maxima[row]:
            self.maxima[row] = high
        # Not-a-number stands for an interval without a value: it compares false.
        if not self.interval_minima[row] <= low:
            self.interval_minima[row] = low
        if not self.interval_maxima[row] >= high:
            self.interval_maxima[row] = high

    def _indices(self, values: Floats, lowest: float, highest: float) -> Ints:
        """Return the bucket of each value, all >= 0, from the lowest to the highest, base unit."""
        if highest > self._highest:
            self.clamped += int(np.count_nonzero(values > self._highest))
            values = np.minimum(values, self._highest)
        return self.layout.index(values * self._factor, lowest=lowest * self._factor)

    def _histogram_row(self, row: int, values: Floats, *, negative: bool) -> None:
        indices = self._indices(values, values[0], values[-1])
        first = int(indices[0])
        counts = np.bincount(indices - first)
        (self._negative if negative else self._positive).add_counts(row, first, counts)
        filled = counts.nonzero()[0]
        self.slices.add(self._keys(row, filled + first, negative), counts[filled])

    def _histogram_both(self, rows: Ints, values: Floats, *, signed: bool) -> None:
        if signed:
            below = values < 0.0
            self._histogram_rows(rows[below], -values[below], negative=True)
            rows, values = rows[~below], values[~below]
        if len(values):
            self._histogram_rows(rows, values, negative=False)

    def _histogram_rows(self, rows: Ints, values: Floats, *, negative: bool) -> None:
        indices = self._indices(values, values.min(), values.max())
        (self._negative if negative else self._positive).add(rows, indices)
        self.slices.add(self._keys(rows, indices, negative), np.ones(len(indices), np.int64))

    def _keys(self, rows: Ints | int, indices: Ints, negative: bool) -> Ints:
        offset = self.layout.size if negative else 0
        keys: Ints = (np.int64(1) * rows << KEY_BITS) + indices + offset
        return keys

    def _set_exemplar_floors(self) -> None:
        """Let exemplars begin at the lowest cut that marks a value as slow."""
        slow = [bound for bound, at_least in self._cuts if not at_least]
        self._exemplar_floor = min(slow) if slow else 0.0
        for buffer in self.buffers:
            buffer.exemplar_floor = self._exemplar_floor
