"""The export thread: a collector that is dead, slow or raising costs its callers nothing."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from opentelemetry import context
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from slotel.export.pipeline import Pipeline

HTTP_LOGGER = "opentelemetry.exporter.otlp.proto.http.metric_exporter"


class Source:
    """Gives a numbered batch each time, and notes what was delivered."""

    def __init__(self) -> None:
        self.made = 0
        self.delivered: list[int] = []

    def collect(self) -> MetricsData | None:
        self.made += 1
        return MetricsData([])

    def deliver(self) -> None:
        self.delivered.append(self.made)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def pipeline(source, exporter):
    made = Pipeline(
        collect=source.collect,
        delivered=source.deliver,
        connect=lambda: exporter,
        interval_seconds=3600,
        target="http://collector",
    )
    made.start()
    yield made
    exporter.gate.set()
    made.shutdown(1.0)


def test_a_flush_exports_once_on_the_thread(pipeline, source, exporter):
    """The caller waits; the thread meets the exporter."""
    assert pipeline.flush(5.0)
    assert len(exporter.batches) == 1
    assert exporter.threads == ["slotel-export"]
    assert source.delivered == [1]


def test_it_exports_at_its_interval(source, exporter):
    """Without being asked."""
    arrived = threading.Event()
    made = Pipeline(
        collect=source.collect,
        delivered=lambda: (source.deliver(), arrived.set()),
        connect=lambda: exporter,
        interval_seconds=0.01,
        target="t",
    )
    made.start()
    assert arrived.wait(5)
    made.shutdown(1.0)


def test_with_nothing_to_tell_no_exporter_is_made(exporter):
    """Nothing to send is a success that opens no connection."""
    connected = []
    made = Pipeline(
        collect=lambda: None,
        delivered=lambda: None,
        connect=lambda: connected.append(1) or exporter,
        interval_seconds=3600,
        target="t",
    )
    made.start()
    assert made.flush(5.0)
    assert made.shutdown(1.0)
    assert connected == []
    assert exporter.shut == 0


def test_shutdown_exports_once_more_and_ends_the_thread(pipeline, exporter):
    """What came after the last interval leaves too."""
    assert pipeline.shutdown(5.0)
    assert len(exporter.batches) == 1
    assert exporter.shut == 1
    assert not pipeline._thread.is_alive()
    # A second one, and a flush after it, change nothing and wait for nobody.
    assert pipeline.shutdown(5.0)
    assert not pipeline.flush(5.0)
    assert len(exporter.batches) == 1


def test_a_failure_and_the_recovery_are_logged_once_each(pipeline, source, exporter, caplog):
    """However often it fails in between; and nothing counts as delivered."""
    exporter.result = MetricExportResult.FAILURE
    assert [pipeline.flush(5.0) for _ in range(3)] == [False, False, False]
    exporter.result = MetricExportResult.SUCCESS
    assert pipeline.flush(5.0)
    assert pipeline.flush(5.0)
    assert caplog.messages == [
        "Metrics do not reach http://collector: the exporter gave no reason. Calls go on and are "
        "counted. Tried again every 3600 s, with what was missed.",
        "Metrics reach http://collector again.",
    ]
    assert source.delivered == [4, 5]


def test_an_exporter_that_raises_is_a_failure(pipeline, source, exporter, caplog):
    """Its error is the reason, and the thread lives on."""
    exporter.error = ValueError("no route")
    assert not pipeline.flush(5.0)
    exporter.error = None
    assert pipeline.flush(5.0)
    assert "Metrics do not reach http://collector: ValueError('no route')." in caplog.text
    assert source.delivered == [2]


def test_an_exporter_that_cannot_be_made_is_tried_again(source, exporter, caplog):
    """A certificate that is not there yet, say."""
    faults = [OSError("no certificate")]

    def connect():
        if faults:
            raise faults.pop()
        return exporter

    made = Pipeline(
        collect=source.collect,
        delivered=source.deliver,
        connect=connect,
        interval_seconds=3600,
        target="t",
    )
    made.start()
    assert not made.flush(5.0)
    assert made.flush(5.0)
    made.shutdown(1.0)
    assert "Metrics do not reach t: OSError('no certificate')." in caplog.text


def test_the_exporter_s_own_lines_are_the_reason_and_are_not_heard(source, exporter, caplog):
    """One line in our words instead of one an attempt in the SDK's."""
    logger = logging.getLogger(HTTP_LOGGER)

    def export(batch: MetricsData) -> MetricExportResult:
        logger.warning("Transient error Service Unavailable")
        logger.error("Failed to export metrics batch code: 503, reason: Service Unavailable")
        return MetricExportResult.FAILURE

    exporter.export = export
    made = Pipeline(
        collect=source.collect,
        delivered=source.deliver,
        connect=lambda: exporter,
        interval_seconds=3600,
        target="t",
    )
    made.start()
    made.flush(5.0)
    made.flush(5.0)
    made.shutdown(1.0)
    (line,) = caplog.messages
    assert line.startswith("Metrics do not reach t: Failed to export metrics batch code: 503")
    assert made._filter not in logger.filters


def test_an_exporter_that_blocks_holds_up_nobody(pipeline, source, exporter, caplog):
    """A flush gives up at its time, a shutdown within a second; the log says so once."""
    exporter.gate.clear()
    began = time.monotonic()
    assert not pipeline.flush(0.05)
    assert exporter.blocked.wait(5)
    assert not pipeline.flush(0.05)
    assert time.monotonic() - began < 1.0
    began = time.monotonic()
    assert not pipeline.shutdown(60.0)
    assert time.monotonic() - began < 1.5
    (line,) = caplog.messages
    assert line == (
        "Metrics do not reach http://collector: no answer within 1 s. Calls go on and are counted. "
        "What was not sent is lost with the process."
    )
    assert source.delivered == []


def test_a_thread_that_was_left_behind_ends_with_its_exporter(pipeline, exporter):
    """It closes the exporter and takes its log filter away."""
    exporter.gate.clear()
    pipeline.flush(0.0)
    assert exporter.blocked.wait(5)
    pipeline.shutdown(0.0)
    assert pipeline._thread.is_alive()
    exporter.gate.set()
    pipeline._thread.join(5)
    assert not pipeline._thread.is_alive()
    assert exporter.shut == 1
    assert pipeline._filter not in logging.getLogger(HTTP_LOGGER).filters


def test_an_exporter_that_does_not_shut_down_is_left_alone(pipeline, exporter):
    """Nothing depends on it any more."""

    def shutdown() -> None:
        raise OSError("already closed")

    pipeline.flush(5.0)
    exporter.shutdown = shutdown
    assert pipeline.shutdown(5.0)


def test_many_flushes_at_once_are_answered(pipeline, exporter):
    """Each by an export that began after it was asked for."""
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(pipeline.flush(10.0))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 20
    assert 1 <= len(exporter.batches) <= 20


def test_instrumentation_is_suppressed_while_exporting(pipeline, exporter):
    """The exporter's own requests must not become spans of the user's."""
    seen: list[object] = []
    keep = exporter.export

    def export(batch: MetricsData) -> MetricExportResult:
        seen.append(context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY))
        seen.append(context.get_value("suppress_instrumentation"))
        return keep(batch)

    exporter.export = export
    assert pipeline.flush(5.0)
    assert seen == [True, True]
    assert context.get_value("suppress_instrumentation") is None


def test_a_pipeline_that_never_started_answers_at_once(source, exporter):
    """Neither a flush nor a shutdown waits for a thread that is not there."""
    made = Pipeline(
        collect=source.collect,
        delivered=source.deliver,
        connect=lambda: exporter,
        interval_seconds=1,
        target="t",
    )
    began = time.monotonic()
    assert not made.flush(30.0)
    assert not made.shutdown(30.0)
    assert time.monotonic() - began < 0.5
