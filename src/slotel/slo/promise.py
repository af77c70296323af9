"""What an SLO promises, in one line of plain words."""

from __future__ import annotations

from fractions import Fraction

from slotel.slo.objective import SLO
from slotel.slo.sli import (
    Availability,
    EventSLI,
    Quality,
    SlicePercentile,
    Throughput,
    Work,
)
from slotel.slo.value import format_duration, format_number, format_ratio


def promise(slo: SLO) -> str:
    """Return the promise, such as `95% of chat calls end within 2s, over 28 days`."""
    share, sli = format_ratio(slo.objective), slo.sli
    over = f"over {_window(slo.window_seconds)}"
    if isinstance(sli, Throughput):
        what = "requests" if sli.work is Work.REQUESTS else "output tokens"
        floor, per = format_number(sli.floor_per_second), format_duration(sli.per_seconds)
        return f"in {share} of {per} slices {sli.select} complete {floor} {what} a second, {over}"
    if isinstance(sli, SlicePercentile):
        per = format_duration(sli.per_seconds)
        return f"in {share} of {per} slices {_events(sli.of, sli.share)}, {over}"
    return f"{_events(sli, slo.objective)}, {over}"


def _window(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    if rest or not days:
        return format_duration(seconds)
    return f"{days} day{'s' if days > 1 else ''}"


def _events(sli: EventSLI, share: Fraction) -> str:
    calls = f"{format_ratio(share)} of {sli.select}"
    if isinstance(sli, Availability):
        return f"{calls} succeed"
    if isinstance(sli, Quality):
        sign, bound = (">=", sli.at_least) if sli.at_least is not None else ("<=", sli.at_most)
        return f"{calls} scored on {sli.score} have {sli.score} {sign} {bound:g}"
    return f"{calls} {sli.phrase.format(format_duration(sli.at_most_seconds))}"
