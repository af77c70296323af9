"""The span of one call: what it starts with, what it ends with, and the exemplars it leaves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span

from slotel import _spans, semconv
from slotel._context import HOLDER, NOTED, STATE, Cell, noted
from slotel.measure.measurement import Outcome, Role
from slotel.measure.series import Exemplar, Series

if TYPE_CHECKING:
    from slotel._operation import Operation, Site


# Looking a member up on its Enum costs more than a dict look-up on Python 3.11.
_SUCCESS, _CANCELLED = Outcome.SUCCESS, Outcome.CANCELLED


_TIMES = ("duration", "time_to_first_token", "time_per_output_token")


def make_span(cell: Cell, context: Context) -> Span:
    """Start the span of a call that is about to run, under the one of that context.

    It is not made current. A plain cell stays plain when the sampler drops the span.
    """
    call: Operation | None = cell[HOLDER] if cell[STATE] == NOTED else None
    site: Site = cell[HOLDER] if call is None else call.site
    attributes, name = site.start_attributes, site.span_name
    if call is not None and (call.labels or call.figures is not None):
        attributes = dict(attributes)
        name = _say_more(call, attributes)
    span = _spans.make(name, site.span_kind, attributes, context)
    if type(span) is not NonRecordingSpan and span.is_recording():
        (call or noted(cell)).span = span
    return span


def _say_more(call: Operation, attributes: dict[str, Any]) -> str:
    """Add what the call knows at its start to its attributes; returns the span's name."""
    site, figures = call.site, call.figures
    attributes.update(call.labels or {})
    if figures is None:
        return site.span_name
    attributes.update(figures.attributes)
    if figures.provider is not None:
        attributes[semconv.PROVIDER_NAME] = figures.provider
    if figures.model is None:
        return site.span_name
    attributes[semconv.REQUEST_MODEL] = figures.model
    return f"{site.operation} {figures.model}" if site.model is None else site.span_name


def end_span(
    call: Operation,
    span: Span,
    series: Series,
    values: dict[str, float],
    violated: tuple[str, ...],
) -> tuple[int, int]:
    """Set what is known of the call now, leave exemplars, end the span; returns its ids.

    Args:
        call: The call, whose figures are complete.
        span: Its recorded span.
        series: Where it was counted.
        values: Its measurements by quantity name, base unit.
        violated: Names of the SLOs for which it is a bad event.
    """
    figures, key = call.figures, series.key
    attributes: dict[str, Any] = {}
    if figures is not None:
        attributes = figures.span_attributes(started=call.started, elapsed=values["duration"])
    failed = None
    if key.outcome is not _SUCCESS:  # Spans start with success, which is what most end as.
        attributes[semconv.OUTCOME] = key.outcome.value
        if key.outcome is not _CANCELLED:
            failed = attributes[semconv.ERROR_TYPE] = key.error_type or "_OTHER"
        elif key.error_type is not None:
            attributes[semconv.OUTCOME_REASON] = key.error_type
    if violated:
        attributes[semconv.SLO_VIOLATED] = violated
    if call.outer is not None:
        attributes[semconv.ROLE] = Role.INNER.value
    try:
        identity = _spans.ids(span)
        if call.outer is None:
            notable = bool(violated) or failed is not None
            _leave_exemplars(identity, series, values, notable)
    finally:
        _spans.end(span, attributes, error_type=failed)
    return identity


def _leave_exemplars(
    identity: tuple[int, int], series: Series, values: dict[str, float], notable: bool
) -> None:
    """Let slow and bad calls be found from the histograms: newest by power of two.

    A call that broke no promise can only be slow, so only its times are looked at.
    """
    unix_ns = 0
    for name in values if notable else _TIMES:
        value = values.get(name)
        if value is None:
            continue
        buffer = series.buffer(name)
        if notable or value >= buffer.exemplar_floor:
            unix_ns = unix_ns or time.time_ns()
            octave = int(value * buffer.quantity.scale).bit_length()
            buffer.exemplars[octave] = Exemplar(value, unix_ns, *identity)
