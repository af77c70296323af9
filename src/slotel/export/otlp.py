"""The way `otlp`: everything over an OTLP exporter of our own, on a thread of our own."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from slotel._version import __version__
from slotel.export.pipeline import Exporter, Pipeline
from slotel.export.producer import Producer
from slotel.export.resource import ProcessResource, sdk_resource
from slotel.export.settings import OtlpSettings, Protocol
from slotel.semconv import SCHEMA_URL, SCOPE

_log = logging.getLogger(__name__)


class OtlpWay:
    """Sends what a producer makes to a collector at an interval. Any thread may call.

    Without an endpoint nothing is sent, and `start` says so in the log. In a forked child the
    first call of `after_fork` gives it a thread, an exporter and a `service.instance.id` of its
    own, and a start at zero.

    Args:
        make_producer: Makes the producer, one for each process.
        resource: The resource of the current process.
        settings: Where to send and how.
        connect: Makes the exporter; the SDK's own for the settings' protocol when None.
    """

    name = "otlp"

    def __init__(
        self,
        make_producer: Callable[[], Producer],
        *,
        resource: ProcessResource,
        settings: OtlpSettings,
        connect: Callable[[], Exporter] | None = None,
    ) -> None:
        self._make_producer = make_producer
        self._resource = resource
        self._settings = settings
        self._connect = connect
        self._process = os.getpid()
        self._pipeline: Pipeline | None = None

    def start(self) -> None:
        """Start to export, or say that there is nowhere to."""
        if self._pipeline is not None:
            return
        if not self._has_target:
            _log.warning(
                "No OTLP endpoint is given, so metrics stay in this process. Set "
                "OTEL_EXPORTER_OTLP_ENDPOINT or give endpoint=, or metrics='none' to have it so."
            )
            return
        self._prepare()
        self._pipeline = self._make_pipeline()
        self._pipeline.start()

    def flush(self, timeout_seconds: float) -> bool:
        """Export now; return whether the collector took it in time, True with nowhere to send.

        Args:
            timeout_seconds: How long to wait at most, >= 0.
        """
        self._notice_fork()
        return self._pipeline.flush(timeout_seconds) if self._pipeline is not None else True

    def shutdown(self, timeout_seconds: float) -> None:
        """Export once more and stop; returns within a second whatever the collector does.

        Args:
            timeout_seconds: How long to wait at most, >= 0.
        """
        self._notice_fork()
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.shutdown(timeout_seconds)

    def after_fork(self) -> None:
        """Give a forked child its own thread, exporter, identity and start; harmless elsewhere."""
        self._notice_fork()

    def describe(self) -> str:
        """Return where metrics go and how, in one line."""
        settings = self._settings
        if not self._has_target:
            return "otlp: no endpoint, nothing is exported"
        return (
            f"otlp: to {self._target} every {settings.interval_seconds:g} s,"
            f" {settings.temporality.value}, {settings.histogram.value}"
        )

    @property
    def _has_target(self) -> bool:
        return self._settings.has_endpoint or self._connect is not None

    @property
    def _target(self) -> str:
        return self._settings.target if self._connect is None else "the exporter given"

    def _notice_fork(self) -> None:
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        inherited, self._pipeline = self._pipeline, None
        if inherited is not None:
            inherited.abandon()
            self._pipeline = self._make_pipeline()
            self._pipeline.start()

    def _prepare(self) -> None:
        """Do now what can no longer be done if the first export is the one at the exit."""
        sdk_resource()
        if self._connect is None:
            exporter_class(self._settings.protocol)

    def _make_pipeline(self) -> Pipeline:
        producer = self._make_producer()

        def collect() -> MetricsData | None:
            return batch(producer, resource=self._resource(), settings=self._settings)

        return Pipeline(
            collect=collect,
            delivered=producer.delivered,
            connect=self._connect or (lambda: make_exporter(self._settings)),
            interval_seconds=self._settings.interval_seconds,
            target=self._target,
        )


def batch(producer: Producer, *, resource: Resource, settings: OtlpSettings) -> MetricsData | None:
    """Return everything as one resource with one scope; None when there is nothing to tell.

    One of each, always: of two equal resources or scopes the SDK's encoder keeps only the last.
    """
    metrics = producer.produce(settings.temporality)
    if not metrics:
        return None
    scope = InstrumentationScope(SCOPE, __version__, SCHEMA_URL)
    scoped = ScopeMetrics(scope, metrics, SCHEMA_URL)
    return MetricsData([ResourceMetrics(resource, [scoped], resource.schema_url)])


def make_exporter(settings: OtlpSettings) -> Exporter:
    """Return an OTLP exporter that nobody else uses; gRPC is imported only when it is chosen.

    What the settings leave open (headers, certificates, compression, timeout) the exporter reads
    from the standard variables itself.

    Args:
        settings: Where to send and how.
    """
    headers = dict(settings.headers) if settings.headers else None
    if headers and settings.protocol is Protocol.GRPC:
        headers = {key.lower(): value for key, value in headers.items()}
    made: Exporter = exporter_class(settings.protocol)(endpoint=settings.url, headers=headers)
    return made


def exporter_class(protocol: Protocol) -> Any:
    """Return the SDK's exporter for a protocol; what it needs is imported here.

    Args:
        protocol: What it is to speak.
    """
    if protocol is Protocol.GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcExporter,
        )

        return GrpcExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter
