"""One export of 1,000 series: the points made and encoded, nothing sent.

The peer is the SDK's own reader, collecting as many attribute sets and encoded the same way.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource

import peers
from harness import Contestant, Report, report
from slotel.export.otlp import batch
from slotel.export.producer import Producer
from slotel.export.settings import HistogramType, OtlpSettings, Temporality
from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Recorder

VALUES = 100


def latencies() -> list[float]:
    """Return log-normal latencies of a language model: median 0.8 s, sigma 1."""
    draw = random.Random(7)
    return [draw.lognormvariate(-0.223, 1.0) for _ in range(VALUES)]


def points_of(data: MetricsData) -> int:
    """Return how many histogram points a batch holds."""
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def encoding(name: str, collect: Callable[[], MetricsData | None], series: int) -> Contestant:
    """Return collecting and encoding a batch; every batch must hold a point of each series."""
    exported = 0

    def run(number: int) -> None:
        nonlocal exported
        for _ in range(number):
            data = collect()
            assert data is not None
            encoded = encode_metrics(data).SerializeToString()
            assert encoded
            assert points_of(data) == series
            exported += series

    return Contestant(name, run, lambda: exported, pieces=series)


def slotel_export(series: int, histogram: HistogramType, temporality: Temporality) -> Contestant:
    """Return Slotel's batch over that many series."""
    recorder = Recorder(max_series=series)
    producer = Producer(recorder, histogram=histogram)
    settings = OtlpSettings(temporality=temporality, histogram=histogram)
    resource = Resource.create({"service.name": "benchmark"})
    keys = [SeriesKey("chat", "openai", f"model-{index}") for index in range(series)]
    buffers = [recorder.series(key).duration for key in keys]
    values = latencies()
    for buffer in buffers:
        buffer.values.extend(values)

    def collect() -> MetricsData | None:
        for buffer in buffers:
            buffer.values.append(peers.VALUE)
        data = batch(producer, resource=resource, settings=settings)
        producer.delivered()
        return data

    kind = "exponential" if histogram is HistogramType.EXPONENTIAL else "explicit"
    return encoding(f"slotel, {kind}, {temporality.value}", collect, series)


def sdk_export(series: int, *, exponential: bool) -> Contestant:
    """Return the SDK's own reader over that many attribute sets."""
    meters = peers.Meters(exponential=exponential)
    sets = [peers.ATTRIBUTES | {"gen_ai.request.model": f"model-{n}"} for n in range(series)]
    for value in latencies():
        for attributes in sets:
            meters.duration.record(value, attributes)
    kind = "exponential" if exponential else "explicit"
    return encoding(f"OTel SDK, {kind}, cumulative", meters.reader.get_metrics_data, series)


def bench_export(bench: Report) -> None:
    """Race whole exports; a piece is one series of 100 values and more."""
    series = 100 if bench.smoke else 1000
    cumulative, delta = Temporality.CUMULATIVE, Temporality.DELTA
    bench.race(
        f"Export of {series:,} series, a series",
        [
            slotel_export(series, HistogramType.EXPLICIT, cumulative),
            slotel_export(series, HistogramType.EXPLICIT, delta),
            slotel_export(series, HistogramType.EXPONENTIAL, cumulative),
            sdk_export(series, exponential=False),
            sdk_export(series, exponential=True),
        ],
        base="OTel SDK, explicit, cumulative",
    )


def main() -> None:
    """Run the race."""
    bench = report("export")
    bench_export(bench)
    bench.finish()


if __name__ == "__main__":
    main()
