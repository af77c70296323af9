"""The way `meter`: counters and gauges in the user's provider, each once, and histograms ours."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult

from slotel.export.ways import build_way

from .conftest import CHAT, MemoryExporter, new_evaluation


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader):
    made = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    yield made
    made.shutdown()


@pytest.fixture
def way(recorder, evaluate, provider, exporter):
    made = build_way(
        metrics="meter",
        recorder=recorder,
        evaluate=evaluate,
        meter_provider=provider,
        exporter=lambda: exporter,
        interval_seconds=3600,
    )
    made.start()
    yield made
    made.shutdown(1.0)


def collected(reader: InMemoryMetricReader) -> dict[str, list]:
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: list(metric.data.data_points)
        for of_resource in data.resource_metrics
        for scoped in of_resource.scope_metrics
        for metric in scoped.metrics
    }


def events(found: dict[str, list], slo: str = "answer-latency") -> dict[str, int]:
    return {
        one.attributes["slotel.slo.event"]: one.value
        for one in found["slotel.slo.events"]
        if one.attributes["slotel.slo.name"] == slo
    }


def exported(exporter) -> set[str]:
    (of_resource,) = exporter.batches[-1].resource_metrics
    (scoped,) = of_resource.scope_metrics
    return {metric.name for metric in scoped.metrics}


def test_counters_and_gauges_leave_through_the_user_s_provider(way, recorder, reader):
    """With the state at the moment of each collection."""
    assert events(collected(reader)) == {"good": 0, "bad": 0}
    recorder.series(CHAT).record("duration", 0.1)
    recorder.series(CHAT).record("duration", 0.9)
    found = collected(reader)
    assert events(found) == {"good": 1, "bad": 1}
    assert found["slotel.slo.sli.ratio"][0].value == 0.5
    recorder.series(CHAT).record("duration", 0.9)
    assert events(collected(reader)) == {"good": 1, "bad": 2}


def test_one_collection_shows_one_state(way, recorder, evaluate, reader, monkeypatch):
    """The SLOs are evaluated once for all instruments."""
    recorder.series(CHAT).record("duration", 0.1)
    read = []
    keep = way._readings.read
    monkeypatch.setattr(way._readings, "read", lambda: read.append(1) or keep())
    collected(reader)
    collected(reader)
    assert len(read) == 2


def test_histograms_leave_by_our_exporter_and_nothing_leaves_twice(way, recorder, reader, exporter):
    """What one side sends the other does not."""
    recorder.series(CHAT).record("duration", 0.1)
    assert way.flush(5.0)
    assert exported(exporter) == {"gen_ai.client.operation.duration"}
    assert not exported(exporter) & collected(reader).keys()


def test_without_an_endpoint_the_log_says_where_histograms_stay(
    recorder, evaluate, provider, reader, caplog
):
    """Once; counters leave all the same."""
    made = build_way(metrics="meter", recorder=recorder, evaluate=evaluate, meter_provider=provider)
    made.start()
    made.start()
    (line,) = caplog.messages
    assert line.startswith("Counters and gauges leave through your MeterProvider. Histograms can")
    assert events(collected(reader)) == {"good": 0, "bad": 0}
    assert "histograms: nowhere" in made.describe()
    assert made.flush(5.0)
    made.shutdown(1.0)


def test_after_a_shutdown_the_last_counters_can_still_be_collected(way, recorder, reader):
    """The provider outlives us, and its own last collection must not miss the end."""
    recorder.series(CHAT).record("duration", 0.1)
    way.shutdown(1.0)
    found = collected(reader)
    assert events(found) == {"good": 1, "bad": 0}
    assert "slotel.slo.sli.ratio" not in found


def test_a_second_way_takes_over_the_instruments(way, recorder, evaluate, provider, reader, caplog):
    """Instruments cannot be taken back: configuring anew must not show the old state."""
    way.shutdown(1.0)
    again = build_way(
        metrics="meter", recorder=recorder, evaluate=evaluate, meter_provider=provider
    )
    again.start()
    recorder.series(CHAT).record("duration", 0.1)
    assert events(collected(reader)) == {"good": 1, "bad": 0}
    assert "already" not in caplog.text
    again.shutdown(1.0)


def test_counters_only_grow_when_the_process_is_configured_anew(recorder, clock, provider, reader):
    """The SLOs begin at 0 again; the SDK would make negative deltas of that."""
    shown = []
    for _ in range(3):
        clock.advance(60)
        recorder.ledger().drain()
        made = build_way(
            metrics="meter",
            recorder=recorder,
            evaluate=new_evaluation(recorder, clock),
            meter_provider=provider,
            exporter=MemoryExporter,
        )
        made.start()
        shown.append(events(collected(reader))["good"])
        recorder.series(CHAT).record("duration", 0.1)
        shown.append(events(collected(reader))["good"])
        made.shutdown(1.0)
        shown.append(events(collected(reader))["good"])
    assert shown == [0, 1, 1, 1, 2, 2, 2, 3, 3]


def test_a_flush_reaches_the_user_s_exporters(recorder, evaluate, provider, exporter, monkeypatch):
    """And reports when theirs or ours failed, or took too long."""
    made = build_way(
        metrics="meter",
        recorder=recorder,
        evaluate=evaluate,
        meter_provider=provider,
        exporter=lambda: exporter,
    )
    made.start()
    recorder.series(CHAT).record("duration", 0.1)
    flushed: list[float] = []
    monkeypatch.setattr(provider, "force_flush", lambda millis: flushed.append(millis) or True)
    assert made.flush(2.0)
    assert flushed == [2000.0]
    monkeypatch.setattr(provider, "force_flush", lambda millis: 1 / 0)
    assert not made.flush(2.0)
    monkeypatch.setattr(provider, "force_flush", lambda millis: exporter.gate.wait(30))
    exporter.gate.clear()
    assert not made.flush(0.05)
    exporter.gate.set()
    monkeypatch.setattr(provider, "force_flush", lambda millis: True)
    exporter.result = MetricExportResult.FAILURE
    assert not made.flush(2.0)
    made.shutdown(1.0)


def test_it_tells_what_it_does(way):
    """For `doctor`."""
    assert way.name == "meter"
    assert way.describe().startswith("meter: counters and gauges to the MeterProvider; histograms:")
