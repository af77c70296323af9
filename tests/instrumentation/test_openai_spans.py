"""Spans of the client's calls: where they hang, what they carry, and what never leaks."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import openai_traffic as traffic
import opentelemetry.trace as otel_trace
import pytest
from openai_traffic import ASK, CHAT_STREAM, Service
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from conftest import Calls
from slotel import _operation, _process
from slotel.measure.measurement import Outcome, Role


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    found = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    monkeypatch.setattr(otel_trace, "_TRACER_PROVIDER", provider)
    yield found
    provider.shutdown()


def test_the_span_of_a_chat_follows_the_conventions(exporter: InMemorySpanExporter) -> None:
    """Name, kind and attributes are those of the GenAI conventions; content is not recorded."""
    Service(traffic.answer(traffic.completion())).client().chat.completions.create(**ASK)
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == (f"chat {traffic.MODEL}", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": traffic.MODEL,
        "gen_ai.response.model": traffic.ANSWERED_BY,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "server.address": "service.test",
        "server.port": 80,
        "http.response.status_code": 200,
        "slotel.outcome": "success",
        "slotel.usage.source": "provider",
        "slotel.request.id": "req_1",
    }
    assert {name: span.attributes[name] for name in expected} == expected
    assert not [value for value in span.attributes.values() if "ello" in str(value)]


def test_the_span_of_a_stream_has_its_times(exporter: InMemorySpanExporter) -> None:
    """First chunk and first content are two figures; the span lasts as long as the stream."""
    stream = (
        Service(traffic.stream(CHAT_STREAM)).client().chat.completions.create(**ASK, stream=True)
    )
    assert not exporter.get_finished_spans()
    list(stream)
    (span,) = exporter.get_finished_spans()
    first_chunk = span.attributes["gen_ai.response.time_to_first_chunk"]
    assert 0.0 < first_chunk < span.attributes["slotel.time_to_first_token"]
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["slotel.chunks"] == 5
    assert span.attributes["slotel.max_gap"] > 0.0


def test_a_failed_call_marks_its_span(exporter: InMemorySpanExporter) -> None:
    """The status is ERROR and the type is the provider's; its message stays out."""
    with pytest.raises(traffic.openai.RateLimitError):
        Service(traffic.refuse(429, "rate_limit_exceeded")).client().chat.completions.create(**ASK)
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "rate_limit_exceeded"
    assert span.attributes["http.response.status_code"] == 429
    assert "It failed." not in str(span.to_json())


async def test_what_happens_inside_the_call_hangs_below_it(
    exporter: InMemorySpanExporter,
) -> None:
    """A span of the HTTP library is a child of the call's; the caller's context is as before."""
    tracer = otel_trace.get_tracer("test")

    def reply(request: object) -> object:
        with tracer.start_as_current_span("http"):
            return traffic.stream(CHAT_STREAM)(request)

    with tracer.start_as_current_span("caller") as caller:
        client = Service(reply).async_client()
        stream = await client.chat.completions.create(**ASK, stream=True)
        assert otel_trace.get_current_span() is caller
        assert _operation.live_operation() is None
        async for _ in stream:
            assert otel_trace.get_current_span() is caller
            assert _operation.live_operation() is None
    http, chat, outer = exporter.get_finished_spans()
    assert (http.name, chat.name, outer.name) == ("http", f"chat {traffic.MODEL}", "caller")
    assert http.parent.span_id == chat.context.span_id
    assert chat.parent.span_id == outer.context.span_id


def test_calls_are_measured_when_no_span_is_sampled(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measurements do not depend on sampling, and an unsampled call leaks nothing either."""
    monkeypatch.setattr(otel_trace, "_TRACER_PROVIDER", TracerProvider(sampler=ALWAYS_OFF))
    service = Service(traffic.stream(CHAT_STREAM))
    list(service.client().chat.completions.create(**ASK, stream=True))
    call = calls.only()
    assert (call.outcome, call.usage) == (Outcome.SUCCESS, traffic.TOKENS)
    assert not otel_trace.get_current_span().get_span_context().is_valid


def test_a_call_inside_one_of_its_kind_is_the_inner_one(calls: Calls) -> None:
    """A decorator around the client and the client itself see one call: figures go outward."""
    from slotel._site import Site

    client = Service(traffic.answer(traffic.completion())).client()
    outer = Site("llm").begin()
    with outer.active():
        client.chat.completions.create(**ASK)
    outer.finish()
    inner, seen = calls
    assert (inner.call.role, seen.call.role) == (Role.INNER, Role.OUTER)
    assert (seen.tokens(), seen.model, seen.finish_reasons) == (
        traffic.TOKENS, traffic.MODEL, ("stop",),
    )  # fmt: skip


def test_every_call_is_recorded_once(calls: Calls) -> None:
    """The recorder holds exactly the calls that were made, by outcome."""
    model = "model-of-this-test"
    service = Service(traffic.stream(CHAT_STREAM))
    client = service.client()
    for read in (5, 5, 1):
        stream = client.chat.completions.create(**{**ASK, "model": model}, stream=True)
        for _ in range(read):
            next(stream)
        stream.close()
    del stream
    gc.collect()
    ledger = _process.recorder.ledger()
    ledger.drain()
    counts = {
        key.outcome: count
        for key, count in zip(ledger.keys("duration"), ledger.counts("duration"), strict=True)
        if key.model == model
    }
    assert counts == {Outcome.SUCCESS: 2, Outcome.CANCELLED: 1}
    assert len(calls) == 3
