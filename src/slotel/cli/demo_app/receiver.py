"""A small OTLP/HTTP receiver on loopback: decodes what arrives and answers questions about it."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs
from opentelemetry.proto.collector.logs.v1 import (  # pyright: ignore[reportMissingTypeStubs]
    logs_service_pb2,
)
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from slotel.cli.demo_app.received import (
    HistogramPoint,
    Kept,
    NumberPoint,
    Point,
    ReceivedSpan,
    latest,
    read_points,
    read_spans,
)

LOOPBACK = "127.0.0.1"
PROTOBUF = "application/x-protobuf"
TRACES, METRICS, LOGS = "/v1/traces", "/v1/metrics", "/v1/logs"

# Request and answer of each path, https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
_MESSAGES: dict[str, tuple[Any, Any]] = {
    TRACES: (
        trace_service_pb2.ExportTraceServiceRequest,
        trace_service_pb2.ExportTraceServiceResponse,
    ),
    METRICS: (
        metrics_service_pb2.ExportMetricsServiceRequest,
        metrics_service_pb2.ExportMetricsServiceResponse,
    ),
    LOGS: (
        logs_service_pb2.ExportLogsServiceRequest,
        logs_service_pb2.ExportLogsServiceResponse,
    ),
}
_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


class OtlpReceiver:
    """An OTLP/HTTP collector inside this process: everything it receives stays in memory.

    It listens on 127.0.0.1 only. Any thread may read while requests arrive; one lock guards what
    was received, and every property returns a copy. Usable as a context manager.

    Attributes:
        port: Port it listens on; with 0 the system chooses one at the first start.
    """

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        # Re-entrant: the condition of `wait_for` reads the properties, which take the lock.
        self._lock = threading.RLock()
        self._arrived = threading.Condition(self._lock)
        self._spans: list[ReceivedSpan] = []
        self._points: list[Point] = []
        self._log_records = 0
        self._requests = 0
        self._refusals: list[str] = []
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Start to listen and return the endpoint, such as `http://127.0.0.1:4318`.

        Raises:
            OSError: The port is taken.
        """
        if self._server is None:
            self._server = server = _Server((LOOPBACK, self.port), _handler(self))
            self.port = int(server.server_address[1])
            self._thread = threading.Thread(
                target=server.serve_forever, args=(0.05,), name="otlp-receiver", daemon=True
            )
            self._thread.start()
        return self.endpoint

    def stop(self) -> None:
        """Stop listening; what was received stays readable. Calling it twice does nothing."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.shutdown()
            thread.join()
            server.server_close()

    def __enter__(self) -> OtlpReceiver:
        """Start to listen."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self.stop()

    @property
    def endpoint(self) -> str:
        """The value for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def spans(self) -> list[ReceivedSpan]:
        """Every span received, in order of arrival."""
        with self._lock:
            return list(self._spans)

    @property
    def metrics(self) -> list[Point]:
        """Every data point received, in order of arrival; cumulative series repeat."""
        with self._lock:
            return list(self._points)

    @property
    def metric_names(self) -> set[str]:
        """The names of all metrics received."""
        return {point.metric for point in self.metrics}

    @property
    def log_records(self) -> int:
        """How many log records were received; their content is not kept."""
        with self._lock:
            return self._log_records

    @property
    def requests(self) -> int:
        """How many requests were taken; refused ones are not counted."""
        with self._lock:
            return self._requests

    @property
    def refusals(self) -> list[str]:
        """Why requests were refused, one line each; empty when all went well."""
        with self._lock:
            return list(self._refusals)

    def numbers(self, name: str, attributes: dict[str, object] | None = None) -> list[NumberPoint]:
        """Return where the sums or gauges of that name stand now, one point a series.

        Args:
            name: Name of the metric.
            attributes: Attributes that a point must carry with these values; more may be there.

        Returns:
            The last point of a cumulative series or a gauge, the sum of a delta series.
        """
        return latest(self._select(NumberPoint, name, attributes))

    def sum_counter(self, name: str, attributes: dict[str, object] | None = None) -> float:
        """Return the total of a counter over every process and series; 0.0 if it never arrived."""
        return sum(point.value for point in self.numbers(name, attributes))

    def histograms(
        self, name: str, attributes: dict[str, object] | None = None
    ) -> list[HistogramPoint]:
        """Return where the histograms of that name stand now, one point a series.

        Explicit and exponential ones are both read; arguments and temporality as in `numbers`.
        """
        return latest(self._select(HistogramPoint, name, attributes))

    def histogram_count(self, name: str, attributes: dict[str, object] | None = None) -> int:
        """Return how many values the histograms of that name hold over all series."""
        return sum(point.count for point in self.histograms(name, attributes))

    def wait_for(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Return whether the condition came true within that time; tried after each arrival."""
        with self._arrived:
            return self._arrived.wait_for(condition, timeout=seconds)

    def take(self, path: str, body: bytes) -> None:
        """Decode an export request that came for this path and keep what it holds.

        Raises:
            DecodeError: The body is not such a request.
        """
        message = _MESSAGES[path][0].FromString(body)
        spans = read_spans(message) if path == TRACES else []
        points = read_points(message) if path == METRICS else []
        records = _count_log_records(message) if path == LOGS else 0
        with self._arrived:
            self._spans += spans
            self._points += points
            self._log_records += records
            self._requests += 1
            self._arrived.notify_all()

    def refuse(self, reason: str) -> None:
        """Note why a request was refused."""
        with self._lock:
            self._refusals.append(reason)

    def _select(
        self, kind: type[Kept], name: str, attributes: dict[str, object] | None
    ) -> list[Kept]:
        wanted = attributes or {}
        return [
            point
            for point in self.metrics
            if isinstance(point, kind) and point.metric == name and point.carries(wanted)
        ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Threads of kept-alive connections end with their client; closing must not wait for them.
    block_on_close = False


class _RefusedError(Exception):
    """A request that cannot be taken; carries the HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _handler(receiver: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            path = self.path.partition("?")[0]
            try:
                receiver.take(path, _body(self, path))
            except _RefusedError as refused:
                receiver.refuse(str(refused))
                self._answer(refused.status, str(refused).encode(), "text/plain")
            except DecodeError as error:
                receiver.refuse(f"{path}: not an OTLP message: {error}")
                self._answer(400, b"not an OTLP message", "text/plain")
            else:
                self._answer(200, _MESSAGES[path][1]().SerializeToString(), PROTOBUF)

        def _answer(self, status: int, content: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the terminal belongs to the demo."""

    return Handler


def _body(request: BaseHTTPRequestHandler, path: str) -> bytes:
    # Read first, whatever is wrong: a body left unread would be taken for the next request.
    raw = request.rfile.read(int(request.headers.get("Content-Length", "0")))
    if path not in _MESSAGES:
        raise _RefusedError(404, f"{path}: no such path")
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if content_type != PROTOBUF:
        raise _RefusedError(415, f"{path}: content type {content_type!r} is not {PROTOBUF}")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in _DECODERS:
        raise _RefusedError(415, f"{path}: content encoding {encoding!r} is not supported")
    try:
        return _DECODERS[encoding](raw)
    except (OSError, EOFError, zlib.error) as error:
        raise _RefusedError(400, f"{path}: broken {encoding} body: {error}") from error


def _count_log_records(message: Any) -> int:
    return sum(
        len(scoped.log_records)
        for of_resource in message.resource_logs
        for scoped in of_resource.scope_logs
    )
