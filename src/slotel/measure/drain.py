"""The ledger: takes what the buffers hold and keeps exact counts, sums, buckets and histograms.

Everything here runs on the tick thread, at an export, or on a caller whose buffer is full. One
drain runs at a time. All counts come from the raw values, so a threshold is judged exactly; only
percentiles are read off histogram buckets.
"""

from __future__ import annotations

import logging
import math
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from slotel.measure.bank import Bank
from slotel.measure.histogram import LAYOUTS, Floats, HdrCounts, Ints, sum_counts
from slotel.measure.measurement import Quantity, SeriesKey, quantity
from slotel.measure.series import Buffer, Exemplar, Gaps

if TYPE_CHECKING:
    from slotel.measure.series import Recorder

_logger = logging.getLogger("slotel")

BATCH_BELOW = 512
"""Buffers with fewer pending values are drained together; measured break-even."""
CHUNK = 8192
"""Values converted at once; bounds how long a drain holds the interpreter (about 0.2 ms)."""
SLICES_CAP_BYTES = 64 * 1024 * 1024
"""All sliding histograms of the process together; over it the oldest lose resolution."""


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """One quantity of one series since `start_unix_ns`; numbers are in the base unit.

    Attributes:
        bucket_counts: Exact counts by the quantity's bounds, one more than there are bounds.
        interval_minimum: Smallest value since the previous `snapshot(reset_interval=True)`;
            NaN when there was none, as for `interval_maximum`.
        negative: Histogram of the magnitudes of negative values; None for unsigned quantities.
    """

    key: SeriesKey
    quantity: Quantity
    start_unix_ns: int
    count: int
    sum: float
    minimum: float
    maximum: float
    interval_minimum: float
    interval_maximum: float
    bucket_counts: tuple[int, ...]
    positive: HdrCounts
    negative: HdrCounts | None
    exemplars: tuple[Exemplar, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every distribution that holds at least one value, at one moment."""

    time_unix_ns: int
    distributions: list[Distribution]


@dataclass(frozen=True, slots=True)
class WindowedHistogram:
    """A histogram over a sliding window.

    Attributes:
        counts: What was counted in the window.
        coverage_ratio: Share of the window that is known, 0 to 1.
        seconds: Length of the window that was asked for.
        resolution_seconds: The window's beginning is exact to this much.
    """

    counts: HdrCounts
    coverage_ratio: float
    seconds: float
    resolution_seconds: int


class Ledger:
    """Exact state of all series of a recorder. Any thread may call any method.

    `lock` guards all of it. A thread that re-enters (a signal handler or finaliser that records
    while this thread drains) gets through `relieve` without draining.
    """

    _owner: int

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._banks: dict[str, Bank] = {}
        self._seen = 0
        self._cap_bytes = SLICES_CAP_BYTES
        self._new_locks()
        self.faults: Counter[str] = Counter()

    # -- draining ---------------------------------------------------------------------------

    def drain(self) -> None:
        """Take and count everything that is pending. Loses and doubles nothing, whoever records."""
        if self._owner == threading.get_ident():
            return
        with self.lock:
            self._owner = threading.get_ident()
            try:
                self._admit()
                now = self._recorder.clock.unix_ns()
                for bank in list(self._banks.values()):
                    bank.slices.advance(now)
                    self._drain_runs(bank)
                for bank in self._banks.values():
                    self._drain_bank(bank)
                self._bound_slices()
            finally:
                self._owner = 0

    def relieve(self, buffer: Buffer, *, wait: bool) -> None:
        """Drain one buffer on its caller's thread; without `wait` only when nobody else drains."""
        me = threading.get_ident()
        if self._owner == me or not self.lock.acquire(blocking=wait):
            return
        self._owner = me
        try:
            self._admit()
            bank = self._banks[buffer.quantity.name]
            self._drain_runs(bank)
            self._take_large(bank, buffer)
        except Exception:
            self.faults["drain"] += 1
            _logger.exception("slotel: a full buffer could not be drained; its values stay pending")
        finally:
            self._owner = 0
            self.lock.release()

    def reset(self) -> None:
        """Start again at zero in a forked child: fresh locks, same rows, cuts and named series."""
        self._new_locks()
        self.faults = Counter()
        for bank in self._banks.values():
            bank.clear()

    def _new_locks(self) -> None:
        self.lock = threading.RLock()
        self._owner = 0

    def _admit(self) -> None:
        """Give new buffers their rows."""
        buffers = self._recorder.buffers()
        while self._seen < len(buffers):
            buffer = buffers[self._seen]
            self._bank(buffer.quantity).admit(buffer)
            self._seen += 1

    def _bank(self, measured: Quantity) -> Bank:
        bank = self._banks.get(measured.name)
        if bank is None:
            bank = Bank(measured, LAYOUTS[self._recorder.digits])
            self._banks[measured.name] = bank
        return bank

    def _drain_bank(self, bank: Bank) -> None:
        pending = [buffer for buffer in bank.buffers if buffer.values]
        flat: list[float] = []
        rows: list[int] = []
        sizes: list[int] = []
        for buffer in pending:
            values = buffer.values
            size = len(values)
            if size >= BATCH_BELOW:
                self._take_large(bank, buffer)
                continue
            flat += values[:size]
            del values[:size]
            rows.append(buffer.row)
            sizes.append(size)
        if flat:
            self._count_small(bank, flat, np.array(rows), np.array(sizes))

    def _drain_runs(self, bank: Bank) -> None:
        """Count the differences of pending runs, then let ended streams have their largest one."""
        ended: list[tuple[Gaps, Buffer]] = []
        for buffer in bank.buffers:
            if not buffer.runs:
                continue
            runs = buffer.runs[:]
            del buffer.runs[: len(runs)]
            ended += [(gaps, ending) for _, gaps, ending in runs if ending is not None]
            found = _differences([times for times, _, _ in runs])
            if found is None:
                continue
            differences, starts, owners = found
            for owner, largest in zip(
                owners, np.maximum.reduceat(differences, starts).tolist(), strict=True
            ):
                gaps = runs[owner][1]
                gaps.largest = max(largest, gaps.largest or 0.0)
            differences.sort()
            bank.count_row(buffer.row, differences)
        for gaps, ending in ended:
            if gaps.largest is not None:
                ending.values.append(gaps.largest)

    def _take_large(self, bank: Bank, buffer: Buffer) -> None:
        values = buffer.values
        left = len(values)
        while left > 0:
            size = min(left, CHUNK)
            taken = values[:size]
            del values[:size]
            left -= size
            array = self._numbers(bank, taken)
            if array is None:
                array = np.array(sorted(self._salvage(bank, taken)), np.float64)
            if len(array):
                bank.count_row(buffer.row, array)

    def _count_small(self, bank: Bank, flat: list[float], rows: Ints, sizes: Ints) -> None:
        array = _floats(flat)
        owners = np.repeat(rows, sizes)
        if array is None or not self._all_usable(bank, array.min(), array.max()):
            kept = [place for place, value in enumerate(flat) if self._usable(bank, value)]
            self._report(bank, [value for value in flat if not self._usable(bank, value)])
            array = np.array([float(flat[place]) for place in kept], np.float64)
            owners = owners[kept]
        if len(array):
            bank.count_rows(owners, array)

    def _numbers(self, bank: Bank, taken: list[float]) -> Floats | None:
        """Return the values, ascending, or None when at least one of them is unusable."""
        array = _floats(taken)
        if array is None:
            return None
        array.sort()  # Not-a-number goes last, so both ends tell whether all are usable.
        return array if self._all_usable(bank, array[0], array[-1]) else None

    @staticmethod
    def _all_usable(bank: Bank, low: float, high: float) -> bool:
        return (low >= 0.0 or (bank.quantity.signed and low > -math.inf)) and high < math.inf

    def _salvage(self, bank: Bank, taken: list[float]) -> list[float]:
        self._report(bank, [value for value in taken if not self._usable(bank, value)])
        return [float(value) for value in taken if self._usable(bank, value)]

    @staticmethod
    def _usable(bank: Bank, value: object) -> bool:
        if not isinstance(value, (int, float)):
            return False
        try:
            number = float(value)
        except OverflowError:
            return False
        return math.isfinite(number) and (number >= 0.0 or bank.quantity.signed)

    def _report(self, bank: Bank, refused: list[float]) -> None:
        name = bank.quantity.name
        if refused and not self.faults[f"invalid.{name}"]:
            kind = "a finite number" if bank.quantity.signed else "a finite number >= 0"
            _logger.warning(
                "slotel: refused %r as a value of %s, which must be %s; counted, logged once",
                refused[0], name, kind,
            )  # fmt: skip
        self.faults[f"invalid.{name}"] += len(refused)

    def _bound_slices(self) -> None:
        sizes = {name: bank.slices.nbytes for name, bank in self._banks.items()}
        total = sum(sizes.values())
        while total > self._cap_bytes:
            name = max(sizes, key=lambda name: sizes[name])
            if not self._banks[name].slices.shrink():
                return
            total -= sizes[name]
            sizes[name] = self._banks[name].slices.nbytes
            total += sizes[name]

    # -- reading ----------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Grows whenever a row is added to any quantity."""
        with self.lock:
            self._admit()
            return self._seen

    def keys(self, name: str) -> list[SeriesKey]:
        """Return the series keys of a quantity in row order; rows are only ever appended."""
        with self.lock:
            self._admit()
            return [buffer.key for buffer in self._bank(quantity(name)).buffers]

    def cut(self, name: str, *, bound: float, at_least: bool = False) -> int:
        """Count, from now on, the values of a quantity that are <= bound (or >= bound) exactly.

        Returns:
            The column for `within`; the same one for the same cut.
        """
        with self.lock:
            return self._bank(quantity(name)).cut(bound, at_least)

    def counts(self, name: str) -> Ints:
        """Return the number of values of each row so far, int64, shape (n_rows,)."""
        with self.lock:
            found: Ints = self._bank(quantity(name)).rows_of("counts")
            return found

    def within(self, name: str, column: int) -> Ints:
        """Return, per row, how many values met the cut since it was registered, int64."""
        with self.lock:
            return self._bank(quantity(name)).within(column)

    def sums(self, name: str) -> Floats:
        """Return the exact sum of each row's values, base unit, float64, shape (n_rows,)."""
        with self.lock:
            found: Floats = self._bank(quantity(name)).rows_of("sums")
            return found

    def merged(self, name: str, rows: Sequence[int]) -> HdrCounts:
        """Return the histogram since start, summed over rows; of positive values only."""
        with self.lock:
            bank = self._bank(quantity(name))
            parts = [bank.histogram(row) for row in rows]
            return sum_counts(parts, layout=bank.layout, scale=bank.quantity.scale)

    def window(self, name: str, rows: Sequence[int], *, seconds: float) -> WindowedHistogram:
        """Return the histogram of the last seconds, summed over rows.

        The last hour is known for every row to 10 s; more only for rows that were named.
        """
        with self.lock:
            now = self._recorder.clock.unix_ns()
            bank = self._bank(quantity(name))
            bank.slices.advance(now)
            since = now - int(seconds * 1e9)
            counts = bank.window(rows, since)
            known_from = max(since, self._recorder.epoch_unix_ns, bank.slices.known_from(rows, now))
            coverage = (now - known_from) / (seconds * 1e9) if seconds > 0 else 0.0
            return WindowedHistogram(
                counts, min(1.0, max(0.0, coverage)), seconds, bank.slices.resolution(since, now)
            )

    def name(self, name: str, rows: Sequence[int]) -> None:
        """Keep these rows' sliding histograms for 35 days instead of an hour."""
        with self.lock:
            bank = self._bank(quantity(name))
            bank.slices.name(np.array(list(rows), np.int64), self._recorder.clock.unix_ns())

    def snapshot(self, reset_interval: bool = False) -> Snapshot:
        """Drain, then return every distribution that holds a value.

        Args:
            reset_interval: Begin the next interval minimum and maximum; for the one delta reader.
        """
        with self.lock:
            self.drain()
            found = [
                self._distribution(bank, row)
                for bank in self._banks.values()
                for row in np.flatnonzero(bank.counts[: len(bank.buffers)]).tolist()
            ]
            if reset_interval:
                for bank in self._banks.values():
                    bank.reset_interval()
            return Snapshot(self._recorder.clock.unix_ns(), found)

    def _distribution(self, bank: Bank, row: int) -> Distribution:
        buffer = bank.buffers[row]
        return Distribution(
            key=buffer.key,
            quantity=bank.quantity,
            start_unix_ns=self._recorder.epoch_unix_ns,
            count=int(bank.counts[row]),
            sum=float(bank.sums[row]),
            minimum=float(bank.minima[row]),
            maximum=float(bank.maxima[row]),
            interval_minimum=float(bank.interval_minima[row]),
            interval_maximum=float(bank.interval_maxima[row]),
            bucket_counts=bank.bucket_counts(row),
            positive=bank.histogram(row),
            negative=bank.histogram(row, negative=True) if bank.quantity.signed else None,
            exemplars=tuple(buffer.exemplars.values()),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        with self.lock:
            return sum(bank.nbytes for bank in self._banks.values())


def _differences(runs: list[list[float]]) -> tuple[Floats, Ints, list[int]] | None:
    """Return all differences within runs, where each run's begin, and which run that is.

    Returns:
        Differences, float64, not below zero; starts, int64; and for each start the place of its
        run among `runs`. None when no run has two times.
    """
    owners = [place for place, times in enumerate(runs) if len(times) > 1]
    if not owners:
        return None
    flat: list[float] = []
    for place in owners:
        flat += runs[place]
    times = _floats(flat)
    if times is None or not np.isfinite(times).all():
        return None
    sizes = np.array([len(runs[place]) for place in owners])
    seams = np.cumsum(sizes)[:-1] - 1  # From one run's last time to the next one's first.
    differences = np.maximum(np.delete(np.diff(times), seams), 0.0)
    return differences, np.concatenate([[0], np.cumsum(sizes - 1)[:-1]]), owners


def _floats(taken: list[float]) -> Floats | None:
    """Return numbers as float64, None when something else is among them."""
    try:
        # Through a bytearray, so that the array may be sorted in place; three times as fast as
        # numpy's own conversion of a list.
        packed = bytearray(8 * len(taken))
        struct.pack_into(f"{len(taken)}d", packed, 0, *taken)
    except (struct.error, OverflowError, TypeError):
        return None
    return np.frombuffer(packed)
