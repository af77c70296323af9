"""The demo's figures: what Slotel measured and judged, and what the collector got of it."""

from __future__ import annotations

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
