"""What counts as good: the service level indicators and the rules by which calls are judged."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from fractions import Fraction
from typing import ClassVar, TypeAlias

from slotel.measure.measurement import SCORE, Outcome, Role, SeriesKey
from slotel.slo.value import InvalidValueError, need

# The grid of slices: whole multiples of the finest window slice, at most an hour.
SLICE_STEP_SECONDS = 10
MAX_SLICE_SECONDS = 3_600
MAX_THRESHOLD_SECONDS = 86_400.0


class Rule(Enum):
    """How the values of one series are judged."""

    BY_VALUE = "by_value"
    """Good when the value meets the cut, else bad."""
    BAD_IF_OVER = "bad_if_over"
    """A lower bound: bad when it misses the cut already, else not a valid event."""
    GOOD = "good"
    BAD = "bad"
    IGNORED = "ignored"
    """Not a valid event."""


class Calls(StrEnum):
    """Which of several nested measurements of one call an SLI reads."""

    OUTER = "outer"
    """The outermost of each operation name: what the user of the service felt."""
    EVERY = "every"
    """All of them: attempts, retries and nested calls count one by one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """An exact threshold on the raw values of a quantity; values on it meet it.

    Attributes:
        quantity: Name of the quantity, such as `duration`.
        bound: Threshold in the quantity's base unit.
        at_least: True when values must be at or above the bound, False for at or below.
    """

    quantity: str
    bound: float
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which calls an SLI is about.

    Attributes:
        operation: Operation name, or a journey's; None takes every operation.
        provider: Provider name; None takes every one.
        model: Requested model; None takes every one.
        attributes: Attribute values that must all be there, sorted by name.
        calls: Outermost calls only, or every nested one too.
    """

    operation: str | None = "chat"
    provider: str | None = None
    model: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    calls: Calls = Calls.OUTER

    def matches(self, key: SeriesKey) -> bool:
        """Return True when the calls of that series are among the selected."""
        return (
            self.operation in (None, key.operation)
            and self.provider in (None, key.provider)
            and self.model in (None, key.model)
            and (self.calls is Calls.EVERY or key.role is Role.OUTER)
            and set(self.attributes) <= set(key.attributes)
        )

    def dimensions(self) -> frozenset[str]:
        """Return what a series must keep to be selected: `provider`, `model`, attribute names."""
        named = {"provider": self.provider, "model": self.model}
        return frozenset([n for n, v in named.items() if v] + [n for n, _ in self.attributes])

    def __str__(self) -> str:
        """Return the calls in words, such as `chat calls of openai with tier=gold`."""
        every = "every nested " if self.calls is Calls.EVERY else ""
        of = " ".join(filter(None, (self.provider, self.model)))
        having = ", ".join(f"{name}={value}" for name, value in self.attributes)
        words = [f"{every}{self.operation or ''}".strip(), "calls"]
        words += [f"of {of}"] * bool(of) + [f"with {having}"] * bool(having)
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """An SLI that compares one time of a call with a threshold.

    Attributes:
        at_most_seconds: Largest good value, inclusive, 0 < seconds <= 86,400.
        select: The calls it is about.
    """

    at_most_seconds: float
    select: Selection = field(default_factory=Selection)

    kind: ClassVar[str]
    quantity: ClassVar[str]
    phrase: ClassVar[str]
    unfinished: ClassVar[Rule] = Rule.BAD_IF_OVER

    def __post_init__(self) -> None:
        need(self.at_most_seconds, (int, float), "at_most_seconds is a number", "Write 2.0.")
        if not 0 < self.at_most_seconds <= MAX_THRESHOLD_SECONDS:
            raise InvalidValueError(
                f"at_most must be over 0 and at most 24 hours, got {self.at_most_seconds!r} s."
            )

    @property
    def cut(self) -> Cut:
        """Return the threshold on the raw values."""
        return Cut(self.quantity, self.at_most_seconds)

    def rule(self, key: SeriesKey) -> Rule:
        """Return how calls of that series are judged.

        A finished call is judged by its value. One that failed or was cancelled gives a lower
        bound: over the threshold it is bad, else nothing is known and it is no valid event.
        """
        if key.outcome is Outcome.REJECTED or not self.select.matches(key):
            return Rule.IGNORED
        return Rule.BY_VALUE if key.outcome is Outcome.SUCCESS else self.unfinished


class Latency(_Timed):
    """Duration of the call, from its start to its last byte."""

    __slots__ = ()
    kind = "latency"
    quantity = "duration"
    phrase = "end within {}"


class TimeToFirstToken(_Timed):
    """Time from the start of a streaming call to its first content."""

    __slots__ = ()
    kind = "time_to_first_token"
    quantity = "time_to_first_token"
    phrase = "show their first token within {}"


class TimePerOutputToken(_Timed):
    """Mean time per output token after the first; successful calls only."""

    __slots__ = ()
    kind = "time_per_output_token"
    quantity = "time_per_output_token"
    phrase = "need at most {} per output token"
    unfinished = Rule.IGNORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Whether the call worked: success is good, an error bad, a cancelled call not valid."""

    select: Selection = field(default_factory=Selection)

    kind: ClassVar[str] = "availability"
    quantity: ClassVar[str] = "duration"
    _RULES: ClassVar[dict[Outcome, Rule]] = {Outcome.SUCCESS: Rule.GOOD, Outcome.ERROR: Rule.BAD}

    @property
    def cut(self) -> None:
        """Return None: the value does not matter."""

    def rule(self, key: SeriesKey) -> Rule:
        """Return how calls of that series are judged."""
        if not self.select.matches(key):
            return Rule.IGNORED
        return self._RULES.get(key.outcome, Rule.IGNORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """A named score of the call, at or beyond a bound; a call without the score is not valid.

    Attributes:
        score: Name under which the score is recorded, such as `faithfulness`.
        at_least: Smallest good score, inclusive; None when at_most is given.
        at_most: Largest good score, inclusive; None when at_least is given.
        select: The calls it is about; by default of every operation.
    """

    score: str
    at_least: float | None = None
    at_most: float | None = None
    select: Selection = field(default_factory=lambda: Selection(operation=None))

    kind: ClassVar[str] = "quality"

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.at_least, self.at_most) if bound is not None]
        need(self.score, str, "score is a name")
        for bound in bounds:
            need(bound, (int, float), "a bound is a number")
        if len(bounds) != 1 or not math.isfinite(bounds[0]):
            raise InvalidValueError(
                f"quality of {self.score!r} needs exactly one finite bound, got "
                f"at_least={self.at_least!r}, at_most={self.at_most!r}.",
                "Write at_least: 0.8, or at_most: 0.2.",
            )

    @property
    def quantity(self) -> str:
        """Return the name of the measured quantity."""
        return SCORE + self.score

    @property
    def cut(self) -> Cut:
        """Return the threshold on the raw scores."""
        if self.at_least is not None:
            return Cut(self.quantity, self.at_least, at_least=True)
        return Cut(self.quantity, self.at_most or 0.0)

    def rule(self, key: SeriesKey) -> Rule:
        """Return how scores of that series are judged."""
        wanted = key.outcome is not Outcome.REJECTED and self.select.matches(key)
        return Rule.BY_VALUE if wanted else Rule.IGNORED


EventSLI: TypeAlias = Latency | TimeToFirstToken | TimePerOutputToken | Availability | Quality
TimedSLI: TypeAlias = Latency | TimeToFirstToken | TimePerOutputToken


class Work(StrEnum):
    """What a throughput SLI counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"


def _check_slice(per_seconds: int) -> None:
    need(per_seconds, int, "per_seconds is a whole number")
    if per_seconds % SLICE_STEP_SECONDS or not 0 < per_seconds <= MAX_SLICE_SECONDS:
        raise InvalidValueError(
            f"per must be a whole multiple of 10s, at most 1h, got {per_seconds} s.",
            "Write 1m or 5m.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Work completed per second, judged slice by slice.

    A slice is valid when the load offered in it reaches the floor, and good when the work
    completed in it does. Offered are the calls that started, times the mean output tokens of the
    calls completed so far where tokens are counted; completed are the successful ones.

    Attributes:
        floor_per_second: Least work a second, > 0.
        work: Requests or output tokens.
        per_seconds: Length of a slice, a multiple of 10, 10..3600.
        select: The calls it is about.
    """

    floor_per_second: Fraction
    work: Work = Work.REQUESTS
    per_seconds: int = 60
    select: Selection = field(default_factory=Selection)

    kind: ClassVar[str] = "throughput"

    def __post_init__(self) -> None:
        need(self.floor_per_second, (int, Fraction), "floor_per_second is an exact Fraction")
        if not 0 < self.floor_per_second <= 1_000_000_000:
            raise InvalidValueError(
                f"a throughput floor must be over 0 and at most 1e9, got {self.floor_per_second}."
            )
        _check_slice(self.per_seconds)

    def judge(self, *, offered: Fraction, completed: Fraction) -> bool | None:
        """Return whether a slice with that work is good; None when it is not valid."""
        floor = self.floor_per_second * self.per_seconds
        return None if offered < floor else completed >= floor


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePercentile:
    """A percentile held slice by slice: `p95 <= 2s` in each 5 minutes.

    The p-th percentile of a slice (nearest rank) is at most the threshold exactly when at least
    that share of its events is, so a slice is judged by exact counts, without the histogram.

    Attributes:
        of: The SLI that judges each event; its bound is the percentile's.
        share: The percentile as a share, 0 < share < 1: 95/100 for p95.
        per_seconds: Length of a slice, a multiple of 10, 10..3600.
    """

    of: TimedSLI | Quality
    share: Fraction
    per_seconds: int = 300

    kind: ClassVar[str] = "slice_percentile"

    def __post_init__(self) -> None:
        need(self.share, Fraction, "share is an exact Fraction")
        if not 0 < self.share < 1:
            raise InvalidValueError(f"a percentile lies between p0 and p100, got {self.share}.")
        _check_slice(self.per_seconds)

    @property
    def select(self) -> Selection:
        """Return the calls it is about."""
        return self.of.select

    def judge(self, *, good: int, total: int) -> bool | None:
        """Return whether a slice with those events is good; None when there were none."""
        return None if total == 0 else good >= self.share * total


SLI: TypeAlias = EventSLI | Throughput | SlicePercentile
