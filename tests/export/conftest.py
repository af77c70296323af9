"""What the tests of the ways out share: a recorder with known calls, SLOs, exporters that fail."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from slotel import _faults
from slotel.engine.evaluation import Evaluation
from slotel.engine.evaluator import Evaluator
from slotel.measure.measurement import Outcome, SeriesKey
from slotel.measure.series import Recorder
from slotel.slo.spec import parse
from slotel.testing import ManualClock

CHAT = SeriesKey("chat", provider="openai", model="gpt-4o")
FAILED = SeriesKey("chat", provider="openai", outcome=Outcome.ERROR, error_type="TimeoutError")
SLOS = """
version: slotel/v1
service: support-bot
slos:
  - name: answer-latency
    sli: {latency: {operation: chat, at_most: 500ms}}
    objective: 95%
    window: 28d
  - name: answers
    sli: {availability: {operation: chat}}
    objective: 99%
    window: 28d
"""


class MemoryExporter:
    """An exporter that keeps what it is given; it fails, raises or blocks when told to."""

    def __init__(self) -> None:
        self.batches: list[MetricsData] = []
        self.threads: list[str] = []
        self.result = MetricExportResult.SUCCESS
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.blocked = threading.Event()
        self.shut = 0

    def export(self, metrics_data: MetricsData) -> MetricExportResult:
        self.threads.append(threading.current_thread().name)
        if not self.gate.is_set():
            self.blocked.set()
            self.gate.wait(30)
        if self.error is not None:
            raise self.error
        if self.result is MetricExportResult.SUCCESS:
            self.batches.append(metrics_data)
        return self.result

    def shutdown(self) -> None:
        self.shut += 1


@pytest.fixture(autouse=True)
def strict_faults():
    """Let a fault of ours fail the test, and leave none behind."""
    _faults.counts.clear()
    _faults.strict(True)
    yield
    _faults.strict(False)
    _faults.counts.clear()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def recorder(clock: ManualClock) -> Recorder:
    return Recorder(clock=clock)


@pytest.fixture
def exporter():
    made = MemoryExporter()
    yield made
    made.gate.set()


@pytest.fixture
def evaluate(recorder: Recorder, clock: ManualClock) -> Callable[[], Evaluation]:
    return new_evaluation(recorder, clock)


def new_evaluation(recorder: Recorder, clock: ManualClock) -> Callable[[], Evaluation]:
    """Register two SLOs, and return what brings them up to date, as the runtime does."""
    ledger = recorder.ledger()
    evaluator = Evaluator(parse(SLOS), ledger, clock)
    evaluator.register()

    def evaluate() -> Evaluation:
        ledger.drain()
        evaluator.observe()
        return evaluator.evaluate()

    return evaluate
