"""The demo's figures, in a process of its own: configuring sets up the process for good."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.loopback

PROGRAM = """
import dataclasses, json
from pathlib import Path
import slotel
from slotel.cli.demo_app import figures
from slotel.cli.demo_app.receiver import OtlpReceiver

slos = Path(figures.__file__).with_name("slos.yaml")
with OtlpReceiver() as receiver:
    slotel.configure(
        service="s", slos=slos, metrics="otlp", endpoint=receiver.endpoint, protocol="http/protobuf"
    )
    for number in range(4):
        try:
            with slotel.journey("ask-support") as journey:
                with slotel.retrieval(source="handbook") as call:
                    call.documents([("a", 0.9), ("b", 0.8)])
                    call.score("precision_at_5", 0.2 * number)
                with slotel.llm(model="m", provider="p") as call:
                    call.first_token()
                    call.usage(output_tokens=12)
                    if number == 3:
                        raise OSError("no")
                journey.score("answer_correct", 1.0)
        except OSError:
            pass
    slotel.flush()
    made = {"ask-support": 4, "retrieval": 4, "chat": 5}
    print(json.dumps({
        "counts": [dataclasses.astuple(one) for one in figures.counts(made, receiver)],
        "agree": [one.agrees for one in figures.counts(made, receiver)],
        "apart": [dataclasses.astuple(one) for one in figures.counts(made, None)],
        "operations": [dataclasses.asdict(one) for one in figures.operation_rows(made)],
        "slos": {one.name: dataclasses.asdict(one) for one in figures.slo_rows()},
    }))
    slotel.shutdown()
"""


@pytest.fixture(scope="module")
def figures() -> dict:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_counts_come_from_three_places_and_a_missing_call_is_seen(figures):
    """Five chats claimed, four measured and received: only that one does not agree."""
    assert figures["counts"] == [
        ["ask-support", 4, 4, 4, 4],
        ["retrieval", 4, 4, 4, 4],
        ["chat", 5, 4, 4, 4],
    ]
    assert figures["agree"] == [True, True, False]


def test_somebody_else_s_collector_is_not_asked(figures):
    """Without a receiver only what was made and measured is compared."""
    assert figures["apart"][0] == ["ask-support", 4, 4, None, None]


def test_operation_rows_tell_outcomes_apart(figures):
    """Errors are counted; an operation that does not stream has no first token."""
    journey, retrieval, chat = figures["operations"]
    assert (journey["calls"], journey["errors"], journey["cancelled"]) == (4, 1, 0)
    assert retrieval["first_token_seconds"] is retrieval["tokens_per_second"] is None
    assert (chat["calls"], chat["errors"], chat["rejected"]) == (4, 1, 0)
    first, last = chat["first_token_seconds"][0], chat["duration_seconds"][2]
    assert 0 < first <= last
    assert chat["tokens_per_second"] > 0


def test_slo_rows_say_what_was_good(figures):
    """Good and total are exact; an SLO without an event is unknown."""
    slos = figures["slos"]
    available, precise = slos["answers-available"], slos["retrieval-precise"]
    assert (available["good"], available["total"], available["verdict"]) == (3, 4, "broken")
    assert available["budget_remaining"] == pytest.approx(1 - 25)
    assert (precise["good"], precise["total"]) == (1, 4)
    assert slos["answer-correct"]["verdict"] == "holds"
    unseen = slos["moderation-latency"]
    assert (unseen["total"], unseen["burn_rate"], unseen["verdict"]) == (0, None, "unknown")
