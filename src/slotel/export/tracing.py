"""A tracer provider for users who have none: spans over OTLP to the same collector."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence

import opentelemetry.trace as otel_trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from slotel.export.log_filter import ThreadFilter
from slotel.export.notice import Notice
from slotel.export.resource import process_resource

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_TRACES_PATH = "/v1/traces"


_LOST = "These spans are lost; nothing is measured from spans."


class QuietExporter(SpanExporter):
    """The SDK's span exporter, whose troubles are told in one line instead of one an attempt.

    The batch processor exports from one thread at a time.

    Args:
        exporter: What sends.
        target: Where it sends to, for the log.
    """

    def __init__(self, exporter: SpanExporter, target: str) -> None:
        self._exporter = exporter
        self._notice = Notice("Spans", target)
        self._held = ThreadFilter()
        self.succeeded = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; what the exporter logs meanwhile is held back."""
        self._held = held = ThreadFilter()
        held.install()
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001  # whatever an exporter raises is a failed export
            held.reason, result = repr(error), SpanExportResult.FAILURE
        finally:
            held.remove()
        self.succeeded = result is SpanExportResult.SUCCESS
        if self.succeeded:
            self._notice.arrived()
        else:
            self._notice.failed(held.reason or "the exporter gave no reason", _LOST)
        return result

    def give_up(self) -> None:
        """Say that the last spans did not arrive in time; any thread may call."""
        self._notice.failed(self._held.reason or "no answer in time", _LOST)

    def shutdown(self) -> None:
        """Close connections."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is kept here.

        Args:
            timeout_millis: Not needed.
        """
        return True


class Tracing:
    """The processor that was added, and where its spans go. Any thread may call.

    The SDK's own flush and shutdown wait for a dead collector as long as it takes, so they have a
    daemon thread of their own; callers wait for it no longer than they want.
    """

    def __init__(self, processor: BatchSpanProcessor, exporter: QuietExporter, target: str) -> None:
        self._processor = processor
        self._exporter = exporter
        self._target = target
        self._begin()

    def flush(self, timeout_seconds: float) -> bool:
        """Send finished spans now; True when the collector took them in time.

        Args:
            timeout_seconds: How long to wait at most, >= 0.
        """
        return self._ask(timeout_seconds, stopping=False) and self._exporter.succeeded

    def shutdown(self, timeout_seconds: float) -> None:
        """Send finished spans, at most that long, and take no more.

        Args:
            timeout_seconds: How long to wait at most, >= 0.
        """
        if not self._ask(timeout_seconds, stopping=True):
            self._exporter.give_up()

    def describe(self) -> str:
        """Return where spans go."""
        return f"otlp to {self._target}"

    def _begin(self) -> None:
        """Start the thread: at first, and again in a forked child."""
        self._process = os.getpid()
        # Guards the three below. A flush answers all requests made before it.
        self._turn = threading.Condition()
        self._asked = self._answered = 0
        self._stopping = False
        threading.Thread(target=self._run, name="slotel-spans", daemon=True).start()

    def _ask(self, timeout_seconds: float, *, stopping: bool) -> bool:
        if self._process != os.getpid():
            self._begin()
        with self._turn:
            if self._stopping:
                return True
            self._stopping = stopping
            self._asked += 1
            mine = self._asked
            self._turn.notify_all()
            return self._turn.wait_for(lambda: self._answered >= mine, timeout_seconds)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            with self._turn:
                self._turn.wait_for(lambda: self._asked > self._answered)
                asked, stopping = self._asked, self._stopping
            self._processor.force_flush()
            with self._turn:
                self._answered = asked
                self._turn.notify_all()
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK does not annotate it


def start_tracing(
    *,
    service: str | None,
    endpoint: str | None,
    protocol: str | None,
    headers: Mapping[str, str] | None,
) -> Tracing | None:
    """Set the global tracer provider if there is an endpoint and nobody has set one.

    A provider that was set up here before is given the new endpoint, so that a process that is
    configured anew goes on tracing.

    Returns:
        What was set up; None when a provider of the user's is there already, or nothing says where
        to send.
    """
    target = endpoint or next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    disabled = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    provider = None if not target or disabled or off else _own_provider(service)
    if provider is None:
        return None
    exporter = QuietExporter(_exporter(endpoint, protocol, headers), target)
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    return Tracing(processor, exporter, target)


class _OwnProvider(TracerProvider):
    """A provider that was set up here; the type tells it from one of the user's."""


def _own_provider(service: str | None) -> TracerProvider | None:
    """Return the global provider if it is ours, set one up if there is none; else None."""
    current = otel_trace.get_tracer_provider()
    if isinstance(current, _OwnProvider):
        return current
    if not isinstance(current, otel_trace.ProxyTracerProvider):
        return None
    # Its own exit handler waits for a dead collector; `shutdown()` runs at exit and does not.
    made = _OwnProvider(resource=process_resource(service), shutdown_on_exit=False)
    otel_trace.set_tracer_provider(made)
    return made


def _exporter(
    endpoint: str | None, protocol: str | None, headers: Mapping[str, str] | None
) -> SpanExporter:
    chosen = protocol or next((os.environ[n] for n in _PROTOCOLS if os.environ.get(n)), "")
    if chosen == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc(endpoint=endpoint, headers=dict(headers) if headers else None)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http(endpoint=_url(endpoint), headers=dict(headers) if headers else None)


def _url(endpoint: str | None) -> str | None:
    """Return the endpoint argument with the signal's path; that of the metrics is taken off."""
    if endpoint is None:
        return None
    return (
        endpoint.rstrip("/").removesuffix("/v1/metrics").removesuffix(_TRACES_PATH) + _TRACES_PATH
    )
