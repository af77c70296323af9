"""Series and buffers: the part of the recorder that runs on the caller's thread.

A buffer is one list that lives as long as its series and is never swapped for another: a caller
may hold its bound `append` for ever. Whoever drains copies a prefix and deletes that prefix, so
an append that happens meanwhile only ever lands behind it. Swapping the list loses the values of
callers that had already loaded `append` of the old one.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from slotel.measure.clock import Clock, SystemClock
from slotel.measure.measurement import Quantity, SeriesKey, quantity

if TYPE_CHECKING:
    from slotel.measure.drain import Ledger

SOFT_LIMIT = 4096
"""Pending values of one buffer at which its caller drains it; 32 bytes each."""
MAX_RUNS = 64
"""Pending runs of one buffer at which its caller drains it."""
LONG_RUN, MAX_LONG_RUNS = 256, 5
"""A run of that many times, 8 bytes each, makes its caller drain from that many runs on: a long
stream must not wait for the tick with all its times."""
HARD_LIMIT = 8 * SOFT_LIMIT
"""Pending values at which the caller waits for a running drain before it goes on."""
MAX_SERIES = 2000
"""Default series limit; the OpenTelemetry SDK's default cardinality limit."""
MAX_LABEL_LENGTH = 256
"""Longer label values are cut, and counted as a fault."""
OTHER = "_other"


class Exemplar:
    """One measured value with the trace that it came from.

    Attributes:
        value: In the quantity's base unit.
        unix_ns: Wall clock time of the measurement.
        trace_id: 128-bit trace id.
        span_id: 64-bit span id.
    """

    __slots__ = ("span_id", "trace_id", "unix_ns", "value")

    def __init__(self, value: float, unix_ns: int, trace_id: int, span_id: int) -> None:
        self.value = value
        self.unix_ns = unix_ns
        self.trace_id = trace_id
        self.span_id = span_id


class Gaps:
    """What is known so far of the gaps between one stream's chunks; the drain writes it.

    Attributes:
        largest: Largest gap, seconds; None before the second chunk was drained.
    """

    __slots__ = ("largest",)

    def __init__(self) -> None:
        self.largest: float | None = None


Run = tuple[Sequence[float], Gaps, "Buffer | None"]
"""Ascending times whose differences are values, the stream they belong to, and, at the stream's
end, the buffer that takes its largest gap."""


class Buffer:
    """Pending values of one quantity of one series.

    Any thread may record. `record` costs an append and a length test; when the buffer is full the
    caller drains it, so pending values are bounded and none is ever dropped.

    Attributes:
        values: The list itself, the same object for ever.
        runs: Pending times whose differences are values; see `Run`.
        exemplars: Newest exemplar by power of two of its value, at most a few dozen.
        exemplar_floor: Values from here on are worth an exemplar, base unit.
    """

    __slots__ = (
        "append", "exemplar_floor", "exemplars", "key", "quantity", "recorder", "row", "runs",
        "values",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, key: SeriesKey, measured: Quantity) -> None:
        self.recorder = recorder
        self.key = key
        self.quantity = measured
        self.values: list[float] = []
        self.append: Callable[[float], None] = self.values.append
        self.row = -1
        self.runs: list[Run] = []
        self.exemplars: dict[int, Exemplar] = {}
        self.exemplar_floor = 0.0

    def record(self, value: float) -> None:
        """Record one value in the quantity's base unit (seconds, tokens, ratio)."""
        self.append(value)
        if len(self.values) >= SOFT_LIMIT:
            self.recorder.relieve(self)

    def record_differences(self, times: Sequence[float], gaps: Gaps, ending: Buffer | None) -> None:
        """Record the differences of ascending times, worked out when they are drained.

        Args:
            times: In the quantity's base unit; handed over, not to be touched again.
            gaps: The stream that they belong to.
            ending: Where its largest difference goes, with the stream's last times.
        """
        self.runs.append((times, gaps, ending))
        limit = MAX_LONG_RUNS if len(times) >= LONG_RUN else MAX_RUNS
        if len(self.runs) >= limit:
            self.recorder.relieve(self)


class Series:
    """All buffers of one series key. Any thread may call; buffers are made on first use.

    Attributes:
        memo: What whoever judges calls of this series worked out once; its own to read.
    """

    __slots__ = ("_buffers", "duration", "key", "memo", "recorder")

    def __init__(self, recorder: Recorder, key: SeriesKey) -> None:
        self.recorder = recorder
        self.key = key
        self.memo: object = None
        self._buffers: dict[str, Buffer] = {}
        self.duration = self.buffer("duration")

    def buffer(self, name: str) -> Buffer:
        """Return the buffer of that quantity, the same object at every call.

        Raises:
            KeyError: No such quantity.
        """
        known = self._buffers.get(name)
        return known if known is not None else self._add(name)

    def record(self, name: str, value: float) -> None:
        """Record one value of the named quantity in its base unit."""
        self.buffer(name).record(value)

    def buffers(self) -> list[Buffer]:
        """Return the buffers made so far."""
        return list(self._buffers.values())

    def _add(self, name: str) -> Buffer:
        with self.recorder.lock:
            made = self._buffers.get(name)
            if made is None:
                # A finaliser that runs in `admit` may have been here first; its buffer stays.
                made = self._buffers.setdefault(name, self.recorder.admit(self.key, name))
            return made


class Recorder:
    """All series of a process; `lock` guards their creation, never a recording.

    In a forked child every series starts at zero, with the same objects, so that handles taken
    before the fork go on working.

    Args:
        clock: Tells wall and monotonic time.
        max_series: Series above this number share overflow series.
        digits: Significant decimal digits of the histograms, 2 (0.39 % at most) or 3 (0.05 %).
    """

    def __init__(
        self, *, clock: Clock | None = None, max_series: int = MAX_SERIES, digits: int = 2
    ) -> None:
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.max_series = max_series
        self.digits = digits
        self.lock = threading.RLock()
        self.epoch_unix_ns = self.clock.unix_ns()
        self.overflowed = 0
        self._kept: frozenset[str] = frozenset()
        self._series: dict[SeriesKey, Series] = {}
        self._buffers: list[Buffer] = []
        self._ledger: Ledger | None = None
        self._ledger_lock = threading.Lock()
        _RECORDERS.add(self)

    def series(self, key: SeriesKey) -> Series:
        """Return the series of that key, or the overflow series once the limit is reached."""
        known = self._series.get(key)
        return known if known is not None else self._add(key)

    def all_series(self) -> list[Series]:
        """Return every series made so far."""
        return list(self._series.values())

    def buffers(self) -> list[Buffer]:
        """Return every buffer made so far; the list only grows."""
        return self._buffers

    def keep(self, dimensions: frozenset[str]) -> None:
        """Name the attributes that overflow series keep because an SLO filters on them.

        `provider` and `model` may be named too.
        """
        self._kept = self._kept | dimensions

    def ledger(self) -> Ledger:
        """Return the ledger that drains these buffers; made, and numpy imported, at first use."""
        if self._ledger is not None:
            return self._ledger
        with self._ledger_lock:
            return self._make_ledger()

    def relieve(self, buffer: Buffer) -> None:
        """Drain one full buffer on the caller's thread; waits for another drain only when it must.

        Never raises and never recurses: a signal handler or finaliser that records while this
        thread drains leaves its value for the next drain.
        """
        pending = max(len(buffer.values), SOFT_LIMIT * len(buffer.runs) // MAX_RUNS)
        ledger = self._ledger
        if ledger is None:
            if pending < HARD_LIMIT:
                return  # The tick thread is about to make it; importing is not the caller's job.
            # Whoever interrupts its making must not wait for it, nor see it half imported.
            if not self._ledger_lock.acquire(blocking=False):
                return
            try:
                ledger = self._make_ledger()
            finally:
                self._ledger_lock.release()
        ledger.relieve(buffer, wait=pending >= HARD_LIMIT)

    def _make_ledger(self) -> Ledger:
        if self._ledger is None:
            from slotel.measure.drain import Ledger

            self._ledger = Ledger(self)
        return self._ledger

    @property
    def making(self) -> threading.Lock | None:
        """What is held while the ledger is being made; None once it is there."""
        return self._ledger_lock if self._ledger is None else None

    def admit(self, key: SeriesKey, name: str) -> Buffer:
        """Make the buffer of a series; the caller holds `lock`."""
        made = Buffer(self, key, quantity(name))
        self._buffers.append(made)
        return made

    def reset(self) -> None:
        """Start again at zero with fresh locks, keeping every series, buffer and list object."""
        self.lock = threading.RLock()
        self._ledger_lock = threading.Lock()
        self.epoch_unix_ns = self.clock.unix_ns()
        self.overflowed = 0
        for buffer in self._buffers:
            del buffer.values[:]
            del buffer.runs[:]
            buffer.exemplars = {}
        if self._ledger is not None:
            self._ledger.reset()

    def _add(self, key: SeriesKey) -> Series:
        with self.lock:
            known = self._series.get(key)
            if known is not None:
                return known
            place = self._place(key)
            series = self._series.get(place)
            if series is None:
                series = self._series.setdefault(place, Series(self, place))
            return series

    def _place(self, key: SeriesKey) -> SeriesKey:
        """Return the key itself while there is room, else the overflow key that stands for it."""
        if len(self._series) < self.max_series:
            return key
        self.overflowed += 1
        kept = replace(
            key,
            provider=key.provider if "provider" in self._kept else None,
            model=key.model if "model" in self._kept else None,
            error_type=None,
            attributes=tuple(pair for pair in key.attributes if pair[0] in self._kept),
            overflow=True,
        )
        # The kept dimensions can themselves run away; a second limit as large as the first ends it.
        if kept in self._series or len(self._series) < 2 * self.max_series:
            return kept
        return SeriesKey(OTHER, outcome=key.outcome, role=key.role, overflow=True)


_RECORDERS: weakref.WeakSet[Recorder] = weakref.WeakSet()


LONGEST_IMPORT_SECONDS = 30.0
"""Threads that never rest make the import of a quarter of a second last for some."""
_held: list[threading.Lock] = []
"""Locks taken for the fork that is going on."""


def _before_fork() -> None:
    """Let a ledger that is being made be finished first.

    It imports numpy, and a child forked meanwhile would wait for ever for the import lock of the
    thread that did not come along. The wait is bounded, as that thread may be the one that forks.
    """
    for recorder in list(_RECORDERS):
        making = recorder.making
        if making is not None and making.acquire(timeout=LONGEST_IMPORT_SECONDS):
            _held.append(making)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().release()


def _after_fork_in_child() -> None:
    _held.clear()  # Every recorder takes fresh locks.
    for recorder in list(_RECORDERS):
        recorder.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
