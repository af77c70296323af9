"""Burn rates and the table of alert tiers, checked against published figures."""

from fractions import Fraction

import pytest

from slotel.errors import SLOValueError
from slotel.slo.burn_rate import (
    BURN_WINDOWS,
    AlertTier,
    Burn,
    Severity,
    alert_table,
    alert_tiers,
    burn_rate,
    detection_seconds,
    exhaustion_seconds,
    is_burning,
    max_burn_rate,
    threshold,
)

HOUR = 3_600
DAY = 24 * HOUR
MONTH = 28 * DAY


def test_burn_rate_is_one_when_the_budget_is_spent_exactly():
    """Spending the whole budget evenly over the window burns at rate 1."""
    assert burn_rate(1, 1_000, objective=Fraction("0.999")) == 1.0


def test_burn_rate_is_zero_without_traffic():
    """No event, no burn."""
    assert burn_rate(0, 0, objective=Fraction("0.999")) == 0.0


@pytest.mark.parametrize(
    ("bad", "total", "objective", "message"),
    [
        (-1, 1, "0.9", "0 <= bad <= total"),
        (2, 1, "0.9", "0 <= bad <= total"),
        (0, 1, "1", "between 0 and 1"),
        (0, 1, "0", "between 0 and 1"),
    ],
)
def test_impossible_burn_rates_are_refused(bad, total, objective, message):
    """Counts and objectives outside their ranges are errors."""
    with pytest.raises(SLOValueError, match=message):
        burn_rate(bad, total, objective=Fraction(objective))


def test_burn_rate_of_slo_generator():
    """slo-generator, slo_report_v2.json: 50 % good at an objective of 90 % burns at 5."""
    assert burn_rate(50, 100, objective=Fraction("0.9")) == 5


def test_burn_rate_of_one_failure_in_ten_requests():
    """At 99.9 % it is 100; the SRE Workbook's text says 1,000, which is a slip."""
    assert burn_rate(1, 10, objective=Fraction("0.999")) == 100


# (budget share, period in days, long window in hours, published rate)
PUBLISHED = [
    ("0.02", 30, 1, "14.4"),  # SRE Workbook, "Alerting on SLOs", table 5-8
    ("0.1", 30, 72, "1"),  # same
    ("0.05", 30, 1, "36"),  # same, section 4
    ("0.02", 30, 1, "14.4"),  # Datadog, burn rate alerts, 30 days
    ("0.1", 30, 24, "3"),  # same
    ("0.2", 7, 6, "5.6"),  # same, 7 days
    ("0.03", 90, 6, "10.8"),  # same, 90 days
    ("0.05", 28, 6, "5.6"),  # Sloth, internal/alert/alert_test.go
    ("0.1", 28, 72, "0.9333333333"),  # same
    ("0.05", 30, 6, "6"),  # same
    ("0.125", 7, 6, "3.5"),  # Sloth, custom windows for 7 days
    ("0.42", 7, 72, "0.98"),  # same
]


@pytest.mark.parametrize(("share", "days", "hours", "published"), PUBLISHED)
def test_thresholds_of_published_tables(share, days, hours, published):
    """Budget share x period / long window gives every published rate."""
    rate = threshold(Fraction(share), period_seconds=days * DAY, long_seconds=hours * HOUR)
    assert float(rate) == pytest.approx(float(published), abs=1e-9)


@pytest.mark.parametrize(
    ("share", "period", "long"), [("0", 1, 1), ("1.1", 1, 1), ("0.1", 0, 1), ("0.1", 1, 0)]
)
def test_impossible_thresholds_are_refused(share, period, long):
    """Shares outside (0, 1] and empty windows have no threshold."""
    with pytest.raises(SLOValueError, match="budget share"):
        threshold(Fraction(share), period_seconds=period, long_seconds=long)


def test_the_table_for_28_days():
    """13.44 and 5.6 page, 2.8 and 14/15 make a ticket."""
    rows = [(t.severity, t.threshold, t.long_window, t.short_window) for t in alert_table(MONTH)]
    assert rows == [
        (Severity.PAGE, Fraction("13.44"), "1h", "5m"),
        (Severity.PAGE, Fraction("5.6"), "6h", "30m"),
        (Severity.TICKET, Fraction("2.8"), "24h", "2h"),
        (Severity.TICKET, Fraction(14, 15), "3d", "6h"),
    ]


def test_the_table_for_7_days_keeps_rates_above_one():
    """Short periods take larger shares: Sloth's 13.44, 3.5, 1.4 and 0.98."""
    rates = [float(tier.threshold) for tier in alert_table(7 * DAY)]
    assert rates == pytest.approx([13.44, 3.5, 1.4, 0.98])


def test_every_window_of_the_table_is_a_standard_window():
    """The engine computes exactly the windows that the tiers read."""
    read = {w for tier in alert_table(MONTH) for w in (tier.long_window, tier.short_window)}
    assert read == set(BURN_WINDOWS)
    fast = alert_table(MONTH)[0]
    assert (fast.long_seconds, fast.short_seconds) == (HOUR, 300)


def test_high_objectives_keep_all_tiers():
    """At 99.9 % every tier can fire, so none is dropped."""
    tiers = alert_tiers(Fraction("0.999"), period_seconds=MONTH)
    assert tiers.active == alert_table(MONTH)
    assert tiers.dropped == ()


def test_a_tier_that_needs_more_than_80_percent_bad_is_dropped():
    """At 90 % the fast page would need 134 % bad; the medium one goes on paging."""
    tiers = alert_tiers(Fraction("0.9"), period_seconds=MONTH)
    assert [(t.name, t.severity) for t in tiers.active] == [
        ("medium", Severity.PAGE),
        ("slow", Severity.TICKET),
        ("trickle", Severity.TICKET),
    ]
    assert [(t.name, why) for t, why in tiers.dropped] == [
        ("fast", "it would need 134% of events to be bad")
    ]


def test_the_next_tier_takes_the_severity_of_a_dropped_page():
    """At 85 % both pages would need over 80 % bad, so the slow ticket becomes the page."""
    tiers = alert_tiers(Fraction("0.85"), period_seconds=MONTH)
    assert [(t.name, t.severity) for t in tiers.active] == [
        ("slow", Severity.PAGE),
        ("trickle", Severity.TICKET),
    ]


def test_a_tier_whose_window_does_not_fit_is_dropped():
    """An SLO over a day has no 24 h and no 3 d alert."""
    tiers = alert_tiers(Fraction("0.999"), period_seconds=DAY)
    assert [t.name for t in tiers.active] == ["fast"]
    reasons = {t.name: why for t, why in tiers.dropped}
    assert "would fire on a service that holds" in reasons["medium"]
    assert "24h window does not fit" in reasons["slow"]


def tier(*, share: str, long: str, period: int = 30 * DAY) -> AlertTier:
    rate = threshold(Fraction(share), period_seconds=period, long_seconds=BURN_WINDOWS[long])
    return AlertTier("t", Severity.PAGE, long, "5m", Fraction(share), rate)


def test_detection_and_reset_of_the_workbook():
    """SRE Workbook, table 5-5: 36 over 1 h sees a total outage after 2.16 min, resets in 58."""
    alert = tier(share="0.05", long="1h")
    seconds = detection_seconds(alert, bad_ratio=Fraction(1), objective=Fraction("0.999"))
    assert float(seconds) == pytest.approx(129.6)
    assert (HOUR - float(seconds)) / 60 == pytest.approx(58, abs=0.5)


def test_detection_with_a_36_hour_window_of_the_workbook():
    """SRE Workbook, table 5-2: at 99.9 % a rate of 1 over 36 h sees a total outage in 130 s."""
    rate = threshold(Fraction("0.05"), period_seconds=30 * DAY, long_seconds=36 * HOUR)
    long = AlertTier("t", Severity.PAGE, "6h", "5m", Fraction("0.05"), 6 * rate)
    seconds = detection_seconds(long, bad_ratio=Fraction(1), objective=Fraction("0.999"))
    assert float(seconds) == pytest.approx(130, abs=1)


def test_share_of_the_budget_of_a_36_hour_window():
    """SRE Workbook, section 2: 36 h are 5 % of 30 days."""
    assert threshold(Fraction("0.05"), period_seconds=30 * DAY, long_seconds=36 * HOUR) == 1


@pytest.mark.parametrize(
    ("rate", "period_days", "published_seconds", "tolerance"),
    [
        (2, 30, 15 * DAY, 0),  # SRE Workbook, table 5-4
        (1_000, 30, 43 * 60, 30),  # same
        (7, 28, 4 * DAY, 0),  # Pyrra, exhaustion label
        (1, 28, 28 * DAY, 0),  # same
    ],
)
def test_time_to_exhaustion_of_published_tables(rate, period_days, published_seconds, tolerance):
    """A whole budget at a constant rate lasts period / rate."""
    seconds = exhaustion_seconds(Fraction(rate), period_seconds=period_days * DAY)
    assert float(seconds) == pytest.approx(published_seconds, abs=tolerance)


def test_the_largest_burn_rate_is_a_total_outage():
    """Datadog: at 96 % no rate above 25 can be reached."""
    assert max_burn_rate(Fraction("0.96")) == 25


OBJECTIVE = Fraction("0.999")
FAST = alert_table(MONTH)[0]


@pytest.mark.parametrize(
    ("long", "short", "burning"),
    [
        (Burn(20, 1_000), Burn(5, 100), True),
        (Burn(20, 1_000), Burn(0, 100), False),  # over already
        (Burn(10, 1_000), Burn(50, 100), False),  # too little yet
        (Burn(2, 20), Burn(2, 20), False),  # too few failures to mean anything
        (Burn(0, 0), Burn(0, 0), False),
    ],
)
def test_an_alert_needs_both_windows_and_enough_failures(long, short, burning):
    """Long and short window must exceed the rate, on at least three failures."""
    assert is_burning(FAST, long=long, short=short, objective=OBJECTIVE) is burning


def test_the_threshold_itself_does_not_fire():
    """A rate of exactly 13.44 is the budget share allowed, not more."""
    at = Burn(1_344, 100_000)
    over = Burn(1_345, 100_000)
    assert not is_burning(FAST, long=at, short=over, objective=OBJECTIVE)
    assert is_burning(FAST, long=over, short=over, objective=OBJECTIVE)


def test_every_failure_can_be_made_to_matter():
    """min_failures=1 lets one failure of ten page."""
    one = Burn(1, 10)
    assert is_burning(FAST, long=one, short=one, objective=OBJECTIVE, min_failures=1)
