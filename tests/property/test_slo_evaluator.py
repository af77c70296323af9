"""The evaluator against a model that judges call by call."""

import math
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from slotel.engine.evaluator import Evaluator
from slotel.measure.clock import SteadyClock
from slotel.measure.measurement import Outcome, Role, SeriesKey
from slotel.measure.series import Recorder
from slotel.slo.spec import parse
from slotel.testing import ManualClock

DOCUMENT = parse("""
version: slotel/v1
slos:
  - {name: latency, sli: {latency: {at_most: 2s}}, objective: 95%}
  - {name: strict, sli: {latency: {at_most: 500ms, model: m1, calls: every}}, objective: 95%}
  - {name: works, sli: {availability: {operation: ask}}, objective: 99%}
""")

calls = st.tuples(
    st.sampled_from(["chat", "ask"]),
    st.sampled_from(["m1", "m2"]),
    st.sampled_from(Outcome),
    st.sampled_from(Role),
    st.sampled_from([0.0, 0.5, math.nextafter(0.5, 1), 1.0, 2.0, math.nextafter(2.0, 3), 40.0]),
)
steps = st.one_of(
    calls.map(lambda call: ("call", call)),
    st.floats(0, 1_000).map(lambda s: ("tick", s)),
    st.just(("drain", None)),
)


@dataclass
class Model:
    """Judges each call when it is made; good and total of each SLO."""

    counts: dict[str, list[int]] = field(
        default_factory=lambda: {slo.name: [0, 0] for slo in DOCUMENT.slos}
    )

    def call(self, operation, model, outcome, role, seconds) -> None:
        if operation == "chat" and role is Role.OUTER:
            self.latency("latency", outcome, seconds <= 2.0)
        if operation == "chat" and model == "m1":
            self.latency("strict", outcome, seconds <= 0.5)
        if operation == "ask" and role is Role.OUTER:
            if outcome is Outcome.SUCCESS:
                self.add("works", good=True)
            if outcome is Outcome.ERROR:
                self.add("works", good=False)

    def latency(self, name: str, outcome: Outcome, within: bool) -> None:
        if outcome is Outcome.SUCCESS:
            self.add(name, good=within)
        elif outcome is not Outcome.REJECTED and not within:
            self.add(name, good=False)

    def add(self, name: str, *, good: bool) -> None:
        self.counts[name][0] += good
        self.counts[name][1] += 1


@settings(max_examples=150)
@given(st.lists(steps, max_size=40), st.lists(calls, max_size=5))
def test_every_call_is_judged_once_whenever_it_is_drained(path, before):
    """Calls, drains and ticks in any order give the counts of judging each call by hand."""
    clock = ManualClock()
    steady = SteadyClock(clock)
    recorder = Recorder(clock=steady)
    ledger, model = recorder.ledger(), Model()
    evaluator = Evaluator(DOCUMENT, ledger, steady)

    def make(operation, name, outcome, role, seconds) -> None:
        key = SeriesKey(operation, model=name, outcome=outcome, role=role)
        recorder.series(key).record("duration", seconds)

    for call in before:
        make(*call)
    ledger.drain()
    evaluator.register()
    for what, value in [*path, ("tick", 1.0)]:
        if what == "call":
            make(*value)
            model.call(*value)
        else:
            ledger.drain()
        if what == "tick":
            clock.advance(value)
            evaluator.observe()
    for name, status in evaluator.evaluate().slos.items():
        assert [status.good, status.total] == model.counts[name]
        assert [status.counters.good, status.counters.good + status.counters.bad] == [
            status.good,
            status.total,
        ]
