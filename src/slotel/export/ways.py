"""Every metric has exactly one way out of the process: `otlp`, `meter`, `prometheus` or `none`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from opentelemetry import metrics as otel_metrics
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.resources import Resource

from slotel._faults import counts as fault_counts
from slotel.errors import ConfigurationError, MissingDependencyError
from slotel.export.otlp import OtlpWay
from slotel.export.pipeline import Exporter
from slotel.export.producer import Producer
from slotel.export.readings import ReadingSource
from slotel.export.resource import ProcessResource
from slotel.export.settings import OtlpSettings, read_settings
from slotel.measure.series import Recorder
from slotel.semconv import Naming, naming_from_environment

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from prometheus_client import CollectorRegistry

    from slotel.engine.evaluation import Evaluation

WAYS = ("otlp", "meter", "prometheus", "none")
ENABLED = "OTEL_METRICS_EXPORTER"
DISABLED = "OTEL_SDK_DISABLED"


class WayOut(Protocol):
    """How metrics leave. Any thread may call."""

    @property
    def name(self) -> str:
        """One of `WAYS`."""
        ...

    def start(self) -> None:
        """Begin; calling it twice does nothing."""
        ...

    def flush(self, timeout_seconds: float) -> bool:
        """Send what there is; return whether it arrived in time, True with nowhere to send."""
        ...

    def shutdown(self, timeout_seconds: float) -> None:
        """Send once more and end; returns within a second."""
        ...

    def after_fork(self) -> None:
        """Begin anew in a forked child: own thread, own identity, at zero."""
        ...

    def describe(self) -> str:
        """Return where metrics go and how, in one line."""
        ...


class NoWay:
    """The way `none`: metrics stay in the process, where `summary()` and `status()` show them."""

    name = "none"

    def start(self) -> None:
        """Do nothing."""

    def flush(self, timeout_seconds: float) -> bool:
        """Return True: nothing waits to be sent.

        Args:
            timeout_seconds: Not needed.
        """
        return True

    def shutdown(self, timeout_seconds: float) -> None:
        """Do nothing.

        Args:
            timeout_seconds: Not needed.
        """

    def after_fork(self) -> None:
        """Do nothing."""

    def describe(self) -> str:
        """Return that nothing leaves."""
        return "none: metrics stay in the process"


def build_way(
    *,
    recorder: Recorder,
    metrics: str | None = None,
    evaluate: Callable[[], Evaluation | None] | None = None,
    resource: Resource | Callable[[], Resource] | None = None,
    endpoint: str | None = None,
    temporality: str | None = None,
    interval_seconds: float | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    histogram: str | None = None,
    max_size: int | None = None,
    naming: Naming | None = None,
    exporter: Callable[[], Exporter] | None = None,
    meter_provider: MeterProvider | None = None,
    registry: CollectorRegistry | None = None,
    environ: Mapping[str, str] | None = None,
) -> WayOut:
    """Return the way out, not yet started.

    Args:
        recorder: Where histograms come from.
        metrics: `otlp`, `meter`, `prometheus` or `none`. When None: `none` if OTEL_SDK_DISABLED or
            OTEL_METRICS_EXPORTER=none says so, `meter` if the user has set an SDK MeterProvider,
            else `otlp`.
        evaluate: Brings the SLOs up to date and returns their state, None when there are none.
            Called from the export thread, a reader's thread or a scrape.
        resource: Resource of the process, or what returns it; `process_resource()` when None.
        endpoint: Base URL of the collector; the OTEL_EXPORTER_OTLP_* variables when None.
        temporality: `cumulative`, `delta` or `lowmemory`.
        interval_seconds: Time between exports, above 0.
        protocol: `http/protobuf` or `grpc`.
        headers: Sent with each request.
        histogram: `explicit_bucket_histogram` or `base2_exponential_bucket_histogram`.
        max_size: Most buckets of one side of an exponential histogram.
        naming: Which set of convention names to use; SLOTEL_SEMCONV when None.
        exporter: Makes the exporter, instead of the SDK's OTLP exporter.
        meter_provider: Provider for `meter`; the global one when None.
        registry: Registry for `prometheus`; prometheus_client's default one when None.
        environ: The environment; the process's own when None.

    Raises:
        ConfigurationError: An argument has a value that nobody knows.
        MissingDependencyError: `prometheus` without prometheus_client.
    """
    environment = environ if environ is not None else os.environ
    provider = meter_provider if meter_provider is not None else otel_metrics.get_meter_provider()
    way = metrics if metrics is not None else default_way(environment, provider)
    if way not in WAYS:
        raise ConfigurationError(
            f"metrics: there is no way out {way!r}. Give one of: {', '.join(WAYS)}."
        )
    parts = _Parts(
        recorder=recorder,
        evaluate=evaluate,
        resource=ProcessResource(_reader_of(resource)),
        settings=read_settings(
            environment,
            endpoint=endpoint,
            protocol=protocol,
            headers=headers,
            interval_seconds=interval_seconds,
            temporality=temporality,
            histogram=histogram,
            max_size=max_size,
        ),
        naming=naming if naming is not None else naming_from_environment(),
        exporter=exporter,
        process=os.getpid(),
        start_unix_ns=recorder.clock.unix_ns(),
    )
    if way == "meter":
        return _meter_way(parts, provider)
    if way == "prometheus":
        return _prometheus_way(parts, registry)
    return (
        OtlpWay(parts.producer, resource=parts.resource, settings=parts.settings, connect=exporter)
        if way == "otlp"
        else NoWay()
    )


def default_way(environ: Mapping[str, str], provider: MeterProvider) -> str:
    """Return the way out for a user who named none.

    Args:
        environ: The environment.
        provider: The global MeterProvider.
    """
    if environ.get(DISABLED, "").strip().lower() == "true":
        return "none"
    if environ.get(ENABLED, "").strip().lower() == "none":
        return "none"
    return "meter" if isinstance(provider, SdkMeterProvider) else "otlp"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the ways are made of."""

    recorder: Recorder
    evaluate: Callable[[], Evaluation | None] | None
    resource: ProcessResource
    settings: OtlpSettings
    naming: Naming
    exporter: Callable[[], Exporter] | None
    process: int
    start_unix_ns: int

    @property
    def in_child(self) -> bool:
        """Whether this process was forked from the one that built the way."""
        return os.getpid() != self.process

    def readings(self) -> ReadingSource:
        """Return the counters and gauges of this process."""
        if self.in_child:
            return ReadingSource(
                self.recorder, evaluate=self.evaluate, inherited=Counter(fault_counts)
            )
        return ReadingSource(
            self.recorder, evaluate=self.evaluate, start_unix_ns=self.start_unix_ns
        )

    def producer(self) -> Producer:
        """Return a producer of everything."""
        return self._producer(self.readings())

    def histogram_producer(self) -> Producer:
        """Return a producer of histograms alone; in a forked child, of everything."""
        return self.producer() if self.in_child else self._producer(None)

    def _producer(self, readings: ReadingSource | None) -> Producer:
        return Producer(
            self.recorder,
            readings,
            histogram=self.settings.histogram,
            max_size=self.settings.max_size,
            naming=self.naming,
        )


def _meter_way(parts: _Parts, provider: MeterProvider) -> WayOut:
    from slotel.export.meter import MeterWay

    own = OtlpWay(
        parts.histogram_producer,
        resource=parts.resource,
        settings=parts.settings,
        connect=parts.exporter,
    )
    known = parts.settings.has_endpoint or parts.exporter is not None
    return MeterWay(provider, parts.readings(), own=own, has_endpoint=known)


def _prometheus_way(parts: _Parts, registry: CollectorRegistry | None) -> WayOut:
    try:
        from slotel.export.prometheus import PrometheusWay, SlotelCollector
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "metrics='prometheus' needs 'prometheus_client', which is not installed. "
            "Install it with: pip install 'slotel[prometheus]'"
        ) from error

    def collector() -> SlotelCollector:
        return SlotelCollector(
            parts.recorder,
            parts.readings(),
            resource=lambda: parts.resource().attributes,
            naming=parts.naming,
        )

    return PrometheusWay(collector, registry=registry)


def _reader_of(
    given: Resource | Callable[[], Resource] | None,
) -> Callable[[], Resource] | None:
    return (lambda: given) if isinstance(given, Resource) else given
