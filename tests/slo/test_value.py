"""Durations, shares and numbers: exact, written back, and refused with a cure."""

from fractions import Fraction

import pytest

from slotel.errors import SLOValueError
from slotel.slo.value import (
    InvalidValueError,
    format_duration,
    format_number,
    format_ratio,
    parse_duration,
    parse_number,
    parse_ratio,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2s", 2),
        ("500ms", Fraction(1, 2)),
        ("0.1s", Fraction(1, 10)),
        ("1h30m", 5_400),
        ("28d", 2_419_200),
        ("1w1d", 691_200),
        ("250us", Fraction(1, 4_000)),
        ("250µs", Fraction(1, 4_000)),
        ("7ns", Fraction(7, 1_000_000_000)),
        (" 1.5h ", 5_400),
        ("0s", 0),
    ],
)
def test_durations_are_read_exactly(text, seconds):
    """Every unit gives its exact number of seconds, no float between."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "message", "cure"),
    [
        ("2", "a duration needs a unit, got '2'.", "Write 2s if you meant seconds, 2ms"),
        ("1e3", "a duration needs a unit", "1e3s"),
        ("-2s", "a duration cannot be negative, got '-2s'.", ""),
        ("2 s", "a duration cannot be read from '2 s'.", "write 2s, 500ms"),
        ("two", "a duration cannot be read from 'two'.", "write 2s, 500ms"),
        (".nan", "a duration cannot be read from '.nan'.", "write 2s"),
        ("30m1h", "the largest first, got '30m1h'.", "Write 1h30m."),
        ("1s1s", "each unit once", "Write 2s."),
        ("", "a duration cannot be read from ''.", "a number and a unit"),
        ("９s", "a duration cannot be read from '９s'.", "a number and a unit"),
        ("9" * 400 + "d", "a duration cannot be read from '9999", "a number and a unit"),
    ],
)
def test_unreadable_durations_name_the_value_and_the_cure(text, message, cure):
    """What cannot be read is refused with what was found and what to write."""
    with pytest.raises(InvalidValueError) as caught:
        parse_duration(text)
    assert message in caught.value.message
    assert cure in caught.value.cure
    assert isinstance(caught.value, SLOValueError)
    assert str(caught.value).startswith(caught.value.message)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (2, "2s"),
        (0.35, "350ms"),
        (0.0005, "0.5ms"),
        (1.5, "1.5s"),
        (5_400, "1h30m"),
        (86_400, "1d"),
        (2_419_200, "28d"),
        (90_061.25, "1d1h1m1.25s"),
    ],
)
def test_durations_are_written_as_people_write_them(seconds, text):
    """Whole units are named, parts of a second are milliseconds."""
    assert format_duration(seconds) == text
    assert float(parse_duration(text)) == seconds


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("99.9%", Fraction(999, 1000)),
        ("99.9 %", Fraction(999, 1000)),
        ("0.999", Fraction(999, 1000)),
        ("95%", Fraction(19, 20)),
        ("2/3", Fraction(2, 3)),
        ("1", Fraction(1)),
        ("100%", Fraction(1)),
        ("0", Fraction(0)),
    ],
)
def test_shares_are_exact_fractions(text, share):
    """1 - 99.9% is 1/1000, not 0.0010000000000000009."""
    assert parse_ratio(text) == share


@pytest.mark.parametrize(
    ("text", "message", "cure"),
    [
        ("95", "a share without % must be at most 1, got '95'.", "Write 95% if you meant percent."),
        ("99.9", "got '99.9'.", "Write 99.9% if you meant percent."),
        ("1000", "must be at most 1", ""),
        ("-5%", "a share cannot be negative", ""),
        (".nan", "a share cannot be read from '.nan'.", "99.9%"),
        (".inf", "a share cannot be read", "99.9%"),
        ("1e-1", "a share cannot be read", "99.9%"),
        ("1/0", "a share cannot be read", "99.9%"),
        ("ninety", "a share cannot be read from 'ninety'.", "99.9%"),
        ("0." + "9" * 100, "a share cannot be read", "a percentage"),
    ],
)
def test_unreadable_shares_name_the_value_and_the_cure(text, message, cure):
    """A percentage without its sign is not guessed; the cure says what to write."""
    with pytest.raises(InvalidValueError) as caught:
        parse_ratio(text)
    assert message in caught.value.message
    assert cure in caught.value.cure


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (Fraction(999, 1000), "99.9%"),
        (Fraction(19, 20), "95%"),
        (Fraction(1, 3), "1/3"),
        (1 - Fraction(1, 10**30), f"{10**30 - 1}/{10**30}"),
    ],
)
def test_shares_are_written_as_percent_or_as_the_quotient_where_that_is_exact(share, text):
    """No share is rounded when it is written."""
    assert format_ratio(share) == text


@pytest.mark.parametrize("text", ["0.8", "-1", "+2.5", "1e-07", "1/3", "12"])
def test_numbers_survive_writing_and_reading(text):
    """A number written by format_number is the same number."""
    value = parse_number(text)
    assert parse_number(format_number(value)) == value


@pytest.mark.parametrize("text", [".nan", ".inf", "1e999", "0x10", "1_000", "", "٣", "1/0"])
def test_what_is_no_finite_decimal_number_is_refused(text):
    """NaN, infinity, other notations and other digits are no numbers here."""
    with pytest.raises(InvalidValueError):
        parse_number(text)
