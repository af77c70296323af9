"""Quality scores: of the call that is open, or of one long over."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from typing import Any

import pytest

import slotel
from slotel._operation import Ref
from slotel.measure.measurement import SeriesKey

pytestmark = pytest.mark.usefixtures("process")


def test_scores_of_a_call_are_measured_in_its_series(process):
    """Numbers as they are, booleans as 1 and 0, the last one of a name counts."""
    with slotel.llm(model="m", provider="p") as call:
        call.score("faithfulness", 0.1)
        call.score("faithfulness", 0.9)
        call.score("correct", True)
        slotel.score("margin", -0.25)
    for name, value in (("faithfulness", 0.9), ("correct", 1.0), ("margin", -0.25)):
        assert process.sums(f"score.{name}") == {SeriesKey("chat", "p", "m"): value}


def test_a_score_goes_to_the_innermost_call(process):
    """`slotel.score` inside a tool inside an agent is the tool's."""

    @slotel.tool
    def search() -> None:
        slotel.score("useful", 1.0)

    @slotel.agent
    def run() -> None:
        search()

    run()
    (key,) = process.sums("score.useful")
    assert key.operation == "execute_tool"


async def test_tasks_score_their_own_calls(process):
    """Interleaved tasks do not mix their scores."""

    @slotel.llm
    async def answer(number: int) -> None:
        with slotel.operation(f"step-{number}"):
            await asyncio.sleep(0)
            slotel.score("number", number)

    await asyncio.gather(*(answer(number) for number in range(20)))
    found = {key.operation: total for key, total in process.sums("score.number").items()}
    assert found == {f"step-{number}": float(number) for number in range(20)}


def test_a_late_score_finds_its_series_through_pickle(process):
    """A `Ref` is small, picklable and enough."""
    with slotel.llm(model="m", provider="p", attributes={"tier": "gold"}) as call:
        call.response(id="r-1")
        ref = call.ref
    again = pickle.loads(pickle.dumps(ref))
    assert again == ref
    assert len(pickle.dumps(ref)) < 1000
    slotel.score("late", 0.5, target=again)
    key = SeriesKey("chat", "p", "m", attributes=(("tier", "gold"),))
    assert process.sums("score.late") == {key: 0.5}
    assert ref.response_id == "r-1"


def test_a_late_score_may_come_from_another_process():
    """The other process needs the reference only."""
    with slotel.llm(model="m") as call:
        ref = call.ref
    code = (
        "import pickle, sys, slotel\n"
        "slotel.score('late', 0.5, target=pickle.loads(bytes.fromhex(sys.argv[1])))\n"
        "print(slotel.percentiles('chat', (50,), metric='score.late').count)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, pickle.dumps(ref).hex()],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert done.stdout.strip() == "1"


def test_a_ref_knows_the_span_of_its_call_also_afterwards(spans):
    """Trace and span id stay known after the end."""
    with slotel.llm as call:
        inside = call.ref
    (span,) = spans.get_finished_spans()
    assert (inside.trace_id, inside.span_id) == (span.context.trace_id, span.context.span_id)
    assert call.ref == inside


def test_a_late_score_adds_no_call(process):
    """Only the score is measured, no duration."""
    slotel.score("late", 1.0, target=Ref("chat", None, None, ()))
    assert process.measured() == {}
    assert sum(process.measured("score.late").values()) == 1


@pytest.mark.parametrize(
    ("args", "kwargs", "place"),
    [
        (("x", 1.0), {}, "score"),
        (("x", float("nan")), {"target": Ref("chat", None, None, ())}, "score"),
        (("x" * 101, 1.0), {"target": Ref("chat", None, None, ())}, "score.name"),
        (("x", 1.0), {"target": "r-1"}, "score"),
        (("x", 1.0), {"target": 5}, "score"),
        (("x", 1.0), {"target": Ref("chat", None, None, [["a", "b"]])}, "score"),  # type: ignore[arg-type]
    ],
)
def test_a_score_that_belongs_nowhere_is_counted(process, args: Any, kwargs: Any, place: str):
    """No call is open, the value or the target is unusable: counted, never raised."""
    process.tolerate()
    slotel.score(*args, **kwargs)
    assert process.faults == {place: 1}
    assert process.measured("score.x") == {}


def test_a_score_after_the_end_has_no_effect(process):
    """What is told to a finished call reaches no series."""
    with slotel.llm as call:
        pass
    call.score("late", 1.0)
    call.usage(output_tokens=5)
    assert process.measured("score.late") == {}
    assert process.measured("output_tokens") == {}


def test_precision_is_scored_from_relevant_ids(process):
    """Of the first k hits, the share that is relevant."""
    hits = [{"id": "a", "score": 0.9}, {"id": "b", "score": 0.5}, {"id": "c", "score": 0.1}]
    with slotel.retrieval as call:
        call.documents(hits, relevant=["a", "c", "z"], k=2)
    assert list(process.sums("score.precision_at_2").values()) == [0.5]
    assert list(process.sums("documents").values()) == [3.0]
    assert list(process.sums("top_score").values()) == [0.9]
