"""Everything through a real collector, rotel: what it hands on is compared figure by figure.

Slotel sends over HTTP or gRPC to rotel, and rotel sends over HTTP to a receiver in this process.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
)
from opentelemetry.sdk.resources import Resource

from slotel.cli.demo_app.received import HistogramPoint, NumberPoint, Point
from slotel.cli.demo_app.receiver import OtlpReceiver
from slotel.engine.evaluator import Evaluator
from slotel.export.otlp import make_exporter
from slotel.export.settings import read_settings
from slotel.export.ways import build_way
from slotel.measure.measurement import Outcome, SeriesKey
from slotel.measure.series import Exemplar, Recorder
from slotel.slo.spec import parse

pytestmark = pytest.mark.loopback

RESOURCE = {"service.name": "support-bot", "team": "assist", "service.instance.id": "bot-1"}
SLOS = """
version: slotel/v1
service: support-bot
slos:
  - name: answer-latency
    sli: {latency: {operation: chat, at_most: 500ms}}
    objective: 95%
    window: 28d
"""
EXPLICIT, EXPONENTIAL = "explicit_bucket_histogram", "base2_exponential_bucket_histogram"


class Rotel(NamedTuple):
    """A running collector and the receiver that it sends to."""

    http: str
    grpc: str
    receiver: OtlpReceiver


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        assert process.poll() is None, "rotel ended at once"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"rotel does not listen on port {port}")


@pytest.fixture
def rotel(require: Callable[[str], Path], tmp_path: Path) -> Iterator[Rotel]:
    agent = require("rotel")
    http, grpc = free_ports(2)
    with OtlpReceiver() as receiver, open(tmp_path / "rotel.log", "w") as log:
        process = subprocess.Popen(
            [
                *(str(agent), "start"),
                *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"),
                *("--otlp-http-endpoint", f"127.0.0.1:{http}"),
                *("--exporter", "otlp", "--otlp-exporter-protocol", "http"),
                *("--otlp-exporter-endpoint", receiver.endpoint),
                *("--batch-timeout", "100ms"),
                *("--pid-file", str(tmp_path / "rotel.pid")),
                *("--log-file", str(tmp_path / "agent.log")),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            # The agent is linked against the interpreter's library, which not every system finds.
            env={**os.environ, "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
        )
        try:
            wait_for_port(http, process)
            wait_for_port(grpc, process)
            yield Rotel(f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}", receiver)
        finally:
            process.terminate()
            process.wait(10)


class Tee:
    """The SDK's exporter, keeping a copy of what it was given."""

    def __init__(self, exporter) -> None:
        self._exporter = exporter
        self.batches: list[MetricsData] = []

    def export(self, metrics_data: MetricsData):
        self.batches.append(metrics_data)
        return self._exporter.export(metrics_data)

    def shutdown(self) -> None:
        self._exporter.shutdown()


def record_calls(recorder: Recorder) -> None:
    """Latencies over five decades, errors, tokens, scores of both signs, and an exemplar."""
    chat = SeriesKey("chat", provider="openai", model="gpt-4o", attributes=(("tier", "gold"),))
    failed = SeriesKey("chat", outcome=Outcome.ERROR, error_type="APITimeoutError")
    series = recorder.series(chat)
    for step in range(1000):
        series.record("duration", 0.001 * 1.01**step)
        series.record("output_tokens", step % 300)
        series.record("score.margin", step / 500 - 1)
    recorder.series(failed).record("duration", 30.0)
    buffer = series.buffer("duration")
    value = 0.001 * 1.01**999
    now = recorder.clock.unix_ns()
    buffer.exemplars[4] = Exemplar(
        value, now, 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
    )


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
@pytest.mark.parametrize("histogram", [EXPLICIT, EXPONENTIAL])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_a_collector_hands_on_is_what_was_sent(
    rotel: Rotel, protocol: str, histogram: str, temporality: str
):
    """Counts, sums, buckets, scale, offsets, exemplars, counters, gauges, times and resource."""
    recorder = Recorder()
    evaluator = Evaluator(parse(SLOS), recorder.ledger(), recorder.clock)
    evaluator.register()

    def evaluate():
        recorder.ledger().drain()
        evaluator.observe()
        return evaluator.evaluate()

    endpoint = rotel.grpc if protocol == "grpc" else rotel.http
    exporter = Tee(make_exporter(read_settings({}, endpoint=endpoint, protocol=protocol)))
    way = build_way(
        metrics="otlp",
        recorder=recorder,
        evaluate=evaluate,
        resource=Resource(RESOURCE),
        exporter=lambda: exporter,
        temporality=temporality,
        histogram=histogram,
        interval_seconds=3600,
        max_size=320,
    )
    way.start()
    record_calls(recorder)
    assert way.flush(15.0)
    record_calls(recorder)
    assert way.flush(15.0)
    way.shutdown(1.0)

    sent = [key for batch in exporter.batches for key in flat(batch)]
    assert len(sent) > 40
    receiver = rotel.receiver
    assert receiver.wait_for(lambda: len(receiver.metrics) >= len(sent), seconds=15)
    arrived = {identity(point): point for point in receiver.metrics}
    assert len(receiver.metrics) == len(sent) == len(arrived)
    for name, unit, delta, point in sent:
        other = arrived[(name, attributes(point), point.time_unix_nano)]
        assert (other.unit, other.delta) == (unit, delta)
        assert dict(other.resource) == RESOURCE
        compare(point, other)
    assert receiver.refusals == []
    expect_the_truth(receiver, temporality)


def flat(batch: MetricsData) -> Iterator[tuple]:
    for of_resource in batch.resource_metrics:
        for scoped in of_resource.scope_metrics:
            for metric in scoped.metrics:
                delta = int(getattr(metric.data, "aggregation_temporality", 0)) == 1
                for point in metric.data.data_points:
                    yield metric.name, metric.unit, delta, point


def attributes(point) -> frozenset:
    return frozenset(point.attributes.items())


def identity(point: Point) -> tuple:
    return point.metric, frozenset(point.attributes), point.unix_ns


def compare(sent, arrived: Point) -> None:
    """Compare all figures of two points, whatever their kind."""
    assert arrived.start_unix_ns == sent.start_time_unix_nano
    if isinstance(sent, NumberDataPoint):
        assert isinstance(arrived, NumberPoint)
        assert arrived.value == sent.value
        return
    assert isinstance(arrived, HistogramPoint)
    assert (arrived.count, arrived.sum) == (sent.count, sent.sum or 0.0)
    assert (arrived.minimum, arrived.maximum) == (sent.min, sent.max)
    ids = [(one.value, one.unix_ns, one.trace_id, one.span_id) for one in arrived.exemplars]
    assert ids == [
        (one.value, one.time_unix_nano, f"{one.trace_id:032x}", f"{one.span_id:016x}")
        for one in sent.exemplars
    ]
    if isinstance(sent, HistogramDataPoint):
        assert arrived.bounds == sent.explicit_bounds
        assert arrived.bucket_counts == sent.bucket_counts
        return
    assert isinstance(sent, ExponentialHistogramDataPoint)
    assert (arrived.scale, arrived.zero_count) == (sent.scale, sent.zero_count)
    for side in ("positive", "negative"):
        buckets = getattr(sent, side)
        filled = enumerate(buckets.bucket_counts, buckets.offset)
        assert getattr(arrived, side) == tuple(pair for pair in filled if pair[1])


def expect_the_truth(receiver: OtlpReceiver, temporality: str) -> None:
    """The totals are those of the calls, not only those that were sent."""
    chat = {"gen_ai.operation.name": "chat", "slotel.outcome": "success", "tier": "gold"}
    (duration,) = receiver.histograms("gen_ai.client.operation.duration", chat)
    assert duration.count == 2000
    assert duration.sum == pytest.approx(2 * sum(0.001 * 1.01**step for step in range(1000)))
    assert duration.exemplars[0].trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert duration.delta is (temporality == "delta")
    error = {"error.type": "APITimeoutError"}
    assert receiver.histogram_count("gen_ai.client.operation.duration", error) == 2
    assert receiver.histogram_count("gen_ai.client.token.usage") == 2000
    (score,) = receiver.histograms("slotel.score.value")
    assert (score.count, score.minimum) == (2000, -1.0)
    good = receiver.sum_counter("slotel.slo.events", {"slotel.slo.event": "good"})
    bad = receiver.sum_counter("slotel.slo.events", {"slotel.slo.event": "bad"})
    under = sum(0.001 * 1.01**step <= 0.5 for step in range(1000))
    assert (good, bad) == (2 * under, 2 * (1000 - under) + 2)
    (objective,) = receiver.numbers("slotel.slo.objective.ratio")
    assert objective.value == 0.95
    assert receiver.numbers("slotel.slo.burn_rate", {"slotel.slo.window": "1h"})
    assert receiver.numbers("slotel.slo.percentile", {"slotel.quantile": "0.95"})
