"""What an evaluation says about every SLO; records only, cheap to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

from slotel.errors import UnknownNameError
from slotel.slo.error_budget import ErrorBudget
from slotel.slo.objective import SLO
from slotel.slo.value import format_duration, suggestion

if TYPE_CHECKING:
    from slotel.measure.window import WindowCounts  # Brings numpy, which readers do not need.


class Verdict(StrEnum):
    """Whether a promise is kept, by what was observed in its window."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """No valid event was seen."""


@dataclass(frozen=True, slots=True)
class PercentileReading:
    """A percentile of the successful calls in the SLO's window, read off a histogram.

    Attributes:
        value: In the quantity's base unit (seconds).
        q: Which percentile, 0..100.
        error: Largest error of the value as a share of the exact one.
        coverage_ratio: Share of the window that the histogram covers, 0..1.
    """

    value: float
    q: float
    error: float
    coverage_ratio: float


@dataclass(frozen=True, slots=True)
class Counters:
    """Events since the SLO was registered in this process; they never go back.

    Attributes:
        good: Good events.
        bad: Bad events.
    """

    good: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class SLOStatus:
    """One SLO at one moment.

    Attributes:
        name: Name of the SLO.
        slo: The promise itself.
        error_budget: Of the SLO's own window: allowed, consumed and remaining.
        windows: Label -> counts of every alert window and of the SLO's own.
        burn_rates: Label -> burn rate; None without traffic in that window.
        verdict: Whether the promise is kept by what was observed.
        percentile: Beside the ratio of an SLI that compares a time; None without traffic.
        coverage_ratio: Share of the SLO's window in which this process was up, 0..1.
        observed_seconds: That time in seconds.
        counters: Events since registration.
    """

    name: str
    slo: SLO
    error_budget: ErrorBudget
    windows: Mapping[str, WindowCounts]
    burn_rates: Mapping[str, float | None]
    verdict: Verdict
    percentile: PercentileReading | None
    coverage_ratio: float
    observed_seconds: float
    counters: Counters

    @property
    def good(self) -> int:
        """Return the good events in the SLO's window."""
        return self.error_budget.good

    @property
    def total(self) -> int:
        """Return the valid events in the SLO's window."""
        return self.error_budget.total

    @property
    def bad(self) -> int:
        """Return the bad events in the SLO's window."""
        return self.error_budget.consumed_events

    @property
    def sli_ratio(self) -> float | None:
        """Return the share of good events in the SLO's window; None without traffic."""
        return self.good / self.total if self.total else None

    @property
    def objective(self) -> Fraction:
        """Return the target share of good events."""
        return self.slo.objective

    @property
    def observed(self) -> str:
        """Return how much of the window was observed, such as `2.5 of 28 days observed`."""
        window, seen = self.slo.window_seconds, self.observed_seconds
        whole = f"{window // 86_400} days" if window % 86_400 == 0 else format_duration(window)
        if seen >= 86_400 and window % 86_400 == 0:
            return f"{seen / 86_400:.3g} of {whole} observed"
        step = 3_600 if seen >= 86_400 else 60 if seen >= 3_600 else 1
        return f"{format_duration(int(seen) // step * step)} of {whole} observed"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every SLO at one moment.

    Attributes:
        unix_ns: When, nanoseconds since 1970-01-01 UTC.
        source: Whose truth it is: `process` for this process's own windows.
        service: Name of the service; None leaves it to the process's own.
        slos: Name -> status, in the document's order.
    """

    unix_ns: int
    source: str
    service: str | None
    slos: Mapping[str, SLOStatus]

    def slo(self, name: str) -> SLOStatus:
        """Return the status of one SLO.

        Raises:
            UnknownNameError: There is none of that name.
        """
        status = self.slos.get(name)
        if status is None:
            cure = suggestion(name, self.slos) if self.slos else "The document lists none."
            raise UnknownNameError(f"there is no SLO named {name!r}. {cure}")
        return status
