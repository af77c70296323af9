"""Which way out is taken when, and what each says about itself."""

from __future__ import annotations

import builtins
import sys

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider

from slotel.errors import ConfigurationError, MissingDependencyError
from slotel.export.ways import build_way, default_way

from .conftest import CHAT


@pytest.fixture
def sdk_provider():
    made = MeterProvider(shutdown_on_exit=False)
    yield made
    made.shutdown()


def test_otlp_is_the_default_without_an_sdk_meter_provider():
    """The API's own providers send nothing anywhere."""
    assert default_way({}, NoOpMeterProvider()) == "otlp"


def test_meter_is_the_default_with_one(sdk_provider):
    """Whoever has set one up wants metrics to leave there."""
    assert default_way({}, sdk_provider) == "meter"


@pytest.mark.parametrize(
    "environ", [{"OTEL_SDK_DISABLED": "TRUE"}, {"OTEL_METRICS_EXPORTER": "none"}]
)
def test_the_environment_can_switch_metrics_off(environ, sdk_provider):
    """By the standard variables."""
    assert default_way(environ, sdk_provider) == "none"


def test_the_argument_goes_before_everything(recorder, sdk_provider):
    """Whoever names a way gets it."""
    environ = {"OTEL_SDK_DISABLED": "true"}
    for way in ("otlp", "meter", "prometheus", "none"):
        made = build_way(
            metrics=way, recorder=recorder, environ=environ, meter_provider=sdk_provider
        )
        assert made.name == way


def test_an_unknown_way_is_refused(recorder):
    """With those that there are."""
    with pytest.raises(
        ConfigurationError, match=r"there is no way out 'statsd'\. Give one of: otlp"
    ):
        build_way(metrics="statsd", recorder=recorder)


def test_prometheus_without_its_client_says_what_to_install(recorder, monkeypatch):
    """The package is an extra."""
    real = builtins.__import__

    def without(name, *arguments, **others):
        if name.startswith("prometheus_client"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **others)

    monkeypatch.delitem(sys.modules, "slotel.export.prometheus", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"pip install 'slotel\[prometheus\]'"):
        build_way(metrics="prometheus", recorder=recorder)


def test_without_an_endpoint_nothing_is_exported_and_the_log_says_so(recorder, caplog):
    """Once, and no thread is started."""
    made = build_way(metrics="otlp", recorder=recorder, environ={})
    made.start()
    recorder.series(CHAT).record("duration", 1.0)
    assert made.flush(0.0)
    made.shutdown(0.0)
    (line,) = caplog.messages
    assert line.startswith("No OTLP endpoint is given, so metrics stay in this process.")
    assert made.describe() == "otlp: no endpoint, nothing is exported"


def test_otlp_tells_where_and_how(recorder):
    """For `doctor`."""
    made = build_way(
        metrics="otlp",
        recorder=recorder,
        endpoint="http://c:4317",
        protocol="grpc",
        temporality="delta",
    )
    assert made.describe() == (
        "otlp: to http://c:4317 (grpc) every 60 s, delta, explicit_bucket_histogram"
    )


def test_none_keeps_everything_inside(recorder):
    """And says so."""
    made = build_way(metrics="none", recorder=recorder)
    made.start()
    assert made.flush(1.0)
    made.after_fork()
    made.shutdown(1.0)
    assert made.describe() == "none: metrics stay in the process"
