"""The support assistant: moderation, retrieval and generation inside one user journey."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI, AsyncStream, OpenAI, OpenAIError, Stream

from slotel._api import journey, score
from slotel.cli.demo_app.model_server import ModelServerError
from slotel.cli.demo_app.questions import Question
from slotel.cli.demo_app.tally import Tally
from slotel.errors import RejectedError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

    from slotel.cli.demo_app.library import Hit, Library
    from slotel.cli.demo_app.moderator import Moderator

JOURNEY = "ask-support"
_INSTRUCTION = "You answer questions from the text you are given, in one short sentence."
# Two passages of about 90 tokens each: what a small model on one core reads in a second.
_PASSAGES_SHOWN = 2
_MAX_TOKENS = 32


class AbusiveQuestionError(RejectedError):
    """The assistant refuses to answer; by its own policy, so the journey did not fail."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user got.

    Attributes:
        text: The answer; as far as it came when the user stopped reading.
        correct: Whether the answer holds the fact; None when it was not judged.
    """

    text: str
    correct: bool | None = None


@dataclass(frozen=True)
class Assistant:
    """The assistant's parts; immutable, any thread may ask.

    Attributes:
        library: Finds passages.
        moderator: Flags abusive questions.
        client: The `openai` client of the model server.
        model: Name of the model.
        tally: Counts the calls made.
        options: More arguments of the completion request.
    """

    library: Library
    moderator: Moderator
    client: OpenAI
    model: str
    tally: Tally
    options: dict[str, Any]

    def using(self, client: OpenAI, **options: Any) -> Assistant:
        """Return the same assistant with another client and more request arguments."""
        return replace(self, client=client, options={**self.options, **options})

    def warm_up(self) -> None:
        """Load what the first call would load; not a call of any user, so nothing counts it.

        Raises:
            ModelServerError: The model server failed or did not answer in time.
        """
        self.moderator.probability("hello")
        request = self._request(Question("Hello?", frozenset(), ""), [])
        try:
            with self._stream(request) as stream:
                for _ in stream:
                    pass
        except OpenAIError as error:
            raise ModelServerError(
                f"the model server at {self.client.base_url} does not serve {self.model}: {error}"
            ) from error

    @journey(JOURNEY)
    def ask(self, question: Question, *, patience_chunks: int | None = None) -> Answer:
        """Return the answer to a question.

        Args:
            question: What is asked, and how the answer is judged.
            patience_chunks: The user stops reading after that many pieces; None reads to the end.

        Raises:
            AbusiveQuestionError: The question was flagged.
            openai.OpenAIError: The model server failed or did not answer in time.
        """
        self.tally.count(JOURNEY)
        self._refuse_abuse(question)
        request = self._request(question, self.library.find(question))
        self.tally.count("chat")
        pieces: list[str] = []
        with self._stream(request) as stream:
            for chunk in stream:
                pieces.append(_text(chunk))
                if len(pieces) == patience_chunks:
                    return Answer("".join(pieces))
        return _judged(question, "".join(pieces))

    @journey(JOURNEY)
    async def ask_async(self, question: Question, client: AsyncOpenAI) -> Answer:
        """Return the answer to a question, leaving the event loop free while the model writes.

        Raises:
            AbusiveQuestionError: The question was flagged.
            openai.OpenAIError: The model server failed or did not answer in time.
        """
        self.tally.count(JOURNEY)
        self._refuse_abuse(question)
        request = self._request(question, self.library.find(question))
        self.tally.count("chat")
        create: Any = client.chat.completions.create  # its overloads do not take a plain dict
        stream: AsyncStream[ChatCompletionChunk] = await create(**request)
        async with stream:
            pieces = [_text(chunk) async for chunk in stream]
        return _judged(question, "".join(pieces))

    def _refuse_abuse(self, question: Question) -> None:
        if self.moderator.flags(question.text):
            raise AbusiveQuestionError("I am happy to help when you ask politely.")

    def _stream(self, request: dict[str, Any]) -> Stream[ChatCompletionChunk]:
        create: Any = self.client.chat.completions.create  # its overloads do not take a plain dict
        stream: Stream[ChatCompletionChunk] = create(**request)
        return stream

    def _request(self, question: Question, hits: list[Hit]) -> dict[str, Any]:
        text = "\n".join(hit.text for hit in hits[:_PASSAGES_SHOWN])
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": _INSTRUCTION},
            {"role": "user", "content": f"{text}\n\nQuestion: {question.text}"},
        ]
        return {
            "model": self.model,
            "messages": messages,
            "max_tokens": _MAX_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.options,
        }


def _judged(question: Question, text: str) -> Answer:
    correct = question.answered_by(text)
    score("answer_correct", float(correct))
    return Answer(text, correct=correct)


def _text(chunk: ChatCompletionChunk) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""
