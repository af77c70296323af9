"""A service that speaks OpenAI's API inside the process: real bodies over a mock transport.

Nothing here is patched: the client builds real requests and reads real bytes; only the transport
of its own HTTP library (httpx2, or httpx in older clients) answers them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import openai
from openai import _base_client

http = getattr(_base_client, "httpx2", None) or _base_client.httpx
"""The HTTP library that the installed client uses."""

MODEL = "gpt-4o-mini"
ANSWERED_BY = "gpt-4o-mini-2024-07-18"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}]}
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
}
TOKENS = {"input_tokens": 12, "output_tokens": 7, "cached_tokens": 4, "reasoning_tokens": 3}

# --- bodies -----------------------------------------------------------------------------------


def completion(content: str = "Hello.", *, reasons: tuple[str, ...] = ("stop",)) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": ANSWERED_BY,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "logprobs": None,
                "finish_reason": reason,
            }
            for index, reason in enumerate(reasons)
        ],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def chunk(
    delta: dict[str, Any] | None, reason: str | None = None, *, index: int = 0, **fields: Any
) -> dict[str, Any]:
    """Return one chunk of a chat completion; without a delta it has no choice."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_767_225_600,
        "model": ANSWERED_BY,
        "choices": [] if delta is None else [choice],
        "usage": None,
        **fields,
    }


ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
HELLO = chunk({"content": "Hello"})
DOT = chunk({"content": "."})
STOP = chunk({}, "stop")
USED = chunk(None, usage=USAGE)
DONE = b"[DONE]"
CHAT_STREAM = [ROLE, HELLO, DOT, STOP, USED, DONE]


def tool_delta(name: str | None, arguments: str) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": 0, "type": "function", "function": function}]}


RESPONSE_USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 19,
}


def response(status: str = "completed", **fields: Any) -> dict[str, Any]:
    text = {"type": "output_text", "text": "Hello.", "annotations": []}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    over = status in {"completed", "incomplete"}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_767_225_600,
        "model": ANSWERED_BY,
        "status": status,
        "output": [message] if over else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE if over else None,
        **fields,
    }


def _numbered(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


_PART = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress"}
RESPONSE_START = _numbered(
    [
        {"type": "response.created", "response": response("in_progress")},
        {"type": "response.in_progress", "response": response("in_progress")},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**_ITEM, "content": []},
        },
        {
            "type": "response.content_part.added",
            **_PART,
            "part": {"type": "output_text", "text": "", "annotations": []},
        },
    ]
)
RESPONSE_TEXT = [
    {"type": "response.output_text.delta", **_PART, "delta": "Hello", "logprobs": []},
    {"type": "response.output_text.delta", **_PART, "delta": ".", "logprobs": []},
    {"type": "response.output_text.done", **_PART, "text": "Hello.", "logprobs": []},
]
RESPONSE_STREAM = _numbered(
    [
        *RESPONSE_START,
        *RESPONSE_TEXT,
        {"type": "response.completed", "response": response()},
    ]
)

EMBEDDINGS = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": "AACAPwAAAEA="}],
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}
MODERATION = {
    "id": "modr-1",
    "model": "omni-moderation-latest",
    "results": [
        {
            "flagged": flagged,
            "categories": {"harassment": flagged, "violence": False},
            "category_scores": {"harassment": score, "violence": 0.01},
            "category_applied_input_types": {"harassment": ["text"], "violence": ["text"]},
        }
        for flagged, score in ((False, 0.02), (True, 0.91))
    ],
}
TEXT_COMPLETION = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1_767_225_600,
    "model": "gpt-3.5-turbo-instruct",
    "choices": [{"index": 0, "text": "Hello.", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}


def failure(code: str | None, *, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": "It failed.", "type": kind, "param": None, "code": code}}


# --- transport --------------------------------------------------------------------------------


class Blocks(http.SyncByteStream, http.AsyncByteStream):  # type: ignore[name-defined,misc]
    """A body that arrives block by block; an exception among them is raised there."""

    def __init__(self, blocks: Iterable[bytes | BaseException | asyncio.Event]) -> None:
        self._blocks = list(blocks)
        self.closed = False
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            if isinstance(block, BaseException):
                raise block
            assert isinstance(block, bytes)
            self.given += 1
            yield block

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self._blocks:
            if isinstance(block, BaseException):
                raise block
            if isinstance(block, asyncio.Event):
                await block.wait()
                continue
            self.given += 1
            yield block

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def event(data: Any, *, end: bytes = b"\n\n") -> bytes:
    """Return one server-sent event; events of the Responses API carry their type."""
    if isinstance(data, bytes):
        return b"data: " + data + end
    numbered = isinstance(data, dict) and "sequence_number" in data
    named = f"event: {data['type']}\n".encode() if numbered else b""
    return named + b"data: " + json.dumps(data).encode() + end


def blocks(events: Iterable[Any]) -> list[Any]:
    """Return each event as a block of its own; exceptions and pauses stay as they are."""
    return [one if isinstance(one, BaseException | asyncio.Event) else event(one) for one in events]


Reply = Callable[[Any], Any]


def stream(events: Iterable[Any], **headers: str) -> Reply:
    """Answer with events, each in a block of its own."""
    return body(blocks(events), **headers)


def body(parts: Iterable[Any], **headers: str) -> Reply:
    """Answer with an event stream of exactly these blocks."""
    given = {"content-type": "text/event-stream", "x-request-id": "req_1"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    kept = list(parts)
    return lambda request: http.Response(200, headers=given, stream=Blocks(kept))


def answer(data: Any, status: int = 200, **headers: str) -> Reply:
    """Answer with JSON, in one block that is read as it is asked for."""
    given = {"content-type": "application/json", "x-request-id": "req_1"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: http.Response(
        status, headers=given, stream=Blocks([json.dumps(data).encode()])
    )


def refuse(status: int, code: str | None = None, **headers: str) -> Reply:
    return answer(failure(code), status, **headers)


def raising(make: Callable[[Any], BaseException]) -> Reply:
    def reply(request: Any) -> Any:
        raise make(request)

    return reply


class Service:
    """Answers the requests of its clients with the replies, in turn; the last one stays.

    Attributes:
        requests: What was sent to it.
        bodies: The streams that it answered with.
    """

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self.requests: list[Any] = []
        self.bodies: list[Any] = []

    def _handle(self, request: Any) -> Any:
        self.requests.append(request)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        found = reply(request)
        self.bodies.append(found.stream)
        return found

    async def _handle_async(self, request: Any) -> Any:
        await asyncio.sleep(0)
        return self._handle(request)

    def client(self, **options: Any) -> openai.OpenAI:
        transport = http.MockTransport(self._handle)
        return openai.OpenAI(**_options(options, http.Client(transport=transport)))

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        transport = http.MockTransport(self._handle_async)
        return openai.AsyncOpenAI(**_options(options, http.AsyncClient(transport=transport)))


def _options(given: dict[str, Any], client: Any) -> dict[str, Any]:
    return {
        "api_key": "none",
        "base_url": "http://service.test/v1",
        "max_retries": 0,
        "http_client": client,
        **given,
    }
