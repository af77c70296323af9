from __future__ import annotations

import gzip
import http.client
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression, OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from slotel.cli.demo_app.receiver import PROTOBUF, OtlpReceiver

pytestmark = pytest.mark.loopback


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as started:
        yield started


def meter_provider(receiver: OtlpReceiver, **exporter: object) -> MeterProvider:
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{receiver.endpoint}/v1/metrics", **exporter),
        export_interval_millis=float("inf"),
    )
    return MeterProvider([reader], resource=Resource({"service.name": "test"}))


def post(receiver: OtlpReceiver, path: str, body: bytes, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
    sent = {"Content-Type": PROTOBUF} | {name.replace("_", "-"): v for name, v in headers.items()}
    connection.request("POST", path, body, sent)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@pytest.mark.parametrize("compression", list(Compression))
def test_spans_arrive_whole_under_every_compression(receiver, compression):
    """Name, parent, attributes, status and events of a span are what the SDK sent."""
    provider = TracerProvider(resource=Resource({"service.name": "test"}))
    exporter = OTLPSpanExporter(f"{receiver.endpoint}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("scope")
    with tracer.start_as_current_span("outer") as outer:
        outer.set_attribute("documents", ["a", "b"])
        with pytest.raises(ValueError, match="no"), tracer.start_as_current_span("inner"):
            raise ValueError("no")
    provider.shutdown()
    inner, outer = receiver.spans
    assert (inner.name, inner.parent_span_id, inner.trace_id) == (
        "inner",
        outer.span_id,
        outer.trace_id,
    )
    assert (inner.status, inner.status_message) == (2, "ValueError: no")
    assert inner.events == ("exception",)
    assert outer.attributes == {"documents": ("a", "b")}
    assert outer.resource["service.name"] == "test"
    assert outer.scope == "scope"
    assert outer.end_unix_ns >= inner.end_unix_ns > inner.start_unix_ns


def test_cumulative_counter_is_read_at_its_last_point(receiver):
    """Two exports of one cumulative counter are not added to one another."""
    provider = meter_provider(receiver)
    counter = provider.get_meter("m").create_counter("calls")
    for amount in (2, 3):
        counter.add(amount, {"operation": "chat"})
        provider.force_flush()
    provider.shutdown()
    assert receiver.sum_counter("calls") == 5.0
    assert receiver.sum_counter("calls", {"operation": "retrieval"}) == 0.0
    assert len(receiver.metrics) >= 2


def test_cumulative_counters_of_two_processes_and_of_a_restart_are_added(receiver):
    """A series with another resource or another start time counts on its own."""
    for _ in range(3):
        provider = meter_provider(receiver)
        provider.get_meter("m").create_counter("calls").add(4)
        provider.force_flush()
        provider.shutdown()
    assert receiver.sum_counter("calls") == 12.0


def test_delta_counter_is_the_sum_of_its_points(receiver):
    """Every export of a delta counter is new."""
    provider = meter_provider(
        receiver, preferred_temporality={Counter: AggregationTemporality.DELTA}
    )
    counter = provider.get_meter("m").create_counter("calls")
    for amount in (2, 3):
        counter.add(amount)
        provider.force_flush()
    provider.shutdown()
    assert [point.delta for point in receiver.metrics] == [True, True]
    assert receiver.sum_counter("calls") == 5.0


@pytest.mark.parametrize("temporality", ["CUMULATIVE", "DELTA"])
def test_explicit_histogram_counts_every_value(receiver, temporality):
    """Count, sum, extremes and buckets hold over two exports in both temporalities."""
    chosen = getattr(AggregationTemporality, temporality)
    provider = meter_provider(receiver, preferred_temporality={Histogram: chosen})
    histogram = provider.get_meter("m").create_histogram(
        "duration", unit="s", explicit_bucket_boundaries_advisory=[1.0, 2.0]
    )
    for value in (0.5, 1.5, 9.0):
        histogram.record(value)
        provider.force_flush()
    provider.shutdown()
    (point,) = receiver.histograms("duration")
    assert (point.unit, point.count, point.sum) == ("s", 3, 11.0)
    assert (point.bounds, point.bucket_counts) == ((1.0, 2.0), (1, 1, 1))
    assert (point.minimum, point.maximum) == (0.5, 9.0)
    assert receiver.histogram_count("duration") == 3


def test_delta_exponential_histograms_of_different_scales_are_added(receiver):
    """Points are brought to the lower scale before their buckets are added; no value is lost."""
    provider = meter_provider(
        receiver,
        preferred_temporality={Histogram: AggregationTemporality.DELTA},
        preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation(max_size=20)},
    )
    histogram = provider.get_meter("m").create_histogram("duration")
    for values in ((1.0, 1.01), (0.0, 0.001, 1000.0)):
        for value in values:
            histogram.record(value)
        provider.force_flush()
    provider.shutdown()
    scales = [point.scale for point in receiver.metrics]
    (point,) = receiver.histograms("duration")
    assert scales[0] > scales[1] == point.scale
    assert (point.count, point.zero_count) == (5, 1)
    assert sum(count for _, count in point.positive) == 4
    assert point.bounds == point.bucket_counts == ()


def test_requests_that_cannot_be_taken_are_refused_and_said(receiver):
    """Path, content type, encoding and content each have their answer, and nothing is kept."""
    assert post(receiver, "/v1/nothing", b"") == 404
    assert post(receiver, "/v1/traces", b"{}", Content_Type="application/json") == 415
    assert post(receiver, "/v1/traces", b"x", Content_Encoding="zstd") == 415
    assert post(receiver, "/v1/traces", b"not gzip", Content_Encoding="gzip") == 400
    assert post(receiver, "/v1/metrics", b"\xff\xff\xff") == 400
    assert len(receiver.refusals) == 5
    assert (receiver.requests, receiver.spans, receiver.metrics) == (0, [], [])


def test_a_request_after_a_refusal_on_the_same_connection_is_taken(receiver):
    """The body of a refused request is read, so the connection stays usable."""
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=5)
    body = gzip.compress(trace_service_pb2.ExportTraceServiceRequest().SerializeToString())
    for path, status in (("/v1/nothing", 404), ("/v1/traces", 200)):
        headers = {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
    assert receiver.requests == 1


def test_what_was_received_stays_readable_after_stop_and_start(receiver):
    """Stopping twice is harmless, and a second start listens on the same port."""
    body = trace_service_pb2.ExportTraceServiceRequest().SerializeToString()
    endpoint = receiver.endpoint
    assert post(receiver, "/v1/traces", body) == 200
    receiver.stop()
    receiver.stop()
    with pytest.raises(ConnectionRefusedError):
        post(receiver, "/v1/traces", body)
    assert receiver.start() == endpoint
    assert post(receiver, "/v1/traces", body) == 200
    assert receiver.requests == 2


def test_waiting_returns_as_soon_as_the_request_has_come(receiver):
    """`wait_for` is true once its condition holds and false when the time is over."""
    body = trace_service_pb2.ExportTraceServiceRequest().SerializeToString()
    post(receiver, "/v1/traces", body)
    assert receiver.wait_for(lambda: receiver.requests == 1, seconds=5)
    assert not receiver.wait_for(lambda: receiver.requests == 2, seconds=0.01)
