"""Sites: what a decorator, a with block or an instrumented method knows before any call."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from opentelemetry.trace import SpanKind

from slotel import _shapes, semconv
from slotel._context import HOLDER, PLAIN, STATE, Cell
from slotel._figures import label, usable_attributes
from slotel._operation import Operation, begin
from slotel._process import recorder, settings
from slotel._telling import Telling
from slotel.measure.measurement import Attributes, Outcome, Role, SeriesKey
from slotel.measure.series import Series

ADOPTED: frozenset[type] = frozenset({CoroutineType, GeneratorType, AsyncGeneratorType})
"""Results that are not results yet: the call goes on until they end."""
SHAPELESS: frozenset[type] = frozenset({str, bytes, int, float, bool, type(None)})


def _read_answer(call: Telling, result: Any) -> None:
    found = _shapes.answer(result)
    if found is None:
        return
    call.response(id=found.id, model=found.model, finish_reasons=found.finish_reasons)
    if found.usage and not call.note().nested_usage:  # The last of several answers has its own.
        call.count_tokens(found.usage, source="provider")


def _read_hits(call: Telling, result: Any) -> None:
    found = _shapes.hits(result)
    if found is not None:
        call.retrieved(found)


def _read_verdict(call: Telling, result: Any) -> None:
    found = _shapes.verdict(result)
    if found is not None:
        call.verdict(flagged=found.flagged, categories=found.categories)


Inspect = Callable[[Telling, Any], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of operation.

    Attributes:
        word: Name of the decorator.
        operation: Operation name; None when the site's name is the operation.
        span_kind: CLIENT for calls that leave the process, INTERNAL for others.
        name_attribute: Attribute that carries the site's name.
        options: Keywords that the decorator accepts besides name and attributes.
        inspect: Reads the result by its shape; None when results say nothing.
        shapeless: Result types that need no look.
    """

    word: str
    operation: str | None
    span_kind: SpanKind
    name_attribute: str
    options: frozenset[str]
    inspect: Inspect | None = None
    shapeless: frozenset[type] = SHAPELESS


_MODEL = frozenset({"model", "provider"})
_NO_VERDICT = SHAPELESS - {bool}
KINDS: dict[str, Kind] = {
    kind.word: kind
    for kind in (
        Kind("llm", "chat", SpanKind.CLIENT, semconv.NAME,
             _MODEL | {"operation", "content", "tokens_per_chunk"}, _read_answer),
        Kind("embedding", "embeddings", SpanKind.CLIENT, semconv.NAME, _MODEL, _read_answer),
        Kind("retrieval", "retrieval", SpanKind.CLIENT, semconv.NAME,
             _MODEL | {"source", "top_k"}, _read_hits),
        Kind("rerank", "rerank", SpanKind.CLIENT, semconv.NAME, _MODEL | {"top_k"}, _read_hits),
        Kind("moderation", "moderation", SpanKind.CLIENT, semconv.NAME, _MODEL, _read_verdict,
             _NO_VERDICT),
        Kind("tool", "execute_tool", SpanKind.INTERNAL, semconv.TOOL_NAME, frozenset()),
        Kind("agent", "invoke_agent", SpanKind.INTERNAL, semconv.AGENT_NAME, _MODEL, _read_answer),
        Kind("journey", None, SpanKind.INTERNAL, semconv.NAME, frozenset()),
        Kind("operation", None, SpanKind.INTERNAL, semconv.NAME, frozenset()),
    )
}  # fmt: skip


class Site:
    """Immutable description of where calls are made; makes their operations.

    Any thread may call. Making one costs some microseconds and a small class; do it once for each
    decorated function or instrumented method, not once a call.

    Args:
        kind: One of `KINDS`, such as `llm` or `retrieval`.
        name: Name of the tool, agent, journey or free operation, or a name for an LLM function.
        operation: Operation name instead of the kind's own.
        attributes: Attributes of every span; text ones are dimensions of the series.
    """

    def __init__(
        self,
        kind: str,
        *,
        name: str | None = None,
        operation: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        source: str | None = None,
        top_k: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        content: Callable[[Any], Any] | None = None,
        tokens_per_chunk: int | None = None,
    ) -> None:
        self.kind = KINDS[kind]
        self.name = name
        self.operation: str = operation or self.kind.operation or name or kind
        self.model, self.provider = model, provider
        self.content, self.tokens_per_chunk = content, tokens_per_chunk
        self.span_kind = self.kind.span_kind
        self.inspect = self.kind.inspect
        self.shapeless = self.kind.shapeless
        subject = name if kind in ("tool", "agent") else (source or model)
        self.span_name = f"{self.operation} {subject}" if subject else self.operation
        given = usable_attributes(attributes or {})
        self.start_attributes = self._start_attributes(source, top_k, given)
        self.static_labels: Attributes = tuple(
            sorted((key, label(value)) for key, value in self._labelled(source, given).items())
        )
        self.record_class: type[Operation] = type(
            "Operation", (Operation,), {"site": self, "__module__": __name__}
        )
        self._plain_series: Series | None = None
        self.arrive: Callable[[Cell], None] | None = None
        self.series: dict[tuple[Any, ...], Series] = {}
        self.namespaces: list[dict[str, Any]] = []
        self.count_arrivals()
        SITES.add(self)

    def begin(
        self,
        *,
        model: str | None = None,
        provider: str | None = None,
        streaming: bool | None = None,
        **attributes: Any,
    ) -> Operation:
        """Start an operation: clock, span and link to what is around it. It is not made current."""
        call = self.record_class()
        if model is not None or provider is not None or streaming or attributes:
            call.request(model=model, provider=provider, streaming=streaming, **attributes)
        begin(call)
        return call

    def plain_series(self) -> Series:
        """Return the series of a successful outer call without any attribute of its own."""
        if self._plain_series is None:
            self._plain_series = recorder.series(self._key())
        return self._plain_series

    def count_arrivals(self) -> None:
        """Count calls as they start if an SLI needs the offered load of this operation."""
        wanted = self.operation in settings.arrivals or None in settings.arrivals
        self.arrive = _arrive if wanted else None
        for namespace in self.namespaces:
            namespace["_slotel_arrive"] = self.arrive

    def _key(self) -> SeriesKey:
        return SeriesKey(
            self.operation, self.provider, self.model, Outcome.SUCCESS, None, Role.OUTER,
            self.static_labels,
        )  # fmt: skip

    def _start_attributes(
        self, source: str | None, top_k: int | None, given: dict[str, Any]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            key: value
            for key, value in (
                (semconv.PROVIDER_NAME, self.provider),
                (semconv.REQUEST_MODEL, self.model),
                (semconv.DATA_SOURCE_ID, source),
                (semconv.RETRIEVAL_TOP_K, top_k),
                (self.kind.name_attribute, self.name),
            )
            if value is not None
        }
        if self.kind.operation is not None:
            found[semconv.OPERATION_NAME] = self.operation
        else:
            found[semconv.KIND] = self.kind.word
        # Most calls succeed; setting it at the end would cost each of them a second pass.
        return {semconv.OUTCOME: Outcome.SUCCESS.value, **found, **given}

    def _labelled(self, source: str | None, given: dict[str, Any]) -> dict[str, Any]:
        found = {key: value for key, value in given.items() if isinstance(value, (str, bool))}
        if source is not None:
            found[semconv.DATA_SOURCE_ID] = source
        if self.name is not None and self.kind.operation is not None:
            found[self.kind.name_attribute] = self.name
        return found


SITES: weakref.WeakSet[Site] = weakref.WeakSet()
"""Every site of the process, so that `configure()` reaches those made before it."""


def _arrive(cell: Cell) -> None:
    """Count a call that starts in the series where it will end if it tells no more and succeeds."""
    plain = cell[STATE] == PLAIN
    series: Series = cell[HOLDER].plain_series() if plain else cell[HOLDER].site_series()
    series.buffer("arrivals").record(1.0)
