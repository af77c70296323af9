"""Burn rates, and the one table of alert tiers that the engine and every generator use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from slotel.errors import SLOValueError

_HOUR = 3_600
_DAY = 24 * _HOUR

BURN_WINDOWS: dict[str, int] = {
    "5m": 300,
    "30m": 1_800,
    "1h": _HOUR,
    "2h": 2 * _HOUR,
    "6h": 6 * _HOUR,
    "24h": _DAY,
    "3d": 3 * _DAY,
}
"""Label -> length in seconds of every window that an alert tier reads."""

DEFAULT_MIN_FAILURES = 3
"""Bad events in the long window below which no alert fires, whatever the rate."""

# A default tier that needs a larger bad ratio than this would fire only in an outage so complete
# that other alarms have gone off already.
MAX_BAD_RATIO = Fraction(4, 5)
# Below this rate a healthy service fires; the slowest tier over 28 days stands at 0.933.
MIN_THRESHOLD = Fraction(9, 10)


class Severity(StrEnum):
    """What an alert does to a person: wake one, or wait for working hours."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class AlertTier:
    """One line of the table: how much budget, spent in how long, calls for whom.

    Attributes:
        name: Stable name, such as `fast`.
        severity: Page or ticket.
        long_window: Label of the window the rate is read over, a key of `BURN_WINDOWS`.
        short_window: Label of the window that must burn too, so that the alert ends soon.
        budget_share: Share of the period's budget that is spent when it fires.
        threshold: Burn rate above which both windows must be; budget_share x period / long.
    """

    name: str
    severity: Severity
    long_window: str
    short_window: str
    budget_share: Fraction
    threshold: Fraction

    @property
    def long_seconds(self) -> int:
        """Return the length of the long window."""
        return BURN_WINDOWS[self.long_window]

    @property
    def short_seconds(self) -> int:
        """Return the length of the short window."""
        return BURN_WINDOWS[self.short_window]

    def bad_ratio(self, objective: Fraction) -> Fraction:
        """Return the bad ratio above which the tier fires; over 1 it never can."""
        return self.threshold * (1 - objective)


# Windows, severities and shares for periods of four weeks and more: SRE Workbook, "Alerting on
# SLOs", table 5-8, and the 24 h / 2 h row of its Prometheus example,
# https://sre.google/workbook/alerting-on-slos/. Shares for short periods keep the rates useful;
# Sloth ships the same for its 7-day windows, https://sloth.dev/slo-period-windows/.
_ROWS = (
    ("fast", Severity.PAGE, "1h", "5m", Fraction(2, 100), Fraction(80, 1000)),
    ("medium", Severity.PAGE, "6h", "30m", Fraction(5, 100), Fraction(125, 1000)),
    ("slow", Severity.TICKET, "24h", "2h", Fraction(10, 100), Fraction(200, 1000)),
    ("trickle", Severity.TICKET, "3d", "6h", Fraction(10, 100), Fraction(420, 1000)),
)
_SHORT_PERIOD_SECONDS = 14 * _DAY


def threshold(budget_share: Fraction, *, period_seconds: int, long_seconds: int) -> Fraction:
    """Return the burn rate that spends that share of the period's budget in the long window.

    Raises:
        SLOValueError: The share is outside (0, 1] or a length is not positive.
    """
    if not 0 < budget_share <= 1 or period_seconds <= 0 or long_seconds <= 0:
        raise SLOValueError(
            "a threshold needs a budget share in (0, 1] and positive lengths, got "
            f"{budget_share}, {period_seconds} s, {long_seconds} s."
        )
    return budget_share * period_seconds / long_seconds


def alert_table(period_seconds: int) -> tuple[AlertTier, ...]:
    """Return the table for a period, before any objective is looked at.

    Args:
        period_seconds: Length of the SLO's window. Under 14 days the shares are larger.
    """
    short = period_seconds < _SHORT_PERIOD_SECONDS
    return tuple(
        AlertTier(
            name,
            severity,
            long,
            brief,
            share,
            threshold(share, period_seconds=period_seconds, long_seconds=BURN_WINDOWS[long]),
        )
        for name, severity, long, brief, usual, large in _ROWS
        for share in (large if short else usual,)
    )


@dataclass(frozen=True, slots=True)
class AlertTiers:
    """The tiers of one SLO.

    Attributes:
        active: Those that can fire usefully, fastest first.
        dropped: Those left out, each with the reason in words.
    """

    active: tuple[AlertTier, ...]
    dropped: tuple[tuple[AlertTier, str], ...]


def alert_tiers(objective: Fraction, *, period_seconds: int) -> AlertTiers:
    """Return the default tiers for an objective, without those that would be of no use.

    A tier is dropped when it would need more than 80 % bad, when its rate would fire on a
    service that just holds its objective (below 0.9), or when its long window does not fit into
    the period. A page that is dropped hands its severity to the next tier.

    Args:
        objective: Target share of good events, a ratio in (0, 1).
        period_seconds: Length of the SLO's window.
    """
    active: list[AlertTier] = []
    dropped: list[tuple[AlertTier, str]] = []
    page_is_due = False
    for tier in alert_table(period_seconds):
        reason = _why_not(tier, objective, period_seconds)
        if reason:
            dropped.append((tier, reason))
            page_is_due = page_is_due or tier.severity is Severity.PAGE
            continue
        severity = Severity.PAGE if page_is_due else tier.severity
        active.append(replace(tier, severity=severity))
        page_is_due = False
    return AlertTiers(tuple(active), tuple(dropped))


def _why_not(tier: AlertTier, objective: Fraction, period_seconds: int) -> str:
    if tier.long_seconds >= period_seconds:
        return f"its {tier.long_window} window does not fit into the SLO's own"
    if tier.threshold < MIN_THRESHOLD:
        return f"its rate {float(tier.threshold):.3g} would fire on a service that holds"
    needed = tier.bad_ratio(objective)
    if needed > MAX_BAD_RATIO:
        return f"it would need {float(needed):.0%} of events to be bad"
    return ""


def burn_rate(bad_events: int, total_events: int, *, objective: Fraction) -> float:
    """Return how fast the error budget is being spent; 1.0 spends it exactly by the window's end.

    Args:
        bad_events: Events that missed the objective, 0 <= bad_events <= total_events.
        total_events: Valid events in the window; 0 means no traffic.
        objective: Target share of good events, a ratio in (0, 1), never a percent.

    Returns:
        Bad ratio over error budget, without unit, >= 0; 0.0 when there was no traffic.

    Raises:
        SLOValueError: A count is negative, bad_events exceeds total_events, or objective is
            outside (0, 1).

    Source:
        Google SRE Workbook, "Alerting on SLOs", https://sre.google/workbook/alerting-on-slos/
    """
    return float(exact_burn_rate(bad_events, total_events, objective=objective))


def exact_burn_rate(bad_events: int, total_events: int, *, objective: Fraction) -> Fraction:
    """Return `burn_rate` as an exact fraction, for comparisons with a threshold."""
    if not 0 <= bad_events <= total_events:
        raise SLOValueError(
            f"a burn rate needs 0 <= bad <= total, got {bad_events} bad of {total_events}."
        )
    if not 0 < objective < 1:
        raise SLOValueError(f"an objective is a ratio between 0 and 1, got {objective}.")
    return Fraction(bad_events, total_events) / (1 - objective) if total_events else Fraction(0)


@dataclass(frozen=True, slots=True)
class Burn:
    """Bad and total events of one window."""

    bad: int
    total: int


def is_burning(
    tier: AlertTier,
    *,
    long: Burn,
    short: Burn,
    objective: Fraction,
    min_failures: int = DEFAULT_MIN_FAILURES,
) -> bool:
    """Return True when both windows burn faster than the tier allows, on enough failures.

    Args:
        tier: Line of the table.
        long: Events of the tier's long window.
        short: Events of its short window.
        objective: Target share of good events, a ratio in (0, 1).
        min_failures: Bad events that the long window must hold; 1 lets every failure matter.
    """
    return long.bad >= min_failures and all(
        exact_burn_rate(burn.bad, burn.total, objective=objective) > tier.threshold
        for burn in (long, short)
    )


def max_burn_rate(objective: Fraction) -> Fraction:
    """Return the burn rate of a total outage; no threshold at or above it can ever fire."""
    return 1 / (1 - objective)


def detection_seconds(tier: AlertTier, *, bad_ratio: Fraction, objective: Fraction) -> Fraction:
    """Return how long a steady bad ratio lasts before the long window exceeds the threshold.

    Args:
        tier: Line of the table.
        bad_ratio: Share of bad events from the start of the incident, (0, 1].
        objective: Target share of good events, a ratio in (0, 1).

    Returns:
        Seconds; more than the long window means that the tier never fires.
    """
    return (1 - objective) / bad_ratio * tier.long_seconds * tier.threshold


def exhaustion_seconds(rate: Fraction, *, period_seconds: int) -> Fraction:
    """Return how long a whole budget lasts at a constant burn rate > 0."""
    return period_seconds / rate
