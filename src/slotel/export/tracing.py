"""A tracer provider for users who have none: spans over OTLP to the same collector."""

from __future__ import annotations

import os
from collections.abc import Mapping

import opentelemetry.trace as otel_trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from slotel.export.resource import process_resource

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_TRACES_PATH = "/v1/traces"


class Tracing:
    """The tracer provider that was set up, and where its spans go. Any thread may call."""

    def __init__(self, provider: TracerProvider, target: str) -> None:
        self._provider = provider
        self._target = target

    def flush(self, timeout_seconds: float) -> bool:
        """Send finished spans now; True when that was done in time."""
        return bool(self._provider.force_flush(int(timeout_seconds * 1000)))

    def shutdown(self, timeout_seconds: float) -> None:
        """Send finished spans, at most that long; the provider stays, since it is the process's."""
        self._provider.force_flush(int(timeout_seconds * 1000))

    def describe(self) -> str:
        """Return where spans go."""
        return f"otlp to {self._target}"


def start_tracing(
    *,
    service: str | None,
    endpoint: str | None,
    protocol: str | None,
    headers: Mapping[str, str] | None,
) -> Tracing | None:
    """Set the global tracer provider if there is an endpoint and nobody has set one.

    Returns:
        What was set up; None when a provider is there already, or nothing says where to send.
    """
    target = endpoint or next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    disabled = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not target or disabled or off or _is_set():
        return None
    provider = TracerProvider(resource=process_resource(service))
    provider.add_span_processor(BatchSpanProcessor(_exporter(endpoint, protocol, headers)))
    otel_trace.set_tracer_provider(provider)
    return Tracing(provider, target)


def _is_set() -> bool:
    provider = otel_trace.get_tracer_provider()
    return not isinstance(provider, otel_trace.ProxyTracerProvider)


def _exporter(
    endpoint: str | None, protocol: str | None, headers: Mapping[str, str] | None
) -> SpanExporter:
    chosen = protocol or next((os.environ[n] for n in _PROTOCOLS if os.environ.get(n)), "")
    if chosen == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc(endpoint=endpoint, headers=dict(headers) if headers else None)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    url = endpoint.rstrip("/") + _TRACES_PATH if endpoint else None
    return Http(endpoint=url, headers=dict(headers) if headers else None)
