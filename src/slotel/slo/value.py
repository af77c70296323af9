"""Durations, shares and numbers as people write them, read exactly and written back."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from fractions import Fraction

from slotel.errors import SLOValueError

# Long enough for every meaningful value, short enough that none takes long to read.
MAX_TEXT = 64

_UNITS = {
    "w": Fraction(604_800),
    "d": Fraction(86_400),
    "h": Fraction(3_600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1_000),
    "us": Fraction(1, 1_000_000),
    "ns": Fraction(1, 1_000_000_000),
}
_PLAIN = r"[0-9]+(?:\.[0-9]+)?"
_NUMBER = re.compile(rf"[+-]?{_PLAIN}(?:[eE][+-]?[0-9]{{1,2}})?")
_PART = re.compile(rf"({_PLAIN})(ns|us|µs|ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_PLAIN}(?:ns|us|µs|ms|s|m|h|d|w))+")
_QUOTIENT = re.compile(r"([+-]?[0-9]+)/([0-9]+)")
_RATIO = re.compile(rf"({_PLAIN})\s*(%?)|([0-9]+)/([0-9]+)")


class InvalidValueError(SLOValueError):
    """A value that cannot be used: what is wrong with it, and what to write instead.

    Attributes:
        message: What is wrong, with the value.
        cure: What to write instead; may be empty.
    """

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(f"{message} {cure}".rstrip())
        self.message = message
        self.cure = cure


def need(value: object, kinds: type | tuple[type, ...], what: str, cure: str = "") -> None:
    """Refuse a value of a wrong type, for objects that are made by hand; bool is no number.

    Raises:
        InvalidValueError: The value is not of the kinds.
    """
    if not isinstance(value, kinds) or isinstance(value, bool):
        found = f"{type(value).__name__} {shown(str(value))}"
        raise InvalidValueError(f"{what}, got {found}.", cure)


def shown(text: str) -> str:
    """Return the text quoted for a message, shortened to 40 characters."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a cure that names the nearest known word, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word.lower().replace("-", "_"), names, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(names)}."


def _checked(text: str, what: str, example: str) -> str:
    text = text.strip()
    if not text or len(text) > MAX_TEXT or not text.replace("µ", "u").isascii():
        raise InvalidValueError(f"{what} cannot be read from {shown(text)}.", f"Write {example}.")
    return text


def parse_duration(text: str) -> Fraction:
    """Return the seconds of a duration such as `2s`, `500ms`, `1h30m` or `28d`, exactly.

    Args:
        text: Numbers with units w, d, h, m, s, ms, us or ns, the largest first.

    Raises:
        InvalidValueError: There is no unit, an unknown one, one twice, or the text is too long.
    """
    text = _checked(text, "a duration", "a number and a unit, such as 2s, 500ms, 1h30m or 28d")
    if text.startswith("-"):
        raise InvalidValueError(f"a duration cannot be negative, got {shown(text)}.")
    if _NUMBER.fullmatch(text):
        cure = f"Write {text}s if you meant seconds, {text}ms for milliseconds."
        raise InvalidValueError(f"a duration needs a unit, got {shown(text)}.", cure)
    if not _DURATION.fullmatch(text):
        raise InvalidValueError(
            f"a duration cannot be read from {shown(text)}.",
            "Units are w, d, h, m, s, ms, us and ns: write 2s, 500ms, 1h30m or 28d.",
        )
    parts = [(Fraction(n), unit.replace("µ", "u")) for n, unit in _PART.findall(text)]
    units = [unit for _, unit in parts]
    if units != sorted(set(units), key=list(_UNITS).index):
        raise InvalidValueError(
            f"a duration names each unit once, the largest first, got {shown(text)}.",
            f"Write {format_duration(_sum(parts))}.",
        )
    return _sum(parts)


def _sum(parts: list[tuple[Fraction, str]]) -> Fraction:
    return sum((number * _UNITS[unit] for number, unit in parts), Fraction(0))


def format_duration(seconds: Fraction | float) -> str:
    """Return the seconds as a duration that `parse_duration` reads back: `1h30m`, `350ms`."""
    rest = Fraction(repr(seconds)) if isinstance(seconds, float) else Fraction(seconds)
    if rest == 0:
        return "0s"
    if rest < 1:
        return f"{_decimal(rest * 1_000)}ms"
    parts: list[str] = []
    for unit in ("d", "h", "m"):
        count, rest = divmod(rest, _UNITS[unit])
        parts += [f"{count}{unit}"] * bool(count)
    parts += [f"{_decimal(rest)}s"] * bool(rest)
    return "".join(parts)


def _decimal(value: Fraction) -> str:
    """Return a value with a finite decimal expansion without exponent or trailing zeros."""
    if value.denominator == 1:
        return str(value.numerator)
    places = next(n for n in range(1, 1_000) if 10**n % value.denominator == 0)
    whole, rest = divmod(value.numerator * 10**places // value.denominator, 10**places)
    return f"{whole}.{rest:0{places}d}"


def parse_ratio(text: str) -> Fraction:
    """Return a share such as `99.9%`, `0.999` or `2/3`, exactly; not yet checked for its range.

    Raises:
        InvalidValueError: The text is no share, or it is over 1 and not marked as percent.
    """
    text = _checked(text, "a share", "a percentage, such as 99.9%")
    match = _RATIO.fullmatch(text)
    if text.startswith("-"):
        raise InvalidValueError(f"a share cannot be negative, got {shown(text)}.")
    if match is None or (match[4] and not int(match[4])):
        raise InvalidValueError(
            f"a share cannot be read from {shown(text)}.",
            "Write a percentage such as 99.9%, or a ratio such as 0.999.",
        )
    if match[3]:
        return Fraction(int(match[3]), int(match[4]))
    value = Fraction(match[1])
    if match[2]:
        return value / 100
    if value > 1:
        cure = f"Write {match[1]}% if you meant percent." if value < 100 else ""
        raise InvalidValueError(f"a share without % must be at most 1, got {shown(text)}.", cure)
    return value


def format_ratio(value: Fraction) -> str:
    """Return the share as a percentage, `99.9%`, or as `1/3` where that would not be exact."""
    if _finite(value) and len(text := f"{_decimal(value * 100)}%") <= 28:
        return text
    return f"{value.numerator}/{value.denominator}"


def format_number(value: Fraction) -> str:
    """Return the number as a decimal that `parse_number` reads back, or as a quotient."""
    if _finite(value) and len(text := _decimal(value)) <= 28:
        return text
    return f"{value.numerator}/{value.denominator}"


def _finite(value: Fraction) -> bool:
    """Return True when the value has a finite decimal expansion."""
    rest = value.denominator
    for factor in (2, 5):
        while rest % factor == 0:
            rest //= factor
    return rest == 1


def parse_number(text: str) -> Fraction:
    """Return a decimal number exactly.

    Raises:
        InvalidValueError: The text is no finite decimal number, or it is too long.
    """
    text = _checked(text, "a number", "a decimal number, such as 0.8")
    if (match := _QUOTIENT.fullmatch(text)) and int(match[2]):
        return Fraction(int(match[1]), int(match[2]))
    if not _NUMBER.fullmatch(text):
        raise InvalidValueError(f"a finite decimal number is needed, got {shown(text)}.")
    return Fraction(text)
