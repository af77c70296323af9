"""The service level objective: an indicator, a target share of good events, and a window."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

from slotel.slo.burn_rate import DEFAULT_MIN_FAILURES
from slotel.slo.sli import SLI, EventSLI, SlicePercentile, Throughput
from slotel.slo.value import InvalidValueError, need, parse_ratio, shown

# The in-process windows reach back this far; DNS labels are what every backend accepts as a name.
MAX_WINDOW_SECONDS = 35 * 86_400
MIN_WINDOW_SECONDS = 300
DEFAULT_WINDOW_SECONDS = 28 * 86_400
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def objective(text: str) -> Fraction:
    """Return the target share written as `99.9%`, `0.999` or `2/3`, exactly.

    Raises:
        InvalidValueError: It cannot be read, or does not lie strictly between 0 and 1.
    """
    value = parse_ratio(text)
    check_objective(value, text)
    return value


def check_objective(value: Fraction, text: str = "") -> None:
    """Refuse a target that no service can miss or none can meet.

    Raises:
        InvalidValueError: The value does not lie strictly between 0 and 1.
    """
    if value >= 1:
        raise InvalidValueError(
            f"an objective must be below 100%, got {shown(text or str(value))}: "
            "it would leave no error budget.",
            "Write 99.9%, or what your users need.",
        )
    if value <= 0:
        raise InvalidValueError(
            f"an objective must be above 0%, got {shown(text or str(value))}.",
            "Write the share of events that must be good, such as 99%.",
        )


def check_name(name: str) -> None:
    """Refuse a name that some backend could not carry.

    Raises:
        InvalidValueError: It is not 1 to 63 lower-case letters, digits and inner hyphens.
    """
    if _NAME.fullmatch(name):
        return
    better = re.sub(r"[^a-z0-9]+", "-", name.lower())[:63].strip("-")
    raise InvalidValueError(
        f"a name has 1 to 63 lower-case letters, digits and inner hyphens, got {shown(name)}.",
        f"Write {better}." if better else "Write a name such as answer-latency.",
    )


def check_window(seconds: int) -> None:
    """Refuse a window that the process cannot hold.

    Raises:
        InvalidValueError: It is not 5 minutes to 35 days in steps of 10 s.
    """
    if not MIN_WINDOW_SECONDS <= seconds <= MAX_WINDOW_SECONDS or seconds % 10:
        raise InvalidValueError(
            f"a window lasts from 5m to 35d in steps of 10s, got {seconds} s.",
            "Write 28d; windows over 35 days are not supported in this version.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """One promise; validated when made.

    Attributes:
        name: 1 to 63 lower-case letters, digits and inner hyphens, unique in its document.
        sli: What counts as good.
        objective: Target share of good events, a `Fraction` in (0, 1); see `objective()`.
        window_seconds: Length of the rolling window, 300..3,024,000, a multiple of 10.
        min_failures: Bad events in an alert's long window below which it stays silent, >= 1.
        description: What the promise means to a user.
        rationale: Why this target and not another.
        owner: Who answers for it; None takes the document's owner.
        tier: Label such as `gold`, kept as data.
        journey: Label of the user journey it belongs to, kept as data.

    Raises:
        InvalidValueError: A value is outside its range.
    """

    name: str
    sli: SLI
    objective: Fraction
    window_seconds: int = DEFAULT_WINDOW_SECONDS
    min_failures: int = DEFAULT_MIN_FAILURES
    description: str | None = None
    rationale: str | None = None
    owner: str | None = None
    tier: str | None = None
    journey: str | None = None

    def __post_init__(self) -> None:
        need(self.name, str, "a name is text")
        check_name(self.name)
        kinds = (*get_args(EventSLI), Throughput, SlicePercentile)
        need(self.sli, kinds, f"{self.name}: sli is an SLI object", "Write Latency(…).")
        # A float is refused, not converted: 1 - 0.999 is not 1/1000.
        cure = 'Write slotel.slo.objective.objective("99.9%").'
        need(self.objective, Fraction, f"{self.name}: an objective is an exact Fraction", cure)
        for name in ("window_seconds", "min_failures"):
            need(getattr(self, name), int, f"{self.name}: {name} is a whole number")
        check_objective(self.objective)
        check_window(self.window_seconds)
        if self.min_failures < 1:
            raise InvalidValueError(
                f"{self.name}: min_failures is at least 1, got {self.min_failures}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """All promises of one service.

    Attributes:
        slos: The SLOs in the document's order, names unique; may be empty.
        service: Name of the service; None leaves it to the process's own.
        owner: Who answers for those without an owner of their own.
        description: What the service does.
    """

    slos: tuple[SLO, ...] = ()
    service: str | None = None
    owner: str | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        names = [slo.name for slo in self.slos]
        for name in names:
            if names.count(name) > 1:
                raise InvalidValueError(f"two SLOs are named {name!r}.", "Give each its own name.")

    def slo(self, name: str) -> SLO | None:
        """Return the SLO of that name, or None."""
        return next((slo for slo in self.slos if slo.name == name), None)

    def dimensions(self) -> frozenset[str]:
        """Return what series must keep for the SLOs to select them, overflow or not."""
        return frozenset[str]().union(*(slo.sli.select.dimensions() for slo in self.slos))
