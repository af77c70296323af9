"""A decorated call, sync and async, in each state of its span, against what users have today.

The floor is a wrapper written by hand: two clock reads and one append.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from opentelemetry import trace

import peers
import slotel
from harness import Contestant, Race, Report, Run, awaiting, calling
from states import DROPPED, NO_SDK, SAMPLED, UNSAMPLED, State, in_each_state

FLOOR = "hand-written wrapper"
OURS = "slotel @llm"
OTEL = "OTel histogram record + counter add"
SDK_SPAN = "OTel SDK's own span, same attributes"
SDK_START = "OTel SDK's start_span, dropped"
DOCUMENT = """\
version: slotel/v1
service: benchmark
slos:
  - name: answer-latency
    sli: {latency: {operation: chat, at_most: 2s}}
    objective: 95%
    window: 28d
"""


def answer(question: object) -> object:
    """Do nothing: every nanosecond beyond this is the wrapper's."""
    return question


async def answer_async(question: object) -> object:
    """Do nothing, asynchronously."""
    return question


def decorated(function: object) -> object:
    """Return the function under Slotel's decorator."""
    return slotel.llm(model="gpt-4o-mini", provider="openai")(function)


def floors(state: State, loop: asyncio.AbstractEventLoop | None) -> list[Contestant]:
    """Return the bare call, the floor and Slotel."""

    def looped(function: object) -> Run:
        run = calling(function) if loop is None else awaiting(loop, function)
        return state.inside(run)

    bare = answer if loop is None else answer_async
    by_hand = peers.hand_written if loop is None else peers.hand_written_async
    wrapper, values = by_hand(bare)
    return [
        Contestant("bare call", looped(bare)),
        Contestant(FLOOR, looped(wrapper), peers.emptied(values)),
        Contestant(OURS, looped(decorated(bare)), state.counted()),
    ]


# --- the SDK's side ---------------------------------------------------------------------------


def sdk_start_span(state: State) -> Contestant:
    """Return the SDK asked for a span that its sampler drops."""
    start = trace.get_tracer("benchmark").start_span

    def run(number: int) -> None:
        for _ in repeat(None, number):
            start("chat gpt-4o-mini", attributes=peers.ATTRIBUTES).end()

    return Contestant(SDK_START, state.inside(run))


def sdk_span(state: State) -> Contestant:
    """Return the SDK's own current span around the call, with all that Slotel's span carries."""
    decorated(answer)(1)
    ours = state.spans.last
    assert ours is not None
    attributes = dict(ours.attributes or {})
    assert "slotel.outcome" in attributes, sorted(attributes)
    tracer = trace.get_tracer("benchmark")

    def run(number: int) -> None:
        for _ in repeat(None, number):
            with tracer.start_as_current_span(ours.name, kind=ours.kind, attributes=attributes):
                answer(1)

    return Contestant(SDK_SPAN, run, lambda: state.spans.ended)


def span_decorators(state: State) -> list[Contestant]:
    """Return the peers' decorators; both make a span for every call."""
    contestants = []
    for name, peer in (
        ("OpenLLMetry @task", peers.openllmetry),
        ("OpenInference @tracer.llm", peers.openinference),
    ):
        function, spans = peer(answer)
        contestants.append(Contestant(name, calling(function), lambda spans=spans: spans.ended))
    return contestants


def others(state: State) -> Sequence[Contestant]:
    """Return the peers that make sense in this state."""
    if state.name == NO_SDK:
        return [peers.otel_histogram_and_counter(), peers.prometheus_histogram_and_counter()]
    if state.name == UNSAMPLED:
        return [peers.otel_histogram_and_counter()]
    if state.name == DROPPED:
        return [sdk_start_span(state)]
    return [sdk_span(state), peers.otel_span_and_two_histograms(), *span_decorators(state)]


# --- bars -------------------------------------------------------------------------------------


def judge_sync(bench: Report, state: State, run: Race) -> None:
    """Judge the bars of a sync call."""
    over_floor = run.ratio(OURS, FLOOR)
    if state.name in {NO_SDK, UNSAMPLED}:
        floor_bar, otel_bar = (2.0, 30.0) if state.name == NO_SDK else (3.0, 20.0)
        bench.gate(f"sync call over the floor, {state.name}", over_floor, floor_bar)
        under = run.ratio(OTEL, OURS)
        bench.gate(f"{OTEL} over a sync call, {state.name}", under, otel_bar, at_least=True)
    elif state.name == DROPPED:
        added = run.added_ns(OURS, SDK_START) / run.ns(FLOOR)
        bench.gate("sync call beyond the SDK's start_span, dropped root", added, 2.0, unit="floors")
    else:
        bench.gate("sync call over the SDK's own span, sampled", run.ratio(OURS, SDK_SPAN), 1.15)


def judge_async(bench: Report, state: State, run: Race) -> None:
    """Judge the bar of an async call."""
    if state.name == NO_SDK:
        bench.gate("async call over its floor, no SDK", run.ratio(OURS, FLOOR), 2.5)


def configure_slos() -> None:
    """Give the spans their SLI attributes: one latency SLO, nothing exported."""
    with TemporaryDirectory() as folder:
        document = Path(folder) / "slos.yaml"
        document.write_text(DOCUMENT, encoding="utf-8")
        slotel.configure(service="benchmark", slos=str(document), metrics="none")


def bench_operation(bench: Report, state: State) -> None:
    """Race sync and async calls in one state."""
    if state.name == SAMPLED:
        configure_slos()
    contestants = [*floors(state, None), *others(state)]
    sync = bench.race(f"Sync call, {state.name}", contestants, base=FLOOR)
    judge_sync(bench, state, sync)
    loop = asyncio.new_event_loop()
    judge_async(
        bench, state, bench.race(f"Async call, {state.name}", floors(state, loop), base=FLOOR)
    )
    loop.close()


if __name__ == "__main__":
    in_each_state("operation", bench_operation)
