"""What is known of one call beyond its duration, and the measurements that follow from it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import sub
from typing import Any, cast

from slotel import semconv
from slotel._faults import refuse
from slotel.measure.measurement import CATEGORY, SCORE, Outcome
from slotel.measure.series import MAX_LABEL_LENGTH, Gaps

FOLD_AT = 512
"""Chunk times kept by a live stream before they are handed to the recorder; 32 bytes each."""
MAX_NAME = 100
MAX_CATEGORIES = 40
MAX_TEXT = 1024
MAX_WHOLE = 2**53
"""Largest count; every whole number up to here is one, as a float and in OTLP."""
_WHOLE_NUMBERS = range(-(2**63), 2**63)  # What an attribute can hold in OTLP.


class Chunks:
    """Arrival times of one stream's chunks, the newest `FOLD_AT` of them at most.

    The caller only appends to `times`; the gaps between them are worked out by the drain.

    Attributes:
        times: `perf_counter` seconds, ascending; the first one may have been counted before.
        gaps: What the drain knows of this stream's gaps so far.
        first_at: When the first chunk came, known once the times were handed on or read.
        largest_gap: Largest gap in seconds, worked out only for a recorded span.
    """

    __slots__ = ("_counted", "_first_at", "gaps", "largest_gap", "times")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.gaps = Gaps()
        self.largest_gap: float | None = None
        self._counted = 0
        self._first_at: float | None = None

    @property
    def count(self) -> int:
        """Number of chunks so far."""
        return self._counted + len(self.times) - (1 if self._counted else 0)

    @property
    def first_at(self) -> float | None:
        """When the first chunk came; None before it."""
        return self._first_at if self._first_at is not None else next(iter(self.times), None)

    @property
    def last_at(self) -> float | None:
        """When the newest chunk came; None before the first."""
        return self.times[-1] if self.times else None

    def take(self) -> array[float]:
        """Return the times gathered so far, packed, and begin anew with the last of them."""
        taken = array("d", self.times)
        self._first_at, self._counted = self.first_at, self.count
        self.times = self.times[-1:]
        return taken

    def measure_gaps(self) -> None:
        """Work out the largest gap so far, for the span's attributes."""
        found = max(map(sub, self.times[1:], self.times), default=None)
        if found is not None:
            self.largest_gap = max(found, self.largest_gap or 0.0)


@dataclass(slots=True)
class Figures:
    """Figures of one call; times are `perf_counter` seconds. Belongs to its operation.

    Attributes:
        usage: Tokens by quantity name (`input_tokens`, `output_tokens`, ...), as this call was
            told; `tokens()` has those of nested calls too.
        nested_usage: Tokens of the nested calls, added up.
        nested_answer: What is known here of the answer from nested calls alone.
        nested_last_at: When the newest chunk of a nested call came.
        reasoning_streamed: True when the reasoning tokens among the output came as chunks.
        chunks: Arrival times of a stream's chunks; of the nested call where this one saw none.
        attributes: Span attributes that were set during the call.
        labels: User-chosen attributes, as text, that may be dimensions of the series.
    """

    provider: str | None = None
    model: str | None = None
    streaming: bool = False
    first_chunk_at: float | None = None
    first_token_at: float | None = None
    chunks: Chunks | None = None
    usage: dict[str, int] = field(default_factory=dict[str, int])
    usage_source: str | None = None
    nested_usage: dict[str, int] = field(default_factory=dict[str, int])
    nested_source: str | None = None
    nested_answer: dict[str, Any] = field(default_factory=dict[str, Any])
    nested_last_at: float | None = None
    reasoning_streamed: bool = False
    response_id: str | None = None
    response_model: str | None = None
    finish_reasons: tuple[str, ...] = ()
    status_code: int | None = None
    request_id: str | None = None
    retries: int | None = None
    error_code: str | None = None
    documents: int | None = None
    document_scores: tuple[float, ...] = ()
    flagged: bool | None = None
    categories: dict[str, float] = field(default_factory=dict[str, float])
    scores: dict[str, float] = field(default_factory=dict[str, float])
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    labels: dict[str, str] = field(default_factory=dict[str, str])

    def stream(self) -> Chunks:
        """Return the chunk times of this call, made at first use."""
        self.streaming = True
        if self.chunks is None:
            self.chunks = Chunks()
        return self.chunks

    def close_stream(self) -> None:
        """Take from the chunk times what is known only at the end: when the first one came."""
        if self.chunks is not None and self.first_chunk_at is None:
            self.first_chunk_at = self.chunks.first_at

    def absorb(self, inner: Figures) -> None:
        """Fill what is unset here from a nested call of the same operation.

        Of several nested calls the first gives its times, the last one says what came back, and
        their tokens add up.
        """
        for name in _FILLED:
            if getattr(self, name) in _UNSET:
                setattr(self, name, getattr(inner, name))
        for name in _ANSWERED:
            known = getattr(self, name)
            if known in _UNSET or known == self.nested_answer.get(name):
                self.nested_answer[name] = getattr(inner, name)
                setattr(self, name, getattr(inner, name))
        self.streaming = self.streaming or inner.streaming
        self.reasoning_streamed = self.reasoning_streamed or inner.reasoning_streamed
        for name, tokens in inner.tokens().items():
            self.nested_usage[name] = self.nested_usage.get(name, 0) + tokens
        self.nested_source = self.nested_source or inner.source()
        last = inner.last_chunk_at()
        if last is not None:
            self.nested_last_at = max(last, self.nested_last_at or last)
        if inner.retries is not None:
            self.retries = (self.retries or 0) + inner.retries
        self.categories = {**inner.categories, **self.categories}

    def tokens(self) -> dict[str, int]:
        """Return the tokens of this call by quantity name.

        What a provider said of it goes before the sum over nested calls, and that before a count
        of its own: the same tokens are never counted twice.
        """
        if not self.nested_usage:
            return self.usage
        if self._counted:
            return {**self.usage, **self.nested_usage}
        return {**self.nested_usage, **self.usage}

    def source(self) -> str | None:
        """Return who counted the tokens."""
        if self.usage_source is None or (self._counted and self.nested_usage):
            return self.nested_source
        return self.usage_source

    @property
    def _counted(self) -> bool:
        return self.usage_source in ("counted", "estimated")

    def last_chunk_at(self) -> float | None:
        """Return when the newest chunk came, here or in a nested call; None without any."""
        own = self.chunks.last_at if self.chunks is not None else None
        known = [at for at in (own, self.nested_last_at) if at is not None]
        return max(known, default=None)

    def measure(self, values: dict[str, float], outcome: Outcome, *, started: float) -> None:
        """Add every measurement of the call but its duration, which `values` already has.

        Args:
            values: Measurements by quantity name, base unit.
            outcome: How the call ended.
            started: When it began, `perf_counter` seconds.
        """
        if self.streaming:
            self._measure_stream(values, outcome, started)
        tokens = self.tokens()
        if tokens:
            values.update(tokens)
            rate = self.tokens_per_second(values["duration"])
            if rate is not None:
                values["tokens_per_second"] = rate
        if self.retries is not None:
            values["retries"] = self.retries
        if self.documents is not None:
            values["documents"], values["empty"] = self.documents, self.documents == 0
        if self.document_scores:
            top, low = max(self.document_scores), min(self.document_scores)
            values["top_score"], values["score_spread"] = top, top - low
        if self.flagged is not None:
            values["flagged"] = self.flagged
        for name, value in self.categories.items():
            values[CATEGORY + name] = value
        for name, value in self.scores.items():
            values[SCORE + name] = value

    def _measure_stream(self, values: dict[str, float], outcome: Outcome, started: float) -> None:
        elapsed = values["duration"]
        if self.first_chunk_at is not None:
            values["time_to_first_chunk"] = max(0.0, self.first_chunk_at - started)
        first_token = self.first_token(started)
        if first_token is not None:
            values["time_to_first_token"] = first_token
        elif outcome is not Outcome.SUCCESS:
            values["time_to_first_token"] = elapsed  # A lower bound: it had not come by then.
        per_token = self.per_token(started, elapsed)
        if per_token is not None:
            values["time_per_output_token"] = per_token

    def first_token(self, started: float) -> float | None:
        """Return the time to the first content, seconds; None when it did not come."""
        return None if self.first_token_at is None else max(0.0, self.first_token_at - started)

    def per_token(self, started: float, elapsed: float) -> float | None:
        """Return seconds per output token after the first; None when tokens are not known.

        Tokens of reasoning that was not streamed came before the first content and do not count.

        Source:
            OpenTelemetry GenAI metrics, `gen_ai.server.time_per_output_token`: the time after the
            first token by the number of tokens after the first. The end is the last chunk's
            arrival, so a reader that dawdles afterwards does not count.
        """
        usage = self.tokens()
        tokens = usage.get("output_tokens", 0)
        if not self.reasoning_streamed:
            tokens -= usage.get("reasoning_tokens", 0)
        if self.first_token_at is None or tokens < 2:
            return None
        last = self.last_chunk_at()
        last = started + elapsed if last is None else last
        return max(0.0, last - self.first_token_at) / (tokens - 1)

    def tokens_per_second(self, elapsed: float) -> float | None:
        """Return output tokens by the whole duration; None when either is not known."""
        tokens = self.tokens().get("output_tokens", 0)
        return tokens / elapsed if tokens > 0 and elapsed > 0.0 else None

    def span_attributes(self, *, started: float, elapsed: float) -> dict[str, Any]:
        """Return the attributes that the span of this call ends with."""
        found: dict[str, Any] = {
            name: value
            for name, value in (
                (semconv.PROVIDER_NAME, self.provider),
                (semconv.REQUEST_MODEL, self.model),
                (semconv.RESPONSE_ID, self.response_id),
                (semconv.RESPONSE_MODEL, self.response_model),
                (semconv.FINISH_REASONS, self.finish_reasons or None),
                (semconv.HTTP_STATUS_CODE, self.status_code),
                (semconv.HTTP_RESEND_COUNT, self.retries or None),
                (semconv.REQUEST_ID, self.request_id),
                (semconv.PROVIDER_ERROR_CODE, self.error_code),
                (semconv.USAGE_SOURCE, self.source()),
                (semconv.TIME_TO_FIRST_TOKEN, self.first_token(started)),
                (semconv.TIME_PER_OUTPUT_TOKEN, self.per_token(started, elapsed)),
                (semconv.TOKENS_PER_SECOND, self.tokens_per_second(elapsed)),
                (semconv.DOCUMENTS, self.documents),
                (semconv.FLAGGED, self.flagged),
            )
            if value is not None
        }
        tokens = self.tokens()
        for name, attribute in _USAGE_ATTRIBUTES.items():
            if name in tokens:
                found[attribute] = tokens[name]
        self._stream_attributes(found, started)
        self._score_attributes(found)
        found.update(self.attributes)
        return found

    def _stream_attributes(self, found: dict[str, Any], started: float) -> None:
        if self.streaming:
            found[semconv.REQUEST_STREAM] = True
        if self.first_chunk_at is not None:
            found[semconv.TIME_TO_FIRST_CHUNK] = max(0.0, self.first_chunk_at - started)
        chunks = self.chunks
        if chunks is not None and chunks.count:
            found[semconv.CHUNKS] = chunks.count
            if chunks.largest_gap is not None:
                found[semconv.MAX_GAP] = chunks.largest_gap

    def _score_attributes(self, found: dict[str, Any]) -> None:
        if self.document_scores:
            top = max(self.document_scores)
            found[semconv.TOP_SCORE] = top
            found[semconv.SCORE_SPREAD] = top - min(self.document_scores)
        for name, value in self.categories.items():
            found[f"{semconv.CATEGORIES}.{name}"] = value
        for name, value in self.scores.items():
            found[f"{semconv.SCORE_PREFIX}.{name}"] = value


_FILLED = (
    "provider", "model", "first_chunk_at", "first_token_at", "chunks",
    "documents", "document_scores", "flagged",
)  # fmt: skip
_ANSWERED = (
    "response_id", "response_model", "finish_reasons", "status_code", "request_id", "error_code",
)  # fmt: skip
_UNSET: tuple[Any, ...] = (None, ())
_USAGE_ATTRIBUTES = {
    "input_tokens": semconv.INPUT_TOKENS,
    "output_tokens": semconv.OUTPUT_TOKENS,
    "cached_tokens": semconv.CACHED_TOKENS,
    "reasoning_tokens": semconv.REASONING_TOKENS,
}


def finite(value: Any) -> float | None:
    """Return a number or boolean as a finite float, None for anything else."""
    if isinstance(value, (str, bytes)):
        return None
    try:
        number = float(value)
    except Exception:  # noqa: BLE001  # whatever an object's own conversion raises
        return None
    return number if math.isfinite(number) else None


def whole(value: Any, *, place: str, what: str) -> int | None:
    """Return a count, or refuse it and return None; `place` names the fault's counter."""
    number = finite(value)
    if number is None or not 0 <= number <= MAX_WHOLE:
        refuse(place, f"{what}={shown(value)} is not a whole number from 0 to 2**53.")
        return None
    return int(number)


def moment(at: Any) -> float | None:
    """Return a time as `perf_counter` seconds, or refuse it and return None."""
    number = finite(at)
    if number is None:
        refuse("time", f"at={shown(at)} is not a time.perf_counter() reading.")
    return number


def has_content(text: Any, content: Any) -> bool:
    """Return whether a chunk has content: as told, else unless it is empty."""
    if content is not None:
        return bool(content)
    try:
        return text is None or bool(text)
    except Exception:  # noqa: BLE001  # arrays and tensors have no truth value; they are something
        return True


def text(value: Any, *, what: str) -> str | None:
    """Return what is to be a label as text, cut to what a label may have; None stays None."""
    if value is None:
        return None
    known = value if isinstance(value, str) else str(value)
    if not is_unicode(known):
        refuse("label", f"{what} has half a surrogate pair in it; replaced by '?'.")
        known = known.encode("utf-8", "replace").decode()
    if len(known) <= MAX_LABEL_LENGTH:
        return known
    refuse("label", f"{what} of {len(known)} characters was cut to {MAX_LABEL_LENGTH}.")
    return known[:MAX_LABEL_LENGTH]


def is_unicode(known: str) -> bool:
    """Return False for text with half a surrogate pair, which no protocol can carry."""
    if known.isascii():
        return True
    try:
        known.encode()
    except UnicodeEncodeError:
        return False
    return True


def score_name(name: Any) -> str | None:
    """Return a usable name of a score or category, or refuse it and return None."""
    if isinstance(name, str) and 0 < len(name) <= MAX_NAME and is_unicode(name):
        return name
    refuse(
        "score.name",
        f"a score's name must be text of 1 to {MAX_NAME} characters, got {shown(name)}.",
    )
    return None


def attribute_value(name: object, value: object) -> bool:
    """Return True when a span attribute is usable; refuse it otherwise."""
    fault = attribute_fault(name, value)
    if fault is not None:
        refuse("attribute", fault)
    return fault is None


def attribute_fault(name: object, value: object) -> str | None:
    """Return what is wrong with a span attribute, None when it is usable."""
    if not isinstance(name, str) or not name or not is_unicode(name):
        return f"an attribute's name must be text, got {shown(name)}."
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"attribute {shown(name)} has {len(value)} characters, at most {MAX_TEXT} are kept."
    items = value if _is_list_of_one_kind(value) else (value,)
    for item in cast("Iterable[object]", items):
        if isinstance(item, str) and not is_unicode(item):
            return f"attribute {shown(name)} has half a surrogate pair in it, got {shown(value)}."
        if type(item) is int and item not in _WHOLE_NUMBERS:
            return f"attribute {shown(name)} is a number beyond 64 bits."
    if items is value or isinstance(value, (str, bool, int, float)):
        return None
    return (
        f"attribute {shown(name)} must be text, a number, a boolean or a list of one of these, "
        f"got {type(value).__name__}."
    )


def _is_list_of_one_kind(value: object) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    # An attribute is a list of one kind; whatever else the list may hold is refused.
    return any(all(type(item) is kind for item in value) for kind in (str, bool, int, float))  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def label(value: Any) -> str:
    """Return an attribute as the text of a dimension."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def usable_attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the usable ones of several attributes; the others are refused."""
    return {name: value for name, value in given.items() if attribute_value(name, value)}


def shown(value: Any) -> str:
    """Return a value for a message: its repr, cut to 80 characters; whatever it is, it is text."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # an object that cannot be shown
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
