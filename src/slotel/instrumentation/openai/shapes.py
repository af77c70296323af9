"""What the service's JSON says: requests, whole answers and streamed events, as plain dicts.

Pure: no client, no clock. Every reader takes what a service may send, not what it should send: a
field that is missing, null or of another type reads as "not told".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


def as_object(value: Any) -> Json:
    """Return a JSON object as it is, and anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]


def as_objects(value: Any) -> list[Json]:
    """Return the objects of a JSON array; none of anything else."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, Mapping)]  # pyright: ignore[reportUnknownVariableType]


@dataclass(slots=True)
class Answer:
    """What has been read of one answer so far.

    Attributes:
        expected: Choices that were asked for, at least 1.
        reasons: Index of a choice -> why it ended; complete when it holds `expected` of them.
        usage: The service's usage block as it came; the last one counts. None when not told.
        complete: True once the answer said itself that it is over.
        failure: The service's own word for what went wrong inside an answer of status 200.
        cancelled: True when the service says that the answer was cancelled.
        reasoning_streamed: True when the tokens spent on reasoning came as chunks themselves.
        flagged: Verdict of a moderation; None when there is none.
        categories: Category of a moderation -> highest score over the inputs, a ratio.
    """

    expected: int = 1
    id: str | None = None
    model: str | None = None
    reasons: dict[int, str] = field(default_factory=dict[int, str])
    usage: Json | None = None
    complete: bool = False
    failure: str | None = None
    cancelled: bool = False
    reasoning_streamed: bool = False
    flagged: bool | None = None
    categories: dict[str, float] = field(default_factory=dict[str, float])


# --- whole answers ----------------------------------------------------------------------------


def read_completion(answer: Answer, data: Json) -> None:
    """Read a chat completion or a legacy completion."""
    _read_head(answer, data)
    for choice in as_objects(data.get("choices")):
        reason = choice.get("finish_reason")
        if reason:
            answer.reasons[choice.get("index") or 0] = str(reason)
    _read_extras(answer, data)
    answer.complete = True


def read_response(answer: Answer, data: Json) -> None:
    """Read a response object of the Responses API, alone or inside a terminal event."""
    _read_head(answer, data)
    status = data.get("status")
    _read_extras(answer, data)
    if status == "failed":
        answer.failure = error_word(data.get("error")) or "failed"
    elif status == "cancelled":
        answer.cancelled = True
    elif status in {"completed", "incomplete"}:
        answer.reasons[0] = _response_reason(data)
    answer.complete = True


def read_embeddings(answer: Answer, data: Json) -> None:
    """Read a list of embeddings: model and usage."""
    _read_head(answer, data)
    _read_extras(answer, data)
    answer.complete = True


def read_moderation(answer: Answer, data: Json) -> None:
    """Read the verdict of a moderation: flagged when any input was, the highest scores."""
    _read_head(answer, data)
    _read_verdicts(answer, data.get("results"))
    answer.complete = True


def _read_head(answer: Answer, data: Json) -> None:
    answer.id = _text(data.get("id")) or answer.id
    answer.model = _text(data.get("model")) or answer.model


def _read_extras(answer: Answer, data: Json) -> None:
    """Read what may stand in an answer or in any of its chunks: usage, inline moderation."""
    usage = data.get("usage")
    if usage:
        answer.usage = usage
    moderation = data.get("moderation")
    if moderation:
        for side in ("input", "output"):
            part = as_object(moderation.get(side))
            _read_verdicts(answer, part.get("results") or [part])


def _response_reason(data: Json) -> str:
    """Return why a response ended, in the words of the chat API where it has none itself."""
    if data.get("status") == "incomplete":
        reason = as_object(data.get("incomplete_details")).get("reason")
        return _text(reason) or "incomplete"
    kinds = {item.get("type") for item in as_objects(data.get("output"))}
    return "tool_calls" if kinds & _CALLS else "stop"


def _read_verdicts(answer: Answer, results: Any) -> None:
    for result in as_objects(results):
        flagged = result.get("flagged")
        if not isinstance(flagged, bool):
            continue
        answer.flagged = flagged or bool(answer.flagged)
        for name, score in as_object(result.get("category_scores")).items():
            if isinstance(score, (int, float)):
                answer.categories[name] = max(score, answer.categories.get(name, 0.0))


# --- streamed events --------------------------------------------------------------------------


def take_chat_chunk(answer: Answer, chunk: Json) -> bool:
    """Read one chunk of a chat completion; return whether it carries content.

    A chunk with only the role, only a finish reason or only usage is structural. Text, refusals,
    audio, reasoning text and tool calls (their names and their arguments) are content.
    """
    content = False
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta")
        if delta and (delta.get("content") or _other_content(answer, delta)):
            content = True
    _take_frame(answer, chunk)
    return content


def take_text_chunk(answer: Answer, chunk: Json) -> bool:
    """Read one chunk of a legacy completion; return whether it carries text."""
    _take_frame(answer, chunk)
    return any(choice.get("text") for choice in chunk.get("choices") or ())


def _take_frame(answer: Answer, chunk: Json) -> None:
    """Read what a chunk of either completion says besides its content."""
    for choice in chunk.get("choices") or ():
        reason = choice.get("finish_reason")
        if reason:
            answer.reasons[choice.get("index") or 0] = str(reason)
            answer.complete = len(answer.reasons) >= answer.expected
    if answer.id is None:
        _read_head(answer, chunk)
    if chunk.get("usage") or chunk.get("moderation"):
        _read_extras(answer, chunk)


def take_response_event(answer: Answer, event: Json) -> bool:
    """Read one event of the Responses API; return whether it carries content.

    Content is every non-empty delta (text, refusal, reasoning, arguments of a call) and the item
    that names a function to call; `response.created` and its like are structural.
    """
    kind = str(event.get("type"))
    if kind.endswith(".delta"):
        if kind.startswith("response.reasoning"):
            answer.reasoning_streamed = True
        return bool(event.get("delta"))
    if kind in _TERMINAL_EVENTS:
        read_response(answer, as_object(event.get("response")))
        if kind == "response.failed":
            answer.failure = answer.failure or "failed"
    elif kind == "error":
        answer.failure = error_word(event) or "error"
        answer.complete = True
    elif kind == "response.created":
        _read_head(answer, as_object(event.get("response")))
    elif kind == "response.output_item.added":
        return as_object(event.get("item")).get("type") in _CALLS
    return kind == "response.image_generation_call.partial_image"


_TERMINAL_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_CALLS = frozenset({"function_call", "custom_tool_call"})
_OTHER_CONTENT = (
    "tool_calls",
    "function_call",
    "refusal",
    "audio",
)
# What services other than OpenAI's stream before the answer (DeepSeek, vLLM, OpenRouter).
_REASONING = ("reasoning_content", "reasoning")


def _other_content(answer: Answer, delta: Json) -> bool:
    if any(delta.get(name) for name in _REASONING):
        answer.reasoning_streamed = True
        return True
    return any(delta.get(name) for name in _OTHER_CONTENT)


# --- words shared by all ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Api:
    """One endpoint that is measured.

    Attributes:
        operation: Operation name of the conventions, or `moderation`, for which they have none.
        api_type: Value of `openai.api.type`; None where the conventions have none.
        read: Reads a whole answer.
        take: Reads one streamed event; returns whether it carries content.
        has_usage: Whether its answers are expected to tell what they used.
    """

    operation: str
    api_type: str | None
    read: Callable[[Answer, Json], None]
    take: Callable[[Answer, Json], bool]
    has_usage: bool = True


def _take_nothing(answer: Answer, event: Json) -> bool:
    return False


APIS = {
    "/chat/completions": Api("chat", "chat_completions", read_completion, take_chat_chunk),
    "/completions": Api("text_completion", None, read_completion, take_text_chunk),
    "/responses": Api("chat", "responses", read_response, take_response_event),
    "/embeddings": Api("embeddings", None, read_embeddings, _take_nothing),
    "/moderations": Api("moderation", None, read_moderation, _take_nothing, has_usage=False),
}
"""Path of the request, before Azure rewrites it -> what is measured."""


def find_api(url: str) -> Api | None:
    """Return the endpoint of a request's path; None when it is not measured."""
    return APIS.get(url) or APIS.get(url.partition("?")[0].rstrip("/"))


# Hosts whose services have a name in the conventions' list of `gen_ai.provider.name`.
_PROVIDERS = {
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}


def find_provider(host: str, *, azure: bool) -> str:
    """Return the provider's name; `openai` for OpenAI itself and for whoever speaks its API."""
    if azure or host.endswith(".openai.azure.com"):
        return "azure.ai.openai"
    return _PROVIDERS.get(host, "openai")


def expected_choices(body: Json) -> int:
    """Return how many choices a request asks for: `n` for each prompt, at least 1."""
    count = body.get("n")
    prompts: Any = body.get("prompt")
    times = 1
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        times = len(prompts)  # pyright: ignore[reportUnknownArgumentType]
    return max(1, (count if isinstance(count, int) else 1) * times)


def token_counts(usage: Json) -> dict[str, int]:
    """Return the counts of a usage block under our names; only those that were told, >= 0.

    Both forms are read: `prompt_tokens` with `completion_tokens`, and the Responses API's
    `input_tokens` with `output_tokens`. Input includes cached tokens, output includes reasoning.
    """
    into = as_object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    out = as_object(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    found: dict[str, Any] = {
        "input_tokens": usage.get("prompt_tokens", usage.get("input_tokens")),
        "output_tokens": usage.get("completion_tokens", usage.get("output_tokens")),
        "cached_tokens": into.get("cached_tokens"),
        "reasoning_tokens": out.get("reasoning_tokens"),
    }
    return {name: count for name, count in found.items() if isinstance(count, int) and count >= 0}


def error_word(error: Any) -> str | None:
    """Return the provider's code for an error, else its type; None when neither is a short word.

    A sentence is never returned: what goes into `error.type` must be of low cardinality.
    """
    for name in ("code", "type"):
        word = as_object(error).get(name)
        if isinstance(word, str) and is_word(word) and word != "error":
            return word
    return None


def is_word(text: str) -> bool:
    """Tell whether a text can stand as an error type: at most 64 letters, digits and `_.-`."""
    return len(text) <= 64 and text.replace("_", "").replace(".", "").replace("-", "").isalnum()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
