"""The ledger: takes what the buffers hold and keeps exact counts, sums, buckets and histograms.

Everything here runs on the tick thread, at an export, or on a caller whose buffer is full. One
drain runs at a time. All counts come from the raw values, so a threshold is judged exactly; only
percentiles are read off histogram buckets.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from slotel.measure.bank import Bank
from slotel.measure.histogram import LAYOUTS, Floats, HdrCounts, Ints
from slotel.measure.intake import all_usable, differences, floats, shown, sift
from slotel.measure.lock import OwnedLock
from slotel.measure.measurement import Quantity, SeriesKey, quantity
from slotel.measure.series import Buffer, Run
from slotel.measure.snapshot import Distribution, Snapshot, WindowedHistogram

if TYPE_CHECKING:
    from slotel.measure.snapshot import Distribution, Snapshot, WindowedHistogram
from slotel.measure.series import Recorder

_logger = logging.getLogger("slotel")

BATCH_BELOW = 512
"""Buffers with fewer pending values are drained together; measured break-even."""
CHUNK = 8192
"""Values converted at once; bounds how long a drain holds the interpreter (about 0.2 ms)."""
SLICES_CAP_BYTES = 64 * 1024 * 1024
"""All sliding histograms of the process together; over it the oldest lose resolution."""


class Ledger:
    """Exact state of all series of a recorder. Any thread may call any method.

    `lock` guards all of it, and may be held to read several figures of one moment. A thread that
    re-enters (a signal handler or finaliser that records while this thread drains or reads) gets
    through `relieve` and `drain` without draining: its values wait for the next drain.
    """

    lock: OwnedLock
    _draining: bool
    _faults: Counter[str]
    _untold: deque[tuple[str, BaseException | None]]

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._banks: dict[str, Bank] = {}
        self._seen = 0
        self._cap_bytes = SLICES_CAP_BYTES
        self._begin()

    # -- draining ---------------------------------------------------------------------------

    def drain(self) -> None:
        """Take and count everything that is pending. Loses and doubles nothing, whoever records."""
        if self._draining and self.lock.mine:
            return
        with self.lock:
            self._draining = True
            try:
                self._admit()
                now = self._recorder.clock.unix_ns()
                banks = list(self._banks.values())
                for bank in banks:
                    bank.slices.advance(now)
                    self._take_runs(bank)
                # After all runs: the end of a stream adds a value to a buffer of another bank.
                for bank in banks:
                    self._take(bank)
                self._bound_slices()
            finally:
                self._draining = False
        self._tell()

    def relieve(self, buffer: Buffer, *, wait: bool) -> None:
        """Drain one buffer on its caller's thread; without `wait` only when nobody else drains."""
        lock = self.lock  # A fork that happens meanwhile puts another one in its place.
        if lock.mine or (self._draining and not wait) or not lock.acquire(blocking=wait):
            return
        self._draining = True
        try:
            self._admit()
            bank = self._banks[buffer.quantity.name]
            bank.slices.advance(self._recorder.clock.unix_ns())
            self._take_runs(bank)
            self._take_large(bank, buffer)
        except Exception as error:  # noqa: BLE001  # told below, without the lock
            self.report("drain", 1, f"a full buffer of {buffer.quantity.name}: not drained", error)
        finally:
            self._draining = False
            lock.release()
        self._tell()

    def reset(self) -> None:
        """Start again at zero in a forked child: fresh locks, same rows, cuts and named series.

        What another thread of the parent had half done is left behind with the old banks.
        """
        self._begin()
        self._banks = {name: bank.renewed() for name, bank in self._banks.items()}
        self._seen = 0
        self._admit()

    @property
    def faults(self) -> Counter[str]:
        """What went wrong so far, by place; `<what>.<quantity>`."""
        with self.lock:
            found = self._faults.copy()
            for name, bank in self._banks.items():
                found[f"clamped.{name}"] += bank.clamped
            found["overflow.series"] += self._recorder.overflowed
            return +found

    def _begin(self) -> None:
        self.lock = OwnedLock()
        self._draining = False
        self._faults = Counter()
        self._untold = deque()

    def _admit(self) -> None:
        """Give new buffers their rows."""
        buffers = self._recorder.buffers()
        while self._seen < len(buffers):
            buffer = buffers[self._seen]
            self._seen += 1
            self._bank(buffer.quantity).admit(buffer)

    def _bank(self, measured: Quantity) -> Bank:
        bank = self._banks.get(measured.name)
        if bank is None:
            bank = Bank(measured, LAYOUTS[self._recorder.digits])
            self._banks[measured.name] = bank
        return bank

    def _take(self, bank: Bank) -> None:
        """Count a bank's pending values, those of small buffers all together."""
        flat: list[float] = []
        rows: list[int] = []
        sizes: list[int] = []
        with _Taken(self, bank, lambda: len(flat)):
            for buffer in bank.buffers:
                values = buffer.values
                size = len(values)
                if size >= BATCH_BELOW:
                    self._take_large(bank, buffer)
                elif size:
                    flat += values[:size]
                    rows.append(buffer.row)
                    sizes.append(size)
                    del values[:size]
            if flat:
                self._count_small(bank, flat, np.array(rows), np.array(sizes))

    def _take_large(self, bank: Bank, buffer: Buffer) -> None:
        values = buffer.values
        left = len(values)
        while left > 0:
            size = min(left, CHUNK)
            left -= size
            taken = values[:size]
            with _Taken(self, bank, taken.__len__):
                del values[:size]
                self._count_large(bank, buffer.row, taken)

    def _take_runs(self, bank: Bank) -> None:
        """Count the differences of pending runs, then let ended streams have their largest one."""
        for buffer in bank.buffers:
            size = len(buffer.runs)
            if not size:
                continue
            runs = buffer.runs[:size]
            with _Taken(self, bank, partial(_number_of_differences, runs)):
                del buffer.runs[:size]
                self._count_runs(bank, buffer.row, runs)
            for _, gaps, ending in runs:
                if ending is not None and gaps.largest is not None:
                    ending.values.append(gaps.largest)

    def _count_large(self, bank: Bank, row: int, taken: list[float]) -> None:
        array = floats(taken)
        if array is not None:
            array.sort()  # Not-a-number goes last, so both ends tell whether all are usable.
        if array is None or not all_usable(bank.quantity, array[0], array[-1]):
            array, _ = self._sift(bank, taken)
            array.sort()
        if len(array):
            bank.count_row(row, array)

    def _count_small(self, bank: Bank, flat: list[float], rows: Ints, sizes: Ints) -> None:
        array = floats(flat)
        owners = np.repeat(rows, sizes)
        if array is None or not all_usable(bank.quantity, array.min(), array.max()):
            array, places = self._sift(bank, flat)
            owners = owners[places]
        if len(array):
            bank.count_rows(owners, array)

    def _count_runs(self, bank: Bank, row: int, runs: list[Run]) -> None:
        found, starts, owners, refused = differences([times for times, _, _ in runs])
        if refused:
            lost = sum(max(1, len(runs[place][0]) - 1) for place in refused)
            self.report(f"invalid.{bank.quantity.name}", lost, "refused times of a stream")
        if not len(found):
            return
        largest = np.maximum.reduceat(found, starts).tolist()
        for owner, value in zip(owners, largest, strict=True):
            gaps = runs[owner][1]
            gaps.largest = max(value, gaps.largest or 0.0)
        found.sort()
        bank.count_row(row, found)

    def _sift(self, bank: Bank, taken: list[float]) -> tuple[Floats, list[int]]:
        array, places, refused = sift(bank.quantity, taken)
        if refused:
            kind = "a finite number" if bank.quantity.signed else "a finite number >= 0"
            self.report(
                f"invalid.{bank.quantity.name}",
                len(refused),
                f"refused {shown(refused[0])} as {bank.quantity.name}, not {kind}",
            )
        return array, places

    def report(
        self, place: str, number: int, text: str, error: BaseException | None = None
    ) -> None:
        """Count a fault; the first of its place is logged, once the lock is free."""
        if not self._faults[place]:
            self._untold.append((text, error))
        self._faults[place] += number

    def _tell(self) -> None:
        """Log what was put aside: a handler may block on what a thread that waits for us holds."""
        while self._untold and not self.lock.mine:
            text, error = self._untold.popleft()
            with suppress(Exception):  # This may be a caller's thread, and the handler may raise.
                _logger.warning("slotel: %s; counted, logged once", text, exc_info=error)

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

    def _known(self, name: str) -> Bank:
        """Return a quantity's bank with a row for every buffer, drained yet or not."""
        self._admit()
        return self._bank(quantity(name))

    def keys(self, name: str) -> list[SeriesKey]:
        """Return the series keys of a quantity in row order; rows are only ever appended."""
        with self.lock:
            return [buffer.key for buffer in self._known(name).buffers]

    def cut(self, name: str, *, bound: float, at_least: bool = False) -> int:
        """Count, from now on, the values of a quantity that are <= bound (or >= bound) exactly.

        Returns:
            The column for `within`; the same one for the same cut.
        """
        with self.lock:
            return self._known(name).cut(bound, at_least)

    def counts(self, name: str) -> Ints:
        """Return the number of values of each row so far, int64, shape (n_rows,)."""
        with self.lock:
            found: Ints = self._known(name).rows_of("counts")
            return found

    def within(self, name: str, column: int) -> Ints:
        """Return, per row, how many values met the cut since it was registered, int64."""
        with self.lock:
            return self._known(name).within(column)

    def sums(self, name: str) -> Floats:
        """Return the exact sum of each row's values, base unit, float64, shape (n_rows,)."""
        with self.lock:
            found: Floats = self._known(name).rows_of("sums")
            return found

    def merged(self, name: str, rows: Sequence[int]) -> HdrCounts:
        """Return the histogram since start, summed over rows."""
        with self.lock:
            return self._known(name).merged(rows)

    def window(self, name: str, rows: Sequence[int], *, seconds: float) -> WindowedHistogram:
        """Return the histogram of the last seconds, summed over rows.

        The last hour is known for every row to 10 s; more only for rows that were named.
        """
        with self.lock:
            now = self._recorder.clock.unix_ns()
            bank = self._known(name)
            slices = bank.slices
            slices.advance(now)
            wanted = np.array(list(rows), np.int64)
            since = now - int(seconds * 1e9)
            known_from = slices.known_from(wanted, since) * 1_000_000_000
            known = now - max(since, self._recorder.epoch_unix_ns, known_from)
            coverage = known / (seconds * 1e9) if seconds > 0 else 0.0
            return WindowedHistogram(
                bank.window(wanted, since),
                min(1.0, max(0.0, coverage)),
                seconds,
                slices.resolution(since),
            )

    def name(self, name: str, rows: Sequence[int]) -> None:
        """Keep these rows' sliding histograms for 35 days instead of an hour."""
        with self.lock:
            bank = self._known(name)
            bank.name(np.array(list(rows), np.int64), self._recorder.clock.unix_ns())

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


def _number_of_differences(runs: list[Run]) -> int:
    return sum(max(0, len(times) - 1) for times, _, _ in runs)


class _Taken:
    """Around the counting of values that are in no buffer any more: those lost are told.

    What a step of numpy raises ends here, so that the other buffers are counted; an interrupt goes
    on its way.
    """

    __slots__ = ("_bank", "_ledger", "_number")

    def __init__(self, ledger: Ledger, bank: Bank, number: Callable[[], int]) -> None:
        self._ledger = ledger
        self._bank = bank
        self._number = number

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        if error is None:
            return False
        name, number = self._bank.quantity.name, self._number()
        self._ledger.report(f"lost.{name}", number, f"{number} values of {name} are lost", error)
        return isinstance(error, Exception)
