"""The way `meter`: counters and gauges through the user's MeterProvider, histograms by ourselves.

No OpenTelemetry API takes a ready histogram, so histograms leave by an exporter of our own, if
there is an endpoint to send them to. Nothing leaves twice.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from slotel._version import __version__
from slotel.export.otlp import OtlpWay
from slotel.export.producer import Point, Readings, point_of
from slotel.export.readings import COUNTERS, GAUGES, Kind, Reading
from slotel.semconv import SCHEMA_URL, SCOPE, Metric

_log = logging.getLogger(__name__)


class MeterWay:
    """Shows counters and gauges to the user's readers when they collect. Any thread may call.

    In a forked child the instruments tell nothing: the SDK's own go on from the parent's sums under
    a new identity, so that the sum over processes counts the parent twice. There our own exporter
    takes over everything, and the log says so once.

    Args:
        provider: The user's provider.
        readings: Where counters and gauges come from.
        own: Our exporter: histograms alone in this process, everything in a forked child.
        has_endpoint: Whether our exporter has somewhere to send to.
    """

    name = "meter"

    def __init__(
        self, provider: MeterProvider, readings: Readings, *, own: OtlpWay, has_endpoint: bool
    ) -> None:
        self._provider = provider
        self._readings = readings
        self._own = own
        self._has_endpoint = has_endpoint
        self._process = os.getpid()
        self._board: _Board | None = None

    def start(self) -> None:
        """Register the instruments, and start our exporter if there is an endpoint."""
        if self._board is not None:
            return
        if self._process_is_a_child:
            self._own.start()
            return
        self._board = _board_of(self._provider)
        self._board.show(self._readings)
        if self._has_endpoint:
            self._own.start()
        else:
            _log.warning(
                "Counters and gauges leave through your MeterProvider. Histograms cannot, and no "
                "OTLP endpoint is given to send them to: set OTEL_EXPORTER_OTLP_ENDPOINT or "
                "endpoint=."
            )

    def flush(self, timeout_seconds: float) -> bool:
        """Let the user's readers and our exporter send now; return whether both did in time.

        Args:
            timeout_seconds: How long to wait at most, >= 0, for each of the two.
        """
        self.after_fork()
        if self._process_is_a_child:
            return self._own.flush(timeout_seconds)
        ours = self._own.flush(timeout_seconds)
        return _flush(self._provider, timeout_seconds) and ours

    def shutdown(self, timeout_seconds: float) -> None:
        """Stop our exporter; the user's provider, which lives on, keeps the last counters.

        Args:
            timeout_seconds: How long to wait at most, >= 0; never more than a second.
        """
        self.after_fork()
        board, self._board = self._board, None
        if board is not None and not self._process_is_a_child:
            board.freeze(self._readings)
        self._own.shutdown(timeout_seconds)

    def after_fork(self) -> None:
        """Leave the user's provider alone and export everything ourselves; harmless elsewhere."""
        if self._process_is_a_child or self._process == os.getpid():
            return
        self._process = _CHILD
        if self._board is None:
            return
        if self._has_endpoint:
            _log.warning(
                "This process was forked. The SDK's instruments would repeat its parent's sums, so "
                "all its metrics leave through Slotel's own exporter."
            )
        else:
            _log.warning(
                "This process was forked. The SDK's instruments would repeat its parent's sums, and"
                " no OTLP endpoint is given for Slotel's own exporter: its metrics stay here."
            )
        self._own.after_fork()

    def describe(self) -> str:
        """Return where metrics go and how, in one line."""
        histograms = self._own.describe() if self._has_endpoint else "nowhere, for want of endpoint"
        if self._process_is_a_child:
            return f"meter, in a forked child: {histograms}"
        return f"meter: counters and gauges to the MeterProvider; histograms: {histograms}"

    @property
    def _process_is_a_child(self) -> bool:
        return self._process == _CHILD


_CHILD = -1


class _Board:
    """What the instruments of one provider show; instruments cannot be taken back, so one for ever.

    `lock` guards the rest. All instruments of one collection show one and the same state: it is
    read anew when an instrument asks a second time.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._process = os.getpid()
        self._readings: Readings | None = None
        self._state: list[Reading] = []
        self._served: set[str] = set()
        self._ended: dict[Point, Reading] = {}

    def show(self, readings: Readings) -> None:
        """Show these from now on."""
        with self.lock:
            self._readings, self._state, self._served = readings, [], set()

    def freeze(self, readings: Readings) -> None:
        """Show the last counters from now on: readers that collect later still need them."""
        last = [one for one in readings.read() if one.kind is Kind.COUNTER]
        with self.lock:
            if self._readings is readings:
                totals = [replace(one, value=self._total(one)) for one in last]
                self._ended |= {point_of(one.metric, one.attributes): one for one in totals}
                self._readings, self._state = None, totals

    def observe(self, metric: Metric) -> list[Observation]:
        """Return what the instrument of that metric shows; nothing in a forked child."""
        if os.getpid() != self._process:
            return []
        with self.lock:
            if self._readings is not None and (not self._served or metric.name in self._served):
                self._state, self._served = self._readings.read(), set()
            self._served.add(metric.name)
            return [
                Observation(self._total(one), dict(one.attributes))
                for one in self._state
                if one.metric.name == metric.name
            ]

    def _total(self, reading: Reading) -> float:
        """Return a counter with what it counted under earlier configurations, so it only grows."""
        ended = self._ended.get(point_of(reading.metric, reading.attributes))
        if ended is None or ended.start_unix_ns == reading.start_unix_ns:
            return reading.value
        return reading.value + ended.value


_boards: WeakKeyDictionary[MeterProvider, _Board] = WeakKeyDictionary()
_boards_lock = threading.Lock()


def _board_of(provider: MeterProvider) -> _Board:
    """Return the provider's board; its instruments are made at the first call."""
    with _boards_lock:
        known = _boards.get(provider)
        if known is not None:
            return known
        board = _boards[provider] = _Board()
        meter = provider.get_meter(SCOPE, __version__, SCHEMA_URL)
        for metric in COUNTERS:
            meter.create_observable_counter(
                metric.name, [_callback(board, metric)], metric.unit, metric.description
            )
        for metric in GAUGES:
            meter.create_observable_gauge(
                metric.name, [_callback(board, metric)], metric.unit, metric.description
            )
        return board


def _callback(board: _Board, metric: Metric) -> Callable[[CallbackOptions], list[Observation]]:
    def observe(options: CallbackOptions) -> list[Observation]:
        return board.observe(metric)

    return observe


def _flush(provider: MeterProvider, timeout_seconds: float) -> bool:
    """Flush the user's provider on a thread, since its exporter may not keep to the time."""
    force_flush: Callable[[float], object] | None = getattr(provider, "force_flush", None)
    if force_flush is None:
        return True
    outcome: list[bool] = []

    def flush() -> None:
        try:
            outcome.append(bool(force_flush(timeout_seconds * 1000)))
        except Exception as error:  # noqa: BLE001  # the user's exporter; its own log says more
            _log.debug("The MeterProvider did not flush: %r", error)

    thread = threading.Thread(target=flush, name="slotel-flush", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    return bool(outcome) and outcome[0]
