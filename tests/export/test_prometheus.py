"""The collector for prometheus_client: names, labels, exact buckets, and no trace left behind."""

from __future__ import annotations

import prometheus_client
import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from slotel.export.prometheus import metric_name
from slotel.export.ways import build_way
from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Exemplar
from slotel.semconv import Metric

from .conftest import CHAT

DURATION = "gen_ai_client_operation_duration_seconds"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def way(recorder, evaluate, registry):
    made = build_way(
        metrics="prometheus",
        recorder=recorder,
        evaluate=evaluate,
        registry=registry,
        resource=Resource({"service.name": "bot", "service.instance.id": "7"}),
    )
    made.start()
    yield made
    made.shutdown(1.0)


def scrape(registry: CollectorRegistry) -> dict[str, dict]:
    """Return sample name -> labels -> value, as a scraper reads it."""
    found: dict[str, dict] = {}
    for family in parse(generate_latest(registry).decode()):
        for sample in family.samples:
            key = frozenset(sample.labels.items())
            assert key not in found.setdefault(sample.name, {}), f"doubled: {sample}"
            found[sample.name][key] = sample.value
    return found


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("gen_ai.client.operation.duration", "s", "histogram", DURATION),
        ("gen_ai.client.token.usage", "{token}", "histogram", "gen_ai_client_token_usage"),
        ("slotel.slo.events", "{event}", "counter", "slotel_slo_events"),
        ("slotel.slo.sli.ratio", "1", "gauge", "slotel_slo_sli_ratio"),
        ("slotel.load", "1", "gauge", "slotel_load_ratio"),
        ("slotel.score.value", "1", "histogram", "slotel_score_value"),
        ("slotel.slo.burn_rate", "", "gauge", "slotel_slo_burn_rate"),
        ("slotel.speed", "{token}/s", "histogram", "slotel_speed_per_second"),
        ("slotel.spent", "USD", "histogram", "slotel_spent_usd"),
        ("slotel.spend", "USD/h", "gauge", "slotel_spend_usd_per_hour"),
        ("slotel.output_tokens_per_second", "{token}/s", "histogram",
         "slotel_output_tokens_per_second"),
        ("things.total", "", "counter", "things"),
        ("2x.speed-up", "", "gauge", "key_2x_speed_up"),
    ],
)  # fmt: skip
def test_names_follow_the_rules(name: str, unit: str, kind: str, expected: str):
    """Units as words, annotations dropped, nothing said twice."""
    assert metric_name(Metric(name, unit, ""), kind) == expected


def test_a_histogram_is_exact_and_cumulative_by_bound(way, recorder, registry):
    """Buckets from the raw values, with bounds inclusive; count and sum beside them."""
    for value in (0.01, 0.0100001, 0.02, 100.0):
        recorder.series(CHAT).record("duration", value)
    found = scrape(registry)
    labels = frozenset(
        {
            ("gen_ai_operation_name", "chat"),
            ("gen_ai_provider_name", "openai"),
            ("gen_ai_request_model", "gpt-4o"),
            ("slotel_outcome", "success"),
        }
    )
    buckets = {
        dict(key)["le"]: value
        for key, value in found[f"{DURATION}_bucket"].items()
        if labels <= key
    }
    assert (buckets["0.01"], buckets["0.02"], buckets["81.92"], buckets["+Inf"]) == (1, 3, 3, 4)
    assert len(buckets) == 15
    assert found[f"{DURATION}_count"] == {labels: 4}
    assert found[f"{DURATION}_sum"][labels] == pytest.approx(100.0400001)


def test_counters_and_gauges_are_there_from_the_start(way, registry):
    """At 0, before any call; with the resource as target_info."""
    found = scrape(registry)
    assert set(found["slotel_slo_events_total"].values()) == {0.0}
    assert len(found["slotel_slo_events_total"]) == 4
    assert found["target_info"] == {
        frozenset({("service_name", "bot"), ("service_instance_id", "7")}): 1.0
    }


def test_types_and_units_are_declared(way, recorder, registry):
    """As OpenMetrics wants them; its parser is the strict one."""
    recorder.series(CHAT).record("duration", 1.0)
    families = {one.name: one for one in parse_open(open_metrics(registry).decode())}
    assert families[DURATION].type == "histogram"
    assert families[DURATION].unit == "seconds"
    assert families["slotel_slo_events"].type == "counter"
    assert families["slotel_slo_burn_rate"].type == "gauge"
    assert families["target"].type == "info"


def test_exemplars_stand_at_their_bucket(way, recorder, registry, clock):
    """The newest of a bucket, in the format that knows exemplars."""
    buffer = recorder.series(CHAT).buffer("duration")
    buffer.record(0.5)
    recorder.ledger().drain()
    buffer.exemplars[1] = Exemplar(0.5, clock.unix_ns() - 1_000, 1, 1)
    buffer.exemplars[2] = Exemplar(0.6, clock.unix_ns(), 0xABC, 0xDEF)
    families = {one.name: one for one in parse_open(open_metrics(registry).decode())}
    marked = [one for one in families[DURATION].samples if one.exemplar]
    (one,) = marked
    assert one.labels["le"] == "0.64"
    assert one.exemplar.labels == {"trace_id": f"{0xABC:032x}", "span_id": f"{0xDEF:016x}"}
    assert one.exemplar.value == 0.6


def test_a_user_s_labels_cannot_break_a_scrape(way, recorder, registry):
    """Reserved names, odd characters, line breaks, two attributes of one name, a boolean."""
    attributes = (("2nd", "b"), ("a b", "2"), ("a.b", "1"), ("le", '0.5"\n\\'), ("é", "ü"))
    recorder.series(SeriesKey("chat", attributes=attributes)).record("duration", 1.0)
    recorder.series(SeriesKey("chat", overflow=True)).record("duration", 1.0)
    labels = [dict(key) for key in scrape(registry)[f"{DURATION}_count"]]
    odd = next(one for one in labels if "exported_le" in one)
    assert odd["exported_le"] == '0.5"\n\\'
    assert odd["a_b"] == "2;1"
    assert odd["key_2nd"] == "b"
    assert odd["_"] == "ü"
    assert {one.get("otel_metric_overflow") for one in labels} == {None, "true"}


def test_series_whose_labels_come_out_the_same_are_one(way, recorder, registry):
    """Of two samples of one identity a scraper would keep one and lose the other's calls."""
    for name in ("tenant.id", "tenant_id", "tenant-id"):
        key = SeriesKey("chat", attributes=((name, "acme"),))
        recorder.series(key).record("duration", 1.0)
    text = generate_latest(registry).decode()
    assert text.count(f"{DURATION}_count{{") == 1
    assert list(scrape(registry)[f"{DURATION}_count"].values()) == [3.0]


def test_negative_scores_are_in_the_first_bucket(way, recorder, registry):
    """Classic histograms need no bucket of their own for them."""
    for value in (-0.5, 0.5):
        recorder.series(CHAT).record("score.margin", value)
    found = scrape(registry)
    zero = [v for k, v in found["slotel_score_value_bucket"].items() if dict(k)["le"] == "0.0"]
    assert zero == [1.0]
    every = [v for k, v in found["slotel_score_value_bucket"].items() if dict(k)["le"] == "+Inf"]
    assert every == [2.0]


def test_values_that_may_be_negative_have_no_sum(way, recorder, registry):
    """A sum that falls would make a scraper of OpenMetrics refuse everything."""
    recorder.series(CHAT).record("score.margin", -0.5)
    assert "slotel_score_value_sum" not in scrape(registry)
    families = parse_open(open_metrics(registry).decode())
    assert "slotel_score_value" in {family.name for family in families}


def test_shutdown_takes_the_collector_away(way, registry):
    """Nothing of ours is left; starting again brings it back once."""
    way.start()
    assert generate_latest(registry) != b""
    way.shutdown(1.0)
    assert generate_latest(registry) == b""
    way.shutdown(1.0)
    way.start()
    assert scrape(registry)["slotel_slo_events_total"]


def test_nothing_waits_to_be_sent(way):
    """The scraper comes when it wants."""
    assert way.flush(0.0)
    assert way.name == "prometheus"
    assert way.describe().startswith("prometheus: for scrapes of prometheus_client's registry")


def test_the_default_registry_is_prometheus_client_s(recorder):
    """Where everybody's metrics are."""
    made = build_way(metrics="prometheus", recorder=recorder)
    before = generate_latest(prometheus_client.REGISTRY)
    assert b"target_info" not in before
    made.start()
    try:
        recorder.series(CHAT).record("duration", 1.0)
        assert DURATION.encode() in generate_latest(prometheus_client.REGISTRY)
    finally:
        made.shutdown(1.0)
    assert DURATION.encode() not in generate_latest(prometheus_client.REGISTRY)
