"""The live record of a call: from its start to exactly one finish."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Token
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind

from slotel import _figures, _spans
from slotel._call_span import end_span, make_span
from slotel._context import (
    GONE,
    HOLDER,
    NOTED,
    STATE,
    Cell,
    Link,
    current,
    held_by,
    live,
    noted,
    renew_lock,
    restore_link,
)
from slotel._faults import refuse, report
from slotel._figures import Chunks, Figures
from slotel._process import clock, recorder, settings
from slotel._telling import Telling, moment
from slotel.errors import RejectedError
from slotel.measure.measurement import Attributes, Outcome, Role, SeriesKey
from slotel.measure.series import Series


def live_operation() -> Operation | None:
    """Return the innermost open operation of the current context, None outside of any."""
    link = held_by(current.get())
    while link is not None and not isinstance(link, Operation):
        link = live(link.parent)
    return link


@dataclass(frozen=True, slots=True)
class Ref:
    """The identity of a call, small and picklable: the target of a late score.

    Attributes:
        trace_id: 0 when the call had no recorded span; `span_id` likewise.
        key: Series key of the call as far as it was known.
    """

    operation: str
    provider: str | None
    model: str | None
    attributes: Attributes
    trace_id: int = 0
    span_id: int = 0
    response_id: str | None = None


def outcome_of(error: BaseException) -> tuple[Outcome, str]:
    """Return how a call that raised this ended, and the reason as the conventions write it."""
    kind = type(error)
    module, name = kind.__module__, kind.__qualname__
    reason = name if module == "builtins" else f"{module}.{name}"
    if isinstance(error, RejectedError):
        return Outcome.REJECTED, reason
    if not isinstance(error, Exception) or (
        name == "CancelledError" and module.startswith("concurrent.futures")
    ):
        return Outcome.CANCELLED, name
    return Outcome.ERROR, reason


class Site(Protocol):
    """What an operation needs to know of the place that made it."""

    operation: str
    provider: str | None
    model: str | None
    span_name: str
    span_kind: SpanKind
    start_attributes: dict[str, Any]
    static_labels: Attributes
    inspect: Callable[[Telling, Any], None] | None
    shapeless: frozenset[type]
    arrive: Callable[[Cell], None] | None
    record_class: type[Operation]
    series: dict[tuple[Any, ...], Series]

    def plain_series(self) -> Series:
        """Return the series of a successful outer call without attributes of its own."""
        ...


class Operation(Telling):
    """One call while it is measured.

    Any thread may call any method; after the finish they have no effect. Values that cannot be
    used are refused, counted and logged once, and never raise into the caller.

    Attributes:
        started: `perf_counter` seconds when the call began.
        role: Inner when an operation of the same name was open around it.
    """

    started: float
    claim: list[None]
    role = Role.OUTER
    outer: Operation | None = None
    span: Span | None = None
    held = False
    block = False
    """True inside a `with` block, which it leaves at the block's end, whenever it was finished."""
    inners: dict[int, Operation] | None = None
    _identity: tuple[int, int] | None = None
    span_context: Context | None = None
    context_token: Token[Context] | None = None

    @property
    def ref(self) -> Ref:
        """The identity of this call for a late score."""
        figures = self.figures or Figures()
        trace_id, span_id = self._ids() or (0, 0)
        return Ref(
            operation=self.site.operation,
            provider=figures.provider or self.site.provider,
            model=figures.model or self.site.model,
            attributes=self._labels(figures),
            trace_id=trace_id,
            span_id=span_id,
            response_id=figures.response_id,
        )

    # -- life ---------------------------------------------------------------------------------

    def active(self) -> AbstractContextManager[None]:
        """Return a context manager inside which this operation and its span are current."""
        return _Active(self)

    def finish(
        self,
        outcome: Outcome = Outcome.SUCCESS,
        *,
        error: BaseException | None = None,
        error_type: str | None = None,
        at: float | None = None,
    ) -> bool:
        """End the call, once: the first caller wins, whatever thread or context it is in.

        Args:
            outcome: How it ended; decided by `error` when one is given.
            error: What was raised, if anything was.
            error_type: Reason to report instead of the error's class.
            at: When it ended, `perf_counter` seconds; now when None.

        Returns:
            True for the call that did it.
        """
        if not hasattr(self, "started"):
            refuse("finish", "a decorated call ends when its function does; finish() was ignored.")
            return False
        try:
            self.claim.pop()  # Atomic: of several that end a call at once, one gets it.
        except IndexError:
            return False
        if not self.block:
            self.leave()
        elapsed = (clock() if at is None else moment(at)) - self.started
        try:
            if error is not None:
                outcome, reason = outcome_of(error)
                error_type = error_type if error_type is not None else reason
            elif type(outcome) is not Outcome:
                outcome = _outcome(outcome)
            if error_type is not None:
                error_type = _figures.text(error_type, what="an error type")
            if elapsed < 0.0:
                refuse("time", f"a call ended {-elapsed:g} s before it began; counted as 0 s.")
            if self.started >= settings.born:  # Else it began before a fork: the parent's to count.
                self._settle(outcome, error_type, max(0.0, elapsed))
        except Exception as fault:  # noqa: BLE001  # ours, never the caller's
            report("operation.finish", fault)
        return True

    @property
    def finished(self) -> bool:
        """True once `finish` was called."""
        return not self.claim

    def fold_chunks(self) -> None:
        """Hand the chunk times gathered so far to the recorder; bounds a live stream's memory."""
        chunks = self.note().stream()
        if self.span is not None:
            chunks.measure_gaps()
        gaps = self.site_series().buffer("chunk_gap")
        gaps.record_differences(chunks.take(), chunks.gaps, None)

    def _end_chunks(self, chunks: Chunks, series: Series) -> None:
        """Hand over the last chunk times; the drain then knows the stream's largest gap."""
        if self.span is not None:
            chunks.measure_gaps()
        gaps = self.site_series().buffer("chunk_gap")
        gaps.record_differences(chunks.take(), chunks.gaps, series.buffer("max_gap"))

    def link(self, parent: Link) -> None:
        """Take the place inside `parent`, an open link; decides the role."""
        self.parent = parent
        self.labels = parent.labels
        around: Link | None = parent
        while around is not None:
            if (
                isinstance(around, Operation)
                and around.site.operation == self.site.operation
                and around.claim  # Not ended by hand inside its block.
            ):
                self.role, self.outer = Role.INNER, around
                around.__dict__.setdefault("inners", {})[id(self)] = self
                return
            around = live(around.parent)

    def hold(self) -> bool:
        """Leave a call whose result is still being produced by a nested one.

        Returns:
            True when a nested operation of the same name is still open; its end ends this one.
        """
        if not self.inners:
            return False
        self.held = True
        self.leave()
        return bool(self.inners)  # Asked again: the last one may have ended in between.

    def leave(self) -> None:
        """Let whoever still finds this call's cell go on to what is around it."""
        self.closed = True
        self.cell[HOLDER] = self.parent
        self.cell[STATE] = GONE if self.parent is None else NOTED

    def site_series(self) -> Series:
        """Return the series that this call would count in if it succeeded now."""
        return self._series(self.figures or Figures(), Outcome.SUCCESS, None)

    def _settle(self, outcome: Outcome, reason: str | None, elapsed: float) -> None:
        if self.inners:  # Ended before they did: what they know so far is this call's too.
            for inner in list(self.inners.values()):
                self._absorb(inner)
        figures = self.figures
        values = {"duration": elapsed}
        if figures is None:
            series = self._bare_series(outcome, reason)
            series.duration.record(elapsed)
        else:
            figures.close_stream()
            series = self._series(figures, outcome, reason)
            if figures.chunks is not None:
                self._end_chunks(figures.chunks, series)
            figures.measure(values, outcome, started=self.started)
            for name, value in values.items():
                series.buffer(name).record(value)
        outer = self.outer
        if self.span is not None:
            self._end_span(self.span, series, values)
        if outer is not None:
            self._report_to(outer, outcome, reason, elapsed)

    def _end_span(self, span: Span, series: Series, values: dict[str, float]) -> None:
        try:
            judge = settings.violations
            violated = judge(series, values) if judge is not None else ()
            self._identity = end_span(self, span, series, values, violated)
        except Exception as error:  # noqa: BLE001  # a broken span must not cost the measurement
            report("span.end", error)
        finally:
            self.span = self.span_context = None

    def _bare_series(self, outcome: Outcome, reason: str | None) -> Series:
        if outcome is _SUCCESS and self.outer is None and not self.labels:
            return self.site.plain_series()
        return self._series(_NO_FIGURES, outcome, reason)

    def _report_to(
        self,
        outer: Operation,
        outcome: Outcome,
        reason: str | None,
        elapsed: float,
    ) -> None:
        outer._absorb(self)
        inners = outer.inners
        if inners is not None:
            inners.pop(id(self), None)
        if outer.held and not inners:
            outer.finish(outcome, error_type=reason, at=self.started + elapsed)

    def _absorb(self, inner: Operation) -> None:
        """Fill what is unset here from a nested call; what either's site says counts as set."""
        figures, seen = self.note(), inner.figures or _NO_FIGURES
        provider = figures.provider or self.site.provider or seen.provider or inner.site.provider
        model = figures.model or self.site.model or seen.model or inner.site.model
        figures.absorb(seen)
        figures.provider, figures.model = provider, model

    def _series(self, figures: Figures, outcome: Outcome, reason: str | None) -> Series:
        site = self.site
        labels = self._labels(figures)
        found = (figures.provider, figures.model, figures.response_model, outcome.value, reason,
                 self.role, labels)  # fmt: skip
        series = site.series.get(found)
        if series is None:
            key = SeriesKey(
                operation=site.operation,
                provider=figures.provider or site.provider,
                model=figures.model or site.model or figures.response_model,
                outcome=outcome,
                error_type=reason,
                role=self.role,
                attributes=labels,
            )
            series = recorder.series(key)
            if not series.key.overflow and len(site.series) < _MAX_KNOWN:
                site.series[found] = series
        return series

    def _labels(self, figures: Figures) -> Attributes:
        wanted = settings.dimensions
        if not wanted or not (self.labels or figures.labels):
            return self.site.static_labels
        found = dict(self.site.static_labels)
        for name, value in (self.labels or {}).items():
            if name in wanted:
                found[name] = _figures.label(value)
        found.update({n: v for n, v in figures.labels.items() if n in wanted})
        return tuple(
            sorted((name, _figures.text(value, what=name) or "") for name, value in found.items())
        )

    def _ids(self) -> tuple[int, int] | None:
        if self.span is not None:
            return _spans.ids(self.span)
        return self._identity


_NO_FIGURES = Figures()
_SUCCESS = Outcome.SUCCESS  # Looking it up on the Enum is slow on Python 3.11.
_MAX_KNOWN = 1000
"""Series that a site looks up by itself; those beyond are looked up in the recorder."""


class _Active:
    """Makes an operation and its span current between enter and exit."""

    __slots__ = ("_context_token", "_link_token", "_operation")

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._link_token: Token[Cell] | None = None
        self._context_token: Token[Context] | None = None

    def __enter__(self) -> None:
        operation = self._operation
        self._link_token = current.set(operation.cell)
        if operation.span_context is not None:
            self._context_token = _spans.set_context(operation.span_context)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._context_token is not None:
            _spans.restore_context(self._context_token)
        if self._link_token is not None:
            restore_link(self._link_token)


def begin(operation: Operation) -> None:
    """Start the clock and the span of an operation and link it to what is around it.

    It is not current afterwards: see `Operation.active` and `enter`.
    """
    cell: Cell = [NOTED, operation]
    operation.cell, operation.claim = cell, [None]
    nest(cell, current.get())
    try:
        if operation.site.arrive is not None:
            operation.site.arrive(cell)
        if _spans.provider_is_set():
            context = _spans.get_context()
            if not _spans.is_ruled_out(context):
                operation.span_context = _spans.with_span(make_span(cell, context), context)
    except Exception as error:  # noqa: BLE001  # a broken tracer must not break the call
        report("span.start", error)
    finally:
        operation.started = clock()


def nest(cell: Cell, parent: Cell) -> None:
    """Link the call of a cell to what is open in the cell that it found in its context."""
    try:
        if settings.ensure_running is not None:
            settings.ensure_running()
        found = held_by(parent)
        if found is not None:
            noted(cell).link(found)
    except Exception as error:  # noqa: BLE001  # ours, never the caller's
        report("operation.nest", error)


def enter(operation: Operation) -> None:
    """Begin an operation, if it has not begun, and leave it and its span current here."""
    if not hasattr(operation, "started"):
        begin(operation)
    current.set(operation.cell)
    if operation.span_context is not None:
        _spans.set_context(operation.span_context)


def _outcome(given: Any) -> Outcome:
    try:
        return Outcome(given)
    except ValueError:
        refuse("finish", f"{_figures.shown(given)} is no outcome; the call counts as an error.")
        return Outcome.ERROR


def disown_after_fork() -> None:
    """In a forked child: leave the operations that were open at the fork to the parent."""
    settings.born = clock()
    renew_lock()
    link = held_by(current.get())
    while link is not None:
        parent = live(link.parent)
        if isinstance(link, Operation):
            link.claim.clear()
            link.leave()
        link = parent
