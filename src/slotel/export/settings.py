"""How metrics leave: the standard OTEL_* variables and the arguments that take their place."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeVar

from slotel.errors import ConfigurationError
from slotel.export.exponential import MaxSize

_log = logging.getLogger(__name__)

# https://opentelemetry.io/docs/specs/otel/protocol/exporter/
# https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/
ENDPOINT = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOL = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
TEMPORALITY = ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",)
HISTOGRAM = ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",)
INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
MAX_SIZE = "SLOTEL_EXPONENTIAL_MAX_SIZE"

DEFAULT_INTERVAL_SECONDS = 60.0
METRICS_PATH = "/v1/metrics"


class Protocol(StrEnum):
    """How OTLP is carried."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


class Temporality(StrEnum):
    """What a point counts: since the start, or since the point before it."""

    CUMULATIVE = "cumulative"
    DELTA = "delta"
    LOWMEMORY = "lowmemory"
    """Histograms as deltas, counters that are read at export time cumulative."""

    @property
    def histograms_are_delta(self) -> bool:
        """Whether a histogram counts since the point before."""
        return self is not Temporality.CUMULATIVE

    @property
    def counters_are_delta(self) -> bool:
        """Whether a counter counts since the point before."""
        return self is Temporality.DELTA


class HistogramType(StrEnum):
    """Which buckets a histogram has on the wire."""

    EXPLICIT = "explicit_bucket_histogram"
    """The conventions' advised bounds, counted exactly."""
    EXPONENTIAL = "base2_exponential_bucket_histogram"
    """Bounds that follow the data, within a stated error."""


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """Everything the OTLP exporter is told; what is None the SDK's exporter reads by itself.

    Attributes:
        endpoint: Where to send: what was given as argument; None when a variable names it.
        environment_endpoint: What a variable names; None when there is none.
        protocol: HTTP with protobuf, or gRPC.
        headers: Sent with each request, on top of those that variables name.
        interval_seconds: Time between exports, above 0.
        temporality: Delta or cumulative.
        histogram: Explicit or exponential buckets.
        max_size: Most buckets of one side of an exponential histogram, at least 2.
    """

    endpoint: str | None = None
    environment_endpoint: str | None = None
    protocol: Protocol = Protocol.HTTP
    headers: Mapping[str, str] | None = None
    interval_seconds: float = DEFAULT_INTERVAL_SECONDS
    temporality: Temporality = Temporality.CUMULATIVE
    histogram: HistogramType = HistogramType.EXPLICIT
    max_size: int = MaxSize.STANDARD

    @property
    def has_endpoint(self) -> bool:
        """Whether an argument or a variable says where to send."""
        return bool(self.endpoint or self.environment_endpoint)

    @property
    def url(self) -> str | None:
        """The endpoint argument as the exporter wants it: with the signal's path over HTTP."""
        if self.endpoint is None or self.protocol is Protocol.GRPC:
            return self.endpoint
        base = self.endpoint.rstrip("/")
        return base if base.endswith(METRICS_PATH) else base + METRICS_PATH

    @property
    def target(self) -> str:
        """Where metrics go, for people."""
        return f"{self.endpoint or self.environment_endpoint} ({self.protocol.value})"


def read_settings(
    environ: Mapping[str, str],
    *,
    endpoint: str | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    interval_seconds: float | None = None,
    temporality: str | None = None,
    histogram: str | None = None,
    max_size: int | None = None,
) -> OtlpSettings:
    """Return the settings; an argument goes before the variable of the same meaning.

    A variable with a value that nobody knows is reported in the log and its default is taken, as
    the OpenTelemetry specification asks for.

    Args:
        environ: The environment.
        endpoint: Base URL of the collector, or, over HTTP, with `/v1/metrics`.
        protocol: `http/protobuf` or `grpc`.
        headers: Sent with each request.
        interval_seconds: Time between exports, above 0.
        temporality: `cumulative`, `delta` or `lowmemory`.
        histogram: `explicit_bucket_histogram` or `base2_exponential_bucket_histogram`.
        max_size: Most buckets of one side of an exponential histogram, at least 2.

    Raises:
        ConfigurationError: An argument has a value that nobody knows or that is out of range.
    """
    return OtlpSettings(
        endpoint=endpoint or None,
        environment_endpoint=_first(environ, ENDPOINT),
        protocol=_choose(Protocol.HTTP, "protocol", protocol, environ, PROTOCOL),
        headers=headers,
        interval_seconds=_interval(interval_seconds, environ),
        temporality=_choose(
            Temporality.CUMULATIVE, "temporality", temporality, environ, TEMPORALITY
        ),
        histogram=_choose(HistogramType.EXPLICIT, "histogram", histogram, environ, HISTOGRAM),
        max_size=_max_size(max_size, environ),
    )


Choice = TypeVar("Choice", bound=Enum)


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _choose(
    default: Choice,
    argument: str,
    value: str | None,
    environ: Mapping[str, str],
    variables: tuple[str, ...],
) -> Choice:
    kind = type(default)
    known = {str(member.value): member for member in kind}
    if value is not None:
        if value not in known:
            raise ConfigurationError(
                f"{argument}: there is no {value!r}. Give one of: {', '.join(sorted(known))}."
            )
        return known[value]
    for name in variables:
        text = environ.get(name, "").strip().lower()
        if text in known:
            return known[text]
        if text:
            _ignored(name, text, "one of: " + ", ".join(sorted(known)), str(default.value))
    return default


def _interval(argument: float | None, environ: Mapping[str, str]) -> float:
    if argument is not None:
        if not (argument > 0 and math.isfinite(argument)):
            raise ConfigurationError(
                f"interval_seconds: must be above 0, got {argument!r}. Give seconds, such as 60."
            )
        return float(argument)
    text = environ.get(INTERVAL, "").strip()
    if text:
        milliseconds = _number(text)
        if milliseconds > 0:
            return milliseconds / 1000
        _ignored(INTERVAL, text, "milliseconds above 0", "60000")
    return DEFAULT_INTERVAL_SECONDS


def _max_size(argument: int | None, environ: Mapping[str, str]) -> int:
    if argument is not None:
        if argument < 2:
            raise ConfigurationError(
                f"max_size: must be at least 2, got {argument!r}. Give 160, 320 or 640."
            )
        return int(argument)
    text = environ.get(MAX_SIZE, "").strip()
    if text:
        if _number(text) >= 2:
            return int(_number(text))
        _ignored(MAX_SIZE, text, "a number of buckets, such as 160, 320 or 640", "160")
    return int(MaxSize.STANDARD)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _ignored(name: str, value: str, wanted: str, default: str) -> None:
    _log.warning("%s=%s is not %s; %s is taken.", name, value, wanted, default)
