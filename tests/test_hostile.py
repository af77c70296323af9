"""Bad input: a clear error where it is set up, a counted refusal where it is called."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import slotel
from slotel import _faults, _shapes
from slotel._process import recorder
from slotel.errors import ConfigurationError, SpecErrors, UnknownNameError
from slotel.measure.measurement import Outcome

pytestmark = pytest.mark.usefixtures("process")


class Strange:
    """Every attribute, conversion and comparison of it raises."""

    def __getattr__(self, name: str) -> Any:
        # The test runner itself looks for __name__ and its like.
        raise AttributeError(name) if name.startswith("__") else RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __repr__

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __float__(self) -> float:
        raise RuntimeError("float")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("iter")

    __hash__ = None  # type: ignore[assignment]


STRANGE = Strange()
NAN, INF = math.nan, math.inf

# What a caller may tell a call, each with an unusable value, and the place it is counted at.
TOLD: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("score", ("quality", NAN), {}, "score"),
    ("score", ("quality", INF), {}, "score"),
    ("score", ("quality", "0.9"), {}, "score"),
    ("score", ("quality", None), {}, "score"),
    ("score", ("quality", STRANGE), {}, "score"),
    ("score", ("quality", 10**400), {}, "score"),
    ("score", ("", 1.0), {}, "score.name"),
    ("score", ("x" * 10_000, 1.0), {}, "score.name"),
    ("score", (5, 1.0), {}, "score.name"),
    ("score", (STRANGE, 1.0), {}, "score.name"),
    ("attribute", ("a", STRANGE), {}, "attribute"),
    ("attribute", ("a", {"b": 1}), {}, "attribute"),
    ("attribute", ("a", [1, "b"]), {}, "attribute"),
    ("attribute", ("a", [STRANGE]), {}, "attribute"),
    ("attribute", ("a", "x" * 10_000), {}, "attribute"),
    ("attribute", (5, "a"), {}, "attribute"),
    ("attribute", ("x" * 10_000, STRANGE), {}, "attribute"),
    ("usage", (), {"input_tokens": -1}, "usage"),
    ("usage", (), {"input_tokens": "many"}, "usage"),
    ("usage", (), {"output_tokens": NAN}, "usage"),
    ("usage", (), {"output_tokens": STRANGE}, "usage"),
    ("usage", (), {"source": STRANGE}, "operation.usage"),
    ("request", (), {"model": STRANGE}, "operation.request"),
    ("request", (), {"model": "x" * 10_000}, "label"),
    ("request", (), {"a": STRANGE}, "attribute"),
    ("request", (), {"streaming": STRANGE}, "operation.request"),
    ("response", (), {"model": "x" * 10_000}, "label"),
    ("response", (), {"id": STRANGE}, "operation.response"),
    ("response", (), {"finish_reasons": 5}, "operation.response"),
    ("http", (), {"status_code": "abc"}, "http"),
    ("http", (), {"retries": "abc"}, "http"),
    ("http", (), {"retries": -1}, "http"),
    ("http", (), {"request_id": STRANGE}, "operation.http"),
    ("first_token", (), {"at": "now"}, "time"),
    ("first_token", (), {"at": NAN}, "time"),
    ("first_chunk", (), {"at": STRANGE}, "time"),
    ("chunk", ("text",), {"at": STRANGE}, "time"),
    ("chunk", ("text",), {"tokens": "two"}, "usage"),
    ("chunk", ("text",), {"tokens": -2}, "usage"),
    ("documents", (5,), {}, "documents"),
    ("documents", (["a"],), {"relevant": 5}, "documents"),
    ("documents", (["a"],), {"relevant": ["a"], "k": "two"}, "documents"),
    ("documents", (["a"],), {"relevant": ["a"], "k": 0}, "documents"),
    ("documents", ([STRANGE],), {}, "operation.documents"),
    ("verdict", (), {"flagged": STRANGE}, "operation.verdict"),
    ("verdict", (), {"flagged": True, "categories": ["a"]}, "category"),
    ("verdict", (), {"flagged": True, "categories": {"a": NAN}}, "category"),
    ("verdict", (), {"flagged": True, "categories": {"a": -0.5}}, "category"),
    ("verdict", (), {"flagged": True, "categories": {5: 0.5}}, "category"),
    ("verdict", (), {"flagged": True, "categories": {"x" * 10_000: 0.5}}, "category"),
    # What no exporter could write: half a surrogate pair, numbers beyond 64 bits.
    ("score", ("\ud800", 1.0), {}, "score.name"),
    ("attribute", ("a", "\ud800"), {}, "attribute"),
    ("attribute", ("a", ["\ud800"]), {}, "attribute"),
    ("attribute", ("\ud800", "a"), {}, "attribute"),
    ("attribute", ("a", 2**63), {}, "attribute"),
    ("attribute", ("a", [1, -(2**70)]), {}, "attribute"),
    ("usage", (), {"output_tokens": 2**63}, "usage"),
    ("http", (), {"status_code": 2**63}, "http"),
    ("request", (), {"model": "\ud800"}, "label"),
    ("response", (), {"id": "\ud800"}, "label"),
    ("response", (), {"finish_reasons": ["\ud800"]}, "label"),
    ("verdict", (), {"flagged": True, "categories": {"\ud800": 0.5}}, "category"),
]


@pytest.mark.parametrize(("method", "args", "kwargs", "place"), TOLD)
@pytest.mark.parametrize("form", ["decorator", "with", "nothing"])
def test_an_unusable_value_is_counted_and_the_call_goes_on(
    process, caplog, form: str, method: str, args: Any, kwargs: Any, place: str
):
    """Nothing reaches the caller, it is counted where it belongs, and logged once and shortly."""
    process.tolerate()
    caplog.set_level(logging.WARNING, "slotel")

    def body() -> str:
        for _ in range(2):
            getattr(slotel.current(), method)(*args, **kwargs)
        return "value"

    if form == "decorator":
        assert slotel.llm(body)() == "value"
    elif form == "with":
        with slotel.llm:
            body()
    else:
        body()
    assert process.faults[place] >= 1
    assert len([r for r in caplog.records if r.name == "slotel"]) <= len(process.faults)
    assert all(len(record.getMessage()) < 400 for record in caplog.records)
    if form != "nothing":
        assert process.only().outcome is Outcome.SUCCESS
        assert recorder.ledger().faults["drain"] == 0


def test_usable_values_beside_an_unusable_one_are_kept(process):
    """Refusing one figure loses no other of the same call."""
    with slotel.llm as call:
        call.score("good", 0.5)
        call.score("bad", NAN)
        call.usage(input_tokens=7, output_tokens=-1)
        call.verdict(flagged=True, categories={"a": 0.25, "b": NAN})
    assert list(process.sums("score.good").values()) == [0.5]
    assert list(process.sums("input_tokens").values()) == [7.0]
    assert list(process.sums("category.a").values()) == [0.25]
    assert process.measured("score.bad") == {}
    assert process.measured("output_tokens") == {}
    assert process.faults == {"score": 1, "usage": 1, "category": 1}
    process.tolerant = True


@pytest.mark.parametrize("at", ["now", NAN, STRANGE, -1e9])
def test_an_end_that_is_no_time_or_before_the_start_counts_no_negative_duration(process, at: Any):
    """The call is counted with a duration >= 0, and the fault once."""
    process.tolerate()
    from slotel._site import Site

    call = Site("llm").begin()
    assert call.finish(at=at)
    ((_, total),) = process.sums("duration").items()
    assert 0.0 <= total < 5.0
    assert process.faults == {"time": 1}
    assert process.only().outcome is Outcome.SUCCESS


def test_chunks_that_go_back_in_time_make_no_negative_gap(process):
    """A chunk told to be earlier than the one before came at the same time."""
    with slotel.llm as call:
        for at in (call.started + 3.0, call.started + 1.0, call.started + 4.0):
            call.chunk("x", at=at)
    assert sum(process.measured("chunk_gap").values()) == 2
    assert sum(process.sums("chunk_gap").values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("outcome", "expected"), [("error", "error"), ("done", "error"), (5, "error"), (None, "error")]
)
def test_an_outcome_that_is_none_is_an_error(process, outcome: Any, expected: str):
    """Text of an outcome is taken as one; anything else is counted and an error."""
    process.tolerate()
    from slotel._site import Site

    Site("llm").begin().finish(outcome)
    assert process.only().outcome.value == expected
    assert process.faults["finish"] == (0 if outcome == "error" else 1)


def test_a_reason_of_10_kb_is_cut(process):
    """Labels have 256 characters at most."""
    process.tolerate()
    from slotel._site import Site

    Site("llm").begin().finish(Outcome.ERROR, error_type="x" * 10_000)
    assert process.only().error_type == "x" * 256
    assert process.faults == {"label": 1}


def test_finishing_a_decorated_call_by_hand_is_refused(process):
    """Its function has not returned yet, so it is still going on."""
    process.tolerate()

    @slotel.llm
    def body() -> bool:
        return slotel.current().finish()

    assert body() is False
    assert process.only().outcome is Outcome.SUCCESS
    assert process.faults == {"finish": 1}


class _Badly(Exception):
    __module__ = None  # type: ignore[assignment]


def test_an_exception_without_a_module_is_counted(process):
    """However strange the class of an error, the call is an error."""

    @slotel.llm
    def body() -> None:
        raise _Badly

    with pytest.raises(_Badly):
        body()
    assert process.only().outcome is Outcome.ERROR


# -- results --------------------------------------------------------------------------------------

KINDS = ["llm", "embedding", "retrieval", "rerank", "moderation", "agent", "tool"]


def _cyclic() -> list[Any]:
    listed: list[Any] = []
    listed.append(listed)
    table: dict[str, Any] = {"model": "m"}
    table.update(usage=table, results=table, choices=[table], documents=[table], flagged=table)
    table["results"] = [table]
    return [listed, table]


RESULTS = [
    STRANGE, [STRANGE] * 3, (STRANGE, 0.5), {"model": STRANGE, "usage": STRANGE}, *_cyclic(),
    {"results": [STRANGE]}, {"flagged": STRANGE, "categories": STRANGE}, {"documents": STRANGE},
    {"ids": [[1, 2], 3]}, {"ids": [[]]}, {5: 6}, [None], [[]], range(3), {1, 2}, object(), type,
    {"choices": [5, None]}, {"model": "m", "usage": {"prompt_tokens": "many"}},
    {"model": "m", "usage": {"prompt_tokens": -1, "completion_tokens": True}},
    {"model": "x" * 10_000}, [("doc", NAN)], [{"id": 1, "score": INF}], b"bytes", 1e400, 10**400,
    {"flagged": True, "category_scores": {"a": NAN, "b": "c", "x" * 10_000: 0.5}},
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_strange_result_is_handed_back_and_counted_once(process, kind: str, result: Any):
    """Whatever a function returns comes out as the same object, and the call is a success."""
    process.tolerate()
    assert getattr(slotel, kind)(lambda: result)() is result
    assert process.only().outcome is Outcome.SUCCESS
    assert recorder.ledger().faults["drain"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_strange_chunks_are_handed_on(process, kind: str):
    """A stream of objects without a truth value is read like any other."""
    process.tolerate()
    chunks = [STRANGE, STRANGE]

    @getattr(slotel, kind)
    def stream() -> Iterator[Any]:
        yield from chunks

    assert all(got is STRANGE for got in stream())
    assert process.only().outcome is Outcome.SUCCESS


async def test_strange_chunks_are_handed_on_asynchronously(process):
    """The same for asynchronous streams, and for a `content` that raises."""
    process.tolerate()

    async def stream() -> Any:
        yield STRANGE
        yield STRANGE

    def content(chunk: Any) -> bool:
        raise LookupError

    for kind in (slotel.llm, slotel.llm(content=content)):
        assert len([got async for got in kind(stream)()]) == 2
    assert process.ended() == {("success", None): 2}
    assert process.faults["stream.content"] == 2


class Counted:
    """A result whose properties say how often they were read."""

    def __init__(self) -> None:
        self.reads: dict[str, int] = {}

    def _read(self, name: str, value: Any) -> Any:
        self.reads[name] = self.reads.get(name, 0) + 1
        return value


def _counted(**values: Any) -> Counted:
    made = {
        name: property(lambda self, n=name, v=value: self._read(n, v))
        for name, value in values.items()
    }
    return type("Result", (Counted,), made)()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("llm", {"id": "i", "model": "m", "usage": None, "choices": [], "status": "done"}),
        ("retrieval", {"points": None, "documents": [{"id": 1}], "results": None}),
        ("rerank", {"results": [{"id": 1, "relevance_score": 0.5}]}),
        ("moderation", {"results": None, "flagged": True, "category_scores": {}, "scores": {}}),
    ],
)
def test_a_property_of_a_result_is_read_at_most_once(kind: str, values: dict[str, Any]):
    """A property may do work or have effects; looking twice would do them twice."""
    result = _counted(**values)
    getattr(slotel, kind)(lambda: result)()
    assert result.reads
    assert max(result.reads.values()) == 1


def test_of_a_huge_list_only_the_first_hits_are_looked_at(process):
    """All are counted, at the cost of a thousand."""
    looked: list[int] = []

    class Hit:
        @property
        def score(self) -> float:
            looked.append(1)
            return 0.5

    slotel.retrieval(lambda: [Hit()] * 1_000_000)()
    assert sum(process.sums("documents").values()) == 1_000_000
    assert len(looked) == _shapes.MAX_HITS


# -- errors at set-up -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"service": 5}, "service must be a name, got 5"),
        ({"service": " "}, "service must be a name"),
        ({"slos": 5}, "slos must be a file, a mapping, a Document or SLO objects, got 5"),
        ({"slos": [1]}, "slos must hold SLO objects, got 1"),
        ({"slos": object()}, "slos must be a file"),
        ({"slos": b"slos.yaml"}, "slos must"),
        ({"slos": "/nowhere/slos.yaml"}, "/nowhere/slos.yaml"),
        ({"metrics": "udp"}, "udp"),
        ({"metrics": 5}, "metrics"),
        ({"traces": "some"}, "traces must be 'auto' or 'none', got 'some'"),
        ({"protocol": "smoke", "endpoint": "http://127.0.0.1:1"}, "smoke"),
        ({"temporality": "hourly", "endpoint": "http://127.0.0.1:1"}, "hourly"),
        ({"interval_seconds": -1, "endpoint": "http://127.0.0.1:1"}, "interval"),
        ({"interval_seconds": "often", "endpoint": "http://127.0.0.1:1"}, "interval"),
        ({"headers": "a=b", "endpoint": "http://127.0.0.1:1"}, "headers"),
        ({"dimensions": "tier"}, r"Write dimensions=\['tier'\]"),
        ({"dimensions": 5}, "dimensions must be a list of names"),
        ({"dimensions": [5]}, "dimensions must be a list of names"),
        ({"semconv": "old"}, "semconv must be 'shipped' or 'inference', got 'old'"),
        ({"endpoint": 5}, "endpoint"),
    ],
)
def test_configure_refuses_what_it_cannot_use(arguments: dict[str, Any], message: str):
    """The argument and its value are named, and the process stays unconfigured."""
    from slotel._runtime import runtime

    with pytest.raises(ConfigurationError, match=message):
        slotel.configure(**arguments)
    assert runtime() is None


def test_a_document_with_five_faults_reports_five(tmp_path: Path):
    """Each with its place, in one error, and nothing is configured."""
    from slotel._runtime import runtime

    path = tmp_path / "slos.yaml"
    path.write_text(
        """
version: slotel/v1
service: bot
slos:
  - name: a
    sli: {latency: {operation: chat, at_most: soon}}
    objective: 101%
    window: 28d
  - name: a
    sli: {latencies: {operation: chat}}
    objective: 99%
    window: abc
""",
        encoding="utf-8",
    )
    with pytest.raises(SpecErrors) as caught:
        slotel.configure(slos=path)
    assert len(caught.value.faults) == 5
    assert all(fault.line for fault in caught.value.faults)
    assert runtime() is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: slotel.percentiles("chat", (50, 101)), ConfigurationError, "between 0 and 100"),
        (lambda: slotel.percentiles("chat", (NAN,)), ConfigurationError, "between 0 and 100"),
        (lambda: slotel.percentiles("chat", ("p95",)), ConfigurationError, "between 0 and 100"),
        (lambda: slotel.percentiles("chat", 95), ConfigurationError, r"a list such as \(50, 95\)"),
        (lambda: slotel.percentiles("chat", window="abc"), ConfigurationError, "Write 5m"),
        (lambda: slotel.percentiles("chat", window=-1), ConfigurationError, "window lies between"),
        (lambda: slotel.percentiles("chat", window="36d"), ConfigurationError, "window lies"),
        (lambda: slotel.percentiles("chat", window=[1]), ConfigurationError, "window"),
        (lambda: slotel.percentiles("chat", window=NAN), ConfigurationError, "window lies"),
        (lambda: slotel.percentiles("chat", metric="speed"), UnknownNameError, "'speed'.*duration"),
        (lambda: slotel.percentiles("chat", metric=5), UnknownNameError, "no metric 5"),
        (lambda: slotel.percentiles("chat", outcome="fine"), UnknownNameError, "'fine'.*success"),
        (lambda: slotel.percentiles("chat", outcome=5), UnknownNameError, "no outcome 5"),
        (lambda: slotel.status("x"), ConfigurationError, "Call slotel.configure"),
        (lambda: slotel.instrument("opnai"), UnknownNameError, "'opnai' is not supported. Known"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_with_an_error(call, error, message: str):
    """These are asked on purpose, not on the path of a call: they may raise, and say what to do."""
    with pytest.raises(error, match=message):
        call()


def test_an_unknown_slo_is_named_with_those_that_exist():
    """A misspelt name shows the right ones."""
    slotel.configure(
        slos={
            "version": "slotel/v1",
            "service": "bot",
            "slos": [
                {
                    "name": "answers",
                    "sli": {"availability": {"operation": "chat"}},
                    "objective": "99%",
                    "window": "28d",
                }
            ],
        },
        metrics="none",
    )
    with pytest.raises(UnknownNameError, match="anwsers.*answers"):
        slotel.status("anwsers")


def test_ambient_attributes_that_cannot_be_used_are_refused(process):
    """The usable ones beside them count."""
    process.tolerate()
    with slotel.attributes(tier="gold", bad=STRANGE, long="x" * 10_000), slotel.llm:
        pass
    assert process.faults == {"attribute": 2}
    assert process.only().outcome is Outcome.SUCCESS


def test_faults_are_logged_once_each_and_counted_always(caplog, process):
    """A fault in a loop does not fill the log."""
    process.tolerate()
    for _ in range(100):
        _faults.refuse("place", "something.")
        _faults.report("other", ValueError("x"))
    assert process.faults == {"place": 100, "other": 100}
    assert len(caplog.records) == 2


def test_a_log_handler_that_raises_does_not_reach_the_call(process):
    """Logging is the last thing that may break a call."""
    process.tolerate()

    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record.getMessage())

    handler = Raising()
    logging.getLogger("slotel").addHandler(handler)
    try:
        with slotel.llm as call:
            call.score("quality", NAN)
            call.request(model=STRANGE)
    finally:
        logging.getLogger("slotel").removeHandler(handler)
    assert process.faults == {"score": 1, "operation.request": 1}
    assert process.only().outcome is Outcome.SUCCESS


def test_what_is_told_can_always_be_exported(process, spans):
    """Models send broken text; every other call's metrics would go down with it."""
    process.tolerate()
    with slotel.llm as call:
        call.request(model="m\ud83d")
    (span,) = spans.get_finished_spans()
    assert (process.only().model, span.attributes["gen_ai.request.model"]) == ("m?", "m?")
