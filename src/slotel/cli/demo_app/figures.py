"""The demo's figures: what Slotel measured and judged, and what the collector got of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slotel import semconv
from slotel._api import percentiles, status, summary
from slotel.cli.demo_app.receiver import OtlpReceiver
from slotel.cli.demo_app.tables import OperationRow, SLORow, Three
from slotel.measure.measurement import Outcome, Role

_QS = (50, 95, 99)
_BURN_WINDOW = "1h"


@dataclass(frozen=True, slots=True)
class Count:
    """Calls counted in places that know nothing of one another.

    Attributes:
        operation: Name of the operation.
        made: Calls that the assistant made.
        measured: Calls that Slotel measured.
        points: Calls in the duration histograms that the collector received; None when the
            collector is not ours to ask.
        spans: Spans that the collector received; None as for `points`.
    """

    operation: str
    made: int
    measured: int
    points: int | None
    spans: int | None

    @property
    def agrees(self) -> bool:
        """Whether every place that can be asked counted what was made."""
        return all(n in (None, self.made) for n in (self.measured, self.points, self.spans))

    def words(self) -> str:
        """Return the counts in words: `12 made, 12 measured, 12 received as points, ...`."""
        words = f"{self.made} made, {self.measured} measured"
        if self.points is None or self.spans is None:
            return words
        return f"{words}, {self.points} received in metrics, {self.spans} as spans"

    @staticmethod
    def total(counts: Iterable[Count]) -> Count:
        """Return the sum over all operations."""
        every = list(counts)
        ours = all(count.points is not None for count in every)
        return Count(
            "all",
            sum(count.made for count in every),
            sum(count.measured for count in every),
            sum(count.points or 0 for count in every) if ours else None,
            sum(count.spans or 0 for count in every) if ours else None,
        )


def counts(made: Mapping[str, int], receiver: OtlpReceiver | None) -> list[Count]:
    """Return, for each operation, the calls made beside those measured and received.

    Args:
        made: Calls made, by operation.
        receiver: The collector; None when it is somebody else's.
    """
    return [
        Count(
            operation,
            number,
            sum(_outcomes(operation).values()),
            _points(receiver, operation) if receiver is not None else None,
            _spans(receiver, operation) if receiver is not None else None,
        )
        for operation, number in made.items()
    ]


def operation_rows(operations: Iterable[str]) -> list[OperationRow]:
    """Return a row for each operation, in that order; times are those of successful calls."""
    rows: list[OperationRow] = []
    for operation in operations:
        outcomes = _outcomes(operation)
        rows.append(
            OperationRow(
                operation,
                calls=sum(outcomes.values()),
                errors=outcomes[Outcome.ERROR],
                cancelled=outcomes[Outcome.CANCELLED],
                rejected=outcomes[Outcome.REJECTED],
                duration_seconds=_percentiles(operation, "duration"),
                first_token_seconds=_percentiles(operation, "time_to_first_token"),
                tokens_per_second=_median(operation, "tokens_per_second"),
            )
        )
    return rows


def slo_rows() -> list[SLORow]:
    """Return a row for each SLO, in the order of the document."""
    return [
        SLORow(
            slo.name,
            objective=float(slo.objective),
            good=slo.good,
            total=slo.total,
            budget_remaining=slo.error_budget.remaining,
            burn_rate=slo.burn_rates.get(_BURN_WINDOW),
            verdict=slo.verdict.value,
        )
        for slo in status().slos.values()
    ]


def _outcomes(operation: str) -> Counter[Outcome]:
    found: Counter[Outcome] = Counter()
    for row in summary():
        if row.operation == operation and row.role == Role.OUTER.value:
            found[Outcome(row.outcome)] += row.count
    return found


def _percentiles(operation: str, metric: str) -> Three | None:
    found = percentiles(operation, _QS, metric=metric)
    return (found[50], found[95], found[99]) if found.count else None


def _median(operation: str, metric: str) -> float | None:
    found = percentiles(operation, (50,), metric=metric)
    return found[50] if found.count else None


def _points(receiver: OtlpReceiver, operation: str) -> int:
    naming = semconv.naming_from_environment()
    metric = semconv.metric("duration", operation, outer=True, naming=naming)
    wanted: dict[str, object] = {semconv.OPERATION_NAME: operation}
    return sum(
        point.count
        for point in receiver.histograms(metric.name, wanted)
        if dict(point.attributes).get(semconv.ROLE, Role.OUTER.value) == Role.OUTER.value
    )


def _spans(receiver: OtlpReceiver, operation: str) -> int:
    # A journey's span carries its name only: the conventions know no such operation.
    return sum(
        span.attributes.get(semconv.OPERATION_NAME, span.name) == operation
        for span in receiver.spans
    )
