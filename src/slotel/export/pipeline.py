"""The thread that exports: it alone meets the collector, so a dead one costs no caller anything."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from opentelemetry import context
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from slotel.export.log_filter import ThreadFilter
from slotel.export.notice import Notice

_log = logging.getLogger(__name__)

LONGEST_SHUTDOWN_SECONDS = 1.0
"""A collector that does not answer holds up the end of the process no longer than this."""
# The SDK's own key has a random part; instrumentations of the contrib repository read the plain
# one (opentelemetry.instrumentation.utils.is_instrumentation_enabled).
_SUPPRESS_KEYS = (
    getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation"),
    "suppress_instrumentation",
)


class Exporter(Protocol):
    """What a pipeline needs of the SDK's MetricExporter."""

    def export(self, metrics_data: MetricsData) -> MetricExportResult:
        """Send a batch and return whether it arrived."""
        ...

    def shutdown(self) -> None:
        """Close connections."""
        ...


class Pipeline:
    """Collects and exports at an interval, on a daemon thread of its own.

    `flush` and `shutdown` may be called from any thread; they wait on a condition and never touch
    the exporter. A pipeline is used once: after `shutdown`, or in a forked child, make another.
    What it holds does not grow with the time that the collector is away.

    Args:
        collect: Makes the batch; None when there is nothing to send. Runs on the thread.
        delivered: Called after a batch arrived; the next delta starts where it ended.
        connect: Makes the exporter, on the thread, before the first batch.
        interval_seconds: Time between exports, above 0.
        target: Where metrics go, for the log.
    """

    def __init__(
        self,
        *,
        collect: Callable[[], MetricsData | None],
        delivered: Callable[[], None],
        connect: Callable[[], Exporter],
        interval_seconds: float,
        target: str,
    ) -> None:
        self._collect = collect
        self._delivered = delivered
        self._connect = connect
        self._interval_seconds = interval_seconds
        self._notice = Notice("Metrics", target)
        self._filter = ThreadFilter()
        self._exporter: Exporter | None = None
        # Guards the four below. An export answers all requests made before it.
        self._turn = threading.Condition()
        self._asked = 0
        self._answered = 0
        self._succeeded = True
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="slotel-export", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def flush(self, timeout_seconds: float) -> bool:
        """Export now and return whether the collector took it within that time.

        Args:
            timeout_seconds: How long to wait at most, >= 0.
        """
        with self._turn:
            return self._ask(timeout_seconds)

    def shutdown(self, timeout_seconds: float) -> bool:
        """Export once more, stop, and return whether the collector took it.

        Args:
            timeout_seconds: How long to wait at most, >= 0; never more than a second. A thread that
                is still inside the exporter then is left behind, and ends with it.
        """
        deadline = time.monotonic() + min(timeout_seconds, LONGEST_SHUTDOWN_SECONDS)
        with self._turn:
            if self._stopping:
                return self._succeeded
            self._stopping = True
            taken = self._ask(max(0.0, deadline - time.monotonic()))
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return taken

    def abandon(self) -> None:
        """Forget the thread that a forked child did not inherit."""
        self._filter.remove()

    def _ask(self, timeout_seconds: float) -> bool:
        self._asked += 1
        mine = self._asked
        self._turn.notify_all()
        if not self._thread.is_alive():
            return False
        if self._turn.wait_for(lambda: self._answered >= mine, timeout_seconds):
            return self._succeeded
        # Slow is not failing, unless the exporter has said so or there is no later.
        if self._filter.reason or self._stopping:
            self._report(self._filter.reason or f"no answer within {timeout_seconds:.2g} s")
        return False

    def _run(self) -> None:
        _suppress_instrumentation()
        self._filter.install()
        try:
            stopping = False
            while not stopping:
                asked, stopping = self._wait_for_turn()
                fault = self._export()
                with self._turn:
                    self._report(fault)
                    self._answered, self._succeeded = asked, fault is None
                    self._turn.notify_all()
            self._close()
        finally:
            self._filter.remove()

    def _wait_for_turn(self) -> tuple[int, bool]:
        with self._turn:
            self._turn.wait_for(
                lambda: self._stopping or self._asked > self._answered, self._interval_seconds
            )
            return self._asked, self._stopping

    def _export(self) -> str | None:
        """Return why the batch did not arrive; None when it did."""
        self._filter.reason = ""
        try:
            arrived = self._send()
        except Exception as error:  # noqa: BLE001  # whatever an exporter raises is a failed export
            return repr(error)
        return None if arrived else self._filter.reason or "the exporter gave no reason"

    def _send(self) -> bool:
        batch = self._collect()
        if batch is None:
            return True
        if self._exporter is None:
            self._exporter = self._connect()
        if self._exporter.export(batch) is not MetricExportResult.SUCCESS:
            return False
        self._delivered()
        return True

    def _report(self, fault: str | None) -> None:
        if fault is None:
            self._notice.arrived()
        elif self._stopping:
            self._notice.failed(fault, "What was not sent is lost with the process.")
        else:
            outlook = f"Tried again every {self._interval_seconds:g} s, with what was missed."
            self._notice.failed(fault, outlook)

    def _close(self) -> None:
        if self._exporter is not None:
            try:
                self._exporter.shutdown()
            except Exception as error:  # noqa: BLE001  # nothing depends on it any more
                _log.debug("The exporter did not shut down: %r", error)


def _suppress_instrumentation() -> None:
    """Keep the exporter's requests out of the user's traces; for the whole life of the thread."""
    current = context.get_current()
    for key in _SUPPRESS_KEYS:
        current = context.set_value(key, True, current)
    context.attach(current)
