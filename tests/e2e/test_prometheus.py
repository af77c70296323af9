"""The way `prometheus` scraped by the real Prometheus: it stores the calls that were made."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from slotel.engine.evaluator import Evaluator
from slotel.export.ways import build_way
from slotel.measure.measurement import DURATION_BOUNDS, SeriesKey
from slotel.measure.series import Exemplar, Recorder
from slotel.slo.spec import parse

prometheus_client = pytest.importorskip("prometheus_client")

pytestmark = [pytest.mark.prom, pytest.mark.loopback, pytest.mark.slow]

DURATION = "gen_ai_client_operation_duration_seconds"
SLOS = """
version: slotel/v1
service: support-bot
slos:
  - name: answer-latency
    sli: {latency: {operation: chat, at_most: 500ms}}
    objective: 95%
    window: 28d
"""
CONFIGURATION = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: support-bot
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
VALUES = [0.001 * 1.01**step for step in range(1000)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """A running server, asked over its API."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._base}{path}?{query}", timeout=5) as answer:
            return json.load(answer)["data"]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._base}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def value(self, query: str) -> float:
        """Return the one number of an instant query; NaN when there is none yet."""
        result = self.ask("/api/v1/query", query=query)["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else float("nan")

    def wait_for(self, query: str, expected: float) -> None:
        until(lambda: self.value(query) == expected, what=f"{query} == {expected}")


def until(condition: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"not within 20 s: {what}"
        time.sleep(0.05)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def scraped(recorder: Recorder) -> Iterator[tuple[int, Any]]:
    """Serve the process's metrics as prometheus_client does; give port and registry."""
    registry = prometheus_client.CollectorRegistry()
    evaluator = Evaluator(parse(SLOS), recorder.ledger(), recorder.clock)
    evaluator.register()

    def evaluate():
        recorder.ledger().drain()
        evaluator.observe()
        return evaluator.evaluate()

    way = build_way(
        metrics="prometheus",
        recorder=recorder,
        evaluate=evaluate,
        resource=Resource({"service.name": "support-bot", "service.instance.id": "bot-1"}),
        registry=registry,
    )
    way.start()
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    yield server.server_port, registry
    server.shutdown()
    server.server_close()
    thread.join()
    way.shutdown(1.0)


@pytest.fixture
def prometheus(
    require: Callable[[str], Path], scraped: tuple[int, Any], tmp_path: Path
) -> Iterator[Prometheus]:
    binary, port = require("prom"), free_port()
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(port=scraped[0]))
    with open(tmp_path / "prometheus.log", "w") as log:
        process = subprocess.Popen(
            [
                str(binary),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Prometheus(port)
        until(server.ready, what="Prometheus is ready")
        yield server
    finally:
        process.terminate()
        process.wait(15)


def record(recorder: Recorder) -> None:
    series = recorder.series(SeriesKey("chat", provider="openai", model="gpt-4o"))
    for value in VALUES:
        series.record("duration", value)
        series.record("score.faithfulness", 0.93)
    now = recorder.clock.unix_ns()
    series.buffer("duration").exemplars[4] = Exemplar(VALUES[-1], now, 0xABC, 0xDEF)


def test_what_prometheus_stores_are_the_calls_that_were_made(
    prometheus: Prometheus, recorder: Recorder
):
    """Every bucket, count and sum, counters from 0 on, gauges, quantile, exemplar and target."""
    events = "slotel_slo_events_total"
    prometheus.wait_for(f'{events}{{slotel_slo_event="bad"}}', 0.0)
    record(recorder)
    prometheus.wait_for(f"{DURATION}_count", 1000.0)
    for bound in DURATION_BOUNDS:
        exact = sum(value <= bound for value in VALUES)
        assert prometheus.value(f'{DURATION}_bucket{{le="{bound}"}}') == exact
    assert prometheus.value(f'{DURATION}_bucket{{le="+Inf"}}') == 1000
    assert prometheus.value(f"{DURATION}_sum") == pytest.approx(sum(VALUES))
    under = sum(value <= 0.5 for value in VALUES)
    assert prometheus.value(f'{events}{{slotel_slo_event="good"}}') == under
    assert prometheus.value(f'{events}{{slotel_slo_event="bad"}}') == 1000 - under
    assert prometheus.value("slotel_slo_objective_ratio") == 0.95
    assert prometheus.value("slotel_slo_sli_ratio") == under / 1000
    assert prometheus.value('slotel_slo_burn_rate{slotel_slo_window="1h"}') > 1
    assert prometheus.value('slotel_score_value_bucket{le="0.95"}') == 1000
    quantile = prometheus.value(f"histogram_quantile(0.95, {DURATION}_bucket)")
    assert 5.12 < VALUES[949] < 20.48
    assert 5.12 < quantile < 20.48
    assert prometheus.value('target_info{service_name="support-bot",job="support-bot"}') == 1.0
    expect_exemplar(prometheus)


def expect_exemplar(prometheus: Prometheus) -> None:
    now = time.time()
    found = prometheus.ask(
        "/api/v1/query_exemplars",
        query=f"{DURATION}_bucket",
        start=f"{now - 60}",
        end=f"{now + 60}",
    )
    ids = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert ids == {f"{0xABC:032x}"}


def test_the_first_failures_are_seen_by_an_increase(prometheus: Prometheus, recorder: Recorder):
    """Because the counters are scraped at 0 before them."""
    bad = 'slotel_slo_events_total{slotel_slo_event="bad"}'
    until(
        lambda: prometheus.value(f"count_over_time({bad}[1m])") >= 2, what="two scrapes of a zero"
    )
    assert prometheus.value(f"increase({bad}[1m])") == 0.0
    record(recorder)
    failed = sum(value > 0.5 for value in VALUES)
    until(
        lambda: prometheus.value(f"max_over_time({bad}[1m]) - min_over_time({bad}[1m])") == failed,
        what="every failure between two scrapes",
    )
    assert prometheus.value(f"increase({bad}[1m])") > 0.0


def test_promtool_finds_no_fault_with_the_exposition(
    require: Callable[[str], Path], scraped: tuple[int, Any], recorder: Recorder
):
    """Names, suffixes, help texts and types are as Prometheus wants them."""
    promtool = require("prom").with_name("promtool")
    record(recorder)
    done = subprocess.run(
        [str(promtool), "check", "metrics"],
        input=prometheus_client.generate_latest(scraped[1]),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
