"""The public face: decorators and context managers, and the questions one can ask."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from slotel import _context, _operation
from slotel._context import OUTSIDE, Ambient, held_by, live
from slotel._faults import refuse, report
from slotel._figures import Figures, finite, score_name, usable_attributes
from slotel._operation import Operation, Ref
from slotel._process import recorder, settings
from slotel._runtime import runtime, ticker
from slotel._site import Site
from slotel._spec import Spec
from slotel.errors import ConfigurationError, MissingDependencyError, UnknownNameError
from slotel.measure.measurement import QUANTITIES, SCORE, Attributes, Outcome, Role, SeriesKey

if TYPE_CHECKING:
    from slotel.engine.evaluation import Evaluation, SLOStatus
    from slotel.measure.histogram import HdrCounts

P = ParamSpec("P")
R = TypeVar("R")

INSTRUMENTATION_GROUP = "slotel.instrumentation"

llm = Spec("llm")
"""A call of a language model; counted as the conventions' operation `chat`."""
embedding = Spec("embedding")
"""A call that turns text into vectors."""
retrieval = Spec("retrieval")
"""A search for documents; a returned list of hits is read for count and scores."""
rerank = Spec("rerank")
"""A reordering of documents."""
moderation = Spec("moderation")
"""A check of content; a returned boolean, dict or response is read for its verdict."""
tool = Spec("tool")
"""A tool that a model or agent calls."""
agent = Spec("agent")
"""An agent's run."""
journey = Spec("journey")
"""A critical user journey: its name is the operation, and it owns what happens inside."""
operation = Spec("operation")
"""Any other operation, under a name of its own."""


class _Nothing(Operation):
    """The operation outside of any: accepts everything and keeps nothing."""

    site = Site("operation", name="none")
    closed = True

    def note(self) -> Any:
        """Return figures that nobody reads."""
        return Figures()

    def finish(self, *args: Any, **kwargs: Any) -> bool:
        """Do nothing."""
        return False


_NOTHING = _Nothing()
_NOTHING.started, _NOTHING.cell, _NOTHING.claim = 0.0, OUTSIDE, []


def current() -> Operation:
    """Return the innermost operation that is open here, or one that does nothing."""
    return _operation.live_operation() or _NOTHING


class attributes:  # noqa: N801  # used as a function
    """Attributes of every operation inside the `with` block, instrumented clients included.

    They are set on the spans; those that an SLO filters on, or that `configure(dimensions=…)`
    names, are dimensions of the series too. Works as `with` and `async with`, nests, and reaches
    tasks and, through `propagate`, threads.
    """

    __slots__ = ("_labels", "_open")

    def __init__(self, **labels: Any) -> None:
        self._labels = usable_attributes(labels)
        self._open: dict[int, Ambient] = {}

    def __enter__(self) -> None:
        ambient = Ambient(held_by(_context.current.get()), self._labels, self)
        self._open[id(ambient)] = ambient
        ambient.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Several tasks may be inside the same object: each leaves the nearest of its own context.
        link = held_by(_context.current.get())
        while link is not None and not (isinstance(link, Ambient) and link.owner is self):
            link = live(link.parent)
        found = self._open.pop(id(link), None)
        if found is None and self._open:
            _, found = self._open.popitem()
        if found is not None:
            found.leave()

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function bound to the present context, for a thread or an executor.

    Every call runs in a copy of its own, so several threads may run it at once.
    """
    context = copy_context()

    @functools.wraps(function)
    def bound(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return bound


def score(
    name: str, value: float, *, target: Ref | None = None, explanation: str | None = None
) -> None:
    """Record a quality score: of the current operation, or later of the one that `target` names.

    Args:
        name: Name of the score, 1 to 100 characters, such as `faithfulness`.
        value: A finite number, or a boolean as 1 and 0.
        target: The `ref` of an operation, from this or another process.
        explanation: Why; goes nowhere unless content is recorded.
    """
    if target is None:
        if current() is _NOTHING:
            refuse("score", f"score {name!r}: no operation is open here and no target was given.")
            return
        current().score(name, value, explanation=explanation)
        return
    usable, number = score_name(name), finite(value)
    if usable is None:
        return
    if number is None or not isinstance(target, Ref):  # pyright: ignore[reportUnnecessaryIsInstance]
        refuse("score", f"score {name!r} needs a finite number and a call's ref, got {value!r}.")
        return
    try:
        key = SeriesKey(
            target.operation, target.provider, target.model, attributes=target.attributes
        )
        recorder.series(key).buffer(SCORE + usable).record(number)
        if settings.ensure_running is not None:
            settings.ensure_running()
    except Exception as error:  # noqa: BLE001  # ours, never the caller's
        report("score", error)


class Percentiles(Mapping[float, float]):
    """Percentiles by percent, in the metric's base unit, with what they rest on.

    Attributes:
        count: Values counted.
        relative_error: Largest error of each as a share of the exact one.
        coverage_ratio: Share of the window that is known; 1.0 without a window.
        window_seconds: None when they are since the start.
    """

    def __init__(
        self,
        counts: HdrCounts,
        percents: Sequence[float],
        *,
        coverage_ratio: float,
        window_seconds: float | None,
    ) -> None:
        self._values = dict(zip(percents, counts.percentiles(percents), strict=True))
        self._counts = counts
        self.count = counts.total
        self.relative_error = counts.relative_error
        self.coverage_ratio = coverage_ratio
        self.window_seconds = window_seconds

    @property
    def hdr(self) -> str:
        """The histogram as HdrHistogram's V2 text, which any of its libraries can read and merge.

        In histogram units: nanoseconds for times, millionths for ratios and scores.
        """
        from slotel.measure.hdr_text import encode

        return encode(self._counts)

    def __getitem__(self, percent: float) -> float:
        return self._values[percent]

    def __iter__(self) -> Iterator[float]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Percentiles({self._values}, count={self.count})"


def percentiles(
    operation: str,
    percents: Sequence[float] = (50, 95, 99),
    *,
    metric: str = "duration",
    window: str | float | None = None,
    provider: str | None = None,
    model: str | None = None,
    outcome: str = "success",
) -> Percentiles:
    """Return percentiles of an operation in this process.

    Args:
        operation: Operation name, such as `chat`.
        percents: 0 to 100 each.
        metric: A quantity, such as `duration`, `time_to_first_token` or `score.faithfulness`.
        window: Such as `5m`, or seconds; None is since the start. The last hour is known for every
            series, up to 35 days for those that an SLO or an earlier call of this function named.
        provider: Only this provider.
        model: Only this model.
        outcome: Only calls that ended so.

    Returns:
        Percentiles in the base unit (seconds, tokens, ratio); NaN where nothing was counted.

    Raises:
        UnknownNameError: No such metric or outcome.
        ConfigurationError: A percent or the window is out of range.
    """
    _check_quantity(metric)
    seconds = _window_seconds(window)
    _check_percents(percents)
    ended = _outcome(outcome)
    ticker.tick()
    ledger = recorder.ledger()
    rows = [
        row
        for row, key in enumerate(ledger.keys(metric))
        if key.operation == operation
        and key.outcome is ended
        and key.role is Role.OUTER
        and provider in (None, key.provider)
        and model in (None, key.model)
    ]
    if seconds is None:
        counts, coverage = ledger.merged(metric, rows), 1.0
    else:
        read = ledger.window(metric, rows, seconds=seconds)
        counts, coverage = read.counts, read.coverage_ratio
        ledger.name(metric, rows)
    return Percentiles(counts, percents, coverage_ratio=coverage, window_seconds=seconds)


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One series since the start of the process; times in seconds, NaN where not known."""

    operation: str
    provider: str | None
    model: str | None
    outcome: str
    error_type: str | None
    role: str
    attributes: Attributes
    count: int
    p50: float
    p95: float
    p99: float
    max: float
    first_token_p50: float
    first_token_p95: float
    first_token_p99: float
    output_tokens: int
    tokens_per_second: float


def summary(*, calls: str = "outer") -> list[SummaryRow]:
    """Return one row a series: how many calls, how long, how soon the first token came.

    Args:
        calls: `outer` for each call once; `every` for those nested in one of their kind too.

    Raises:
        UnknownNameError: `calls` is another word.
    """
    if calls not in ("outer", "every"):
        raise UnknownNameError(f"summary(): calls must be 'outer' or 'every', got {calls!r}.")
    snapshot = recorder.ledger().snapshot()
    by_key: dict[SeriesKey, dict[str, Any]] = {}
    for distribution in snapshot.distributions:
        by_key.setdefault(distribution.key, {})[distribution.quantity.name] = distribution
    rows = [
        _row(key, found)
        for key, found in by_key.items()
        if "duration" in found and (calls == "every" or key.role is Role.OUTER)
    ]
    return sorted(rows, key=lambda row: (row.operation, row.role, row.outcome, -row.count))


def _row(key: SeriesKey, found: dict[str, Any]) -> SummaryRow:
    duration, first = found["duration"], found.get("time_to_first_token")
    tokens, rate = found.get("output_tokens"), found.get("tokens_per_second")
    # The middle of a bucket may lie beyond the largest value in it, which is known exactly.
    p50, p95, p99 = (
        min(value, duration.maximum) for value in duration.positive.percentiles((50, 95, 99))
    )
    empty = (math.nan, math.nan, math.nan)
    firsts = first.positive.percentiles((50, 95, 99)) if first is not None else empty
    return SummaryRow(
        operation=key.operation,
        provider=key.provider,
        model=key.model,
        outcome=key.outcome.value,
        error_type=key.error_type,
        role=key.role.value,
        attributes=key.attributes,
        count=duration.count,
        p50=p50,
        p95=p95,
        p99=p99,
        max=duration.maximum,
        first_token_p50=firsts[0],
        first_token_p95=firsts[1],
        first_token_p99=firsts[2],
        output_tokens=round(tokens.sum) if tokens is not None else 0,
        tokens_per_second=rate.positive.percentile(50) if rate is not None else math.nan,
    )


@overload
def status() -> Evaluation: ...


@overload
def status(name: str) -> SLOStatus: ...


def status(name: str | None = None) -> Evaluation | SLOStatus:
    """Return the state of every SLO of this process as of now, or of the one that is named.

    Raises:
        ConfigurationError: `configure(slos=…)` was not called.
        UnknownNameError: The document has no SLO of that name.
    """
    configured = runtime()
    if configured is None:
        raise ConfigurationError(
            "there are no SLOs to judge. Call slotel.configure(slos='slos.yaml') first; "
            "`slotel init` writes a first document."
        )
    evaluation = configured.evaluate()
    return evaluation if name is None else evaluation.slo(name)


def instrument(*names: str) -> list[str]:
    """Measure calls of client libraries from now on, also of those imported later.

    Args:
        names: Such as `openai`; every supported client when none are given.

    Returns:
        The names that were instrumented.

    Raises:
        UnknownNameError: A name is not a supported client.
        MissingDependencyError: A named client is not installed.
    """
    from importlib.metadata import entry_points

    known = {point.name: point for point in entry_points(group=INSTRUMENTATION_GROUP)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownNameError(
            f"instrument(): {unknown[0]!r} is not supported. Known: {', '.join(sorted(known))}."
        )
    done: list[str] = []
    for name in names or sorted(known):
        try:
            known[name].load().install()
        except ImportError as error:
            if names:
                raise MissingDependencyError(
                    f"instrument(): {name!r} cannot be measured: {error}. "
                    f"Install it with: pip install 'slotel[{name}]'"
                ) from error
            continue
        done.append(name)
    return done


def _check_percents(percents: Any) -> None:
    if isinstance(percents, (str, bytes)) or not isinstance(percents, Iterable):
        raise ConfigurationError(f"percents must be a list such as (50, 95), got {percents!r}.")
    for percent in percents:  # pyright: ignore[reportUnknownVariableType]
        number = finite(percent)
        if number is None or not 0 <= number <= 100:
            raise ConfigurationError(f"a percent lies between 0 and 100, got {percent!r}.")


def _check_quantity(name: Any) -> None:
    if isinstance(name, str) and (name in QUANTITIES or name.startswith((SCORE, "category."))):
        return
    raise UnknownNameError(
        f"there is no metric {name!r}. Known: {', '.join(QUANTITIES)}, score.<name>."
    )


def _outcome(name: str) -> Outcome:
    try:
        return Outcome(name)
    except ValueError:
        known = ", ".join(outcome.value for outcome in Outcome)
        raise UnknownNameError(f"there is no outcome {name!r}. Known: {known}.") from None


def _window_seconds(window: str | float | None) -> float | None:
    from slotel.slo.value import parse_duration

    if window is None:
        return None
    try:
        seconds = float(parse_duration(window) if isinstance(window, str) else window)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"window: {error} Write 5m, 1h or 28d.") from error
    if not 0 < seconds <= 35 * 86_400:
        raise ConfigurationError(f"window lies between 1 s and 35 d, got {window!r}.")
    return seconds
