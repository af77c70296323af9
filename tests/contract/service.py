"""A service to be exported: one process or several, over any way out; run as a program.

    python service.py '{"way": "otlp", "endpoint": "…", "calls": 100, "children": 2, …}'

It makes its calls with the public decorator and prints, as JSON, what it knows to be true: how many
calls each process made, and, for the way `prometheus`, what a scrape of each would have given.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

import slotel

SLOS = {
    "version": "slotel/v1",
    "service": "contract",
    "slos": [
        {
            "name": "answers",
            "sli": {"availability": {"operation": "chat"}},
            "objective": "99%",
            "window": "28d",
        }
    ],
}
DURATION = "gen_ai_client_operation_duration_seconds_count"
EVENTS = "slotel_slo_events_total"
PATIENCE_SECONDS = 40.0


@slotel.llm(model="m", provider="p")
def answer(number: int) -> int:
    """Answer; every tenth question fails."""
    if number % 10 == 0:
        raise TimeoutError(number)
    return number


def make_calls(count: int) -> None:
    for number in range(1, count + 1):
        with contextlib.suppress(TimeoutError):
            answer(number)


def scrape() -> dict[str, float]:
    """Return the totals that prometheus_client shows in this process."""
    from prometheus_client import REGISTRY

    found = {"calls": 0.0, "good": 0.0, "bad": 0.0}
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name == DURATION:
                found["calls"] += sample.value
            elif sample.name == EVENTS:
                found[sample.labels["slotel_slo_event"]] += sample.value
    return found


def set_meter_provider(endpoint: str, temporality: str) -> Any:
    """Give the process a MeterProvider of the user's, with an exporter of the user's."""
    from opentelemetry import metrics
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    os.environ["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = temporality
    exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=300_000)
    provider = MeterProvider(metric_readers=[reader])
    metrics.set_meter_provider(provider)
    return provider


def child(number: int, calls: int, told: int) -> None:
    """Make calls in a forked process, send them, and end without the parent's exit handlers."""
    report: dict[str, Any] = {"calls": calls}
    try:
        make_calls(calls)
        report["flushed"] = slotel.flush(PATIENCE_SECONDS)
        # A second round: what the first flush sent must not be sent again as a delta.
        make_calls(calls)
        report["calls"] += calls
        report["scrape"] = scrape() if "prometheus_client" in sys.modules else {}
        report["flushed"] &= slotel.flush(PATIENCE_SECONDS)
        slotel.shutdown()
    except BaseException as error:  # told to the parent, which fails the test
        report["error"] = repr(error)
    os.write(told, (json.dumps(report) + "\n").encode())
    os._exit(0)


def main(told: dict[str, Any]) -> None:
    way, calls, children = told["way"], told["calls"], told["children"]
    if way == "meter":
        set_meter_provider(told["endpoint"], told["temporality"])
    slotel.configure(
        service="contract",
        slos=SLOS,
        metrics=way,
        traces="none",
        endpoint=told.get("own_endpoint", told["endpoint"]),
        protocol=told["protocol"],
        temporality=told["temporality"],
        interval_seconds=300,
    )
    make_calls(calls)
    flushed = slotel.flush(PATIENCE_SECONDS)
    make_calls(calls)  # Still pending when the children are forked: they are the parent's alone.
    reading, writing = os.pipe()
    for number in range(children):
        if os.fork() == 0:
            os.close(reading)
            child(number, calls, writing)
    os.close(writing)
    reports = [json.loads(line) for line in os.fdopen(reading)]
    for _ in range(children):
        os.wait()
    make_calls(calls)
    # A loaded machine may take longer than the second that a shutdown waits.
    own: dict[str, Any] = {"calls": 3 * calls, "flushed": flushed & slotel.flush(PATIENCE_SECONDS)}
    own["scrape"] = scrape() if way == "prometheus" else {}
    slotel.shutdown()
    print(json.dumps([own, *reports]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
