"""The `openai` client with and without instrumentation, over a transport that answers at once.

Costs are stated in units of one SDK span with ten attributes, taken in the same run. All ways make
a recorded span that is counted and dropped; content is captured by none.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from itertools import repeat

# Both peers read these when they are imported.
os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
os.environ["OPENINFERENCE_HIDE_INPUTS"] = os.environ["OPENINFERENCE_HIDE_OUTPUTS"] = "true"

import httpx2
import openai
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry import trace
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetry
from opentelemetry.sdk.metrics import MeterProvider

import peers
import slotel
from harness import Contestant, Race, Report, report
from slotel._process import recorder

CHUNKS = 100
MODEL = "gpt-4o-mini"
SPAN = "OTel SDK span, 10 attributes"
RAW, OURS = "no instrumentation", "slotel"
MESSAGES = [{"role": "user", "content": "Which planet is the largest?"}]
USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Jupiter."},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}


def stream_body() -> bytes:
    """Return a stream of a role, the chunks, a finish reason and the usage."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

    def event(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
        return head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    events = [
        event({"role": "assistant", "content": ""}),
        *(event({"content": "word "}) for _ in range(CHUNKS)),
        event({}, "stop"),
        head | {"choices": [], "usage": USAGE},
    ]
    lines = [f"data: {json.dumps(one)}\n\n" for one in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


BODY, STREAM = json.dumps(ANSWER).encode(), stream_body()


def respond(request: httpx2.Request) -> httpx2.Response:
    """Answer at once, as a stream where one was asked for."""
    if b'"stream":true' in request.content.replace(b" ", b""):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=STREAM)
    return httpx2.Response(200, headers={"content-type": "application/json"}, content=BODY)


CLIENT = openai.OpenAI(
    api_key="none",
    base_url="http://127.0.0.1:9/v1",
    http_client=httpx2.Client(transport=httpx2.MockTransport(respond)),
)


def call(number: int) -> None:
    """Make that many calls that answer in one piece."""
    for _ in repeat(None, number):
        answer = CLIENT.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert answer.choices[0].message.content == "Jupiter."


def stream(number: int) -> None:
    """Read that many streams to their end."""
    for _ in repeat(None, number):
        chunks = CLIENT.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        assert sum(1 for _chunk in chunks) == CHUNKS + 3


# --- one instrumentation at a time ------------------------------------------------------------


MISSING = object()
Attribute = tuple[type, str, object, object]


def attributes_of_client() -> dict[tuple[type, str], object]:
    """Return every attribute of every class of the client."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("openai")]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__.startswith("openai")
    }
    return {(one, name): value for one in classes for name, value in list(vars(one).items())}


class Instrumentation:
    """What an instrumentation changes in the client's classes, put on and taken off at will.

    The peers' own way to take it off leaves wrappers behind, which would add up over the rounds.
    """

    current: Instrumentation | None = None

    def __init__(self, install: Callable[[], object]) -> None:
        before = attributes_of_client()
        known = {one for one, _ in before}
        install()
        self._changes: list[Attribute] = [
            (one, name, before.get((one, name), MISSING), value)
            for (one, name), value in attributes_of_client().items()
            if one in known and before.get((one, name), MISSING) is not value
        ]
        assert self._changes
        self._off()

    def on(self) -> None:
        """Put it on, in place of the one that was."""
        nothing()
        Instrumentation.current = self
        for one, name, _, patched in self._changes:
            setattr(one, name, patched)

    def _off(self) -> None:
        for one, name, original, _ in self._changes:
            if original is MISSING:
                delattr(one, name)
            else:
                setattr(one, name, original)


def nothing() -> None:
    """Leave the client as it is without instrumentation."""
    if Instrumentation.current is not None:
        Instrumentation.current._off()
        Instrumentation.current = None


def counted_by_slotel() -> int:
    """Return how many calls Slotel has counted."""
    recorder.ledger().drain()
    return int(recorder.ledger().counts("duration").sum())


def instrumentations() -> dict[str, Instrumentation]:
    """Return Slotel's and the peers'."""
    meters = MeterProvider()
    return {
        OURS: Instrumentation(lambda: slotel.instrument("openai")),
        "OpenInference": Instrumentation(OpenInference().instrument),
        "OpenLLMetry": Instrumentation(lambda: OpenLLMetry().instrument(meter_provider=meters)),
    }


def contestants(
    work: Callable[[int], None], made: dict[str, Instrumentation], spans: peers.CountingProcessor
) -> list[Contestant]:
    """Return the client without and with each instrumentation."""
    plain = Contestant(RAW, work, prepare=nothing)

    def recorded(name: str) -> Callable[[], int]:
        return counted_by_slotel if name == OURS else lambda: spans.ended

    others = [Contestant(name, work, recorded(name), prepare=one.on) for name, one in made.items()]
    return [plain, *others]


def span_of_ten(spans: peers.CountingProcessor) -> Contestant:
    """Return the unit: an SDK span with ten attributes."""
    tracer = trace.get_tracer("benchmark")
    attributes = {f"gen_ai.attribute.{index}": f"value {index}" for index in range(10)}

    def run(number: int) -> None:
        for _ in repeat(None, number):
            tracer.start_span("chat gpt-4o-mini", attributes=attributes).end()

    return Contestant(SPAN, run, lambda: spans.ended)


def units(run: Race) -> float:
    """Return what Slotel adds, in SDK spans."""
    return run.added_ns(OURS, RAW) / run.ns(SPAN)


def main() -> None:
    """Race calls and streams."""
    bench: Report = report("openai")
    provider, spans = peers.tracing()
    trace.set_tracer_provider(provider)
    unit = span_of_ten(spans)
    call(1)  # The client imports its resources late; the instrumentations patch them all.
    made = instrumentations()
    calls = bench.race("chat.completions.create", [unit, *contestants(call, made, spans)], base=RAW)
    bench.gate("a call's instrumentation", units(calls), 5.0, unit="SDK spans")
    streams = bench.race(
        f"the same, a stream of {CHUNKS} chunks",
        [unit, *contestants(stream, made, spans)],
        base=RAW,
    )
    per_chunk = units(streams) / CHUNKS
    bench.gate("a chunk's instrumentation", per_chunk, 0.35, unit="SDK spans")
    bench.finish()


if __name__ == "__main__":
    main()
