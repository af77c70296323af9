"""What the tick thread does once a second: drain 1,000 series and bring five SLOs up to date.

Bars in nanoseconds are stated for a machine on which an empty call takes 21 ns, and judged as a
number of empty calls of the same run.
"""

from __future__ import annotations

from collections.abc import Callable

import peers
from harness import Contestant, Report, calling, report
from slotel.engine.evaluator import Evaluator
from slotel.measure.clock import SystemClock
from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Recorder
from slotel.slo.spec import parse

REFERENCE_CALL_NS = 21.0
EMPTY_CALL = "empty call"
DOCUMENT = "version: slotel/v1\nservice: benchmark\nslos:\n" + "".join(
    f"  - name: latency-{seconds}\n"
    f"    sli: {{latency: {{operation: chat, at_most: {seconds}s}}}}\n"
    "    objective: 95%\n"
    "    window: 28d\n"
    for seconds in (1, 2, 3, 5, 8)
)


def ticking(series: int) -> tuple[Contestant, Evaluator]:
    """Return a tick over that many series of one new value each."""
    recorder = Recorder(max_series=series)
    ledger = recorder.ledger()
    evaluator = Evaluator(parse(DOCUMENT), ledger, SystemClock())
    evaluator.register()
    keys = [SeriesKey("chat", "openai", f"model-{index}") for index in range(series)]
    appends: list[Callable[[float], None]] = [recorder.series(key).duration.append for key in keys]

    def prepare() -> None:
        for append in appends:
            append(peers.VALUE * 1.0)

    def run(number: int) -> None:
        ledger.drain()
        evaluator.observe()

    def recorded() -> int:
        judged = {status.total for status in evaluator.evaluate().slos.values()}
        counted = int(ledger.counts("duration").sum())
        assert judged == {counted}, (judged, counted)
        return counted // series

    name = f"drain {series} series, observe 5 SLOs"
    return Contestant(name, run, recorded, prepare=prepare, number=1), evaluator


def bench_tick(bench: Report) -> None:
    """Race the tick, and the evaluation that a page or an export asks for."""
    series = 100 if bench.smoke else 1000
    tick, evaluator = ticking(series)
    run = bench.race(
        "One tick",
        [
            Contestant(EMPTY_CALL, calling(lambda _: None)),
            tick,
            Contestant("evaluate 5 SLOs", calling(lambda _: evaluator.evaluate())),
        ],
        base=EMPTY_CALL,
        times_rounds=5,
    )
    bar_ns = 10_000_000
    bench.gate(
        f"{tick.name} ({bar_ns / 1e6:g} ms on the reference machine)",
        run.ns(tick.name) / run.ns(EMPTY_CALL),
        bar_ns / REFERENCE_CALL_NS,
        unit="empty calls",
    )


def main() -> None:
    """Run the race."""
    bench = report("tick")
    bench_tick(bench)
    bench.finish()


if __name__ == "__main__":
    main()
