"""SLOs and documents made by hand are validated like those that are read."""

from fractions import Fraction

import pytest

from slotel.slo.objective import SLO, Document, objective
from slotel.slo.sli import Availability, Latency, Selection, SlicePercentile
from slotel.slo.value import InvalidValueError


def slo(**changes) -> SLO:
    values = {"name": "a", "sli": Availability(), "objective": Fraction("0.99")}
    return SLO(**{**values, **changes})


def test_an_slo_made_by_hand_has_the_documented_defaults():
    """28 rolling days and three failures before an alert."""
    made = slo(objective=objective("99.9%"))
    assert made.objective == Fraction(999, 1000)
    assert (made.window_seconds, made.min_failures) == (2_419_200, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": 0.99}, "exact Fraction, got float '0.99'"),
        ({"objective": "99%"}, r"Write slotel\.slo\.objective\.objective"),
        ({"sli": "latency"}, "sli is an SLI object, got str"),
        ({"name": 5}, "a name is text, got int"),
        ({"window_seconds": "28d"}, "window_seconds is a whole number, got str"),
        ({"window_seconds": 600.0}, "window_seconds is a whole number, got float"),
        ({"min_failures": True}, "min_failures is a whole number, got bool"),
        ({"objective": Fraction(1)}, "below 100%"),
        ({"objective": Fraction(0)}, "above 0%"),
        ({"name": "Answer Latency"}, r"Write answer-latency\."),
        ({"name": "données"}, r"Write donn-es\."),
        ({"name": "日本"}, "Write a name such as answer-latency"),
        ({"name": "a" * 64}, "1 to 63"),
        ({"name": ""}, "1 to 63"),
        ({"window_seconds": 299}, "from 5m to 35d"),
        ({"window_seconds": 36 * 86_400}, "over 35 days are not supported"),
        ({"window_seconds": 305}, "steps of 10s"),
        ({"min_failures": 0}, "at least 1"),
    ],
)
def test_impossible_slos_are_refused_when_made(changes, message):
    """The message says what was wrong and what to write."""
    with pytest.raises(InvalidValueError, match=message):
        slo(**changes)


@pytest.mark.parametrize("text", ["100%", "1", "100.0%", "0%", "0", "0.0"])
def test_objectives_without_a_budget_or_a_promise_are_refused(text):
    """Neither everything nor nothing is an objective."""
    with pytest.raises(InvalidValueError, match=r"100%|above 0%"):
        objective(text)


def test_a_document_refuses_two_slos_of_one_name():
    """Names are keys of everything that is exported."""
    with pytest.raises(InvalidValueError, match="two SLOs are named 'a'"):
        Document(slos=(slo(), slo()))


def test_a_document_finds_its_slos_and_names_their_dimensions():
    """The recorder learns which attributes overflow series must keep."""
    gold = Selection(attributes=(("tier", "gold"),))
    document = Document(
        slos=(
            slo(),
            slo(name="b", sli=Latency(at_most_seconds=1, select=gold)),
            slo(name="c", sli=Availability(select=Selection(provider="openai"))),
            slo(
                name="d",
                sli=SlicePercentile(
                    of=Latency(at_most_seconds=1, select=Selection(model="m")),
                    share=Fraction(1, 2),
                ),
            ),
        )
    )
    assert document.slo("b") is document.slos[1]
    assert document.slo("x") is None
    assert document.dimensions() == {"tier", "provider", "model"}
    assert Document().dimensions() == frozenset()
