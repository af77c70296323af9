"""The examples run as their own text says, and what they print is what was measured."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FOREIGN = ("OTEL_", "SLOTEL_", "OPENAI_")


def output_of(name: str, folder: Path) -> str:
    """Return what an example prints, run from elsewhere and with nothing of it in the environment.

    Only the names of the variables that Slotel and OpenTelemetry read are taken away.
    """
    plain = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        cwd=folder,
        env=plain,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> str:
    return output_of("quickstart.py", tmp_path_factory.mktemp("quickstart"))


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> str:
    return output_of("streaming.py", tmp_path_factory.mktemp("streaming"))


def test_the_quickstart_answers_four_questions_and_refuses_one(quickstart: str):
    """The functions return through the decorators what they return without them."""
    assert "A password is reset on the account page" in quickstart
    assert "Older invoices are on the billing page." in quickstart
    assert "Are you idiots?  refused: abusive" in quickstart


def test_the_quickstart_counts_every_call_by_operation_and_outcome(quickstart: str):
    """Five questions are moderated, four are looked up and answered, one journey is rejected."""
    rows = re.findall(r"^([\w-]+) +(\w+) +(\d+) calls, p95 [\d.]+ ms$", quickstart, re.MULTILINE)
    assert {(operation, outcome): int(count) for operation, outcome, count in rows} == {
        ("ask-support", "success"): 4,
        ("ask-support", "rejected"): 1,
        ("moderation", "success"): 5,
        ("retrieval", "success"): 4,
        ("chat", "success"): 4,
    }


def test_the_quickstart_judges_what_it_measured(quickstart: str):
    """The rejected journey is no event; three of four retrievals found what was relevant."""
    rows = re.findall(r"^([\w-]+) +(\d) of (\d) good, budget left (\d+)%: (\w+)$",
                      quickstart, re.MULTILINE)  # fmt: skip
    assert rows == [
        ("ask-latency", "4", "4", "100", "holds"),
        ("retrieval-precision", "3", "4", "17", "holds"),
    ]


def stream_rows(text: str) -> dict[tuple[str, str], tuple[int, float, int]]:
    """Return count, median time to first token (ms) and output tokens by model and outcome."""
    rows = re.findall(r"^(stand-in\S*) +(\w+) +(\d+) +([\d.]+) ms +(\d+) +", text, re.MULTILINE)
    return {
        (model, outcome): (int(count), float(first), int(tokens))
        for model, outcome, count, first, tokens in rows
    }


def test_the_streams_are_counted_by_how_they_ended(streaming: str):
    """A closed generator and a task that ran out of time are cancelled; the others succeed."""
    counts = {key: row[0] for key, row in stream_rows(streaming).items()}
    assert counts == {
        ("stand-in", "success"): 1,
        ("stand-in", "cancelled"): 1,
        ("stand-in-async", "success"): 3,
        ("stand-in-async", "cancelled"): 1,
    }


def test_the_first_token_is_timed_and_not_the_empty_chunk_before_it(streaming: str):
    """It takes the model's 30 ms; a stream given up after 10 ms says that it takes longer."""
    rows = stream_rows(streaming)
    for key in (("stand-in", "success"), ("stand-in", "cancelled"), ("stand-in-async", "success")):
        assert rows[key][1] > 29.5
    assert rows["stand-in-async", "cancelled"][1] > 9.5


def test_tokens_are_counted_by_chunk_or_as_reported(streaming: str):
    """Fifteen tokens a stream: counted chunk by chunk also when closed early, or as reported."""
    rows = stream_rows(streaming)
    assert rows["stand-in", "success"][2] == 15
    assert rows["stand-in", "cancelled"][2] == 1
    assert rows["stand-in-async", "success"][2] == 45
