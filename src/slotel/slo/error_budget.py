"""How many events may be bad, how many were, and what is left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from slotel.errors import SLOValueError


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """The error budget of one window, in events and as shares of itself; exact.

    Attributes:
        good: Good events in the window.
        total: Valid events in the window; 0 means no traffic and an untouched budget.
        objective: Target share of good events, a ratio in (0, 1).
    """

    good: int
    total: int
    objective: Fraction

    def __post_init__(self) -> None:
        if not 0 <= self.good <= self.total:
            raise SLOValueError(f"a budget needs 0 <= good <= total, got {self.good}/{self.total}.")
        if not 0 < self.objective < 1:
            raise SLOValueError(f"an objective is a ratio between 0 and 1, got {self.objective}.")

    @property
    def allowed(self) -> Fraction:
        """Return the events that may be bad, total x (1 - objective), not rounded."""
        return self.total * (1 - self.objective)

    @property
    def total_events(self) -> int:
        """Return the whole events that may be bad: `allowed`, rounded down."""
        return math.floor(self.allowed)

    @property
    def consumed_events(self) -> int:
        """Return the events that were bad."""
        return self.total - self.good

    @property
    def remaining_events(self) -> int:
        """Return how many more events may be bad; negative when the budget is overspent."""
        return self.total_events - self.consumed_events

    @property
    def exact_consumed(self) -> Fraction:
        """Return the consumed share of the budget, exactly."""
        return self.consumed_events / self.allowed if self.total else Fraction(0)

    @property
    def consumed(self) -> float:
        """Return the consumed share of the budget: 0.0 untouched, 1.0 spent, more overspent."""
        return float(self.exact_consumed)

    @property
    def remaining(self) -> float:
        """Return the share of the budget that is left: 1.0 untouched, negative overspent."""
        return float(1 - self.exact_consumed)

    @property
    def holds(self) -> bool:
        """Return True when no more events were bad than may be."""
        return self.consumed_events <= self.allowed


def allowed_seconds(objective: Fraction, *, period_seconds: int) -> Fraction:
    """Return how long a total outage may last within the period, traffic being even."""
    return (1 - objective) * period_seconds
