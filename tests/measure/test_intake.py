"""From recorded objects to arrays of numbers."""

import math
from array import array

import pytest

from slotel.measure.intake import LARGEST, all_usable, differences, floats, shown, sift
from slotel.measure.measurement import quantity

DURATION, MARGIN = quantity("duration"), quantity("score.margin")


def test_numbers_become_an_array_that_may_be_sorted_in_place():
    """Bit for bit, whatever kind of number they are."""
    found = floats([2, 0.1 + 0.2, True])
    found.sort()
    assert found.tolist() == [0.1 + 0.2, 1.0, 2.0]
    assert floats([]).tolist() == []
    assert floats([1.0, None]) is None


@pytest.mark.parametrize(
    ("low", "high", "duration", "margin"),
    [
        (0.0, 1.0, True, True), (-0.0, LARGEST, True, True), (-1.0, 1.0, False, True),
        (-LARGEST, 0.0, False, True), (-math.inf, 0.0, False, False), (0.0, 2e290, False, False),
        (math.nan, math.nan, False, False), (0.0, math.nan, False, False),
    ],
)  # fmt: skip
def test_extremes_tell_whether_all_values_can_be_counted(low, high, duration, margin):
    """Below zero only where the quantity is signed; never what would make a sum infinite."""
    assert all_usable(DURATION, low, high) == duration
    assert all_usable(MARGIN, low, high) == margin


def test_sifting_keeps_places_and_names_the_refused():
    """What stays keeps its order; what goes is handed back as it was."""
    found, places, refused = sift(DURATION, [1.0, None, -1.0, 2, "3"])
    assert (found.tolist(), places, refused) == ([1.0, 2.0], [0, 3], [None, -1.0, "3"])


def test_a_log_shows_numbers_and_nobodys_words():
    """Not-a-number and infinity help to find the fault; text might be anybody's."""
    assert shown(math.inf) == "inf"
    assert shown("secret") == "a value of type str"
    assert shown(10**400) == "a value of type int"


@pytest.mark.parametrize("pack", [list, lambda times: array("d", times)])
@pytest.mark.parametrize(
    ("runs", "found", "starts", "owners"),
    [
        ([], [], [], []),
        ([[1.0]], [], [], []),
        ([[], [1.0, 1.5], [7.0], [5.0, 5.25, 6.0]], [0.5, 0.25, 0.75], [0, 1], [1, 3]),
        ([[2.0, 1.0, 3.0]], [0.0, 2.0], [0], [0]),
    ],
)
def test_differences_lie_within_runs_only(pack, runs, found, starts, owners):
    """None from one run to the next, and a clock that steps back makes no negative gap."""
    result = differences([pack(times) for times in runs])
    assert [part.tolist() for part in result[:2]] == [found, starts]
    assert list(result[2:]) == [owners, []]


def test_runs_with_a_wrong_time_are_told_apart():
    """Packed or not, each costs only itself."""
    runs = [
        array("d", [1.0, math.nan]), array("d", [1.0, 3.0]), [1.0, "x"], [2.0, 2.5],
        array("d", [math.inf, 1.0]), array("d", [-math.inf, math.inf]),
    ]  # fmt: skip
    found, starts, owners, refused = differences(runs)
    assert (found.tolist(), starts.tolist()) == ([2.0, 0.5], [0, 1])
    assert (owners, refused) == ([1, 3], [0, 2, 4, 5])
    packed = [run for run in runs if isinstance(run, array)]
    assert differences(packed)[3] == [0, 2, 3]
