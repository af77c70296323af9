"""The demo's results as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

NOTHING = "–"
Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class OperationRow:
    """What was measured of one operation.

    Attributes:
        operation: Its name.
        calls: How many calls were measured.
        errors: How many of them failed.
        cancelled: How many of them were cancelled.
        rejected: How many of them the application refused by its own policy.
        duration_seconds: p50, p95 and p99; None without a call.
        first_token_seconds: p50, p95 and p99 of the time to first token; None when not streamed.
        tokens_per_second: Median over the calls; None when no tokens were counted.
    """

    operation: str
    calls: int
    errors: int
    cancelled: int
    rejected: int
    duration_seconds: Three | None
    first_token_seconds: Three | None
    tokens_per_second: float | None


@dataclass(frozen=True, slots=True)
class SLORow:
    """How one SLO stands.

    Attributes:
        name: Its name.
        objective: Target share, 0..1.
        good: Good events in the window.
        total: Valid events in the window.
        budget_remaining: Share of the error budget that is left; negative when overspent.
        burn_rate: How fast it burns over the last hour; None when that is not known.
        verdict: `holds`, `broken` or `unknown`.
    """

    name: str
    objective: float
    good: int
    total: int
    budget_remaining: float
    burn_rate: float | None
    verdict: str


def operations_table(rows: Sequence[OperationRow]) -> Table:
    """Return the table of operations: counts, durations, first tokens and token rates."""
    counts = ("\ncalls", "\nerr.", "\ncanc.", "\nrej.")
    times = ("duration\np50", "\np95", "\np99", "first\np50", "token\np95", "\np99")
    table = _table(
        "Operations (times of successful calls)", "\noperation", (*counts, *times, "\ntok/s")
    )
    for row in rows:
        table.add_row(
            row.operation,
            str(row.calls),
            _count(row.errors, "red"),
            _count(row.cancelled, "yellow"),
            _count(row.rejected, "yellow"),
            *_three(row.duration_seconds),
            *_three(row.first_token_seconds),
            NOTHING if row.tokens_per_second is None else f"{row.tokens_per_second:.0f}",
        )
    return table


def slo_table(rows: Sequence[SLORow]) -> Table:
    """Return the table of SLOs: objective, indicator, budget left, burn rate and verdict."""
    numbers = ("objective", "SLI", "good/total", "budget left", "burn rate", "verdict")
    table = _table("Service level objectives", "SLO", numbers)
    for row in rows:
        table.add_row(
            row.name,
            percent(row.objective),
            percent(row.good / row.total) if row.total else NOTHING,
            f"{row.good}/{row.total}",
            _budget(row),
            NOTHING if row.burn_rate is None else f"{row.burn_rate:.1f}",
            _verdict(row.verdict),
        )
    return table


def duration(seconds: float) -> str:
    """Return a time in three figures at most: `400µs`, `24ms`, `1.35s`."""
    if seconds < 0.000_95:
        return f"{seconds * 1e6:.0f}µs"
    if seconds < 0.009_95:
        return f"{seconds * 1e3:.1f}ms"
    if seconds < 0.999_5:
        return f"{seconds * 1e3:.0f}ms"
    return f"{seconds:.2f}s" if seconds < 9.995 else f"{seconds:.0f}s"


def percent(ratio: float) -> str:
    """Return a share as a percentage with the digits it needs: `90%`, `99.5%`, `52.9%`."""
    return f"{ratio * 100:.1f}".removesuffix(".0") + "%"


def _table(title: str, first: str, numbers: tuple[str, ...]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
    )
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _three(values: Three | None) -> tuple[str, str, str]:
    if values is None:
        return NOTHING, NOTHING, NOTHING
    return duration(values[0]), duration(values[1]), duration(values[2])


def _count(number: int, style: str) -> Text:
    return Text(str(number), style=style if number else "")


def _budget(row: SLORow) -> Text:
    style = "red" if row.budget_remaining < 0 else ""
    return Text(f"{row.budget_remaining:.0%}", style=style)


def _verdict(verdict: str) -> Text:
    style = {"holds": "green", "broken": "bold red"}.get(verdict, "yellow")
    return Text(verdict, style=style)
