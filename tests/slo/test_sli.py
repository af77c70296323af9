"""SLIs: which calls they read and how each outcome is judged."""

from dataclasses import replace
from fractions import Fraction

import pytest

from slotel.measure.measurement import Outcome, Role, SeriesKey
from slotel.slo.sli import (
    Availability,
    Calls,
    Cut,
    Latency,
    Quality,
    Rule,
    Selection,
    SlicePercentile,
    Throughput,
    TimePerOutputToken,
    TimeToFirstToken,
    Work,
)
from slotel.slo.value import InvalidValueError

CHAT = SeriesKey("chat", provider="openai", model="small", attributes=(("tier", "gold"),))


def by_outcome(sli) -> list[Rule]:
    order = (Outcome.SUCCESS, Outcome.ERROR, Outcome.CANCELLED, Outcome.REJECTED)
    return [sli.rule(replace(CHAT, outcome=outcome)) for outcome in order]


@pytest.mark.parametrize("sli", [Latency(at_most_seconds=2), TimeToFirstToken(at_most_seconds=2)])
def test_an_unfinished_call_is_a_lower_bound_for_latency(sli):
    """Errors and cancellations are bad once over the threshold, else not valid events."""
    bound = Rule.BAD_IF_OVER
    assert by_outcome(sli) == [Rule.BY_VALUE, bound, bound, Rule.IGNORED]


def test_time_per_output_token_judges_successful_calls_only():
    """A pace has no lower bound in a call that ended early."""
    sli = TimePerOutputToken(at_most_seconds=0.1)
    assert by_outcome(sli) == [Rule.BY_VALUE, Rule.IGNORED, Rule.IGNORED, Rule.IGNORED]


def test_availability_counts_errors_as_bad_and_cancellations_not_at_all():
    """Success is good, an error is bad, cancelled and rejected calls are not valid."""
    assert by_outcome(Availability()) == [Rule.GOOD, Rule.BAD, Rule.IGNORED, Rule.IGNORED]
    assert Availability().cut is None


def test_quality_judges_every_scored_call_but_the_rejected():
    """A score says something about a call however it ended."""
    rules = by_outcome(Quality(score="faithfulness", at_least=0.8))
    assert rules == [Rule.BY_VALUE, Rule.BY_VALUE, Rule.BY_VALUE, Rule.IGNORED]


def test_cuts_name_quantity_bound_and_side():
    """Thresholds are handed to the ledger with their inclusive side."""
    assert Latency(at_most_seconds=2).cut == Cut("duration", 2)
    assert TimeToFirstToken(at_most_seconds=1).cut == Cut("time_to_first_token", 1)
    assert Quality(score="x", at_least=0.8).cut == Cut("score.x", 0.8, at_least=True)
    assert Quality(score="x", at_most=0.0).cut == Cut("score.x", 0.0)


@pytest.mark.parametrize(
    ("select", "matches"),
    [
        (Selection(), True),
        (Selection(operation=None), True),
        (Selection(operation="retrieval"), False),
        (Selection(provider="openai", model="small"), True),
        (Selection(provider="anthropic"), False),
        (Selection(model="large"), False),
        (Selection(attributes=(("tier", "gold"),)), True),
        (Selection(attributes=(("tier", "silver"),)), False),
        (Selection(attributes=(("tier", "gold"), ("tenant", "a"))), False),
    ],
)
def test_a_selection_matches_what_all_its_filters_match(select, matches):
    """Each filter that is set must agree with the series."""
    assert select.matches(CHAT) is matches


def test_inner_calls_are_read_only_when_every_call_is():
    """By default an SLI reads the outermost call, so a retry or a wrapper counts once."""
    inner = replace(CHAT, role=Role.INNER)
    assert Latency(at_most_seconds=1).rule(inner) is Rule.IGNORED
    every = Selection(calls=Calls.EVERY)
    assert Latency(at_most_seconds=1, select=every).rule(inner) is Rule.BY_VALUE


def test_a_selection_names_the_dimensions_that_series_must_keep():
    """Overflow series keep provider, model and attributes only where an SLO filters on them."""
    assert Selection().dimensions() == frozenset()
    select = Selection(provider="p", model="m", attributes=(("tier", "gold"),))
    assert select.dimensions() == {"provider", "model", "tier"}


def test_throughput_judges_slices_by_offered_load():
    """Below the floor's load a slice is not valid; above it, completed work decides."""
    sli = Throughput(floor_per_second=Fraction(5))
    assert sli.judge(offered=Fraction(299), completed=Fraction(299)) is None
    assert sli.judge(offered=Fraction(300), completed=Fraction(299)) is False
    assert sli.judge(offered=Fraction(300), completed=Fraction(300)) is True


@pytest.mark.parametrize(
    ("good", "total", "holds"), [(0, 0, None), (95, 100, True), (94, 100, False), (1, 1, True)]
)
def test_a_slice_percentile_holds_exactly_when_that_share_of_events_does(good, total, holds):
    """The nearest-rank p95 is within the bound when at least 95 % of the events are."""
    sli = SlicePercentile(of=Latency(at_most_seconds=2), share=Fraction(95, 100))
    assert sli.judge(good=good, total=total) is holds


def latency(at_most_seconds):
    return Latency(at_most_seconds=at_most_seconds)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: latency("2s"), "at_most_seconds is a number, got str"),
        (lambda: Quality(score="x", at_least="high"), "a bound is a number, got str"),
        (lambda: Quality(score=1, at_least=1), "score is a name, got int"),
        (lambda: Throughput(floor_per_second=0.1), "exact Fraction, got float"),
        (lambda: SlicePercentile(of=latency(1), share=0.95), "exact Fraction, got float"),
        (lambda: Throughput(floor_per_second=1, per_seconds="1m"), "per_seconds is a whole"),
        (lambda: latency(0), "over 0 and at most 24 hours, got 0"),
        (lambda: latency(float("nan")), "got nan"),
        (lambda: latency(1e9), "at most 24 hours"),
        (lambda: Quality(score="x"), "exactly one finite bound"),
        (lambda: Quality(score="x", at_least=0.1, at_most=0.2), "exactly one finite bound"),
        (lambda: Quality(score="x", at_least=float("inf")), "exactly one finite bound"),
        (lambda: Throughput(floor_per_second=Fraction(0)), "throughput floor must be over 0"),
        (lambda: Throughput(floor_per_second=Fraction(1), per_seconds=15), "multiple of 10s"),
        (lambda: SlicePercentile(of=latency(1), share=Fraction(1)), "between p0 and p100"),
        (
            lambda: SlicePercentile(of=latency(1), share=Fraction(1, 2), per_seconds=7_200),
            "at most 1h",
        ),
    ],
)
def test_impossible_slis_are_refused_when_made(build, message):
    """A wrong value in Python is refused as one in a document is."""
    with pytest.raises(InvalidValueError, match=message):
        build()


def test_selections_read_as_words():
    """`validate` and reports say which calls are meant."""
    assert str(Selection()) == "chat calls"
    assert str(Selection(operation=None)) == "calls"
    select = Selection(provider="openai", attributes=(("tier", "gold"),), calls=Calls.EVERY)
    assert str(select) == "every nested chat calls of openai with tier=gold"
    assert Work("tokens") is Work.TOKENS
