"""One busy minute of the assistant: what its users ask, and what goes wrong on purpose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from openai import AsyncOpenAI, OpenAIError

from slotel.cli.demo_app.assistant import AbusiveQuestionError, Answer, Assistant
from slotel.cli.demo_app.questions import ABUSIVE, QUESTIONS, Question

# More users at once than the model server has slots: some wait, which is how calls become slow.
CROWD = 4
# Far below the time that any model needs, far above a connection on loopback.
SHORT_TIMEOUT_SECONDS = 0.05
_PATIENCE_CHUNKS = 4
# Not asked before by anyone: the model server answers from its cache otherwise, too soon.
_FRESH = QUESTIONS[-2 * CROWD : -CROWD]
# The model has not written its first token by then.
_PATIENCE_SECONDS = 0.4


class Ending(Enum):
    """How a question ended for its user."""

    RIGHT = "right"
    WRONG = "wrong"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question that was asked.

    Attributes:
        ending: How it ended.
        seconds: How long the user waited.
        detail: The question, or what went wrong; empty when the purpose says it all.
        purpose: Why it was asked in this way; empty for a plain question.
    """

    ending: Ending
    seconds: float
    detail: str
    purpose: str = ""


Step = Callable[[], list[Asked]]


def steps(assistant: Assistant, *, questions: int) -> list[Step]:
    """Return everything that users do, in order: plain questions with the mishaps in between.

    Args:
        assistant: The assistant they ask.
        questions: How many plain questions, 1..len(QUESTIONS).
    """
    plain = [_plain(assistant, question) for question in QUESTIONS[:questions]]
    mishaps = _mishaps(assistant)
    every = max(1, len(plain) // (len(mishaps) + 1))
    planned: list[Step] = []
    waiting = iter(mishaps)
    for number, step in enumerate(plain, start=1):
        planned.append(step)
        if number % every == 0:
            planned += [mishap for mishap in [next(waiting, None)] if mishap]
    return [*planned, *waiting]


def run(planned: list[Step]) -> Iterator[list[Asked]]:
    """Run the steps one after the other, yielding what each one brought."""
    for step in planned:
        yield step()


def _mishaps(assistant: Assistant) -> list[Step]:
    client = assistant.client
    base_url = str(client.base_url).rstrip("/")
    impatient = client.with_options(timeout=SHORT_TIMEOUT_SECONDS, max_retries=0)
    misdirected = client.with_options(base_url=f"{base_url}/nowhere", max_retries=0)
    malformed = {"extra_body": {"response_format": {"type": "nonsense"}}}
    return [
        _abusive(assistant, ABUSIVE[0]),
        _failing(assistant.using(misdirected), _FRESH[0], "an address that does not exist"),
        _closed_early(assistant),
        _crowd(assistant),
        _abusive(assistant, ABUSIVE[1]),
        _failing(assistant.using(impatient), _FRESH[1], f"timeout of {SHORT_TIMEOUT_SECONDS:g} s"),
        _task_cancelled(assistant),
        _failing(assistant.using(client, **malformed), _FRESH[0], "a malformed request"),
        _abusive(assistant, ABUSIVE[2]),
    ]


def _plain(assistant: Assistant, question: Question) -> Step:
    return lambda: [_ask(assistant, question)]


def _abusive(assistant: Assistant, text: str) -> Step:
    rude = Question(text, frozenset(), r"(?!)")  # no answer is right
    return lambda: [_ask(assistant, rude, purpose="abusive, says the classifier")]


def _failing(assistant: Assistant, question: Question, purpose: str) -> Step:
    return lambda: [_ask(assistant, question, purpose=purpose)]


def _closed_early(assistant: Assistant) -> Step:
    def step() -> list[Asked]:
        purpose = "stream closed early"
        return [_ask(assistant, _FRESH[2], purpose=purpose, patience_chunks=_PATIENCE_CHUNKS)]

    return step


def _crowd(assistant: Assistant) -> Step:
    def step() -> list[Asked]:
        with ThreadPoolExecutor(CROWD, thread_name_prefix="user") as users:
            asked = [
                users.submit(_ask, assistant, question, purpose=f"{CROWD} users at once")
                for question in QUESTIONS[-CROWD:]
            ]
            return [one.result() for one in asked]

    return step


def _task_cancelled(assistant: Assistant) -> Step:
    def step() -> list[Asked]:
        return [asyncio.run(_cancel_a_task(assistant, _FRESH[3]))]

    return step


async def _cancel_a_task(assistant: Assistant, question: Question) -> Asked:
    begun = time.perf_counter()
    client = AsyncOpenAI(base_url=assistant.client.base_url, api_key=assistant.client.api_key)
    purpose = f"task cancelled after {_PATIENCE_SECONDS:g} s"
    async with client:
        task = asyncio.create_task(assistant.ask_async(question, client))
        await asyncio.sleep(_PATIENCE_SECONDS)
        task.cancel()
        try:
            answer = await task
        except asyncio.CancelledError:
            waited = time.perf_counter() - begun
            return Asked(Ending.CANCELLED, waited, "", purpose)
    return Asked(_ending(answer), time.perf_counter() - begun, question.text, purpose)


def _ask(
    assistant: Assistant,
    question: Question,
    *,
    purpose: str = "",
    patience_chunks: int | None = None,
) -> Asked:
    begun = time.perf_counter()
    try:
        answer = assistant.ask(question, patience_chunks=patience_chunks)
    except AbusiveQuestionError:
        return Asked(Ending.REFUSED, time.perf_counter() - begun, "", purpose)
    except OpenAIError as error:
        waited = time.perf_counter() - begun
        return Asked(Ending.FAILED, waited, type(error).__name__, purpose)
    detail = question.text if answer.correct is not None else ""
    return Asked(_ending(answer), time.perf_counter() - begun, detail, purpose)


def _ending(answer: Answer) -> Ending:
    if answer.correct is None:
        return Ending.CANCELLED
    return Ending.RIGHT if answer.correct else Ending.WRONG
