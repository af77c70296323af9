"""What every way out promises: the totals that arrive are the calls that were made.

The service runs as a program of its own, over the public face, with and without forked children;
what arrives at a collector in this process is added up over all of its processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from slotel.cli.demo_app.receiver import OtlpReceiver

# A loaded machine may start a dozen interpreters slowly.
pytestmark = [pytest.mark.loopback, pytest.mark.timeout(120), pytest.mark.untraced]

HERE = Path(__file__).parent
CALLS = 40
DURATION = "gen_ai.client.operation.duration"
EVENTS = "slotel.slo.events"
EXPONENTIAL_HISTOGRAMS = {
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"
}

CUMULATIVE, DELTA = {"temporality": "cumulative"}, {"temporality": "delta"}
OTLP = {"way": "otlp"}
GRPC = OTLP | {"protocol": "grpc"}
EXPONENTIAL = OTLP | {"environ": EXPONENTIAL_HISTOGRAMS}
WAYS: dict[str, dict[str, Any]] = {
    "otlp-http-cumulative": OTLP | CUMULATIVE,
    "otlp-http-delta": OTLP | DELTA,
    "otlp-http-lowmemory": OTLP | {"temporality": "lowmemory"},
    "otlp-grpc-cumulative": GRPC | CUMULATIVE,
    "otlp-grpc-delta": GRPC | DELTA,
    "otlp-exponential-cumulative": EXPONENTIAL | CUMULATIVE,
    "otlp-exponential-delta": EXPONENTIAL | DELTA,
    "meter-cumulative": {"way": "meter"} | CUMULATIVE,
    "meter-delta": {"way": "meter"} | DELTA,
    "prometheus": {"way": "prometheus"} | CUMULATIVE,
}


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


def start(stack: ExitStack, receiver: OtlpReceiver, way: dict[str, Any], *, children: int) -> Any:
    """Start the service with that way out; its collector lives as long as the stack."""
    endpoint = receiver.endpoint
    if way.get("protocol") == "grpc":
        grpc_receiver = pytest.importorskip("grpc") and _grpc_receiver()
        endpoint = stack.enter_context(grpc_receiver(receiver)).endpoint
    told = {"protocol": "http/protobuf", "calls": CALLS, "children": children} | way
    told["endpoint"] = endpoint
    environ = {**os.environ, **told.pop("environ", {}), "GRPC_ENABLE_FORK_SUPPORT": "true"}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(HERE / "service.py"), json.dumps(told)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )


def _grpc_receiver() -> Any:
    sys.path.insert(0, str(HERE))
    try:
        from grpc_receiver import GrpcReceiver
    finally:
        sys.path.remove(str(HERE))
    return GrpcReceiver


def end(process: Any) -> list[dict[str, Any]]:
    """Return what each process of the service says of itself."""
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    reports = json.loads(out)
    assert not [one for one in reports if "error" in one], reports
    assert all(one["flushed"] for one in reports), (reports, err)
    return reports


def arrived(receiver: OtlpReceiver, reports: list[dict[str, Any]]) -> dict[str, float]:
    """Return the totals over everything that was received and scraped."""
    totals = {
        "calls": float(receiver.histogram_count(DURATION)),
        "good": receiver.sum_counter(EVENTS, {"slotel.slo.event": "good"}),
        "bad": receiver.sum_counter(EVENTS, {"slotel.slo.event": "bad"}),
    }
    for report in reports:
        for name, value in report["scrape"].items():
            totals[name] += value
    return totals


def truth(reports: list[dict[str, Any]]) -> dict[str, float]:
    calls = sum(report["calls"] for report in reports)
    return {"calls": calls, "good": calls * 0.9, "bad": calls * 0.1}


@pytest.mark.parametrize("name", WAYS)
def test_the_totals_that_arrive_are_the_calls_that_were_made(name: str, receiver: OtlpReceiver):
    """One process, two flushes and a shutdown."""
    with ExitStack() as stack:
        reports = end(start(stack, receiver, WAYS[name], children=0))
        assert truth(reports)["calls"] == 3 * CALLS
        assert arrived(receiver, reports) == pytest.approx(truth(reports))
        assert receiver.refusals == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("name", WAYS)
def test_forked_children_are_counted_once(name: str, receiver: OtlpReceiver):
    """Each child begins at zero with an identity of its own; what was pending is the parent's."""
    with ExitStack() as stack:
        reports = end(start(stack, receiver, WAYS[name], children=2))
        assert [one["calls"] for one in reports] == [3 * CALLS, 2 * CALLS, 2 * CALLS]
        assert arrived(receiver, reports) == pytest.approx(truth(reports))
        identities = {
            dict(point.resource)["service.instance.id"]
            for point in receiver.metrics
            if point.metric == DURATION
        }
        assert len(identities) == (0 if name == "prometheus" else 3)


@pytest.mark.timeout(150)
def test_all_ways_at_once_into_one_collector_sum_to_the_true_count(receiver: OtlpReceiver):
    """Every metric has one way out, so nothing is there twice however many there are."""
    with ExitStack() as stack:
        processes = [start(stack, receiver, way, children=1) for way in WAYS.values()]
        silent = {"way": "none", "temporality": "cumulative"}
        quiet = start(stack, receiver, silent, children=1)
        reports = [report for process in processes for report in end(process)]
        end(quiet)  # It made as many calls, and none of them may turn up.
        assert truth(reports)["calls"] == len(WAYS) * 5 * CALLS
        assert arrived(receiver, reports) == pytest.approx(truth(reports))


def test_meter_sends_each_metric_by_one_side_alone(receiver: OtlpReceiver):
    """The user's provider and our exporter share a collector, and no metric comes from both."""
    with ExitStack() as stack, OtlpReceiver() as ours:
        way = WAYS["meter-cumulative"] | {"own_endpoint": ours.endpoint}
        end(start(stack, receiver, way, children=0))
        assert ours.metric_names == {DURATION}
        assert EVENTS in receiver.metric_names
        assert not ours.metric_names & receiver.metric_names


def test_none_sends_nothing(receiver: OtlpReceiver):
    """Although there is an endpoint."""
    with ExitStack() as stack:
        end(start(stack, receiver, {"way": "none", "temporality": "delta"}, children=1))
    assert receiver.requests == 0


LEAVING = """
import os, sys
import slotel

@slotel.llm
def call(): return 1

slotel.configure(endpoint=sys.argv[1], protocol=sys.argv[2], traces="none")
who = sys.argv[3]
if who == "process":
    call()
elif who == "forked":
    if not os.fork(): call()
    else: os.wait()
else:
    import multiprocessing
    child = multiprocessing.get_context(who).Process(target=call)
    child.start()
    child.join()
"""


@pytest.mark.parametrize("who", ["process", "forked", "fork"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_process_that_ends_before_its_first_export_loses_nothing(
    receiver: OtlpReceiver, protocol: str, who: str
):
    """The first export is the one at the exit, also of multiprocessing's children (`fork`)."""
    with ExitStack() as stack:
        endpoint = receiver.endpoint
        if protocol == "grpc":
            grpc_receiver = pytest.importorskip("grpc") and _grpc_receiver()
            endpoint = stack.enter_context(grpc_receiver(receiver)).endpoint
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LEAVING, endpoint, protocol, who],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "true"},
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert receiver.histogram_count(DURATION) == 1, done.stderr
