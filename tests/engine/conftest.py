"""A recorder, its ledger and an evaluator over a clock that the test moves."""

from collections.abc import Callable

import pytest

from slotel.engine.evaluation import Evaluation, SLOStatus
from slotel.engine.evaluator import Evaluator
from slotel.measure.clock import SteadyClock
from slotel.measure.measurement import Outcome, SeriesKey
from slotel.measure.series import Recorder
from slotel.slo.objective import Document
from slotel.slo.spec import parse
from slotel.testing import ManualClock


class Bench:
    """One process under test: record, let time pass, tick, evaluate."""

    def __init__(self, document: Document) -> None:
        self.clock = ManualClock()
        steady = SteadyClock(self.clock)
        self.recorder = Recorder(clock=steady)
        self.ledger = self.recorder.ledger()
        self.evaluator = Evaluator(document, self.ledger, steady)

    def record(self, quantity: str, *values: float, **key: object) -> None:
        """Record values in the series of that key; `chat` and success unless it says so."""
        wanted = SeriesKey(**{"operation": "chat", **key})  # type: ignore[arg-type]
        for value in values:
            self.recorder.series(wanted).record(quantity, value)

    def call(self, seconds: float, *, outcome: Outcome = Outcome.SUCCESS, **key: object) -> None:
        """Record a whole call: its arrival and its duration."""
        self.record("arrivals", 1.0, **key)
        self.record("duration", seconds, outcome=outcome, **key)

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, drain and observe."""
        self.clock.advance(seconds)
        self.ledger.drain()
        self.evaluator.observe()

    def evaluate(self) -> Evaluation:
        return self.evaluator.evaluate()

    def status(self, name: str = "a") -> SLOStatus:
        """Tick once, then return the status of an SLO."""
        self.tick()
        return self.evaluate().slo(name)


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """`bench("sli: …, objective: …")` gives a registered bench with SLOs a, b, c."""

    def make(*slos: str) -> Bench:
        rows = [f"  - {{name: {name}, {slo}}}\n" for name, slo in zip("abcdef", slos, strict=False)]
        made = Bench(parse("version: slotel/v1\nservice: bot\nslos:\n" + "".join(rows)))
        made.evaluator.register()
        return made

    return make
