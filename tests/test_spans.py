"""Calls as spans of the user's tracer provider, seen through the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

import slotel
from slotel.errors import RejectedError
from slotel.measure.measurement import Outcome

pytestmark = pytest.mark.usefixtures("process")


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def provider_with(sampler: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider, exporter


def parent_of(*, sampled: bool, remote: bool = False) -> Any:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    context = SpanContext(0xABC, 0xDEF, is_remote=remote, trace_flags=flags)
    return trace.use_span(NonRecordingSpan(context))


@pytest.mark.parametrize(
    ("make", "name", "kind", "attributes"),
    [
        (
            lambda: slotel.llm(model="m", provider="openai"), "chat m", SpanKind.CLIENT,
            {
                "gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
                "gen_ai.provider.name": "openai",
            },
        ),
        (lambda: slotel.llm, "chat", SpanKind.CLIENT, {"gen_ai.operation.name": "chat"}),
        (
            lambda: slotel.llm(operation="text_completion"), "text_completion", SpanKind.CLIENT,
            {"gen_ai.operation.name": "text_completion"},
        ),
        (
            lambda: slotel.embedding(model="e"), "embeddings e", SpanKind.CLIENT,
            {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"},
        ),
        (
            lambda: slotel.retrieval(source="handbook", top_k=5), "retrieval handbook",
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "handbook",
                "gen_ai.retrieval.top_k": 5,
            },
        ),
        (lambda: slotel.rerank, "rerank", SpanKind.CLIENT, {"gen_ai.operation.name": "rerank"}),
        (
            lambda: slotel.moderation, "moderation", SpanKind.CLIENT,
            {"gen_ai.operation.name": "moderation"},
        ),
        (
            lambda: slotel.tool("search"), "execute_tool search", SpanKind.INTERNAL,
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
        ),
        (
            lambda: slotel.agent("support"), "invoke_agent support", SpanKind.INTERNAL,
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"},
        ),
        (
            lambda: slotel.journey("ask"), "ask", SpanKind.INTERNAL,
            {"slotel.kind": "journey", "slotel.name": "ask"},
        ),
        (
            lambda: slotel.operation("store.read", attributes={"tier": "gold"}), "store.read",
            SpanKind.INTERNAL, {"slotel.kind": "operation", "tier": "gold"},
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["decorator", "with"])
def test_names_kinds_and_attributes_follow_the_conventions(
    spans, form: str, make, name: str, kind: SpanKind, attributes: dict[str, Any]
):
    """`{operation} {model}`, CLIENT for what leaves the process, and the table's attributes."""
    if form == "decorator":
        make()(lambda: None)()
    else:
        with make():
            pass
    span = only(spans)
    assert (span.name, span.kind) == (name, kind)
    assert attributes.items() <= span.attributes.items()
    assert span.attributes["slotel.outcome"] == "success"
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope.name == "slotel"
    assert span.events == ()


@pytest.mark.parametrize(
    ("error", "outcome", "status", "expected"),
    [
        (TimeoutError("secret"), "error", StatusCode.ERROR, {"error.type": "TimeoutError"}),
        (
            RejectedError("no"), "rejected", StatusCode.ERROR,
            {"error.type": "slotel.errors.RejectedError"},
        ),
        (
            KeyboardInterrupt(), "cancelled", StatusCode.UNSET,
            {"slotel.outcome.reason": "KeyboardInterrupt"},
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["decorator", "with", "generator"])
def test_a_failed_call_says_how_and_why(spans, form, error, outcome, status, expected):
    """Status and error.type on failures only; never the message, which may hold a prompt."""

    def fails() -> None:
        raise error

    def stream() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(type(error)):
        if form == "decorator":
            slotel.llm(fails)()
        elif form == "generator":
            list(slotel.llm(stream)())
        else:
            with slotel.llm:
                fails()
    span = only(spans)
    assert span.status.status_code is status
    assert span.attributes["slotel.outcome"] == outcome
    assert expected.items() <= span.attributes.items()
    assert ("error.type" in span.attributes) == (status is StatusCode.ERROR)
    assert "secret" not in span.to_json()


def test_what_a_call_was_told_is_on_its_span(spans):
    """Response, usage, transport, scores, documents, verdict and attributes."""
    with slotel.llm(provider="openai") as call:
        call.request(model="m", temperature=0.5)
        call.response(id="r", model="m-1", finish_reasons=["stop"])
        call.usage(input_tokens=4, output_tokens=2, cached_tokens=1, reasoning_tokens=0)
        call.http(status_code=200, request_id="q", retries=1)
        call.score("quality", 0.5)
        call.documents([{"id": "a", "score": 0.75}, {"id": "b", "score": 0.25}])
        call.verdict(flagged=False, categories={"spam": 0.125})
        call.attribute("tenant.tier", "gold")
    expected = {
        "gen_ai.provider.name": "openai", "gen_ai.request.model": "m", "temperature": 0.5,
        "gen_ai.response.id": "r", "gen_ai.response.model": "m-1",
        "gen_ai.response.finish_reasons": ("stop",), "gen_ai.usage.input_tokens": 4,
        "gen_ai.usage.output_tokens": 2, "gen_ai.usage.cache_read.input_tokens": 1,
        "gen_ai.usage.reasoning.output_tokens": 0, "http.response.status_code": 200,
        "http.request.resend_count": 1, "slotel.score.quality": 0.5,
        "slotel.retrieval.documents": 2, "slotel.retrieval.top_score": 0.75,
        "slotel.retrieval.score_spread": 0.5, "slotel.moderation.flagged": False,
        "slotel.moderation.categories.spam": 0.125, "tenant.tier": "gold",
        "slotel.usage.source": "provider",
    }  # fmt: skip
    assert expected.items() <= only(spans).attributes.items()


def test_a_stream_says_when_its_first_content_came(spans):
    """Chunks, first chunk, first content and the largest gap."""

    @slotel.llm(content=lambda chunk: chunk != "role")
    def stream() -> Iterator[str]:
        yield from ("role", "a", "b")

    list(stream())
    found = only(spans).attributes
    assert found["gen_ai.request.stream"] is True
    assert found["slotel.chunks"] == 3
    first, content = (
        found["gen_ai.response.time_to_first_chunk"],
        found["slotel.time_to_first_token"],
    )
    assert 0.0 <= first <= content
    assert found["slotel.max_gap"] >= 0.0


def test_a_violated_slo_is_named_on_the_span(spans):
    """A bad event says which promise it broke; a good one says nothing."""
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
        traces="none",
    )
    with slotel.llm:
        pass
    with pytest.raises(ValueError, match="x"), slotel.llm:
        raise ValueError("x")
    good, bad = spans.get_finished_spans()
    assert "slotel.slo.violated" not in good.attributes
    assert bad.attributes["slotel.slo.violated"] == ("answers",)


def test_children_hang_below_their_parents(spans):
    """Our spans and the user's nest in one another as the code does."""
    tracer = trace.get_tracer("user")

    @slotel.tool
    def search() -> None:
        with tracer.start_as_current_span("inside"):
            pass

    with tracer.start_as_current_span("request"), slotel.journey("ask"), slotel.agent("a"):
        search()
    by_name = {span.name: span for span in spans.get_finished_spans()}
    chain = ["inside", "execute_tool search", "invoke_agent a", "ask", "request"]
    for child, parent in pairwise(chain):
        assert by_name[child].parent.span_id == by_name[parent].context.span_id
    assert by_name["request"].parent is None


def test_ambient_attributes_are_on_every_span_inside(spans):
    """Of decorators, blocks and what is nested in them."""
    with slotel.attributes(tier="gold"), slotel.agent("a"):
        slotel.llm(lambda: None)()
    assert [span.attributes["tier"] for span in spans.get_finished_spans()] == ["gold", "gold"]


def test_an_inner_call_says_that_it_is_inner(spans):
    """Who counts spans by themselves can leave it out."""
    with slotel.llm, slotel.llm:
        pass
    inner, outer = spans.get_finished_spans()
    assert inner.attributes["slotel.role"] == "inner"
    assert "slotel.role" not in outer.attributes


# -- sampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("remote", [False, True])
def test_below_an_unsampled_parent_no_span_is_made_and_the_call_counts(process, remote: bool):
    """The sampler follows its parent, so the SDK is not even asked."""
    asked: list[str] = []

    class Asked(ParentBased):
        def should_sample(self, *args: Any, **kwargs: Any) -> Any:
            asked.append("asked")
            return super().should_sample(*args, **kwargs)

    Asked.__name__ = "ParentBased"
    _, exporter = provider_with(Asked(ALWAYS_ON))
    with parent_of(sampled=False, remote=remote):
        slotel.llm(lambda: None)()
        with slotel.llm:
            pass
        list(slotel.llm(lambda: iter(()))())
    assert exporter.get_finished_spans() == ()
    assert asked == []
    assert sum(process.measured().values()) == 3


def test_below_an_unsampled_parent_another_sampler_is_asked():
    """One that does not follow its parent decides for itself."""
    _, exporter = provider_with(ALWAYS_ON)
    with parent_of(sampled=False):
        slotel.llm(lambda: None)()
    assert only(exporter).parent.span_id == 0xDEF


def test_a_sampled_remote_parent_is_continued():
    """The span belongs to the caller's trace."""
    _, exporter = provider_with(ParentBased(ALWAYS_OFF))
    with parent_of(sampled=True, remote=True):
        slotel.llm(lambda: None)()
    span = only(exporter)
    assert span.context.trace_id == 0xABC
    assert span.parent.span_id == 0xDEF


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(ALWAYS_OFF)])
def test_calls_are_measured_though_nothing_is_sampled(process, sampler: Any):
    """SLIs do not depend on sampling; children of a dropped span are dropped with it."""
    _, exporter = provider_with(sampler)

    @slotel.agent
    def run() -> None:
        with slotel.llm as call:
            call.usage(output_tokens=3)

    for _ in range(3):
        run()
    assert exporter.get_finished_spans() == ()
    assert process.ended() == {("success", None): 6}
    assert sum(process.sums("output_tokens").values()) == 9.0


def test_a_ratio_sampler_drops_spans_and_no_measurement(process):
    """Some are recorded, all are counted, and no trace is torn."""
    _, exporter = provider_with(ParentBased(TraceIdRatioBased(0.5)))

    @slotel.agent
    def run() -> None:
        slotel.llm(lambda: None)()

    for _ in range(200):
        run()
    made = exporter.get_finished_spans()
    traces = {span.context.trace_id for span in made}
    assert 0 < len(made) < 400
    assert len(made) == 2 * len(traces)
    assert process.ended() == {("success", None): 400}


# -- providers ------------------------------------------------------------------------------------


def test_a_provider_set_after_decoration_is_used(process):
    """Decorators run at import, providers are set later, and may be replaced in tests."""
    call = slotel.llm(lambda: None)
    call()
    for _ in range(2):
        trace._TRACER_PROVIDER_SET_ONCE = type(trace._TRACER_PROVIDER_SET_ONCE)()
        _, exporter = provider_with(ALWAYS_ON)
        call()
        assert only(exporter).name == "chat"
    assert process.ended() == {("success", None): 3}


def test_without_a_provider_no_span_is_made(process):
    """The API's default costs nothing and shows nothing."""
    seen: list[Any] = []
    slotel.llm(lambda: seen.append(trace.get_current_span()))()
    assert not seen[0].get_span_context().is_valid
    assert slotel.current().ref.trace_id == 0
    assert process.ended() == {("success", None): 1}


class Broken:
    """A tracer provider of which one part raises."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.ended = 0

    def get_tracer(self, *args: Any, **kwargs: Any) -> Broken:
        return self._do("get_tracer", self)

    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._do("start_span", self)

    def get_span_context(self) -> SpanContext:
        return self._do("get_span_context", SpanContext(1, 2, is_remote=False))

    def is_recording(self) -> bool:
        return self._do("is_recording", True)

    def set_attributes(self, attributes: Any) -> None:
        self._do("set_attributes", None)

    def set_status(self, status: Any) -> None:
        self._do("set_status", None)

    def end(self, at: Any = None) -> None:
        self.ended += 1
        self._do("end", None)

    def _do(self, part: str, value: Any) -> Any:
        if part == self.part:
            raise RuntimeError(part)
        return value


PARTS = [
    "get_tracer", "start_span", "is_recording", "get_span_context", "set_attributes",
    "set_status", "end", "nothing",
]  # fmt: skip


def work(fails: bool) -> str:
    if fails:
        raise LookupError
    return "value"


@slotel.llm
def function(fails: bool) -> str:
    return work(fails)


@slotel.llm
def generator(fails: bool) -> Iterator[str]:
    yield work(fails)


@slotel.llm
async def stream(fails: bool) -> AsyncIterator[str]:
    yield work(fails)


async def read(fails: bool) -> list[str]:
    return [item async for item in stream(fails)]


def block(fails: bool, inside: Callable[[bool], str] = work) -> str:
    with slotel.llm(attributes={"a": "b"}):
        return inside(fails)


PLAYS: dict[str, Callable[[bool], Any]] = {
    "function": function,
    "generator": lambda fails: list(generator(fails)),
    "async generator": lambda fails: asyncio.run(read(fails)),
    "with": block,
    "nested": lambda fails: block(fails, function),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("form", PLAYS)
def test_a_broken_tracer_breaks_no_call(process, part: str, form: str):
    """Whatever it raises, the caller gets its value or its own error, and both are counted."""
    process.tolerate()
    broken = Broken(part)
    trace._TRACER_PROVIDER = broken  # type: ignore[assignment]
    play = PLAYS[form]
    assert play(False) in ("value", ["value"])
    with pytest.raises(LookupError):
        play(True)
    times = 2 if form == "nested" else 1
    assert process.ended() == {("success", None): times, ("error", "LookupError"): times}
    if part in ("set_attributes", "set_status", "get_span_context", "nothing"):
        assert broken.ended == 2 * times


def test_a_held_call_ends_though_the_inner_span_breaks(process):
    """The inner call's broken span does not keep the outer one open."""
    from slotel._site import Site

    process.tolerate()
    trace._TRACER_PROVIDER = Broken("end")  # type: ignore[assignment]
    site = Site("llm")
    call = slotel.llm(lambda: site.begin())()
    call.finish(Outcome.ERROR, error_type="x")
    assert process.ended() == {("error", "x"): 2}
