"""Operations as spans, through the user's tracer provider.

A span is made only when it can be recorded: with no provider there is none; under a parent that
is known not to be sampled none is asked for, if the provider's sampler follows its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, cast

import opentelemetry.context as otel_context
import opentelemetry.trace as otel_trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace import propagation as _propagation

from slotel.semconv import SCHEMA_URL, SCOPE

Attributes = dict[str, Any]


def _context_variable() -> ContextVar[Context] | None:
    """Return the context variable that the API keeps its context in, None when it moved.

    Reading it directly costs a quarter of the public way, which is the fallback.
    """
    runtime = getattr(otel_context, "_RUNTIME_CONTEXT", None)
    variable = getattr(runtime, "_current_context", None)
    return cast("ContextVar[Context]", variable) if isinstance(variable, ContextVar) else None


_VARIABLE = _context_variable()
_KEY: str | None = getattr(_propagation, "_SPAN_KEY", None)

get_context: Callable[[], Context] = (
    _VARIABLE.get if _VARIABLE is not None else otel_context.get_current
)
"""Returns the current OpenTelemetry context."""
set_context: Callable[[Context], Token[Context]] = (
    _VARIABLE.set if _VARIABLE is not None else otel_context.attach
)
"""Makes a context current; returns the token for `restore_context`."""


class _AskAlways:
    """Stands in for the API's module when its variable has moved: as if a provider were set."""

    _TRACER_PROVIDER: Any = True


api: Any = otel_trace if hasattr(otel_trace, "_TRACER_PROVIDER") else _AskAlways
"""Where `_TRACER_PROVIDER` is the provider that was set; an attribute of a module reads fastest."""


def provider_is_set() -> bool:
    """Return True when a tracer provider has been set; cheap, as it is asked for every call."""
    return api._TRACER_PROVIDER is not None  # noqa: SLF001  # guarded above


def restore_context(token: Token[Context]) -> None:
    """Undo `set_context`; silent when the step was left in another context than it was entered."""
    try:
        token.var.reset(token)
    except ValueError:
        return


class _Source:
    """The tracer of one provider, and whether its sampler always follows an unsampled parent."""

    __slots__ = ("follows_parent", "provider", "tracer")

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self.tracer: Tracer = provider.get_tracer(SCOPE, schema_url=SCHEMA_URL)
        self.follows_parent = _follows_parent(getattr(provider, "sampler", None))


def _follows_parent(sampler: Any) -> bool:
    if sampler is None:
        return False
    description = getattr(sampler, "get_description", str)()
    # ParentBased names its delegates; only the default ones drop every child of a dropped parent.
    return (
        type(sampler).__name__ in ("ParentBased", "ParentBasedTraceIdRatio")
        and "localParentNotSampled:AlwaysOffSampler" in description
        and "remoteParentNotSampled:AlwaysOffSampler" in description
    )


_source: _Source | None = None


def _current_source() -> _Source:
    global _source  # noqa: PLW0603  # replaced whole when the provider changes
    provider = otel_trace.get_tracer_provider()
    source = _source
    if source is None or source.provider is not provider:
        source = _source = _Source(provider)
    return source


def make(name: str, kind: SpanKind, attributes: Attributes, context: Context) -> Span:
    """Start a span without making it current."""
    source = _source
    if source is None or source.provider is not api._TRACER_PROVIDER:  # noqa: SLF001  # guarded above
        source = _current_source()
    return source.tracer.start_span(name, context, kind, attributes)


def is_ruled_out(context: Context) -> bool:
    """Return True when the parent is not sampled and the sampler follows it: no span is needed.

    Asked for every call, so the last such parent is remembered.
    """
    global _last_unsampled  # noqa: PLW0603  # replaced whole
    parent = context.get(_KEY) if _KEY is not None else otel_trace.get_current_span(context)
    if type(parent) is not NonRecordingSpan:
        return False
    source = _source
    if source is None or source.provider is not api._TRACER_PROVIDER:  # noqa: SLF001  # guarded above
        source = _current_source()
    if not source.follows_parent:
        return False
    if parent is _last_unsampled:
        return True
    found = parent.get_span_context()
    if not found.is_valid or found.trace_flags.sampled:
        return False
    _last_unsampled = parent
    return True


_last_unsampled: NonRecordingSpan | None = None


def with_span(span: Span, context: Context) -> Context:
    """Return the context with this span as the current one."""
    if _KEY is None:
        return otel_trace.set_span_in_context(span, context)
    return Context({**context, _KEY: span}) if context else Context({_KEY: span})


def end(
    span: Span, attributes: Mapping[str, Any], *, error_type: str | None, unix_ns: int | None = None
) -> None:
    """Set the last attributes, mark a failure and end the span.

    The status carries no message of the error: providers put prompts into theirs.
    """
    try:
        if attributes:
            span.set_attributes(attributes)
        if error_type is not None:
            span.set_status(Status(StatusCode.ERROR, error_type))
    finally:
        span.end(unix_ns)


def ids(span: Span) -> tuple[int, int]:
    """Return trace id and span id."""
    context = span.get_span_context()
    return context.trace_id, context.span_id


def current_ids() -> tuple[int, int] | None:
    """Return trace id and span id of the current span, None when there is no valid one."""
    context = otel_trace.get_current_span().get_span_context()
    return (context.trace_id, context.span_id) if context.is_valid else None
