"""Streams: decorated generators and asynchronous generators, read to the end and given up early.

    python examples/streaming.py

There is no network and no model here: `tokens_of` stands for a model that takes 30 ms to begin
and 2 ms for each further token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import slotel

TEXT = "A stream is measured while its reader reads it, and not a moment in advance."


def tokens_of(text: str) -> Iterator[tuple[str, float]]:
    """Yield tokens and how long the model takes for each, seconds."""
    for place, token in enumerate(text.split()):
        yield token, 0.002 if place else 0.030


@slotel.llm(model="stand-in", provider="local", tokens_per_chunk=1)
def stream(text: str) -> Iterator[str]:
    for token, seconds in tokens_of(text):
        time.sleep(seconds)
        yield token


@slotel.llm(model="stand-in-async", provider="local")
async def stream_async(text: str) -> AsyncIterator[str]:
    yield ""  # like the first chunk of many services: it says nothing, so it is no token yet
    sent = 0
    for token, seconds in tokens_of(text):
        await asyncio.sleep(seconds)
        yield token
        sent += 1
    slotel.current().usage(output_tokens=sent)  # like those that report the usage at the end


async def read(text: str) -> str:
    return " ".join([token async for token in stream_async(text) if token])


async def read_in_time(text: str, seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            return await read(text)
    except TimeoutError:
        return "(cancelled)"


def main() -> None:
    print(" ".join(stream(TEXT)))

    reader = stream(TEXT)
    print(next(reader), "...")
    reader.close()  # the reader has seen enough: cancelled, with its time so far

    async def several() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(read(TEXT))
        print(await read_in_time(TEXT, seconds=0.01))

    asyncio.run(several())

    print()
    print("model           outcome    calls  first token p50  tokens  tokens/s p50")
    for row in slotel.summary():
        print(
            f"{row.model:15} {row.outcome:10} {row.count:5}  {row.first_token_p50 * 1e3:12.1f} ms"
            f"  {row.output_tokens:6}  {row.tokens_per_second:12.1f}"
        )
    gaps = slotel.percentiles("chat", (50,), metric="max_gap")
    print(f"\nlargest gap between two chunks, p50 of {gaps.count} streams: {gaps[50] * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
