"""The numbers beside the histograms: counters and gauges of SLOs, and our own faults."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from slotel._faults import counts as fault_counts
from slotel._faults import report
from slotel.export.naming import Attributes
from slotel.measure.series import Recorder
from slotel.semconv import (
    FAULT_PLACE,
    INTERNAL_ERRORS,
    QUANTILE,
    SLO_BUDGET_REMAINING,
    SLO_BURN_RATE,
    SLO_COVERAGE,
    SLO_EVENT,
    SLO_EVENTS,
    SLO_NAME,
    SLO_OBJECTIVE,
    SLO_PERCENTILE,
    SLO_RATIO,
    SLO_WINDOW,
    Metric,
)

if TYPE_CHECKING:
    from slotel.engine.evaluation import Evaluation, SLOStatus


class Kind(Enum):
    """How a number behaves."""

    COUNTER = "counter"
    """Only grows, from 0."""
    GAUGE = "gauge"
    """The state at one moment."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one metric at one moment.

    Attributes:
        metric: Name, unit and meaning.
        kind: Counter or gauge.
        attributes: What tells it from the metric's other numbers.
        value: A plain int for a counter, a finite float for a gauge.
        start_unix_ns: Since when a counter counts; 0 for a gauge.
    """

    metric: Metric
    kind: Kind
    attributes: Attributes
    value: float
    start_unix_ns: int = 0


EVENTS = Metric(SLO_EVENTS, "{event}", "Good and bad events of an SLO since the start.")
RATIO = Metric(SLO_RATIO, "1", "Good events of all valid ones in the SLO's window.")
OBJECTIVE = Metric(SLO_OBJECTIVE, "1", "Share of good events that the SLO promises.")
BUDGET = Metric(
    SLO_BUDGET_REMAINING, "1", "Share of the error budget that is left; below 0 when overspent."
)
BURN_RATE = Metric(
    SLO_BURN_RATE, "", "Bad ratio over error budget in a window; 1 spends it exactly in time."
)
PERCENTILE = Metric(
    SLO_PERCENTILE,
    "",
    "Percentile of what the SLO judges, in its window and base unit; of this process alone, not "
    "to be averaged or added up: percentiles of several processes come from the histograms.",
)
COVERAGE = Metric(SLO_COVERAGE, "1", "Share of the SLO's window that this process has seen.")
FAULTS = Metric(INTERNAL_ERRORS, "{error}", "Faults of Slotel itself, by place.")

COUNTERS = (EVENTS, FAULTS)
GAUGES = (RATIO, OBJECTIVE, BUDGET, BURN_RATE, PERCENTILE, COVERAGE)


class ReadingSource:
    """Reads every number of the process as it stands now. Any thread may call.

    Args:
        recorder: Whose faults are told.
        evaluate: Brings the SLOs up to date and returns their state; None when there are none.
        inherited: Faults that a forked child's parent counted, and tells itself.
        start_unix_ns: Since when the SLOs count, at the earliest; the recorder's start when None.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        evaluate: Callable[[], Evaluation | None] | None = None,
        inherited: Mapping[str, int] | None = None,
        start_unix_ns: int | None = None,
    ) -> None:
        self._recorder = recorder
        self._evaluate = evaluate
        self._inherited = Counter(inherited or {})
        self._start_unix_ns = start_unix_ns

    def read(self) -> list[Reading]:
        """Return all numbers; a fault of the evaluation costs its own numbers and no others."""
        found: list[Reading] = []
        try:
            evaluation = self._evaluate() if self._evaluate is not None else None
            if evaluation is not None:
                found = slo_readings(evaluation, start_unix_ns=self._slo_start_unix_ns)
        except Exception as error:  # noqa: BLE001  # the rest is told all the same
            report("export.evaluate", error)
        return found + fault_readings(self._faults(), start_unix_ns=self._recorder.epoch_unix_ns)

    @property
    def _slo_start_unix_ns(self) -> int:
        given = self._start_unix_ns
        return given if given is not None else self._recorder.epoch_unix_ns

    def _faults(self) -> Counter[str]:
        return Counter(fault_counts) - self._inherited + self._recorder.ledger().faults


def slo_readings(evaluation: Evaluation, *, start_unix_ns: int) -> list[Reading]:
    """Return the numbers of every SLO; the event counters are there from registration, at 0.

    A ratio that does not exist because there was no traffic is left out, not written as 0 or 1.

    Args:
        evaluation: The state of all SLOs of the process.
        start_unix_ns: Since when they count.
    """
    return [
        reading
        for status in evaluation.slos.values()
        for reading in (*_events(status, start_unix_ns), *_gauges(status))
    ]


def fault_readings(faults: Mapping[str, int], *, start_unix_ns: int) -> list[Reading]:
    """Return our own faults by place.

    Args:
        faults: Faults since the start, by place.
        start_unix_ns: That start.
    """
    return [
        Reading(FAULTS, Kind.COUNTER, {FAULT_PLACE: place}, count, start_unix_ns)
        for place, count in sorted(faults.items())
        if count > 0
    ]


def _events(status: SLOStatus, start_unix_ns: int) -> Iterator[Reading]:
    for event, count in (("good", status.counters.good), ("bad", status.counters.bad)):
        attributes = {SLO_NAME: status.name, SLO_EVENT: event}
        yield Reading(EVENTS, Kind.COUNTER, attributes, int(count), start_unix_ns)


def _gauges(status: SLOStatus) -> Iterator[Reading]:
    own: dict[str, str | bool] = {SLO_NAME: status.name}
    yield from _gauge(OBJECTIVE, own, float(status.objective))
    yield from _gauge(RATIO, own, status.sli_ratio)
    yield from _gauge(BUDGET, own, status.error_budget.remaining)
    yield from _gauge(COVERAGE, own, status.coverage_ratio)
    for window, rate in status.burn_rates.items():
        yield from _gauge(BURN_RATE, own | {SLO_WINDOW: window}, rate)
    if status.percentile is not None:
        quantile = f"{status.percentile.q / 100:g}"
        yield from _gauge(PERCENTILE, own | {QUANTILE: quantile}, status.percentile.value)


def _gauge(metric: Metric, attributes: Attributes, value: float | None) -> Iterator[Reading]:
    if value is not None and math.isfinite(value):
        yield Reading(metric, Kind.GAUGE, attributes, float(value))
