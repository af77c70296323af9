"""Races contestants against each other in one process and judges ratios, never absolute times.

The rules of a race:

- Every contestant has one turn a round and the rounds alternate (A B A B), so a machine that
  slows down slows all of them.
- Inputs are made before the clock starts. The cyclic garbage collector runs before each turn and
  is off during it. The cost of the empty loop, measured in the same round, is subtracted.
- A turn repeats the work as often as fits its time; the figure is nanoseconds for one piece.
- After each turn the contestant says how much it recorded: that must be what was sent.
- A ratio is the median, over the rounds, of the ratio within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import resource
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat
from pathlib import Path
from time import perf_counter, process_time

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = (
    "slotel",
    "opentelemetry-sdk",
    "numpy",
    "hdrhistogram",
    "prometheus-client",
    "ddsketch",
    "openai",
    "traceloop-sdk",
    "openinference-instrumentation",
)

Run = Callable[[int], None]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work.

    Attributes:
        name: Shown in the tables.
        run: Does the work that many times.
        recorded: Returns how many pieces have been recorded so far; None if it records nothing.
        pieces: Pieces of work in one repetition, such as the chunks of a stream.
        prepare: Makes the input of a turn before the clock starts.
        number: Repetitions of a turn; None for as many as fit its time.
    """

    name: str
    run: Run
    recorded: Callable[[], int] | None = None
    pieces: int = 1
    prepare: Callable[[], None] | None = None
    number: int | None = None


@dataclass(slots=True)
class Timings:
    """Nanoseconds a piece of one contestant, one figure a round."""

    name: str
    number: int
    rounds_ns: list[float] = field(default_factory=list)

    @property
    def median_ns(self) -> float:
        return statistics.median(self.rounds_ns)

    @property
    def p99_ns(self) -> float:
        return sorted(self.rounds_ns)[max(0, -(-99 * len(self.rounds_ns) // 100) - 1)]


@dataclass(frozen=True, slots=True)
class Gate:
    """A bar: the value must be at most (or at least) the limit."""

    name: str
    value: float
    limit: float
    unit: str
    at_least: bool

    @property
    def passed(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


# --- ways to repeat work ----------------------------------------------------------------------


def calling(function: Callable[[object], object], argument: object = 1) -> Run:
    """Return a loop that calls the function with one argument."""

    def run(number: int) -> None:
        call = function
        for _ in repeat(None, number):
            call(argument)

    return run


def awaiting(
    loop: asyncio.AbstractEventLoop, function: Callable[[object], Awaitable[object]]
) -> Run:
    """Return a loop that awaits the function, all in one task."""

    async def body(number: int) -> None:
        call = function
        for _ in repeat(None, number):
            await call(1)

    return lambda number: loop.run_until_complete(body(number))


def _empty_loop(number: int) -> None:
    for _ in repeat(None, number):
        pass


# --- the race ---------------------------------------------------------------------------------


def _timed(run: Run, number: int, clock: Clock) -> float:
    """Return the seconds of one turn; the collector is off meanwhile."""
    gc.collect()
    gc.disable()
    try:
        started = clock()
        run(number)
        return clock() - started
    finally:
        gc.enable()


def _turn(contestant: Contestant, number: int, clock: Clock) -> float:
    """Time one turn and assert that everything sent was recorded."""
    before = contestant.recorded() if contestant.recorded else 0
    if contestant.prepare:
        contestant.prepare()
    seconds = _timed(contestant.run, number, clock)
    if contestant.recorded:
        recorded, sent = contestant.recorded() - before, number * contestant.pieces
        assert recorded == sent, f"{contestant.name}: recorded {recorded}, sent {sent}"
    return seconds


def _fitting_number(contestant: Contestant, seconds: float) -> int:
    """Return how many repetitions take about that long."""
    if contestant.number is not None:
        _turn(contestant, contestant.number, perf_counter)
        return contestant.number
    number = 1
    while True:
        took = _turn(contestant, number, perf_counter)
        if took >= seconds / 4 or number >= 1 << 22:
            return max(1, round(number * seconds / max(took, 1e-9)))
        number *= 4


class Race:
    """The timings of one race."""

    def __init__(self, title: str, timings: Sequence[Timings], base: str) -> None:
        self.title = title
        self.timings = {one.name: one for one in timings}
        self.base = base

    def ns(self, name: str) -> float:
        """Return the median nanoseconds a piece."""
        return self.timings[name].median_ns

    def ratio(self, name: str, to: str) -> float:
        """Return how many times as long as the other one takes."""
        pairs = zip(self.timings[name].rounds_ns, self.timings[to].rounds_ns, strict=True)
        return statistics.median(mine / max(theirs, 1e-3) for mine, theirs in pairs)

    def added_ns(self, name: str, over: str) -> float:
        """Return the median of what it takes more than the other one."""
        pairs = zip(self.timings[name].rounds_ns, self.timings[over].rounds_ns, strict=True)
        return statistics.median(mine - theirs for mine, theirs in pairs)


def race(
    title: str,
    contestants: Sequence[Contestant],
    *,
    base: str,
    rounds: int,
    turn_seconds: float,
    clock: Clock,
) -> Race:
    """Let the contestants take turns for that many rounds."""
    timings = [Timings(one.name, _fitting_number(one, turn_seconds)) for one in contestants]
    for _ in range(rounds):
        loop_number = 200_000
        loop_ns = _timed(_empty_loop, loop_number, clock) / loop_number * 1e9
        for one, timing in zip(contestants, timings, strict=True):
            piece_ns = _turn(one, timing.number, clock) / timing.number * 1e9 - loop_ns
            timing.rounds_ns.append(max(piece_ns, 0.0) / one.pieces)
    return Race(title, timings, base)


# --- the report -------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """Return what the figures depend on: processor, Python and package versions."""
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text() if cpuinfo.exists() else "").splitlines()
        if line.startswith("model name")
    ]
    found["processor"] = f"{len(models)} x {models[0]}" if models else platform.processor()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


class Report:
    """Collects the races and gates of one benchmark, prints them and writes them as JSON."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self.name = name
        self.smoke: bool = arguments.smoke
        self._gated: bool = arguments.gate
        self._output: Path = arguments.output
        self._rounds = 3 if arguments.smoke else arguments.rounds
        self._turn_seconds = 0.002 if arguments.smoke else 0.04
        self._races: list[Race] = []
        self._figures: list[dict[str, object]] = []
        self._gates: list[Gate] = []
        print(f"# {name}: " + ", ".join(f"{key} {value}" for key, value in machine().items()))

    def race(
        self,
        title: str,
        contestants: Sequence[Contestant],
        *,
        base: str,
        times_rounds: int = 1,
        clock: Clock = process_time,
    ) -> Race:
        """Run a race, of that many times the usual number of rounds, and print its table."""
        rounds = self._rounds * (1 if self.smoke else times_rounds)
        seconds = self._turn_seconds
        run = race(title, contestants, base=base, rounds=rounds, turn_seconds=seconds, clock=clock)
        self._races.append(run)
        print(f"\n{title} ({rounds} rounds)")
        print(f"  {'':44} {'min ns':>9} {'median':>9} {'p99':>9} {'ratio':>7}")
        for one in run.timings.values():
            figures = f"{min(one.rounds_ns):9.1f} {one.median_ns:9.1f} {one.p99_ns:9.1f}"
            print(f"  {one.name:44} {figures} {run.ratio(one.name, base):7.2f}")
        return run

    def figure(self, name: str, value: float, unit: str) -> None:
        """Note a figure that no race gives."""
        self._figures.append({"name": name, "value": value, "unit": unit})
        print(f"  {name:60} {value:12.4g} {unit}")

    def gate(
        self, name: str, value: float, limit: float, *, unit: str = "x", at_least: bool = False
    ) -> None:
        """Judge a bar."""
        gate = Gate(name, value, limit, unit, at_least)
        self._gates.append(gate)
        word = "at least" if at_least else "at most"
        judged = "pass" if gate.passed else "FAIL"
        verdict = "    " if self.smoke else judged
        print(f"  {verdict}  {name}: {value:.4g} {unit}, {word} {limit:g}")

    def finish(self) -> None:
        """Write the JSON file; exit with 1 if gates count and one has failed."""
        self._output.mkdir(parents=True, exist_ok=True)
        content = {
            "benchmark": self.name,
            "machine": machine(),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "races": [_as_json(run) for run in self._races],
            "figures": self._figures,
            "gates": [asdict(gate) | {"passed": gate.passed} for gate in self._gates],
        }
        path = self._output / f"{self.name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        if self.smoke:
            print(f"\n{self.name}: all work was counted; bars are not judged at this size")
            return
        failed = [gate.name for gate in self._gates if not gate.passed]
        passed = len(self._gates) - len(failed)
        print(f"\n{self.name}: {passed} bars passed, {len(failed)} failed -> {path}")
        if failed and self._gated:
            sys.exit(1)


def _as_json(run: Race) -> dict[str, object]:
    rows = [
        {
            "name": one.name,
            "repetitions": one.number,
            "min_ns": round(min(one.rounds_ns), 2),
            "median_ns": round(one.median_ns, 2),
            "p99_ns": round(one.p99_ns, 2),
            "ratio": round(run.ratio(one.name, run.base), 3),
        }
        for one in run.timings.values()
    ]
    rounds = len(run.timings[run.base].rounds_ns)
    return {"title": run.title, "base": run.base, "rounds": rounds, "rows": rows}


def report(name: str) -> Report:
    """Read the command line and start the report of a benchmark."""
    parser = argparse.ArgumentParser(description=f"Benchmark: {name}.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--smoke", action="store_true", help="small sizes: does it run, and count?")
    parser.add_argument("--gate", action="store_true", help="exit with 1 if a bar is missed")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON file")
    return Report(name, parser.parse_args())
