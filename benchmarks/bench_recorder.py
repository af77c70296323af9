"""The recorder alone: one value in, the drain, a percentile out, and what a series weighs.

Bars in nanoseconds are stated for a machine on which an empty call takes 21 ns, and judged as a
ratio to the empty call of the same run.
"""

from __future__ import annotations

import gc
import random
import struct
import threading
import tracemalloc
from collections.abc import Callable
from itertools import repeat
from time import perf_counter

import numpy as np
from ddsketch import DDSketch
from hdrh.histogram import HdrHistogram

import peers
from harness import Contestant, Race, Report, calling, report
from slotel.measure.drain import Ledger
from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Buffer, Recorder

REFERENCE_CALL_NS = 21.0
CUTS = (0.25, 0.5, 1.0, 2.0, 5.0)
EMPTY_CALL = "empty call"


def empty(value: object) -> None:
    """Do nothing: the unit of every figure."""


def empty_call() -> Contestant:
    """Return the empty call."""
    return Contestant(EMPTY_CALL, calling(empty, peers.VALUE))


def latencies(count: int) -> list[float]:
    """Return log-normal latencies of a language model: median 0.8 s, sigma 1."""
    draw = random.Random(7)
    return [draw.lognormvariate(-0.223, 1.0) for _ in range(count)]


def counted(recorder: Recorder, *, drains: bool = True) -> Callable[[], int]:
    """Return a function that says how many durations the ledger has counted."""
    ledger = recorder.ledger()

    def recorded() -> int:
        if drains:
            ledger.drain()
        return int(ledger.counts("duration").sum())

    return recorded


def buffers(recorder: Recorder, number: int) -> list[Buffer]:
    """Return the duration buffers of that many series."""
    keys = [SeriesKey("chat", "openai", f"model-{index}") for index in range(number)]
    return [recorder.series(key).duration for key in keys]


# --- record -----------------------------------------------------------------------------------


def slotel_record() -> Contestant:
    """Return `Buffer.record`, the drains that it makes itself included."""
    recorder = Recorder()
    recorded = counted(recorder)
    (buffer,) = buffers(recorder, 1)
    return Contestant("slotel Buffer.record", calling(buffer.record, peers.VALUE), recorded)


def bench_record(bench: Report) -> None:
    """One value, one thread."""
    floor = peers.ListRecorder()
    run = bench.race(
        "One value recorded, one thread",
        [
            empty_call(),
            Contestant(
                "method that appends to a list",
                calling(floor.record, peers.VALUE),
                peers.emptied(floor.values),
            ),
            slotel_record(),
            *peers.recorders(),
        ],
        base="method that appends to a list",
    )
    ratio = run.ratio("slotel Buffer.record", "method that appends to a list")
    bench.gate("Buffer.record over a method that appends", ratio, 2.5)


def threaded(one: Contestant, number: int, threads: int = 8) -> Contestant:
    """Return the contestant's work spread over threads; figures are wall time a value."""

    def run(number: int) -> None:
        workers = [threading.Thread(target=one.run, args=(number,)) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return Contestant(one.name, run, one.recorded, pieces=threads, number=number)


def bench_threads(bench: Report) -> None:
    """One value, eight threads at once."""
    number = 500 if bench.smoke else 20_000
    bench.race(
        "One value recorded, eight threads at once",
        [
            threaded(slotel_record(), number),
            threaded(peers.prometheus(bound=True), number),
            threaded(peers.otel_histogram(exponential=False), number // 10),
        ],
        base="slotel Buffer.record",
        clock=perf_counter,
    )


# --- drain ------------------------------------------------------------------------------------


def full_ledger() -> tuple[Recorder, Ledger]:
    """Return a recorder whose durations meet five exact cuts."""
    recorder = Recorder()
    ledger = recorder.ledger()
    for bound in CUTS:
        ledger.cut("duration", bound=bound)
    return recorder, ledger


def slotel_drain(size: int) -> Contestant:
    """Return whole drains of one buffer, filled again each time."""
    recorder, ledger = full_ledger()
    (buffer,) = buffers(recorder, 1)
    values = latencies(size)

    def run(number: int) -> None:
        for _ in repeat(None, number):
            buffer.values.extend(values)
            ledger.drain()

    return Contestant(f"fill and drain {size}", run, counted(recorder, drains=False), size)


def filling(size: int) -> Contestant:
    """Return what has to be subtracted: the same list filled and emptied, nothing counted."""
    values = latencies(size)
    buffer: list[float] = []

    def run(number: int) -> None:
        for _ in repeat(None, number):
            buffer.extend(values)
            del buffer[:]

    return Contestant(f"fill {size}", run, None, size)


def packing(size: int) -> Contestant:
    """Return the floor: the list made an array of float64, nothing counted."""
    values = latencies(size)
    layout = f"{size}d"

    def run(number: int) -> None:
        for _ in repeat(None, number):
            np.frombuffer(struct.pack(layout, *values))

    return Contestant(f"list to float64 array {size}", run, None, size)


def many_series(number_of_series: int) -> Contestant:
    """Return one drain over many series with one value each; a piece is the whole drain."""
    recorder, ledger = full_ledger()
    all_buffers = buffers(recorder, number_of_series)
    counts = counted(recorder, drains=False)

    def prepare() -> None:
        for buffer in all_buffers:
            buffer.append(peers.VALUE * 1.0)

    def run(number: int) -> None:
        ledger.drain()

    def recorded() -> int:
        values = counts()
        assert values % number_of_series == 0
        return values // number_of_series

    name = f"slotel drain, {number_of_series} series of one value"
    return Contestant(name, run, recorded, prepare=prepare, number=1)


def gate_calls(bench: Report, name: str, ns: float, run: Race, reference_ns: float) -> None:
    """Judge nanoseconds of the reference machine as empty calls of this run."""
    limit = reference_ns / REFERENCE_CALL_NS
    text = f"{name} ({reference_ns:g} ns on the reference machine)"
    bench.gate(text, ns / run.ns(EMPTY_CALL), limit, unit="empty calls")


def bench_drain(bench: Report) -> None:
    """Counts, sums, extremes, 14 exact buckets, 5 cuts, histogram and one slice, by value."""
    sizes = (256, 2048, 8192)
    contestants = [way(size) for size in sizes for way in (filling, packing, slotel_drain)]
    run = bench.race("Whole drain, a value", [empty_call(), *contestants], base=EMPTY_CALL)
    for size, bar_ns in ((2048, 40.0), (8192, 30.0)):
        added_ns = run.added_ns(f"fill and drain {size}", f"fill {size}")
        gate_calls(bench, f"drain of {size}, a value", added_ns, run, bar_ns)
    spread = bench.race(
        "Whole drain, 1,000 series of one value",
        [empty_call(), many_series(1000)],
        base=EMPTY_CALL,
        times_rounds=20,
    )
    name = "slotel drain, 1000 series of one value"
    gate_calls(bench, name, spread.ns(name), spread, 600_000)


# --- percentiles ------------------------------------------------------------------------------


def bench_percentiles(bench: Report) -> None:
    """p99 of one series of 100,000 values, asked for again and again."""
    values = latencies(100_000)
    recorder, ledger = full_ledger()
    (buffer,) = buffers(recorder, 1)
    for value in values:
        buffer.record(value)
    ledger.drain()
    hdr = HdrHistogram(1, 3_600_000_000, 2)
    sketch = DDSketch(0.01)
    for value in values:
        hdr.record_value(int(value * 1e6))
        sketch.add(value)
    bench.race(
        "p99 of 100,000 values",
        [
            Contestant(
                "slotel, since start",
                calling(lambda q: ledger.merged("duration", [0]).percentile(q), 99.0),
            ),
            Contestant(
                "slotel, last five minutes",
                calling(
                    lambda q: ledger.window("duration", [0], seconds=300).counts.percentile(q), 99.0
                ),
            ),
            Contestant("hdrhistogram", calling(hdr.get_value_at_percentile, 99.0)),
            Contestant("ddsketch", calling(sketch.get_quantile_value, 0.99)),
        ],
        base="slotel, since start",
    )


# --- memory -----------------------------------------------------------------------------------


def bytes_each(make: Callable[[int], object], number: int) -> float:
    """Return the bytes that one made object adds, the mean over that many of them."""
    gc.collect()
    tracemalloc.start()
    kept = [make(index) for index in range(number)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == number
    return size / number


def slotel_series(values: list[float], number: int) -> float:
    """Return the bytes of one series that holds these values, drained."""

    def make(_: int) -> object:
        recorder = Recorder(max_series=number + 1)
        ledger = recorder.ledger()
        for buffer in buffers(recorder, number):
            buffer.values.extend(values)
        ledger.drain()
        assert int(ledger.counts("duration").sum()) == number * len(values)
        return recorder

    return bytes_each(make, 1) / number


def bench_memory(bench: Report) -> None:
    """What a series weighs that has seen 500 log-normal latencies."""
    values = latencies(500)
    number = 100 if bench.smoke else 1000

    def filled_hdr(_: int) -> object:
        histogram = HdrHistogram(1, 3_600_000_000, 2)
        for value in values:
            histogram.record_value(int(value * 1e6))
        return histogram

    def filled_sketch(_: int) -> object:
        sketch = DDSketch(0.01)
        for value in values:
            sketch.add(value)
        return sketch

    print("\nMemory of a series of 500 values")
    bench.figure(
        "slotel, one quantity, sliding hour included", slotel_series(values, number), "bytes"
    )
    bench.figure("hdrhistogram, 2 digits", bytes_each(filled_hdr, number // 10), "bytes")
    bench.figure("ddsketch, 1 %", bytes_each(filled_sketch, number // 10), "bytes")


def main() -> None:
    """Run all parts."""
    bench = report("recorder")
    bench_record(bench)
    bench_threads(bench)
    bench_drain(bench)
    bench_percentiles(bench)
    bench_memory(bench)
    bench.finish()


if __name__ == "__main__":
    main()
