"""The way `otlp` against collectors that are well, dead, slow, refusing and lying."""

from __future__ import annotations

import gc
import logging
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource

from slotel.cli.demo_app.receiver import OtlpReceiver
from slotel.export.ways import build_way

from .conftest import CHAT

pytestmark = pytest.mark.loopback

DURATION = "gen_ai.client.operation.duration"
EVENTS = "slotel.slo.events"
EXPORTER_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)


@pytest.fixture
def build(recorder, evaluate) -> Callable:
    """Make and start a way; all of them are shut down at the end."""
    made = []

    def build(**arguments):
        arguments = {"interval_seconds": 3600} | arguments
        way = build_way(metrics="otlp", recorder=recorder, evaluate=evaluate, **arguments)
        way.start()
        made.append(way)
        return way

    yield build
    for way in made:
        way.shutdown(1.0)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def answering():
    """Start an HTTP server that answers every POST as it is told; return its endpoint."""
    servers = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                answer(self)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def reply(status: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_what_is_sent_arrives_whole(build, recorder, temporality, clock):
    """Figures, resource, scope, time and temporality."""
    clock.advance(60)
    for value in (0.1, 0.2, 0.9):
        recorder.series(CHAT).record("duration", value)
    with OtlpReceiver() as receiver:
        way = build(
            endpoint=receiver.endpoint,
            temporality=temporality,
            resource=Resource({"service.name": "bot", "team": "assist"}),
        )
        assert way.flush(10.0)
        (histogram,) = receiver.histograms(DURATION)
        assert (histogram.count, histogram.minimum, histogram.maximum) == (3, 0.1, 0.9)
        assert histogram.sum == pytest.approx(1.2)
        assert histogram.delta is (temporality == "delta")
        assert histogram.unix_ns == clock.unix_ns()
        resource = dict(histogram.resource)
        assert (resource["service.name"], resource["team"]) == ("bot", "assist")
        assert resource["service.instance.id"]
        wanted = {"slotel.slo.name": "answer-latency"}
        assert receiver.sum_counter(EVENTS, wanted | {"slotel.slo.event": "good"}) == 2
        assert receiver.sum_counter(EVENTS, wanted | {"slotel.slo.event": "bad"}) == 1
        assert receiver.refusals == []


def test_the_environment_alone_is_enough(build, recorder, monkeypatch):
    """Endpoint and compression are the exporter's own to read."""
    with OtlpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        recorder.series(CHAT).record("duration", 0.1)
        assert build().flush(10.0)
        assert receiver.histogram_count(DURATION) == 1


def test_headers_are_sent(build, answering, monkeypatch):
    """Those of the argument and those of the environment."""
    seen: list[dict[str, str]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(dict(handler.headers.items()))
        reply(200)(handler)

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
    way = build(endpoint=answering(answer), headers={"X-Token": "secret"})
    assert way.flush(10.0)
    headers = {name.lower(): value for name, value in seen[0].items()}
    assert (headers["x-token"], headers["x-tenant"]) == ("secret", "acme")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_a_dead_collector_costs_nothing_and_gets_everything_later(
    build, recorder, free_port, caplog, protocol, temporality
):
    """Calls go on at their pace, the log says so once each way, and the totals are right."""
    series = recorder.series(CHAT)
    if protocol == "grpc":
        pytest.importorskip("grpc")
    endpoint = f"http://127.0.0.1:{free_port}"
    way = build(endpoint=endpoint, temporality=temporality, protocol=protocol)
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(1000):
            series.record("duration", 0.1)
        assert time.perf_counter() - began < 0.5
        assert not way.flush(0.3)
    (line,) = caplog.messages
    assert line.startswith(f"Metrics do not reach {endpoint} ({protocol}): ")
    if protocol == "http/protobuf":
        with OtlpReceiver(port=free_port) as receiver:
            assert way.flush(20.0)
            assert receiver.histogram_count(DURATION) == 3000
            good = {"slotel.slo.name": "answers", "slotel.slo.event": "good"}
            assert receiver.sum_counter(EVENTS, good) == 3000
        assert caplog.messages[1:] == [f"Metrics reach {endpoint} ({protocol}) again."]


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "code: 400"), (503, ""), (429, "")],
)
def test_a_refusing_collector_is_a_failure(build, recorder, answering, caplog, status, words):
    """Those that may be tried again and those that may not."""
    recorder.series(CHAT).record("duration", 0.1)
    way = build(endpoint=answering(reply(status, Retry_After="30")))
    assert not way.flush(5.0)
    (line,) = caplog.messages
    assert line.startswith("Metrics do not reach http://127.0.0.1:")
    assert words in line


def test_a_collector_that_never_answers_holds_up_neither_calls_nor_the_end(
    build, recorder, answering, caplog
):
    """The request hangs on the thread; nobody else waits."""
    hold = threading.Event()
    way = build(endpoint=answering(lambda handler: hold.wait(20)))
    recorder.series(CHAT).record("duration", 0.1)
    assert not way.flush(0.1)
    began = time.monotonic()
    way.shutdown(30.0)
    assert time.monotonic() - began < 1.5
    assert len(caplog.messages) == 1
    hold.set()


def test_a_lying_collector_is_made_good_by_the_next_cumulative_batch(build, recorder, answering):
    """It said yes and kept nothing: a cumulative series carries everything again."""
    series = recorder.series(CHAT)
    series.record("duration", 0.1)
    assert build(endpoint=answering(reply(200))).flush(10.0)
    series.record("duration", 0.1)
    with OtlpReceiver() as receiver:
        assert build(endpoint=receiver.endpoint).flush(10.0)
        assert receiver.histogram_count(DURATION) == 2


def test_what_is_kept_for_a_dead_collector_does_not_grow(build, recorder, exporter):
    """A thousand lost batches take no more memory than one."""
    exporter.result = MetricExportResult.FAILURE
    way = build(exporter=lambda: exporter, temporality="delta")
    series = recorder.series(CHAT)

    def lose(batches: int) -> int:
        for _ in range(batches):
            series.record("duration", 0.1)
            assert not way.flush(5.0)
        gc.collect()
        ours = [tracemalloc.Filter(True, "*/slotel/*")]
        found = tracemalloc.take_snapshot().filter_traces(ours).statistics("filename")
        return sum(one.size for one in found)

    tracemalloc.start()
    try:
        few = lose(25)
        many = lose(200)
    finally:
        tracemalloc.stop()
    assert few > 1000  # It does see what is kept.
    assert many - few < 450 * 50  # Less than any record of a batch would take.
    exporter.result = MetricExportResult.SUCCESS
    assert way.flush(5.0)
    (of_resource,) = exporter.batches[-1].resource_metrics
    (scoped,) = of_resource.scope_metrics
    (histogram,) = [one for one in scoped.metrics if one.name == DURATION]
    assert histogram.data.data_points[0].count == 225


@pytest.mark.parametrize("failure", ["raises", "blocks"])
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_an_exporter_that_raises_or_blocks_never_meets_a_caller(
    build, recorder, exporter, failure, temporality
):
    """Recording and draining go on while it is stuck, and nothing is lost."""
    way = build(exporter=lambda: exporter, temporality=temporality)
    series = recorder.series(CHAT)
    series.record("duration", 0.1)
    if failure == "raises":
        exporter.error = OSError("no route to host")
    else:
        exporter.gate.clear()
    assert not way.flush(0.05)
    began = time.perf_counter()
    for _ in range(5000):  # More than a buffer holds: callers drain while the exporter is stuck.
        series.record("duration", 0.1)
    assert time.perf_counter() - began < 1.0
    assert int(recorder.ledger().counts("duration").sum()) > 0
    exporter.error = None
    exporter.gate.set()
    assert way.flush(5.0)
    counts = [
        point.count
        for batch in exporter.batches
        for of_resource in batch.resource_metrics
        for scoped in of_resource.scope_metrics
        for metric in scoped.metrics
        if metric.name == DURATION
        for point in metric.data.data_points
    ]
    assert (counts[-1] if temporality == "cumulative" else sum(counts)) == 5001


def test_one_batch_is_one_resource_and_one_scope(build, recorder, exporter):
    """Of two equal ones the SDK's encoder keeps only the last, and says SUCCESS."""
    recorder.series(CHAT).record("duration", 0.1)
    recorder.series(CHAT).record("score.x", 0.1)
    assert build(exporter=lambda: exporter).flush(5.0)
    (batch,) = exporter.batches
    (of_resource,) = batch.resource_metrics
    (scoped,) = of_resource.scope_metrics
    assert scoped.scope.name == "slotel"
    assert scoped.scope.version
    names = [metric.name for metric in scoped.metrics]
    assert len(names) == len(set(names))
    assert all(metric.data.data_points for metric in scoped.metrics)


def test_the_exporters_loggers_are_left_as_they_were(build, free_port, monkeypatch):
    """For the user's own exporters of the same process."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    way = build(endpoint=f"http://127.0.0.1:{free_port}")
    thread, held = way._pipeline._thread, way._pipeline._filter
    way.flush(0.05)
    assert all(held in logging.getLogger(name).filters for name in EXPORTER_LOGGERS)
    way.shutdown(1.0)
    thread.join(15)
    assert not thread.is_alive()
    assert not any(held in logging.getLogger(name).filters for name in EXPORTER_LOGGERS)


def test_the_trace_of_the_caller_has_no_span_of_ours(build, recorder, exporter):
    """The export thread has a context of its own."""
    assert build(exporter=lambda: exporter).flush(5.0)
    assert not trace.get_current_span().get_span_context().is_valid


EXITING = """
import logging, sys, time
logging.basicConfig(format="LOG %(name)s %(message)s")
import slotel
slotel.configure(endpoint=sys.argv[1], protocol=sys.argv[2])

@slotel.llm(model="m")
def f(): return 1
f()
import atexit
began = time.monotonic()
import slotel._runtime as runtime
atexit.unregister(runtime.shutdown)
runtime.shutdown()
print(f"{time.monotonic() - began:.3f}")
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_dead_collector_does_not_hold_up_the_end_of_a_process(free_port, protocol):
    """A second at most for the last try, one line for each signal, and a clean exit."""
    endpoint = f"http://127.0.0.1:{free_port}"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", EXITING, endpoint, protocol],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.3
    assert took < 15
    lines = [line for line in done.stderr.splitlines() if line.startswith("LOG ")]
    assert len(lines) == 2, done.stderr
    assert f"Spans do not reach {endpoint}: " in lines[0]
    assert f"Metrics do not reach {endpoint} ({protocol}): " in lines[1]
    assert "What was not sent is lost with the process." in lines[1]
