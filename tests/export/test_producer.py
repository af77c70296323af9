"""Batches of ready points: exact figures, delta and cumulative, and none of the encoder's traps."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from slotel.export.producer import Producer
from slotel.export.readings import ReadingSource
from slotel.export.settings import HistogramType, Temporality
from slotel.measure.measurement import DURATION_BOUNDS, Outcome, Role, SeriesKey
from slotel.measure.series import Exemplar
from slotel.semconv import Naming

from .conftest import CHAT, FAILED, new_evaluation

DURATION = "gen_ai.client.operation.duration"
EVENTS = "slotel.slo.events"
CUMULATIVE, DELTA = Temporality.CUMULATIVE, Temporality.DELTA


def points(metrics: list[Metric], name: str) -> list:
    return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


def point(metrics: list[Metric], name: str):
    (found,) = points(metrics, name)
    return found


def events(metrics: list[Metric], slo: str) -> dict[str, int]:
    return {
        one.attributes["slotel.slo.event"]: one.value
        for one in points(metrics, EVENTS)
        if one.attributes["slotel.slo.name"] == slo
    }


def encode(metrics: list[Metric]):
    scope = ScopeMetrics(InstrumentationScope("slotel"), metrics, "")
    return encode_metrics(MetricsData([ResourceMetrics(Resource({}), [scope], "")]))


@pytest.fixture
def producer(recorder, evaluate) -> Producer:
    return Producer(recorder, ReadingSource(recorder, evaluate=evaluate))


def test_without_a_call_only_the_slos_speak(producer, recorder):
    """Counters are there at 0 from registration; a ratio without traffic is left out."""
    found = producer.produce(CUMULATIVE)
    assert events(found, "answer-latency") == {"good": 0, "bad": 0}
    assert {one.start_time_unix_nano for one in points(found, EVENTS)} == {recorder.epoch_unix_ns}
    assert {metric.name for metric in found} == {
        "slotel.slo.events",
        "slotel.slo.objective.ratio",
        "slotel.slo.error_budget.remaining.ratio",
        "slotel.slo.coverage.ratio",
    }
    assert encode(found).resource_metrics[0].scope_metrics[0].metrics


def test_a_producer_with_nothing_to_tell_tells_nothing(recorder):
    """No metric without a point: the encoder writes it without data."""
    assert Producer(recorder).produce(CUMULATIVE) == []


def test_an_explicit_histogram_is_exact(producer, recorder, clock):
    """Counts by the advised bounds, from the raw values; bounds are inclusive."""
    series = recorder.series(CHAT)
    for value in (0.01, 0.0100001, 0.02, 5.0, 100.0):
        series.record("duration", value)
    start = recorder.epoch_unix_ns
    clock.advance(60)
    found = producer.produce(CUMULATIVE)
    (metric,) = [one for one in found if one.name == DURATION]
    assert metric.unit == "s"
    assert metric.data.aggregation_temporality is AggregationTemporality.CUMULATIVE
    one = point(found, DURATION)
    assert one.explicit_bounds == DURATION_BOUNDS
    assert one.bucket_counts == (1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    assert (one.count, one.min, one.max) == (5, 0.01, 100.0)
    assert one.sum == pytest.approx(105.0400001)
    assert one.start_time_unix_nano == start
    assert one.time_unix_nano == start + 60_000_000_000
    assert one.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "slotel.outcome": "success",
    }


def test_outcome_and_error_tell_series_apart(producer, recorder):
    """A cancelled call has no error type; without its outcome it would be a success."""
    for key in (CHAT, FAILED, SeriesKey("chat", outcome=Outcome.CANCELLED), SeriesKey("chat")):
        recorder.series(key).record("duration", 1.0)
    found = points(producer.produce(CUMULATIVE), DURATION)
    assert len({frozenset(one.attributes.items()) for one in found}) == 4
    failed = next(one for one in found if one.attributes.get("error.type"))
    assert failed.attributes["error.type"] == "TimeoutError"
    assert "gen_ai.request.model" not in failed.attributes


def test_only_the_outer_call_is_in_the_conventions_metrics(producer, recorder):
    """Each call once there; what was nested stands under our own name, with its role."""
    recorder.series(CHAT).record("duration", 1.0)
    inner = SeriesKey("chat", provider="openai", model="gpt-4o", role=Role.INNER)
    recorder.series(inner).record("duration", 0.9)
    recorder.series(inner).record("input_tokens", 10)
    found = producer.produce(CUMULATIVE)
    assert point(found, DURATION).sum == 1.0
    assert point(found, "slotel.operation.duration").sum == 0.9
    assert point(found, "slotel.operation.duration").attributes["slotel.role"] == "inner"
    assert point(found, "slotel.input_tokens").count == 1
    assert points(found, "gen_ai.client.token.usage") == []


def test_tokens_are_one_metric_with_a_type(producer, recorder):
    """Input and output share name and bounds."""
    recorder.series(CHAT).record("input_tokens", 412)
    recorder.series(CHAT).record("output_tokens", 96)
    found = points(producer.produce(CUMULATIVE), "gen_ai.client.token.usage")
    assert {one.attributes["gen_ai.token.type"]: one.sum for one in found} == {
        "input": 412.0,
        "output": 96.0,
    }


def test_scores_carry_their_name_and_the_first_token_its_outcome(producer, recorder):
    """What no convention knows is under `slotel.`; a lower bound is told by the outcome."""
    recorder.series(CHAT).record("score.faithfulness", 0.93)
    recorder.series(CHAT).record("category.harassment", 0.2)
    recorder.series(FAILED).record("time_to_first_token", 3.0)
    found = producer.produce(CUMULATIVE)
    score = point(found, "slotel.score.value")
    assert score.attributes["slotel.score.name"] == "faithfulness"
    category = point(found, "slotel.moderation.category.score")
    assert category.attributes["slotel.moderation.category"] == "harassment"
    first = point(found, "slotel.time_to_first_token")
    assert first.attributes["slotel.outcome"] == "error"
    assert not [one for one in found if one.name.endswith("time_to_first_chunk")]


def test_the_names_in_flight_are_one_switch_away(recorder):
    """The conventions are renaming their metrics; both sets are known."""
    recorder.series(CHAT).record("duration", 1.0)
    found = Producer(recorder, naming=Naming.INFERENCE).produce(CUMULATIVE)
    assert [metric.name for metric in found] == ["gen_ai.client.inference.duration"]


def test_the_overflow_series_says_so(recorder, producer):
    """With the attribute of the specification, a boolean."""
    recorder.max_series = 1
    recorder.series(CHAT).record("duration", 1.0)
    recorder.series(SeriesKey("chat", model="other")).record("duration", 1.0)
    found = points(producer.produce(CUMULATIVE), DURATION)
    marked = [one.attributes.get("otel.metric.overflow") for one in found]
    assert marked == [None, True]


def test_two_series_that_look_alike_are_one_point(recorder):
    """A user's attribute with a name of the conventions' neither wins nor doubles a point."""
    odd = SeriesKey("chat", attributes=(("gen_ai.operation.name", "mine"),))
    recorder.series(odd).record("duration", 1.0)
    recorder.series(SeriesKey("chat")).record("duration", 3.0)
    one = point(Producer(recorder).produce(CUMULATIVE), DURATION)
    assert (one.count, one.sum, one.min, one.max) == (2, 4.0, 1.0, 3.0)
    assert sum(one.bucket_counts) == 2
    assert one.attributes["gen_ai.operation.name"] == "chat"


def test_an_exponential_histogram_holds_every_value(recorder):
    """Its buckets add up to the count; scale and size are those that were asked for."""
    series = recorder.series(CHAT)
    values = [0.001 * 1.01**step for step in range(1200)]
    for value in values:
        series.record("duration", value)
    made = Producer(recorder, histogram=HistogramType.EXPONENTIAL, max_size=320)
    found = made.produce(CUMULATIVE)
    assert isinstance(found[0].data, ExponentialHistogram)
    one = point(found, DURATION)
    assert one.scale == 4
    assert one.zero_count + sum(one.positive.bucket_counts) == one.count == 1200
    assert one.negative.bucket_counts == ()
    assert one.sum == pytest.approx(math.fsum(values))
    assert encode(found).ByteSize() > 0


@pytest.mark.parametrize("histogram", HistogramType)
def test_negative_values_have_their_own_buckets_and_no_sum(recorder, histogram):
    """A sum that can fall is not to be filled out, says the protocol; min and max are."""
    for value in (-0.5, -0.25, 0.75):
        recorder.series(CHAT).record("score.margin", value)
    found = Producer(recorder, histogram=histogram).produce(CUMULATIVE)
    one = point(found, "slotel.score.value")
    assert (one.count, one.sum, one.min, one.max) == (3, None, -0.5, 0.75)
    (sent,) = encode(found).resource_metrics[0].scope_metrics[0].metrics
    (on_wire,) = getattr(sent, sent.WhichOneof("data")).data_points
    assert not on_wire.HasField("sum")
    if histogram is HistogramType.EXPONENTIAL:
        assert sum(on_wire.negative.bucket_counts) == 2
        assert sum(on_wire.positive.bucket_counts) == 1
    else:
        assert on_wire.bucket_counts[0] == 2


def test_deltas_add_up_and_join_without_gap(recorder, clock, producer):
    """Each begins where the one before ended, with the extremes of its own stretch."""
    series = recorder.series(CHAT)
    series.record("duration", 4.0)
    clock.advance(60)
    first = producer.produce(DELTA)
    producer.delivered()
    for value in (0.25, 1.0):
        series.record("duration", value)
    clock.advance(60)
    second = producer.produce(DELTA)
    producer.delivered()
    one, two = point(first, DURATION), point(second, DURATION)
    assert one.start_time_unix_nano == recorder.epoch_unix_ns
    assert two.start_time_unix_nano == one.time_unix_nano
    assert (one.count, one.sum, one.min, one.max) == (1, 4.0, 4.0, 4.0)
    assert (two.count, two.sum, two.min, two.max) == (2, 1.25, 0.25, 1.0)
    assert sum(two.bucket_counts) == 2
    assert events(first, "answer-latency") == {"good": 0, "bad": 1}
    assert events(second, "answer-latency") == {"good": 1, "bad": 1}
    counted = [metric.data for metric in second if not isinstance(metric.data, Gauge)]
    kinds = {data.aggregation_temporality for data in counted}
    assert kinds == {AggregationTemporality.DELTA}


def test_a_series_without_new_values_has_no_delta(recorder, clock, producer):
    """Its point would be empty; the SLOs' counters say 0 all the same."""
    recorder.series(CHAT).record("duration", 1.0)
    producer.produce(DELTA)
    producer.delivered()
    clock.advance(60)
    found = producer.produce(DELTA)
    assert points(found, DURATION) == []
    assert events(found, "answer-latency") == {"good": 0, "bad": 0}


def test_a_lost_delta_is_part_of_the_next_one(recorder, clock, producer):
    """Counts, extremes, bucket counts and counters of the batches that did not arrive."""
    series = recorder.series(CHAT)
    series.record("duration", 9.0)
    clock.advance(60)
    lost = producer.produce(DELTA)
    series.record("duration", 0.1)
    clock.advance(60)
    producer.produce(DELTA)
    clock.advance(60)
    found = producer.produce(DELTA)
    one = point(found, DURATION)
    assert point(lost, DURATION).count == 1
    assert (one.count, one.sum, one.min, one.max) == (2, 9.1, 0.1, 9.0)
    assert one.start_time_unix_nano == recorder.epoch_unix_ns
    assert events(found, "answer-latency") == {"good": 1, "bad": 1}
    producer.delivered()
    assert events(producer.produce(DELTA), "answer-latency") == {"good": 0, "bad": 0}


def test_a_second_way_out_goes_on_where_the_first_one_ended(recorder, clock, evaluate):
    """A process that is configured anew must not tell its whole past a second time."""
    recorder.series(CHAT).record("duration", 0.1)
    clock.advance(60)
    first = Producer(recorder, ReadingSource(recorder, evaluate=evaluate, start_unix_ns=1))
    told = first.produce(DELTA)
    first.delivered()
    recorder.series(CHAT).record("duration", 0.1)
    clock.advance(60)
    recorder.ledger().drain()
    again = ReadingSource(
        recorder, evaluate=new_evaluation(recorder, clock), start_unix_ns=clock.unix_ns()
    )
    recorder.series(CHAT).record("duration", 0.1)
    found = Producer(recorder, again).produce(DELTA)
    assert (point(told, DURATION).count, point(found, DURATION).count) == (1, 2)
    # The SLOs begin anew, at their own start: one event since then.
    assert events(found, "answer-latency") == {"good": 1, "bad": 0}
    assert points(found, EVENTS)[0].start_time_unix_nano == clock.unix_ns()


def test_exponential_deltas_subtract_bucket_by_bucket(recorder, clock):
    """The second delta holds the second half alone, on both sides of zero."""
    series = recorder.series(CHAT)
    made = Producer(recorder, histogram=HistogramType.EXPONENTIAL)
    for value in (-0.9, 0.1, 0.2):
        series.record("score.margin", value)
    made.produce(DELTA)
    made.delivered()
    for value in (-0.3, 0.4):
        series.record("score.margin", value)
    one = point(made.produce(DELTA), "slotel.score.value")
    assert one.count == 2
    assert sum(one.positive.bucket_counts) == sum(one.negative.bucket_counts) == 1
    assert (one.min, one.max) == (-0.3, 0.4)


def test_a_recorder_that_began_anew_is_counted_from_zero(recorder, clock):
    """As after a fork: no negative delta, and no point from before the start."""
    producer = Producer(recorder)
    series = recorder.series(CHAT)
    for _ in range(3):
        series.record("duration", 1.0)
    producer.produce(DELTA)
    producer.delivered()
    clock.advance(60)
    recorder.reset()
    clock.advance(60)
    series.record("duration", 1.0)
    one = point(producer.produce(DELTA), DURATION)
    assert one.count == 1
    assert one.start_time_unix_nano == recorder.epoch_unix_ns


def test_low_memory_sends_histograms_as_deltas_and_counters_whole(recorder, clock, producer):
    """As the SDK does for counters that are read when they are exported."""
    recorder.series(CHAT).record("duration", 9.0)
    producer.produce(Temporality.LOWMEMORY)
    producer.delivered()
    recorder.series(CHAT).record("duration", 9.0)
    clock.advance(60)
    found = producer.produce(Temporality.LOWMEMORY)
    assert point(found, DURATION).count == 1
    assert events(found, "answer-latency") == {"good": 0, "bad": 2}
    kinds = {
        type(metric.data): metric.data for metric in found if not isinstance(metric.data, Gauge)
    }
    assert kinds[Histogram].aggregation_temporality is AggregationTemporality.DELTA
    assert kinds[Sum].aggregation_temporality is AggregationTemporality.CUMULATIVE


def test_exemplars_carry_the_trace_and_go_out_once_as_deltas(recorder, clock, producer):
    """A slow call can be looked up; an old one is not sent again."""
    buffer = recorder.series(CHAT).buffer("duration")
    buffer.record(9.0)
    clock.advance(1)
    buffer.exemplars[3] = Exemplar(9.0, clock.unix_ns(), 0xABC, 0xDEF)
    clock.advance(59)
    first = producer.produce(DELTA)
    producer.delivered()
    buffer.record(9.0)
    clock.advance(60)
    second = producer.produce(DELTA)
    (one,) = point(first, DURATION).exemplars
    assert (one.value, one.trace_id, one.span_id) == (9.0, 0xABC, 0xDEF)
    assert point(second, DURATION).exemplars == ()
    (sent,) = encode(first).resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points
    assert sent.exemplars[0].trace_id.hex() == f"{0xABC:032x}"
    assert sent.exemplars[0].span_id.hex() == f"{0xDEF:016x}"


def test_everything_is_made_of_plain_python_numbers(recorder, producer):
    """numpy's fail a whole batch, or turn an integer into a float on the wire."""
    recorder.series(CHAT).record("duration", 1.0)
    recorder.series(CHAT).record("score.x", -1.0)
    kinds: Counter[type] = Counter()
    exponential = Producer(recorder, histogram=HistogramType.EXPONENTIAL)
    for metric in producer.produce(CUMULATIVE) + exponential.produce(CUMULATIVE):
        for one in metric.data.data_points:
            numbers = [one.time_unix_nano, one.start_time_unix_nano]
            names = ("value", "count", "sum", "min", "max", "zero_count", "scale")
            numbers += [getattr(one, name, 0) for name in names]
            numbers += getattr(one, "bucket_counts", ())
            for side in ("positive", "negative"):
                if hasattr(one, side):
                    numbers += [getattr(one, side).offset, *getattr(one, side).bucket_counts]
            kinds.update(type(number) for number in numbers)
    assert set(kinds) == {int, float, type(None)}
