"""What the OTEL_* variables and the arguments of the same meaning amount to."""

from __future__ import annotations

import pytest

from slotel.errors import ConfigurationError
from slotel.export.settings import HistogramType, Protocol, Temporality, read_settings


def test_with_nothing_said_the_specification_s_defaults_hold():
    """HTTP, a minute, cumulative, explicit buckets, and nowhere to send."""
    found = read_settings({})
    assert not found.has_endpoint
    assert found.url is None
    assert found.protocol is Protocol.HTTP
    assert found.interval_seconds == 60.0
    assert found.temporality is Temporality.CUMULATIVE
    assert found.histogram is HistogramType.EXPLICIT
    assert found.max_size == 160


def test_the_variable_for_metrics_goes_before_the_one_for_all():
    """Endpoint and protocol exist twice."""
    found = read_settings(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://all:4318",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://metrics:4317",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
        }
    )
    assert found.environment_endpoint == "http://metrics:4317"
    assert found.protocol is Protocol.GRPC
    assert found.has_endpoint
    # The SDK's exporter reads the variable, with its own rules for the path.
    assert found.url is None
    assert found.target == "http://metrics:4317 (grpc)"


def test_an_argument_goes_before_a_variable():
    """Every one of them."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://all:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "explicit_bucket_histogram",
        "SLOTEL_EXPONENTIAL_MAX_SIZE": "320",
    }
    found = read_settings(
        environ,
        endpoint="http://mine:4318",
        protocol="http/protobuf",
        interval_seconds=2,
        temporality="lowmemory",
        histogram="base2_exponential_bucket_histogram",
        max_size=640,
    )
    assert found.url == "http://mine:4318/v1/metrics"
    assert found.interval_seconds == 2.0
    assert found.temporality is Temporality.LOWMEMORY
    assert found.histogram is HistogramType.EXPONENTIAL
    assert found.max_size == 640


def test_variables_are_read_whatever_their_case():
    """As the SDK reads them."""
    found = read_settings(
        {
            "OTEL_METRIC_EXPORT_INTERVAL": " 2500 ",
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "DELTA",
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (
                "BASE2_EXPONENTIAL_BUCKET_HISTOGRAM"
            ),
            "SLOTEL_EXPONENTIAL_MAX_SIZE": "320",
        }
    )
    assert found.interval_seconds == 2.5
    assert found.temporality is Temporality.DELTA
    assert found.histogram is HistogramType.EXPONENTIAL
    assert found.max_size == 320


@pytest.mark.parametrize(
    ("endpoint", "protocol", "url"),
    [
        ("http://c:4318", "http/protobuf", "http://c:4318/v1/metrics"),
        ("http://c:4318/", "http/protobuf", "http://c:4318/v1/metrics"),
        ("http://c:4318/otlp", "http/protobuf", "http://c:4318/otlp/v1/metrics"),
        ("http://c:4318/v1/metrics", "http/protobuf", "http://c:4318/v1/metrics"),
        ("http://c:4317", "grpc", "http://c:4317"),
    ],
)
def test_the_signal_s_path_is_added_over_http(endpoint: str, protocol: str, url: str):
    """Whoever gives the base URL and whoever gives the whole one both arrive."""
    assert read_settings({}, endpoint=endpoint, protocol=protocol).url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "inf"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both"),
        ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "summary"),
        ("SLOTEL_EXPONENTIAL_MAX_SIZE", "1"),
    ],
)
def test_a_variable_that_nobody_understands_is_logged_and_ignored(name, value, caplog):
    """The specification forbids to fail for it."""
    assert read_settings({name: value}) == read_settings({})
    (line,) = caplog.messages
    assert line.startswith(f"{name}={value.lower()} is not ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "http/json"}, "protocol: there is no 'http/json'. Give one of: grpc, http/p"),
        ({"temporality": "both"}, "temporality: there is no 'both'. Give one of: cumulative, de"),
        ({"histogram": "summary"}, "histogram: there is no 'summary'. Give one of: base2_expon"),
        ({"interval_seconds": 0}, "interval_seconds: must be above 0, got 0. Give seconds"),
        ({"interval_seconds": float("nan")}, "interval_seconds: must be above 0, got nan"),
        ({"max_size": 1}, "max_size: must be at least 2, got 1. Give 160, 320 or 640."),
    ],
)
def test_an_argument_that_nobody_understands_fails_at_once(arguments, message):
    """Configuration fails at start, and says how to mend it."""
    with pytest.raises(ConfigurationError) as caught:
        read_settings({}, **arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("temporality", "histograms", "counters"),
    [
        (Temporality.CUMULATIVE, False, False),
        (Temporality.DELTA, True, True),
        (Temporality.LOWMEMORY, True, False),
    ],
)
def test_low_memory_keeps_counters_cumulative(temporality, histograms, counters):
    """Our counters are read at export time, as asynchronous ones are."""
    assert temporality.histograms_are_delta is histograms
    assert temporality.counters_are_delta is counters
