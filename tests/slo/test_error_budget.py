"""Error budgets in events, exact, checked against published figures."""

from fractions import Fraction

import pytest

from slotel.errors import SLOValueError
from slotel.slo.error_budget import ErrorBudget, allowed_seconds

DAY = 86_400


def budget(bad: int, total: int, objective: str) -> ErrorBudget:
    return ErrorBudget(total - bad, total, Fraction(objective))


# Source: Google SRE Workbook, "Implementing SLOs", table 2-4: 3,663,253 requests in four weeks.
@pytest.mark.parametrize(("objective", "allowed"), [("0.97", 109_897), ("0.99", 36_632)])
def test_allowed_failures_of_the_workbook(objective, allowed):
    """The allowed failures are rounded down: 109,897.59 are 109,897."""
    assert budget(0, 3_663_253, objective).total_events == allowed


@pytest.mark.parametrize(
    ("total", "allowed"),
    [
        (3_000_000, 3_000),  # SRE Workbook, "Implementing SLOs": 99.9 % of 3 million
        (1_000_000, 1_000),  # SRE Workbook, appendix B: 99.9 % of 1 million in 4 weeks
    ],
)
def test_allowed_failures_of_three_nines(total, allowed):
    """A float budget would give 2,999.9999999999727 and one event less."""
    assert budget(0, total, "0.999").total_events == allowed


def test_share_of_a_budget_that_one_incident_spends():
    """SRE Workbook, "Implementing SLOs": 14,066 errors are 13 % of a budget of 109,897."""
    incident = budget(14_066, 3_663_253, "0.97")
    assert incident.consumed == pytest.approx(0.13, abs=0.005)


def test_one_failure_at_ten_requests_an_hour():
    """SRE Workbook, "Alerting on SLOs", low traffic: 13.9 % of the 30-day budget at 99.9 %."""
    assert budget(1, 10 * 24 * 30, "0.999").consumed == pytest.approx(0.139, abs=0.0002)


@pytest.mark.parametrize(
    ("objective", "period_seconds", "minutes", "tolerance"),
    [
        ("0.9999", 365 * DAY, 53, 0.5),  # The Calculus of Service Availability
        ("0.9995", 7 * DAY, 5.04, 1e-6),  # OpenSLO, examples: treat low traffic as good
        ("0.99999", 30 * DAY, 26 / 60, 0.1 / 60),  # SRE Workbook: 26 s of total outage
    ],
)
def test_allowed_outage_of_published_objectives(objective, period_seconds, minutes, tolerance):
    """The time of a total outage that the budget allows."""
    allowed = allowed_seconds(Fraction(objective), period_seconds=period_seconds)
    assert float(allowed / 60) == pytest.approx(minutes, abs=tolerance)


def test_an_hour_of_outage_in_a_week():
    """Datadog, time slice SLOs: one hour down in seven days is 0.6 % of the time."""
    down = budget(1, 7 * 24, "0.9")
    assert float(down.exact_consumed * (1 - down.objective)) == pytest.approx(0.006, abs=0.0001)


def test_minutes_left_for_the_service_itself():
    """The Calculus of Service Availability: five 99.999 % dependencies leave 27 of 53 minutes."""
    own = allowed_seconds(Fraction("0.9999"), period_seconds=365 * DAY)
    dependencies = 5 * allowed_seconds(Fraction("0.99999"), period_seconds=365 * DAY)
    assert float((own - dependencies) / 60) == pytest.approx(27, abs=0.8)


def test_remaining_minutes_of_slo_generator():
    """slo-generator, slo_report_v2.json: 50 % at 90 % over 12 h leaves -288 minutes."""
    allowed_minutes = float(allowed_seconds(Fraction("0.9"), period_seconds=DAY // 2) / 60)
    assert allowed_minutes == 72
    assert budget(50, 100, "0.9").remaining * allowed_minutes == -288


def test_a_budget_without_traffic_is_untouched():
    """No event, nothing consumed, everything left, and the promise holds."""
    empty = budget(0, 0, "0.99")
    assert (empty.consumed, empty.remaining, empty.remaining_events) == (0, 1, 0)
    assert empty.holds


@pytest.mark.parametrize(
    ("bad", "remaining", "events", "holds"),
    [(0, 1.0, 10, True), (5, 0.5, 5, True), (10, 0.0, 0, True), (11, -0.1, -1, False)],
)
def test_a_budget_is_spent_event_by_event(bad, remaining, events, holds):
    """At the last allowed event the promise still holds; one more breaks it."""
    spent = budget(bad, 1_000, "0.99")
    assert (spent.remaining, spent.remaining_events, spent.holds) == (remaining, events, holds)
    assert spent.consumed_events == bad


@pytest.mark.parametrize(
    ("good", "total", "objective", "message"),
    [(-1, 1, "0.9", "good <= total"), (2, 1, "0.9", "good <= total"), (1, 1, "1", "between 0 and")],
)
def test_impossible_budgets_are_refused(good, total, objective, message):
    """Counts and objectives outside their ranges are errors."""
    with pytest.raises(SLOValueError, match=message):
        ErrorBudget(good, total, Fraction(objective))
