"""Laws of budgets, burn rates and alert tiers."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from slotel.slo.burn_rate import (
    BURN_WINDOWS,
    MAX_BAD_RATIO,
    Burn,
    Severity,
    alert_table,
    alert_tiers,
    exact_burn_rate,
    is_burning,
    max_burn_rate,
)
from slotel.slo.error_budget import ErrorBudget

DAY = 86_400

objectives = st.fractions(min_value=0, max_value=1, max_denominator=10**6).filter(
    lambda value: 0 < value < 1
)
counts = st.integers(0, 10**9).flatmap(
    lambda total: st.tuples(st.integers(0, total), st.just(total))
)


@given(counts, objectives)
def test_consumed_and_remaining_make_one(count, objective):
    """What was spent and what is left are the whole budget, in events and in shares."""
    good, total = count
    budget = ErrorBudget(good, total, objective)
    assert budget.consumed_events + budget.remaining_events == budget.total_events
    assert budget.total_events <= budget.allowed < budget.total_events + 1
    assert budget.exact_consumed * budget.allowed == budget.consumed_events or total == 0
    assert budget.holds == (budget.exact_consumed <= 1)
    if total:
        assert budget.holds == (Fraction(good, total) >= objective)


@given(counts, objectives)
def test_the_consumed_share_is_the_burn_rate_of_the_own_window(count, objective):
    """Over the SLO's own window, burn rate and consumed share are one number."""
    good, total = count
    rate = exact_burn_rate(total - good, total, objective=objective)
    assert rate == ErrorBudget(good, total, objective).exact_consumed
    assert 0 <= rate <= max_burn_rate(objective)


@given(st.lists(counts, min_size=1, max_size=6), objectives)
def test_budgets_add_up_over_parts_of_a_window(parts, objective):
    """Allowed and bad events of a window are the sums over its parts, without drift."""
    budgets = [ErrorBudget(good, total, objective) for good, total in parts]
    whole = ErrorBudget(sum(g for g, _ in parts), sum(t for _, t in parts), objective)
    assert whole.allowed == sum(budget.allowed for budget in budgets)
    assert whole.consumed_events == sum(budget.consumed_events for budget in budgets)


@given(counts, objectives)
def test_one_more_bad_event_never_helps(count, objective):
    """Turning a good event bad raises the burn and never mends a broken promise."""
    good, total = count
    if good == 0:
        return
    before, after = (ErrorBudget(g, total, objective) for g in (good, good - 1))
    assert after.exact_consumed > before.exact_consumed
    assert before.holds or not after.holds


periods = st.integers(1, 35).map(lambda days: days * DAY)


@given(objectives, periods)
def test_every_active_tier_can_fire_and_no_page_is_lost(objective, period):
    """What is kept needs at most 80 % bad; while anything is kept, the first one pages."""
    tiers = alert_tiers(objective, period_seconds=period)
    assert len(tiers.active) + len(tiers.dropped) == len(alert_table(period))
    for tier in tiers.active:
        assert tier.bad_ratio(objective) <= MAX_BAD_RATIO
        assert tier.threshold < max_burn_rate(objective)
        bad = Burn(100, 100)
        assert is_burning(tier, long=bad, short=bad, objective=objective)
    if tiers.active:
        assert tiers.active[0].severity is Severity.PAGE


@given(periods)
def test_tiers_grow_slower_and_longer_down_the_table(period):
    """Each line of the table is slower and longer than the one above, and spends its share."""
    table = alert_table(period)
    for above, below in pairwise(table):
        assert above.threshold > below.threshold
        assert above.long_seconds < below.long_seconds
    for tier in table:
        assert tier.threshold * BURN_WINDOWS[tier.long_window] == tier.budget_share * period


@given(counts, counts, objectives, st.integers(1, 5))
def test_an_alert_never_fires_below_its_threshold_or_its_failures(long, short, objective, least):
    """Whatever the traffic, firing means both rates above and enough failures."""
    tier = alert_table(28 * DAY)[0]
    windows = [Burn(total - good, total) for good, total in (long, short)]
    fires = is_burning(
        tier, long=windows[0], short=windows[1], objective=objective, min_failures=least
    )
    above = all(w.total and Fraction(w.bad, w.total) > tier.bad_ratio(objective) for w in windows)
    assert fires == (above and windows[0].bad >= least)
