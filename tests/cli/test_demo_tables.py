from __future__ import annotations

import io

import pytest
from rich.console import Console

from slotel.cli.demo_app.tables import (
    OperationRow,
    SLORow,
    duration,
    operations_table,
    percent,
    slo_table,
)


def shown(table: object) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0µs"),
        (0.000_4, "400µs"),
        (0.000_96, "1.0ms"),
        (0.006_3, "6.3ms"),
        (0.009_96, "10ms"),
        (0.999, "999ms"),
        (0.999_6, "1.00s"),
        (1.354, "1.35s"),
        (9.996, "10s"),
        (83.2, "83s"),
    ],
)
def test_a_duration_has_three_figures_at_most(seconds, text):
    """Whatever its size it fits a column of five characters."""
    assert duration(seconds) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.9, "90%"), (0.995, "99.5%"), (0.5294, "52.9%"), (1.0, "100%")]
)
def test_a_share_has_the_digits_it_needs(ratio, text):
    """Whole percentages carry no decimals."""
    assert percent(ratio) == text


def test_the_widest_operations_fit_80_columns_uncut():
    """Nothing is shortened with an ellipsis."""
    row = OperationRow(
        "ask-support", 1000, 100, 100, 100, (1.111, 8.888, 9.999), (0.999, 0.999, 9.99), 1000.0
    )
    text = shown(operations_table([row]))
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "8.89s" in text


def test_what_was_not_measured_is_a_dash():
    """An operation that does not stream has no first token and no token rate."""
    text = shown(operations_table([OperationRow("retrieval", 0, 0, 0, 0, None, None, None)]))
    assert text.splitlines()[-1].split() == ["retrieval", *"0000", *"–––––––"]


def test_the_widest_slos_fit_80_columns_uncut():
    """Nothing is shortened with an ellipsis, an overspent budget included."""
    rows = [
        SLORow("moderation-latency", 0.999, 1000, 1111, -12.345, 123.45, "broken"),
        SLORow("answer-latency", 0.9, 0, 0, 1.0, None, "unknown"),
    ]
    text = shown(slo_table(rows))
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    first, second = (line.split() for line in text.splitlines()[-2:])
    assert first[1:] == ["99.9%", "90%", "1000/1111", "-1234%", "123.5", "broken"]
    assert second[1:] == ["90%", "–", "0/0", "100%", "–", "unknown"]
