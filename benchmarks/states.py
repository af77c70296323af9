"""The states that a call's span can be in, each in a process of its own.

A tracer provider can be set once a process, so a benchmark starts itself again for each state.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import peers
from harness import Report, Run, report
from slotel._process import recorder

NO_SDK, UNSAMPLED, DROPPED, SAMPLED = "no SDK", "unsampled parent", "dropped root", "sampled"
STATES = (NO_SDK, UNSAMPLED, DROPPED, SAMPLED)


@dataclass(frozen=True, slots=True)
class State:
    """One state, set up.

    Attributes:
        name: One of `STATES`.
        context: What every turn runs in: it holds the unsampled parent, where there is one.
        spans: Counts the spans that ended; none but for `SAMPLED`.
    """

    name: str
    context: Context
    spans: peers.CountingProcessor

    def inside(self, run: Run) -> Run:
        """Return the same work in this state's context."""
        return lambda number: self.context.run(run, number)

    def counted(self) -> Callable[[], int]:
        """Return a function that says how many calls Slotel has counted."""
        ledger = recorder.ledger()

        def recorded() -> int:
            ledger.drain()
            return int(ledger.counts("duration").sum())

        return recorded


def set_up(name: str) -> State:
    """Set the tracer provider, and the parent, that the state needs."""
    root = {DROPPED: ALWAYS_OFF}.get(name, ALWAYS_ON)
    provider, spans = peers.tracing(ParentBased(root))
    if name != NO_SDK:
        trace.set_tracer_provider(provider)
    context = copy_context()
    if name == UNSAMPLED:
        unsampled = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(0))
        parent = trace.set_span_in_context(NonRecordingSpan(unsampled))
        context.run(otel_context.attach, parent)
    return State(name, context, spans)


def in_each_state(name: str, bench: Callable[[Report, State], None]) -> None:
    """Run the benchmark in the state that `--state` names, or in all, one process each."""
    if "--state" not in sys.argv:
        failed = False
        for state in STATES:
            command = [sys.executable, *sys.argv, "--state", state]
            failed |= subprocess.run(command, check=False).returncode != 0
        sys.exit(1 if failed else 0)
    place = sys.argv.index("--state")
    state = sys.argv[place + 1]
    del sys.argv[place : place + 2]
    with_state = report(f"{name}_{state.replace(' ', '_').lower()}")
    bench(with_state, set_up(state))
    with_state.finish()
