"""Keep the OTLP exporters' own log lines of one thread out of the user's log."""

from __future__ import annotations

import logging
import threading

# The loggers of opentelemetry-exporter-otlp 1.45 that speak when a collector does not answer.
_LOGGERS = (
    "opentelemetry.exporter.otlp.common._aggregation",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.common._internal.metrics_encoder",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http._common",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "urllib3.connectionpool",
)


class ThreadFilter(logging.Filter):
    """Holds back what one thread logs through the exporters' loggers, and keeps the last line.

    The user's own OTLP exporters run on other threads and log as before. `install` and `remove`
    are called by the thread itself; `remove` may be called by any, and twice.

    Attributes:
        reason: The last message that was held back; empty when there was none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reason = ""
        self._thread: int | None = None

    def install(self) -> None:
        """Hold back what the calling thread logs from now on."""
        self._thread = threading.get_ident()
        for name in _LOGGERS:
            # Before all others: the SDK's own filter of repeated lines would leave us without some.
            logging.getLogger(name).filters.insert(0, self)

    def remove(self) -> None:
        """Let everything through again."""
        self._thread = None
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a record of the thread, True for all others."""
        if record.thread != self._thread:
            return True
        if record.levelno >= logging.WARNING:
            self.reason = record.getMessage()
        return False
