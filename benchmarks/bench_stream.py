"""A decorated generator, chunk by chunk, over the raw one; and what a live stream holds.

Bars in nanoseconds are stated for a machine on which an empty call takes 21 ns, and judged as a
multiple of the empty call of the same run.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import repeat
from time import perf_counter

import slotel
from harness import Contestant, Race, Report, calling
from states import NO_SDK, SAMPLED, State, in_each_state

CHUNKS = 4096
REFERENCE_CALL_NS = 21.0
EMPTY_CALL = "empty call"
RAW, BY_HAND, OURS = "raw generator", "hand-written, clock and append", "slotel @llm"


async def chunks_async(count: int) -> AsyncIterator[str]:
    """Yield that many words, asynchronously."""
    for word in repeat("word", count):
        yield word


def plain_chunks(count: int) -> Iterator[str]:
    """Yield that many words from a loop of its own, as user code does."""
    for word in repeat("word", count):  # noqa: UP028  # a user's generator has a body
        yield word


def timed(count: int) -> Iterator[str]:
    """The least that a wrapper does: one clock read and one append a chunk."""
    times: list[float] = []
    append, clock = times.append, perf_counter
    for word in plain_chunks(count):
        append(clock())
        yield word


def consuming(generator: Callable[[int], Iterator[str]], state: State) -> Callable[[int], None]:
    """Return a loop that reads whole streams."""

    def run(number: int) -> None:
        for _ in repeat(None, number):
            for _word in generator(CHUNKS):
                pass

    return state.inside(run)


def consuming_async(
    loop: asyncio.AbstractEventLoop,
    generator: Callable[[int], AsyncIterator[str]],
    state: State,
) -> Callable[[int], None]:
    """Return the same for asynchronous streams."""

    async def body(number: int) -> None:
        for _ in repeat(None, number):
            async for _word in generator(CHUNKS):
                pass

    return state.inside(lambda number: loop.run_until_complete(body(number)))


def counted_chunks(state: State) -> Callable[[], int]:
    """Return how many chunks the counted streams had, by the calls that were counted."""
    calls = state.counted()
    return lambda: calls() * CHUNKS


def decorated(function: object) -> object:
    """Return the generator function under Slotel's decorator."""
    return slotel.llm(model="gpt-4o-mini", provider="openai")(function)


def gate_chunk(bench: Report, name: str, run: Race, bar_ns: float) -> None:
    """Judge nanoseconds a chunk of the reference machine as empty calls of this run."""
    added = run.added_ns(OURS, RAW) / run.ns(EMPTY_CALL)
    text = f"{name} ({bar_ns:g} ns on the reference machine)"
    bench.gate(text, added, bar_ns / REFERENCE_CALL_NS, unit="empty calls")


def bench_chunks(bench: Report, state: State) -> None:
    """Race sync and async streams."""
    empty = Contestant(EMPTY_CALL, calling(lambda _: None))
    sync = bench.race(
        f"Sync stream, a chunk, {state.name}",
        [
            empty,
            Contestant(RAW, consuming(plain_chunks, state), pieces=CHUNKS),
            Contestant(BY_HAND, consuming(timed, state), pieces=CHUNKS),
            Contestant(
                OURS, consuming(decorated(plain_chunks), state), counted_chunks(state), CHUNKS
            ),
        ],
        base=RAW,
    )
    gate_chunk(bench, f"sync chunk over the raw generator, {state.name}", sync, 120)
    loop = asyncio.new_event_loop()
    asynchronous = bench.race(
        f"Async stream, a chunk, {state.name}",
        [
            empty,
            Contestant(RAW, consuming_async(loop, chunks_async, state), pieces=CHUNKS),
            Contestant(
                OURS,
                consuming_async(loop, decorated(chunks_async), state),
                counted_chunks(state),
                CHUNKS,
            ),
        ],
        base=RAW,
    )
    bar_ns = 600 if state.name == SAMPLED else 300
    gate_chunk(bench, f"async chunk over the raw generator, {state.name}", asynchronous, bar_ns)
    loop.close()


def held_bytes(generator: Callable[[int], Iterator[str]], count: int) -> tuple[int, int]:
    """Return the most that one stream held at any of 20 looks, and what the recorder took."""
    gc.collect()
    tracemalloc.start()
    most = recorder = 0
    for place, _word in enumerate(generator(count), start=1):
        if place % (count // 20) == count // 20 - 1:
            found = tracemalloc.take_snapshot().statistics("filename")
            ours = [one for one in found if "slotel" in one.traceback[0].filename]
            counted = sum(one.size for one in ours if "/measure/" in one.traceback[0].filename)
            most = max(most, sum(one.size for one in ours) - counted)
            recorder = max(recorder, counted)
    tracemalloc.stop()
    return most, recorder


def bench_memory(bench: Report) -> None:
    """What a live stream of 100,000 chunks holds."""
    generator = decorated(plain_chunks)
    held_bytes(generator, 10_000)  # The series and its rows are made once, not by each stream.
    print("\nMemory of one live stream")
    (short, _), (long, recorder) = held_bytes(generator, 5_000), held_bytes(generator, 100_000)
    bench.figure("held by a stream of 5,000 chunks", short / 1000, "kB")
    bench.figure("taken by the recorder meanwhile", recorder / 1000, "kB")
    bench.gate("held by a live stream of 100,000 chunks", long / 1000, 40, unit="kB")


def bench_stream(bench: Report, state: State) -> None:
    """Race chunks in one state; weigh a stream once."""
    bench_chunks(bench, state)
    if state.name == NO_SDK:
        bench_memory(bench)


if __name__ == "__main__":
    in_each_state("stream", bench_stream)
