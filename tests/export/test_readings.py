"""Counters and gauges of the SLOs, and our own faults."""

from __future__ import annotations

import pytest

from slotel import _faults
from slotel.export.readings import COUNTERS, GAUGES, Kind, ReadingSource
from slotel.semconv import TABLE

from .conftest import CHAT, FAILED


def values(found, metric: str, **attributes: str) -> list[float]:
    wanted = {f"slotel.slo.{key}": value for key, value in attributes.items()}
    return [
        one.value
        for one in found
        if one.metric.name == metric and wanted.items() <= one.attributes.items()
    ]


def test_every_number_of_an_slo_is_told(recorder, clock, evaluate):
    """Counters since registration, ratio, budget, burn rates, percentile and coverage."""
    for value in [0.1] * 90 + [0.9] * 10:
        recorder.series(CHAT).record("duration", value)
    clock.advance(60)
    found = ReadingSource(recorder, evaluate=evaluate).read()
    slo = "answer-latency"
    assert values(found, "slotel.slo.events", name=slo, event="good") == [90]
    assert values(found, "slotel.slo.events", name=slo, event="bad") == [10]
    assert values(found, "slotel.slo.objective.ratio", name=slo) == [0.95]
    assert values(found, "slotel.slo.sli.ratio", name=slo) == [0.9]
    assert values(found, "slotel.slo.error_budget.remaining.ratio", name=slo) == [-1.0]
    assert values(found, "slotel.slo.burn_rate", name=slo, window="5m") == pytest.approx([2.0])
    (coverage,) = values(found, "slotel.slo.coverage.ratio", name=slo)
    assert coverage == pytest.approx(60 / (28 * 86_400), rel=1e-3)
    (percentile,) = [one for one in found if one.metric.name == "slotel.slo.percentile"]
    assert percentile.attributes == {"slotel.slo.name": slo, "slotel.quantile": "0.95"}
    assert percentile.value == pytest.approx(0.9, rel=0.004)
    assert all(one.attributes.get("slotel.slo.name") in {slo, "answers"} for one in found)


def test_without_traffic_a_ratio_is_left_out(recorder, evaluate):
    """It is neither 0 nor 1; counters and the budget are there."""
    found = ReadingSource(recorder, evaluate=evaluate).read()
    assert values(found, "slotel.slo.sli.ratio") == []
    assert values(found, "slotel.slo.burn_rate") == []
    assert values(found, "slotel.slo.events") == [0, 0, 0, 0]
    assert values(found, "slotel.slo.error_budget.remaining.ratio") == [1.0, 1.0]


def test_availability_counts_errors(recorder, evaluate):
    """The second SLO judges outcomes, the first one durations."""
    recorder.series(CHAT).record("duration", 0.1)
    recorder.series(FAILED).record("duration", 0.1)
    found = ReadingSource(recorder, evaluate=evaluate).read()
    assert values(found, "slotel.slo.events", name="answers", event="good") == [1]
    assert values(found, "slotel.slo.events", name="answers", event="bad") == [1]


def test_faults_are_told_by_place(recorder):
    """What was refused at a call, and what went wrong in us."""
    _faults.strict(False)
    recorder.series(CHAT).record("duration", float("nan"))
    _faults.report("operation.finish", ValueError("x"))
    _faults.counts["operation.finish"] += 1
    recorder.ledger().drain()
    found = ReadingSource(recorder).read()
    assert {one.attributes["slotel.fault.place"]: one.value for one in found} == {
        "invalid.duration": 1,
        "operation.finish": 2,
    }
    assert {one.kind for one in found} == {Kind.COUNTER}


def test_what_a_parent_counted_is_not_told_again(recorder):
    """A forked child tells its own faults alone."""
    _faults.counts.update({"a": 3, "b": 1})
    source = ReadingSource(recorder, inherited={"a": 2, "b": 1})
    (one,) = source.read()
    assert (one.attributes["slotel.fault.place"], one.value) == ("a", 1)


def test_an_evaluation_that_fails_costs_its_own_numbers_alone(recorder, caplog):
    """The rest is told, the fault among it."""
    _faults.strict(False)

    def evaluate():
        raise ValueError("broken")

    (one,) = ReadingSource(recorder, evaluate=evaluate).read()
    assert one.attributes["slotel.fault.place"] == "export.evaluate"
    assert "a fault in export.evaluate was caught" in caplog.text


def test_no_evaluation_is_no_number(recorder):
    """A process without SLOs has nothing to say about them."""
    assert ReadingSource(recorder, evaluate=lambda: None).read() == []
    assert ReadingSource(recorder).read() == []


def test_every_name_is_in_the_table():
    """Names are decided in one place."""
    assert {metric.name for metric in (*COUNTERS, *GAUGES)} <= TABLE.keys()
