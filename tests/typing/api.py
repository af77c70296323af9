"""What a type checker must see through Slotel's decorators; checked by mypy and pyright, never run.

`assert_type` proves that a decorated function keeps its type; a line with a suppression proves the
opposite case: both checkers report a suppression that silences nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import assert_type

import slotel

# --- functions --------------------------------------------------------------------------------


@slotel.llm
def bare(question: str, *, retries: int = 0) -> str:
    return question * retries


@slotel.llm(model="gpt-4o-mini", provider="openai")
def plain(question: str, *, retries: int = 0) -> str:
    return question * retries


@slotel.llm(model="gpt-4o-mini")
async def asynchronous(question: str) -> int:
    return len(question)


@slotel.llm(model="gpt-4o-mini")
def generator(count: int) -> Iterator[str]:
    yield from ("word",) * count


@slotel.llm(model="gpt-4o-mini")
def full_generator(count: int) -> Generator[str, int, bytes]:
    sent = yield "word"
    return bytes(sent + count)


@slotel.llm(model="gpt-4o-mini")
async def asynchronous_generator(count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield "word"


@slotel.llm(model="gpt-4o-mini")
async def full_asynchronous_generator() -> AsyncGenerator[str, float]:
    _ = yield "word"


def calls() -> None:
    assert_type(bare("why?", retries=1), str)
    assert_type(plain("why?"), str)
    assert_type(asyncio.run(asynchronous("why?")), int)
    assert_type(generator(3), Iterator[str])
    assert_type(full_generator(3), Generator[str, int, bytes])
    assert_type(asynchronous_generator(3), AsyncIterator[str])
    assert_type(full_asynchronous_generator(), AsyncGenerator[str, float])


def wrong_calls() -> None:
    plain(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain("why?", 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bare()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    generator("three")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- methods ----------------------------------------------------------------------------------


class Assistant:
    @slotel.llm(model="gpt-4o-mini")
    def answer(self, question: str) -> str:
        return question

    @slotel.retrieval(source="handbook", top_k=5)
    async def find(self, question: str) -> list[str]:
        return [question]

    @classmethod
    @slotel.moderation
    def flagged(cls, text: str) -> bool:
        return "bad" in text

    @staticmethod
    @slotel.tool
    def add(left: int, right: int) -> int:
        return left + right


def methods(assistant: Assistant) -> None:
    assert_type(assistant.answer("why?"), str)
    assert_type(asyncio.run(assistant.find("why?")), list[str])
    assert_type(Assistant.flagged("why?"), bool)
    assert_type(Assistant.add(1, 2), int)


# --- every kind, as decorator and as context manager --------------------------------------------


@slotel.embedding
def embed(text: str) -> list[float]:
    return [float(len(text))]


@slotel.rerank(model="m")
def rerank(documents: list[str]) -> list[str]:
    return documents


@slotel.agent
def agent(task: str) -> str:
    return task


@slotel.journey("ask-support")
def journey(question: str) -> str:
    return question


@slotel.operation("feature_store.read")
def read(key: str) -> dict[str, float]:
    return {key: 1.0}


def kinds() -> None:
    assert_type(embed("a"), list[float])
    assert_type(rerank(["a"]), list[str])
    assert_type(agent("a"), str)
    assert_type(journey("a"), str)
    assert_type(read("a"), dict[str, float])


def as_context_manager() -> None:
    with slotel.llm(model="gpt-4o-mini") as call:
        call.first_token()
        call.usage(input_tokens=412, output_tokens=96)
        call.score("faithfulness", 0.93)
    with slotel.llm as call:
        call.attribute("tenant.tier", "gold")


async def as_asynchronous_context_manager() -> None:
    async with slotel.retrieval(source="handbook") as call:
        call.documents([{"id": "a", "score": 0.5}])


# --- carrying the context -----------------------------------------------------------------------


@slotel.propagate
def in_a_thread(count: int) -> str:
    return "word" * count


def carried() -> None:
    assert_type(in_a_thread(2), str)
