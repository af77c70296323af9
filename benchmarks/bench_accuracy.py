"""Percentiles read off the histogram against the exact order statistic of a million values.

Exact means numpy's `inverted_cdf`. The bars are those that the bucket widths prove: half a bucket
is 0.39 % of the value with two digits and 0.049 % with three.
"""

from __future__ import annotations

import numpy as np
from ddsketch import DDSketch
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from harness import Report, report
from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Recorder

# As quantiles for numpy: dividing 99.9 by 100 in floating point would ask for one rank more.
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
BARS = {2: 0.004, 3: 0.001}

Values = NDArray[np.float64]


def distributions(count: int) -> dict[str, Values]:
    """Return the shapes that latencies of AI services have, seconds."""
    draw = np.random.default_rng(7)
    cached = draw.random(count) < 0.6
    stalled = draw.random(count) < 0.005
    return {
        "log-normal, median 0.8 s": draw.lognormal(np.log(0.8), 1.0, count),
        "bimodal, cache and model": np.where(
            cached,
            draw.lognormal(np.log(0.04), 0.3, count),
            draw.lognormal(np.log(6.0), 0.4, count),
        ),
        "time per token, stalls of 2 s": np.where(
            stalled, draw.gamma(20.0, 0.1, count), draw.gamma(4.0, 0.005, count)
        ),
        "log-uniform, 1 us to 1 h": np.exp(draw.uniform(np.log(1e-6), np.log(3600.0), count)),
    }


def slotel_percentiles(values: Values, digits: int) -> list[float]:
    """Record every value and read the percentiles."""
    recorder = Recorder(digits=digits)
    buffer = recorder.series(SeriesKey("chat")).duration
    recorder.ledger()
    for value in values.tolist():
        buffer.record(value)
    ledger = recorder.ledger()
    ledger.drain()
    assert int(ledger.counts("duration").sum()) == len(values)
    histogram = ledger.merged("duration", [0])
    return [histogram.percentile(q) for q in PERCENTILES]


def hdr_percentiles(values: Values) -> list[float]:
    """The same with `hdrhistogram`: two digits, microseconds, upper end of the bucket."""
    histogram = HdrHistogram(1, 3_600_000_000, 2)
    for value in (values * 1e6).tolist():
        histogram.record_value(int(value))
    return [histogram.get_value_at_percentile(q) / 1e6 for q in PERCENTILES]


def sketch_percentiles(values: Values) -> list[float]:
    """The same with `ddsketch` at one percent."""
    sketch = DDSketch(0.01)
    for value in values.tolist():
        sketch.add(value)
    return [float(sketch.get_quantile_value(q / 100) or 0.0) for q in PERCENTILES]


def worst_error(found: list[float], exact: Values) -> float:
    """Return the largest relative error, a ratio."""
    return float(np.max(np.abs(np.array(found) - exact) / exact))


def judge(bench: Report, shape: str, values: Values) -> None:
    """Compare all ways on one distribution."""
    exact = np.quantile(values, QUANTILES, method="inverted_cdf")
    for digits, bar in BARS.items():
        error = worst_error(slotel_percentiles(values, digits), exact)
        bench.gate(f"slotel, {digits} digits, {shape}", 100 * error, 100 * bar, unit="%")
    # Peers need seconds for a million values; a tenth says the same.
    some = values[: max(1000, len(values) // 10)]
    exact = np.quantile(some, QUANTILES, method="inverted_cdf")
    for name, ways in (
        ("hdrhistogram, 2 digits", hdr_percentiles),
        ("ddsketch, 1 %", sketch_percentiles),
    ):
        bench.figure(f"{name}, {shape}", 100 * worst_error(ways(some), exact), "%")


def main() -> None:
    """Judge every distribution."""
    bench = report("accuracy")
    count = 100_000 if bench.smoke else 1_000_000
    print(f"\nLargest error of p50, p90, p95, p99 and p99.9 of {count:,} values")
    for shape, values in distributions(count).items():
        judge(bench, shape, values)
    bench.finish()


if __name__ == "__main__":
    main()
