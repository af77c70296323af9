"""From the ledger's cumulative counts to the good and total events of one SLI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

import numpy as np

from slotel.engine.ledger import Ints, Ledger
from slotel.measure.measurement import Outcome, SeriesKey
from slotel.slo.sli import (
    SLI,
    Availability,
    Cut,
    EventSLI,
    Quality,
    Rule,
    SlicePercentile,
    Throughput,
    TimedSLI,
    Work,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Events:
    """Events to be added to a window.

    Attributes:
        good: Good events.
        total: Valid events.
        unix_ns: When they count.
    """

    good: int
    total: int
    unix_ns: int


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Cumulative good and total events."""

    good: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class WorkCounts:
    """Cumulative offered and completed work.

    Attributes:
        arrivals: Calls started.
        completed: Calls that succeeded.
        tokens: Output tokens of those.
        token_calls: Calls among those that stated their tokens.
    """

    arrivals: int = 0
    completed: int = 0
    tokens: float = 0.0
    token_calls: int = 0


class Tally(Protocol):
    """Turns what the ledger counted since the last time into events; the evaluator's own."""

    def register(self, ledger: Ledger, *, unix_ns: int) -> None:
        """Register cuts and take what was counted before as the zero."""
        ...

    def take(self, ledger: Ledger, *, unix_ns: int) -> Events:
        """Return the events since the last time."""
        ...

    def interrupt(self) -> None:
        """Time was lost: the slice that is open cannot be judged."""
        ...

    def reset(self, *, unix_ns: int) -> None:
        """Start again at zero, as the ledger did, in a forked child."""
        ...


class Rows:
    """Rows of one quantity, sorted by the rule that judges their series; grows with the ledger."""

    def __init__(self, quantity: str, rule: Callable[[SeriesKey], Rule]) -> None:
        self.quantity = quantity
        self._rule = rule
        self._version = -1
        self._seen = 0
        self._lists: dict[Rule, list[int]] = {rule: [] for rule in Rule}
        self._arrays: dict[Rule, Ints] = {}

    def refresh(self, ledger: Ledger) -> bool:
        """Sort the rows that are new; return True when there were any."""
        version = ledger.version
        if version == self._version:
            return False
        self._version = version
        keys = ledger.keys(self.quantity)
        for row in range(self._seen, len(keys)):
            self._lists[self._rule(keys[row])].append(row)
        grew, self._seen = len(keys) > self._seen, len(keys)
        self._arrays = {rule: np.array(rows, np.int64) for rule, rows in self._lists.items()}
        return grew

    def listed(self, rule: Rule) -> list[int]:
        """Return a copy of the rows under a rule, ascending."""
        return list(self._lists[rule])

    def summed(self, values: Ints, *rules: Rule) -> int:
        """Return the sum of the values of all rows under the rules; exact."""
        return sum(int(values[self._arrays[rule]].sum()) for rule in rules)


def _consistent(ledger: Ledger, quantity: str, column: int | None) -> tuple[Ints, Ints]:
    """Return counts and within of one moment; the caller holds the ledger's lock.

    The lock keeps other threads out. A finaliser that records on this very thread can still
    drain a full buffer between the two reads; the counts then differ, and it is read again.
    """
    counts = ledger.counts(quantity)
    while True:
        within = counts if column is None else ledger.within(quantity, column)
        again = ledger.counts(quantity)
        if np.array_equal(counts, again):
            return counts, within
        counts = again


class EventReader:
    """Cumulative good and total events of an SLI that judges call by call; exact."""

    def __init__(self, sli: EventSLI) -> None:
        self._cut: Cut | None = sli.cut
        self._column: int | None = None
        self.rows = Rows(sli.quantity, sli.rule)
        self._named = self._cut is not None and not self._cut.at_least

    def register(self, ledger: Ledger) -> None:
        """Register the cut."""
        if self._cut is not None:
            cut = self._cut
            self._column = ledger.cut(cut.quantity, bound=cut.bound, at_least=cut.at_least)

    def read(self, ledger: Ledger) -> EventCounts:
        """Return the events so far; only differences of two readings have a meaning.

        Values are counted within the cut from its registration on, in total from the row's
        start. Both sums run over rows that are never taken away, so the difference of two
        readings is exact, whenever a row appeared.
        """
        rows = self.rows
        with ledger.lock:
            if rows.refresh(ledger) and self._named:
                ledger.name(rows.quantity, rows.listed(Rule.BY_VALUE))
            counts, within = _consistent(ledger, rows.quantity, self._column)
        met = rows.summed(within, Rule.BY_VALUE) + rows.summed(counts, Rule.GOOD)
        judged = rows.summed(counts, Rule.BY_VALUE, Rule.GOOD, Rule.BAD)
        missed = rows.summed(counts - within, Rule.BAD_IF_OVER)
        return EventCounts(met, judged + missed)


class EventTally:
    """Events of an SLI that judges call by call, dated by the tick that drained them."""

    def __init__(self, sli: EventSLI) -> None:
        self.reader = EventReader(sli)
        self._last = EventCounts()

    def register(self, ledger: Ledger, *, unix_ns: int) -> None:
        """Register the cut and take what was counted before as the zero."""
        self.reader.register(ledger)
        self._last = self.reader.read(ledger)

    def take(self, ledger: Ledger, *, unix_ns: int) -> Events:
        """Return the events since the last time."""
        now, last = self.reader.read(ledger), self._last
        self._last = now
        return Events(now.good - last.good, now.total - last.total, unix_ns)

    def interrupt(self) -> None:
        """Do nothing: an event is judged by itself."""

    def reset(self, *, unix_ns: int) -> None:
        """Start again at zero."""
        self._last = EventCounts()


class WorkReader:
    """Cumulative offered and completed work of a throughput SLI."""

    def __init__(self, sli: Throughput) -> None:
        select = sli.select

        def started(key: SeriesKey) -> Rule:
            return Rule.GOOD if select.matches(key) else Rule.IGNORED

        def completed(key: SeriesKey) -> Rule:
            return started(key) if key.outcome is Outcome.SUCCESS else Rule.IGNORED

        self._arrivals = Rows("arrivals", started)
        self._completed = Rows("duration", completed)
        self._tokens = Rows("output_tokens", completed)

    def read(self, ledger: Ledger) -> WorkCounts:
        """Return the work so far."""
        with ledger.lock:
            for rows in (self._arrivals, self._completed, self._tokens):
                rows.refresh(ledger)
            tokens = ledger.sums("output_tokens")[self._tokens.listed(Rule.GOOD)]
            return WorkCounts(
                arrivals=self._arrivals.summed(ledger.counts("arrivals"), Rule.GOOD),
                completed=self._completed.summed(ledger.counts("duration"), Rule.GOOD),
                tokens=float(tokens.sum()),
                token_calls=self._tokens.summed(ledger.counts("output_tokens"), Rule.GOOD),
            )


class SliceTally(Generic[_T]):
    """Events of an SLI that is judged slice by slice: each slice is one event when it closes.

    What the first tick in a new slice drained belongs to the new slice. A slice that the process
    did not see from its first to its last tick is not judged.

    Args:
        per_seconds: Length of a slice; slices lie on the epoch grid.
        register: Registers what `read` needs.
        read: Returns the cumulative figures.
        zero: What `read` returns when nothing was counted.
        judge: Says from the figures at a slice's start and end whether it is good; None when it
            is not valid.
    """

    def __init__(
        self,
        per_seconds: int,
        *,
        register: Callable[[Ledger], None],
        read: Callable[[Ledger], _T],
        zero: _T,
        judge: Callable[[_T, _T], bool | None],
    ) -> None:
        self._per_ns = per_seconds * 1_000_000_000
        self._register, self._read, self._judge = register, read, judge
        self._zero = self._start = self._last = zero
        self._index = 0
        self._whole = False

    def register(self, ledger: Ledger, *, unix_ns: int) -> None:
        """Register cuts and take what was counted before as the zero."""
        self._register(ledger)
        self._begin(self._read(ledger), unix_ns)

    def _begin(self, figures: _T, unix_ns: int) -> None:
        """Open the first slice; it can be judged only when it is seen from its very start."""
        self._start = self._last = figures
        self._index, late_ns = divmod(unix_ns, self._per_ns)
        self._whole = late_ns == 0

    def take(self, ledger: Ledger, *, unix_ns: int) -> Events:
        """Return one event when a slice has closed and is valid, else none."""
        index = unix_ns // self._per_ns
        now, events = self._read(ledger), Events(0, 0, unix_ns)
        if index != self._index:
            good = self._judge(self._start, self._last) if self._whole else None
            if good is not None:
                events = Events(int(good), 1, (self._index + 1) * self._per_ns - 1)
            self._whole = index == self._index + 1
            self._start = self._last
        self._index, self._last = index, now
        return events

    def interrupt(self) -> None:
        """Leave the open slice unjudged."""
        self._whole = False

    def reset(self, *, unix_ns: int) -> None:
        """Start again at zero, in the middle of a slice."""
        self._begin(self._zero, unix_ns)


def _percentile_tally(sli: SlicePercentile, reader: EventReader) -> Tally:
    def judge(start: EventCounts, end: EventCounts) -> bool | None:
        return sli.judge(good=end.good - start.good, total=end.total - start.total)

    return SliceTally(
        sli.per_seconds,
        register=reader.register,
        read=reader.read,
        zero=EventCounts(),
        judge=judge,
    )


def _throughput_tally(sli: Throughput) -> Tally:
    def judge(start: WorkCounts, end: WorkCounts) -> bool | None:
        arrivals = Fraction(end.arrivals - start.arrivals)
        if sli.work is Work.REQUESTS:
            return sli.judge(offered=arrivals, completed=Fraction(end.completed - start.completed))
        if not end.token_calls:
            return None
        offered = arrivals * Fraction(end.tokens) / end.token_calls
        return sli.judge(offered=offered, completed=Fraction(end.tokens - start.tokens))

    def register(ledger: Ledger) -> None:
        """Need no cut."""

    return SliceTally(
        sli.per_seconds,
        register=register,
        read=WorkReader(sli).read,
        zero=WorkCounts(),
        judge=judge,
    )


def tally_of(sli: SLI) -> tuple[Tally, EventReader | None]:
    """Return what counts an SLI, and its reader of single events when it has one."""
    if isinstance(sli, Throughput):
        return _throughput_tally(sli), None
    if isinstance(sli, SlicePercentile):
        reader = EventReader(sli.of)
        return _percentile_tally(sli, reader), reader
    tally = EventTally(sli)
    return tally, tally.reader


def timed_part(sli: SLI) -> tuple[TimedSLI, Fraction | None] | None:
    """Return the SLI that compares a time, and the percentile it names itself; None if none."""
    if isinstance(sli, SlicePercentile):
        return None if isinstance(sli.of, Quality) else (sli.of, sli.share)
    return None if isinstance(sli, Throughput | Availability | Quality) else (sli, None)
