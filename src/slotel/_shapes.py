"""Results recognised by their shape: no client library is imported to read them.

Each reader takes a result of any type and returns what it found, or nothing. Attribute names are
those of OpenAI's, Anthropic's and vector stores' own objects, or the same as keys of a dict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from slotel._figures import finite

_MISSING = object()


def read(source: Any, *names: str) -> Any:
    """Return the first of these fields that a dict or object has and is not None, else None."""
    for name in names:
        if isinstance(source, Mapping):
            value: Any = source.get(name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        else:
            value = getattr(source, name, None)
        if value is not None:
            return value  # pyright: ignore[reportUnknownVariableType]
    return None


@dataclass(slots=True)
class Answer:
    """What a model's answer says about itself."""

    id: str | None = None
    model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    usage: dict[str, int] = field(default_factory=dict[str, int])


def answer(result: Any) -> Answer | None:
    """Read a chat completion, message or response object, or None when it is none of these."""
    if isinstance(result, (str, bytes, int, float, list, tuple)):
        return None
    model, usage_object = read(result, "model"), read(result, "usage")
    if not isinstance(model, str) and usage_object is None:
        return None
    identity = read(result, "id")
    return Answer(
        id=identity if isinstance(identity, str) else None,
        model=model if isinstance(model, str) else None,
        finish_reasons=_finish_reasons(result),
        usage=usage(usage_object),
    )


def usage(source: Any) -> dict[str, int]:
    """Read token counts of a usage object by quantity name; empty when there are none.

    Anthropic counts cached input beside the input, OpenAI inside it; `input_tokens` here includes
    it, as the conventions ask.
    """
    if source is None:
        return {}
    found = {
        "input_tokens": read(source, "input_tokens", "prompt_tokens"),
        "output_tokens": read(source, "output_tokens", "completion_tokens"),
    }
    details = read(source, "prompt_tokens_details", "input_tokens_details")
    found["cached_tokens"] = read(details, "cached_tokens")
    details = read(source, "completion_tokens_details", "output_tokens_details")
    found["reasoning_tokens"] = read(details, "reasoning_tokens")
    counts = {name: int(value) for name, value in found.items() if _is_count(value)}
    cache_read, cache_write = (
        read(source, "cache_read_input_tokens"),
        read(source, "cache_creation_input_tokens"),
    )
    if _is_count(cache_read) or _is_count(cache_write):
        counts["cached_tokens"] = int(cache_read or 0)
        counts["input_tokens"] = (
            counts.get("input_tokens", 0) + int(cache_read or 0) + int(cache_write or 0)
        )
    return counts


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _finish_reasons(result: Any) -> tuple[str, ...]:
    choices = read(result, "choices")
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        reasons = [read(choice, "finish_reason") for choice in choices]  # pyright: ignore[reportUnknownVariableType]
        return tuple(reason for reason in reasons if isinstance(reason, str))
    reason = read(result, "stop_reason", "status")
    return (reason,) if isinstance(reason, str) else ()


@dataclass(frozen=True, slots=True)
class Hit:
    """One retrieved document: id and score where it has them, and a relevance label."""

    id: str | None
    score: float | None
    relevant: bool | None = None


MAX_HITS = 1000
"""Hits of one result that are looked at; those behind are only counted."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What a retrieval found: how many documents, and the first of them in order."""

    count: int
    first: list[Hit]


def hits(result: Any) -> Hits | None:
    """Read a retrieval's result: lists of hits, (document, score) pairs, query responses.

    Returns:
        None when the result is not a retrieval's.
    """
    columns = _columns(result)
    if columns is not None:
        return Hits(len(columns), columns[:MAX_HITS])
    listed: Any = result
    if not isinstance(result, (list, tuple)):
        listed = read(result, "points", "documents", "nodes", "matches", "results")
    if not isinstance(listed, (list, tuple)):
        return None
    found = cast("list[Any]", listed)
    return Hits(len(found), [_hit(item) for item in found[:MAX_HITS]])


def _hit(item: Any) -> Hit:
    if isinstance(item, tuple) and len(item) == 2 and finite(item[1]) is not None:  # pyright: ignore[reportUnknownArgumentType]
        return Hit(_identity(item[0]), finite(item[1]))
    relevant = read(item, "relevant", "is_relevant")
    return Hit(
        _identity(item),
        finite(read(item, "score", "similarity", "relevance_score")),
        relevant if isinstance(relevant, bool) else None,
    )


def _identity(item: Any) -> str | None:
    if isinstance(item, str):
        return None
    found = read(item, "id", "id_", "node_id", "doc_id")
    return str(found) if isinstance(found, (str, int)) else None


def _columns(result: Any) -> list[Hit] | None:
    """Read chromadb's form: ids and distances as lists of lists, one for each query."""
    if not isinstance(result, Mapping):
        return None
    rows: Any = result.get("ids")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not (isinstance(rows, list) and rows and isinstance(rows[0], list)):
        return None
    return [Hit(str(identity), None) for row in rows for identity in row]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a moderation decided."""

    flagged: bool
    categories: dict[str, float]


def verdict(result: Any) -> Verdict | None:
    """Read a moderation's result: a boolean, an OpenAI-like response, a dict, or None."""
    listed: Any = result
    if not isinstance(result, (list, tuple, bool, str, bytes, int, float)):
        listed = read(result, "results")
    if isinstance(listed, (list, tuple)) and listed:
        return _joined([_verdict(item) for item in cast("list[Any]", listed)[:MAX_HITS]])
    return _verdict(result)


def _verdict(result: Any) -> Verdict | None:
    """Read one verdict, which holds no others."""
    if isinstance(result, bool):
        return Verdict(result, {})
    if isinstance(result, (str, bytes, int, float, list, tuple)) or result is None:
        return None
    flagged = read(result, "flagged", "is_flagged", "blocked")
    if not isinstance(flagged, bool):
        return None
    return Verdict(flagged, _scores(read(result, "category_scores", "scores", "categories")))


def _joined(parts: list[Verdict | None]) -> Verdict | None:
    known = [part for part in parts if part is not None]
    if not known:
        return None
    categories: dict[str, float] = {}
    for part in known:
        for name, value in part.categories.items():
            categories[name] = max(value, categories.get(name, 0.0))
    return Verdict(any(part.flagged for part in known), categories)


def _scores(source: Any) -> dict[str, float]:
    dump = getattr(source, "model_dump", None)
    if callable(dump):
        source = dump()
    if not isinstance(source, Mapping):
        return {}
    values = {str(name): finite(value) for name, value in source.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return {name: value for name, value in values.items() if value is not None}
