"""The parts that run: the tick, the SLOs' state, the way out; set up once by `configure()`.

Only this module reads the environment and the process's globals. The recorder and the tick belong
to the process and are there without any configuration; a `Runtime` adds what a document and a
collector need.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from slotel import _operation
from slotel._faults import report
from slotel._process import process_clock, recorder, settings
from slotel._site import SITES
from slotel.errors import ConfigurationError
from slotel.semconv import Naming, naming_from_environment

if TYPE_CHECKING:
    from slotel.engine.evaluation import Evaluation
    from slotel.engine.evaluator import Evaluator
    from slotel.export.ways import WayOut
    from slotel.slo.objective import SLO, Document

TICK_SECONDS = 1.0
EXIT_SECONDS = 1.0
SLOS_VARIABLE = "SLOTEL_SLOS"
METRICS_VARIABLE = "SLOTEL_METRICS"

_logger = logging.getLogger("slotel")

Slos: TypeAlias = "str | Path | Mapping[str, Any] | Document | SLO | Iterable[SLO] | None"


class _Ticker:
    """Drains the recorder once a second on a daemon thread, from the first call on.

    Any thread may call. A forked child gets a thread of its own when its parent had one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.after_drain: Callable[[], None] | None = None

    def ensure(self) -> None:
        """Start the thread unless it runs."""
        settings.ensure_running = None
        with self._lock:
            if self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(target=self._run, name="slotel-tick", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # The interpreter is shutting down; full buffers still drain.
                    self._thread = None

    def tick(self) -> None:
        """Drain once and bring the SLOs up to date."""
        recorder.ledger().drain()
        after = self.after_drain
        if after is not None:
            after()  # Judging compares the clocks; without SLOs it is done here.
        else:
            process_clock.check()

    def stop(self) -> None:
        """End the thread; full buffers still drain themselves afterwards."""
        with self._lock:
            thread, self._thread = self._thread, None
        self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(EXIT_SECONDS)
        settings.ensure_running = self.ensure

    def after_fork(self) -> None:
        """Begin anew in the child."""
        self._lock = threading.Lock()
        ran, self._thread = self._thread is not None, None
        settings.ensure_running = self.ensure
        if ran:
            self.ensure()

    def _run(self) -> None:
        stop = self._stop
        while not stop.wait(TICK_SECONDS):
            try:
                self.tick()
            except Exception as error:  # noqa: BLE001  # one bad tick must not end all others
                report("tick", error)


ticker = _Ticker()
settings.ensure_running = ticker.ensure


@dataclass(frozen=True, slots=True)
class Settings:
    """What `configure()` was called with; equal ones may be given twice."""

    service: str | None
    slos: Any
    metrics: str | None
    traces: str
    endpoint: str | None
    protocol: str | None
    headers: tuple[tuple[str, str], ...]
    temporality: str | None
    interval_seconds: float | None
    dimensions: frozenset[str]
    semconv: str | None


class Runtime:
    """A configured process. Any thread may call; made by `configure()`.

    Attributes:
        settings: What it was configured with.
        document: The SLOs; without any when none were given.
        way: Where metrics leave.
    """

    def __init__(self, given: Settings, document: Document) -> None:
        self.settings = given
        self.document = document
        self.service = given.service or document.service
        self._evaluator: Evaluator | None = None
        self._tracing: Any = None
        self.way = self._build_way()

    def evaluator(self) -> Evaluator:
        """Return the state of the SLOs; made, and numpy imported, at first use."""
        if self._evaluator is None:
            from slotel.engine.evaluator import Evaluator

            made = Evaluator(self.document, recorder.ledger(), recorder.clock)
            made.register()
            self._evaluator = made
        return self._evaluator

    def start(self) -> None:
        """Begin to judge and to export."""
        from slotel.engine.violation import Violations
        from slotel.slo.sli import Throughput

        recorder.keep(self.document.dimensions())
        selected = [slo.sli.select.attributes for slo in self.document.slos]
        names = {name for attributes in selected for name, _ in attributes}
        settings.dimensions = self.settings.dimensions | names
        offered = {
            slo.sli.select.operation
            for slo in self.document.slos
            if isinstance(slo.sli, Throughput)
        }
        settings.arrivals = frozenset(offered)
        for site in list(SITES):
            site.count_arrivals()
        recorder.ledger().drain()  # What was recorded before belongs to no SLO of this document.
        self.evaluator()
        settings.violations = Violations(self.document) if self.document.slos else None
        ticker.after_drain = self.observe
        ticker.ensure()
        self._start_tracing()
        self.way.start()

    def observe(self) -> None:
        """Add what was drained to the SLOs' windows."""
        self.evaluator().observe()

    def evaluate(self) -> Evaluation:
        """Drain, and return the state of every SLO as of now."""
        ticker.tick()
        return self.evaluator().evaluate()

    def flush(self, timeout_seconds: float) -> bool:
        """Send spans and metrics now; True when the collector took them in time."""
        ticker.tick()
        sent = self.way.flush(timeout_seconds)
        if self._tracing is not None:
            sent = self._tracing.flush(timeout_seconds) and sent
        return sent

    def shutdown(self, timeout_seconds: float) -> None:
        """Send once more and stop; at most that long, whatever the collector does."""
        try:
            ticker.tick()
        except Exception as error:  # noqa: BLE001  # the way out still gets its turn
            report("shutdown", error)
        deadline = time.monotonic() + timeout_seconds
        if self._tracing is not None:
            self._tracing.shutdown(timeout_seconds / 2)  # A dead collector must not cost both.
        self.way.shutdown(max(0.0, deadline - time.monotonic()))
        ticker.after_drain = None
        settings.violations = None

    def describe(self) -> str:
        """Return where spans and metrics go, in one line."""
        spans = self._tracing.describe() if self._tracing is not None else "your tracer provider"
        return f"spans: {spans}; metrics: {self.way.describe()}"

    def after_fork(self) -> None:
        """Begin anew in a forked child; the recorder and the evaluator have reset themselves."""
        self.way.after_fork()

    def _build_way(self) -> WayOut:
        from slotel.export.resource import process_resource
        from slotel.export.ways import build_way

        given = self.settings
        return build_way(
            recorder=recorder,
            metrics=given.metrics,
            evaluate=self.evaluate if self.document.slos else None,
            resource=lambda: process_resource(self.service),
            endpoint=given.endpoint,
            protocol=given.protocol,
            headers=dict(given.headers) or None,
            temporality=given.temporality,
            interval_seconds=given.interval_seconds,
            naming=Naming(given.semconv) if given.semconv else naming_from_environment(),
        )

    def _start_tracing(self) -> None:
        if self.settings.traces == "none":
            return
        from slotel.export.tracing import start_tracing

        self._tracing = start_tracing(
            service=self.service,
            endpoint=self.settings.endpoint,
            protocol=self.settings.protocol,
            headers=dict(self.settings.headers) or None,
        )


_lock = threading.RLock()
_runtime: Runtime | None = None


def runtime() -> Runtime | None:
    """Return the configured runtime, None before `configure()`."""
    return _runtime


def configure(
    *,
    service: str | None = None,
    slos: Slos = None,
    metrics: str | None = None,
    traces: str = "auto",
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    temporality: str | None = None,
    interval_seconds: float | None = None,
    dimensions: Iterable[str] = (),
    semconv: str | None = None,
    replace: bool = False,
) -> Runtime:
    """Set up the process: read the SLOs, judge them, send everything over OTLP.

    Decorators may have run before; what they recorded so far stays in `summary()`, the SLOs count
    from here on. Without an endpoint, here or in OTEL_EXPORTER_OTLP_ENDPOINT, nothing is sent.

    Args:
        service: Service name; the user's TracerProvider and OTEL_SERVICE_NAME go before it.
        slos: A `slotel/v1` file, the same as a mapping, a Document, or SLO objects; SLOTEL_SLOS
            names a file when None.
        metrics: Way out: `otlp`, `meter`, `prometheus` or `none`. SLOTEL_METRICS when None; by
            default `meter` if an SDK MeterProvider is set, else `otlp`.
        traces: `auto` sets up a tracer provider when there is an endpoint and none is set; `none`
            leaves spans to whoever sets one.
        endpoint: Base URL of the collector, instead of OTEL_EXPORTER_OTLP_ENDPOINT.
        protocol: `http/protobuf` or `grpc`, instead of OTEL_EXPORTER_OTLP_PROTOCOL.
        headers: Sent with each request.
        temporality: `cumulative`, `delta` or `lowmemory`.
        interval_seconds: Time between exports; 60 s by default.
        dimensions: Names of attributes that become dimensions of the metrics, besides those that
            SLOs filter on.
        semconv: `shipped` or `inference` names of the GenAI metrics; see `slotel.semconv`.
        replace: Replace an earlier, different configuration.

    Returns:
        The runtime; the same one for equal arguments.

    Raises:
        ConfigurationError: An argument is unusable, or differs from an earlier `configure()`.
        SpecErrors: The document has faults; all of them are listed.
    """
    if traces not in ("auto", "none"):
        raise ConfigurationError(f"configure(): traces must be 'auto' or 'none', got {traces!r}.")
    given = Settings(
        service=_service(service),
        slos=_comparable(slos if slos is not None else os.environ.get(SLOS_VARIABLE)),
        metrics=_text("metrics", metrics) or os.environ.get(METRICS_VARIABLE) or None,
        traces=traces,
        endpoint=_text("endpoint", endpoint),
        protocol=_text("protocol", protocol),
        headers=_headers(headers),
        temporality=_text("temporality", temporality),
        interval_seconds=_interval(interval_seconds),
        dimensions=_dimensions(dimensions),
        semconv=_naming(semconv),
    )
    with _lock:
        return _install(given, replace=replace)


def _install(given: Settings, *, replace: bool) -> Runtime:
    global _runtime  # noqa: PLW0603  # the one runtime of the process
    if _runtime is not None:
        if _runtime.settings == given:
            return _runtime
        if not replace:
            changed = [
                name
                for name in given.__slots__
                if getattr(given, name) != getattr(_runtime.settings, name)
            ]
            raise ConfigurationError(
                "configure() was called before with other arguments "
                f"({', '.join(changed)} differ). Call it once, or pass replace=True."
            )
    made = Runtime(given, _document(given.slos))
    if _runtime is not None:
        _runtime.shutdown(EXIT_SECONDS)
    _runtime = made
    try:
        made.start()
        _childrens_end.register()
    except BaseException:
        _runtime = None  # So that a corrected call is not refused for this one's sake.
        made.shutdown(0.0)
        raise
    return made


def shutdown(timeout_seconds: float = EXIT_SECONDS) -> None:
    """Send what there is and stop; run at exit too. Calls go on being counted in the process."""
    global _runtime  # noqa: PLW0603  # the one runtime of the process
    with _lock:
        ended, _runtime = _runtime, None
    if ended is not None:
        ended.shutdown(timeout_seconds)


def flush(timeout_seconds: float = 5.0) -> bool:
    """Drain, judge and send everything now; True when it arrived in time, or had nowhere to go."""
    current = _runtime
    if current is not None:
        return current.flush(timeout_seconds)
    ticker.tick()
    return True


def _service(service: Any) -> str | None:
    if service is None or (isinstance(service, str) and service.strip()):
        return service
    raise ConfigurationError(f"configure(): service must be a name, got {service!r}.")


def _text(argument: str, given: Any) -> str | None:
    if given is None or isinstance(given, str):
        return given
    raise ConfigurationError(f"configure(): {argument} must be text, got {given!r}.")


def _headers(given: Any) -> tuple[tuple[str, str], ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"configure(): headers must map names to values, got {given!r}. "
            "Write headers={'authorization': '…'}."
        )
    pairs: Any = given.items()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not all(isinstance(part, str) for pair in pairs for part in pair):
        raise ConfigurationError("configure(): names and values of headers must be text.")
    return tuple(sorted(pairs))


def _interval(given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, (int, float)) and 0 < given < math.inf:
        return float(given)
    raise ConfigurationError(
        f"configure(): interval_seconds must be a number of seconds > 0, got {given!r}."
    )


def _dimensions(given: Any) -> frozenset[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigurationError(
            f"configure(): dimensions must be a list of names, got {given!r}. "
            f"Write dimensions=[{given!r}]."
        )
    names: list[Any] = list(given)  # pyright: ignore[reportUnknownArgumentType]
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong:
        raise ConfigurationError(
            f"configure(): dimensions must be a list of names, got {wrong[0]!r} in it."
        )
    return frozenset(names)


def _naming(text: str | None) -> str | None:
    if text is None or text in {naming.value for naming in Naming}:
        return text
    raise ConfigurationError(
        f"configure(): semconv must be 'shipped' or 'inference', got {text!r}."
    )


def _comparable(slos: Slos) -> Any:
    """Return the SLOs in a form that equals itself when given twice."""
    from slotel.slo.objective import SLO, Document

    if slos is None or isinstance(slos, (Document, SLO)):
        return slos
    if isinstance(slos, (str, os.PathLike)):
        return Path(slos)
    if isinstance(slos, Mapping):
        return dict(cast("Mapping[str, Any]", slos))
    if isinstance(slos, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        return tuple(slos)
    raise ConfigurationError(
        f"configure(): slos must be a file, a mapping, a Document or SLO objects, got {slos!r}."
    )


def _document(slos: Any) -> Document:
    # The YAML reader is slow to import, and no call needs it.
    from slotel.slo import spec
    from slotel.slo.objective import SLO, Document

    if slos is None:
        return Document()
    if isinstance(slos, Document):
        return slos
    if isinstance(slos, SLO):
        return Document(slos=(slos,))
    if isinstance(slos, Path):
        try:
            return spec.load(slos)
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"configure(): the SLO document {str(slos)!r} cannot be read: {error}. "
                "`slotel init` writes a first one."
            ) from error
    if isinstance(slos, dict):
        return spec.from_dict(cast("dict[str, Any]", slos))
    wrong = [item for item in slos if not isinstance(item, SLO)]
    if wrong:
        raise ConfigurationError(f"configure(): slos must hold SLO objects, got {wrong[0]!r}.")
    return Document(slos=slos)


class _ChildrensEnd:
    """Lets children of multiprocessing send what they have: they end without exit handlers.

    Such a child clears the finalisers that it inherited, then runs what is to run after a fork.
    multiprocessing's registry holds this object weakly.
    """

    _known = False

    def register(self) -> None:
        """Register once, as soon as multiprocessing is there; forked children inherit it."""
        util: Any = sys.modules.get("multiprocessing.util")
        if util is not None and not self._known:
            self._known = True

            def begin(_: object) -> None:
                util.Finalize(None, shutdown, exitpriority=0)

            util.register_after_fork(self, begin)


_childrens_end = _ChildrensEnd()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  # another thread may have held it at the fork
    _lock = threading.RLock()
    _operation.disown_after_fork()
    ticker.after_fork()
    if _runtime is not None:
        try:
            _runtime.after_fork()
        except Exception as error:  # noqa: BLE001  # the child's own work goes on
            report("fork", error)
        _childrens_end.register()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(shutdown)
