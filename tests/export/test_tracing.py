"""A tracer provider for users who have none, which a dead collector cannot hold up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from slotel.cli.demo_app.receiver import OtlpReceiver
from slotel.export.tracing import QuietExporter, Tracing

pytestmark = pytest.mark.loopback


class Spans(SpanExporter):
    """An exporter that fails, raises or blocks when told to."""

    def __init__(self) -> None:
        self.count = 0
        self.result = SpanExportResult.SUCCESS
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.shut = 0

    def export(self, spans):
        self.gate.wait(30)
        if self.error is not None:
            raise self.error
        if self.result is SpanExportResult.SUCCESS:
            self.count += len(spans)
        return self.result

    def shutdown(self) -> None:
        self.shut += 1


@pytest.fixture
def spans():
    made = Spans()
    yield made
    made.gate.set()


@pytest.fixture
def provider():
    made = TracerProvider(shutdown_on_exit=False)
    yield made
    made.shutdown()


@pytest.fixture
def tracing(spans, provider):
    exporter = QuietExporter(spans, "http://collector")
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    made = Tracing(processor, exporter, "http://collector")
    yield made
    spans.gate.set()
    made.shutdown(5.0)


def make_span(provider) -> None:
    provider.get_tracer("test").start_span("chat").end()


def test_a_flush_sends_what_has_ended(tracing, provider, spans):
    """And says that it arrived."""
    make_span(provider)
    assert tracing.flush(5.0)
    assert spans.count == 1
    assert tracing.describe() == "otlp to http://collector"


def test_a_shutdown_sends_the_last_ones_and_closes(tracing, provider, spans):
    """Once; a second one, and a flush after it, wait for nobody."""
    make_span(provider)
    tracing.shutdown(5.0)
    assert spans.count == 1
    deadline = time.monotonic() + 5
    while not spans.shut and time.monotonic() < deadline:
        time.sleep(0.01)
    assert spans.shut == 1
    tracing.shutdown(5.0)
    assert tracing.flush(5.0)


@pytest.mark.parametrize("failure", ["fails", "raises"])
def test_a_failure_and_the_recovery_are_logged_once_each(tracing, provider, spans, caplog, failure):
    """However often it fails in between."""
    if failure == "fails":
        spans.result = SpanExportResult.FAILURE
    else:
        spans.error = OSError("no route")
    for _ in range(3):
        make_span(provider)
        assert not tracing.flush(5.0)
    spans.result, spans.error = SpanExportResult.SUCCESS, None
    make_span(provider)
    assert tracing.flush(5.0)
    reason = {"fails": "the exporter gave no reason", "raises": "OSError('no route')"}[failure]
    assert caplog.messages == [
        f"Spans do not reach http://collector: {reason}. Calls go on and are counted. "
        "These spans are lost; nothing is measured from spans.",
        "Spans reach http://collector again.",
    ]


def test_a_collector_that_does_not_answer_holds_up_nobody(tracing, provider, spans, caplog):
    """A flush and a shutdown give up at their time, whatever the SDK's would do."""
    spans.gate.clear()
    make_span(provider)
    began = time.monotonic()
    assert not tracing.flush(0.05)
    tracing.shutdown(0.05)
    assert time.monotonic() - began < 1.0
    (line,) = caplog.messages
    assert line.startswith("Spans do not reach http://collector: no answer in time.")


PROGRAM = """
import json, os, sys
import slotel
from opentelemetry import trace

@slotel.llm(model="m")
def answer(): return 1

told = json.loads(sys.argv[1])
for step in told["steps"]:
    slotel.configure(replace=True, metrics="none", **step)
    answer()
    assert slotel.flush(20.0)
if told["fork"] and os.fork() == 0:
    answer()
    assert slotel.flush(20.0)
    os._exit(0)
elif told["fork"]:
    assert os.wait()[1] == 0
answer()
slotel.shutdown(20.0)
"""


def run(**told) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps({"fork": False} | told)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_process_that_is_configured_anew_goes_on_tracing():
    """The provider stays, its spans go to the new collector."""
    with OtlpReceiver() as first, OtlpReceiver() as second:
        steps = [{"endpoint": first.endpoint, "service": "bot"}, {"endpoint": second.endpoint}]
        run(steps=steps)
        assert (len(first.spans), len(second.spans)) == (1, 2)
        assert first.spans[0].resource["service.name"] == "bot"


def test_a_forked_child_flushes_its_own_spans():
    """The thread that flushes is not inherited, so the child makes one."""
    with OtlpReceiver() as receiver:
        run(steps=[{"endpoint": receiver.endpoint}], fork=True)
        assert len(receiver.spans) == 3
        assert len({span.resource["service.instance.id"] for span in receiver.spans}) == 2


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/v1/metrics"])
def test_one_endpoint_serves_both_signals(path):
    """Whoever gives the metrics' path has their spans arrive all the same."""
    with OtlpReceiver() as receiver:
        run(steps=[{"endpoint": receiver.endpoint + path}])
        assert len(receiver.spans) == 2
        assert receiver.refusals == []
