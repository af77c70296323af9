"""Judges every SLO of a document from the ledger's counts, over sliding windows."""

from __future__ import annotations

import math
import os
import threading
import weakref

from slotel.engine.evaluation import (
    Counters,
    Evaluation,
    PercentileReading,
    SLOStatus,
    Verdict,
)
from slotel.engine.ledger import Ledger
from slotel.engine.tally import tally_of, timed_part
from slotel.measure.clock import Clock, Jump, SteadyClock
from slotel.measure.window import EventWindow, WindowCounts
from slotel.slo.burn_rate import BURN_WINDOWS, burn_rate
from slotel.slo.error_budget import ErrorBudget
from slotel.slo.objective import SLO, Document
from slotel.slo.sli import Rule
from slotel.slo.value import format_duration


class _State:
    """One SLO's window, counters and tally; guarded by the evaluator's lock."""

    __slots__ = ("bad", "good", "reader", "slo", "tally", "timed", "window")

    def __init__(self, slo: SLO) -> None:
        self.slo = slo
        self.tally, self.reader = tally_of(slo.sli)
        self.timed = timed_part(slo.sli)
        self.window = EventWindow()
        self.good = self.bad = 0

    def observe(self, ledger: Ledger, unix_ns: int) -> None:
        self.window.open_until(unix_ns)
        events = self.tally.take(ledger, unix_ns=unix_ns)
        if events.total:
            self.window.add(events.good, events.total, unix_ns=events.unix_ns)
            self.good += events.good
            self.bad += events.total - events.good

    def skip(self, jump: Jump) -> None:
        # What was lived through before the jump is known; the jump itself is not.
        self.window.open_until(jump.from_unix_ns)
        self.window.gap(jump.from_unix_ns, jump.to_unix_ns)
        self.tally.interrupt()

    def reset(self, unix_ns: int) -> None:
        self.window = EventWindow()
        self.window.open_until(unix_ns)
        self.good = self.bad = 0
        self.tally.reset(unix_ns=unix_ns)


class Evaluator:
    """The state of every SLO of a document in this process. Any thread may call any method.

    `observe()` belongs after every drain; it costs some 20 µs an SLO. `evaluate()` reads the
    windows, about 0.5 ms an SLO. One lock, its own, guards the windows; the ledger's is taken
    inside it and never the other way round. A forked child starts at zero, as its ledger does.

    Args:
        document: The SLOs.
        ledger: Where measurements are counted.
        clock: Time; a `SteadyClock` is shared, any other is wrapped in one.
    """

    def __init__(self, document: Document, ledger: Ledger, clock: Clock) -> None:
        self.document = document
        self._ledger = ledger
        self._clock = clock if isinstance(clock, SteadyClock) else SteadyClock(clock)
        self._lock = threading.RLock()
        self._states = {slo.name: _State(slo) for slo in document.slos}
        self._registered = False
        _EVALUATORS.add(self)

    def register(self) -> None:
        """Register thresholds with the ledger and begin to count, at zero; once."""
        with self._lock:
            if self._registered:
                return
            self._registered = True
            now_unix_ns = self._clock.unix_ns()
            for state in self._states.values():
                state.tally.register(self._ledger, unix_ns=now_unix_ns)
                state.window.open_until(now_unix_ns)

    def observe(self) -> None:
        """Add what the ledger counted since the last time to the windows; after every drain."""
        with self._lock:
            self.register()
            jump = self._clock.check()
            now_unix_ns = self._clock.unix_ns()
            for state in self._states.values():
                if jump is not None and jump.forward:
                    state.skip(jump)
                state.observe(self._ledger, now_unix_ns)

    def evaluate(self) -> Evaluation:
        """Return every SLO as of now, from what was observed so far."""
        with self._lock:
            now_unix_ns = self._clock.unix_ns()
            return Evaluation(
                unix_ns=now_unix_ns,
                source="process",
                service=self.document.service,
                slos={name: self._status(s, now_unix_ns) for name, s in self._states.items()},
            )

    def reset(self) -> None:
        """Start again at zero with a fresh lock, in a forked child whose ledger did the same."""
        self._lock = threading.RLock()
        now_unix_ns = self._clock.unix_ns()
        for state in self._states.values():
            state.reset(now_unix_ns)

    def _status(self, state: _State, now_unix_ns: int) -> SLOStatus:
        slo = state.slo
        own = format_duration(slo.window_seconds)
        windows = {
            label: state.window.counts(seconds, now_unix_ns=now_unix_ns)
            for label, seconds in {**BURN_WINDOWS, own: slo.window_seconds}.items()
        }
        counts = windows[own]
        budget = ErrorBudget(counts.good, counts.total, slo.objective)
        return SLOStatus(
            name=slo.name,
            slo=slo,
            error_budget=budget,
            windows=windows,
            burn_rates={label: _burn(slo, window) for label, window in windows.items()},
            verdict=_verdict(budget),
            percentile=self._percentile(state),
            coverage_ratio=counts.coverage_ratio,
            observed_seconds=counts.known_seconds,
            counters=Counters(state.good, state.bad),
        )

    def _percentile(self, state: _State) -> PercentileReading | None:
        if state.timed is None or state.reader is None:
            return None
        sli, share = state.timed
        rows = state.reader.rows.listed(Rule.BY_VALUE)
        if not rows:
            return None
        q = float((share or state.slo.objective) * 100)
        read = self._ledger.window(sli.quantity, rows, seconds=state.slo.window_seconds)
        value = read.counts.percentile(q)
        if math.isnan(value):
            return None
        return PercentileReading(value, q, read.counts.relative_error, read.coverage_ratio)


def _burn(slo: SLO, window: WindowCounts) -> float | None:
    if not window.total:
        return None
    return burn_rate(window.bad, window.total, objective=slo.objective)


def _verdict(budget: ErrorBudget) -> Verdict:
    if not budget.total:
        return Verdict.UNKNOWN
    return Verdict.HOLDS if budget.holds else Verdict.BROKEN


_EVALUATORS: weakref.WeakSet[Evaluator] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for evaluator in list(_EVALUATORS):
        evaluator.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
