"""The other side: what users have today, each set up as its documentation says.

Every peer says what it recorded, read back through its own public interface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from time import perf_counter

from ddsketch import DDSketch
from hdrh.histogram import HdrHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from prometheus_client import CollectorRegistry, Counter, Histogram

from harness import Contestant, calling

# Advised for gen_ai.client.operation.duration by the GenAI conventions.
BOUNDS = tuple(0.01 * 2**k for k in range(14))
ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "server.address": "api.openai.com",
}
VALUE = 0.8421


# --- floors -----------------------------------------------------------------------------------


def hand_written(function: Callable[..., object]) -> tuple[Callable[..., object], list[float]]:
    """Return the least a wrapper can do: two clock reads and one append."""
    values: list[float] = []
    append = values.append
    clock = perf_counter

    def wrapper(*args: object, **kwargs: object) -> object:
        started = clock()
        try:
            return function(*args, **kwargs)
        finally:
            append(clock() - started)

    return wrapper, values


def hand_written_async(
    function: Callable[..., object],
) -> tuple[Callable[..., object], list[float]]:
    """Return the same for a coroutine function."""
    values: list[float] = []
    append = values.append
    clock = perf_counter

    async def wrapper(*args: object, **kwargs: object) -> object:
        started = clock()
        try:
            return await function(*args, **kwargs)  # type: ignore[misc]
        finally:
            append(clock() - started)

    return wrapper, values


class ListRecorder:
    """A method that appends to a list: the floor of every recorder."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.append = self.values.append

    def record(self, value: float) -> None:
        self.append(value)


def emptied(values: list[float]) -> Callable[[], int]:
    """Return a counter of all values ever appended; it empties the list, as a drain would."""
    total = 0

    def recorded() -> int:
        nonlocal total
        total += len(values)
        values.clear()
        return total

    return recorded


# --- OpenTelemetry ----------------------------------------------------------------------------


class Meters:
    """An SDK meter provider with one reader; counts what its instruments hold."""

    def __init__(self, *, exponential: bool = False) -> None:
        aggregation = (
            ExponentialBucketHistogramAggregation()
            if exponential
            else ExplicitBucketHistogramAggregation(BOUNDS)
        )
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider(
            metric_readers=[self.reader],
            views=[View(instrument_name="*duration", aggregation=aggregation)],
        )
        meter = self.provider.get_meter("benchmark")
        self.duration = meter.create_histogram("gen_ai.client.operation.duration", unit="s")
        self.first_chunk = meter.create_histogram("time_to_first_chunk.duration", unit="s")
        self.calls = meter.create_counter("calls")

    def points(self, name: str) -> list[object]:
        """Return the data points of one instrument."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def recorded(self) -> int:
        """Return how many durations the histogram has counted."""
        points = self.points("gen_ai.client.operation.duration")
        return sum(point.count for point in points)  # type: ignore[attr-defined]


class CountingProcessor(SpanProcessor):
    """Counts ended spans and drops them: no exporter is part of any figure."""

    def __init__(self) -> None:
        self.ended = 0
        self.last: ReadableSpan | None = None

    def on_end(self, span: ReadableSpan) -> None:
        self.ended += 1
        self.last = span


def tracing(sampler: Sampler = ALWAYS_ON) -> tuple[TracerProvider, CountingProcessor]:
    """Return a tracer provider whose spans are counted and dropped."""
    provider = TracerProvider(sampler=sampler)
    processor = CountingProcessor()
    provider.add_span_processor(processor)
    return provider, processor


def otel_histogram_and_counter() -> Contestant:
    """One histogram record plus one counter add, as a hand-instrumented call does."""
    meters = Meters()
    record, add = meters.duration.record, meters.calls.add

    def run(number: int) -> None:
        for _ in repeat(None, number):
            record(VALUE, ATTRIBUTES)
            add(1, ATTRIBUTES)

    return Contestant("OTel histogram record + counter add", run, meters.recorded)


def otel_span_and_two_histograms() -> Contestant:
    """A span around the call and two histogram records: a usual instrumentation by hand."""
    meters = Meters()
    provider, processor = tracing()
    tracer = provider.get_tracer("benchmark")

    def run(number: int) -> None:
        for _ in repeat(None, number):
            with tracer.start_as_current_span("chat", attributes=ATTRIBUTES):
                started = perf_counter()
                elapsed = perf_counter() - started
            meters.duration.record(elapsed, ATTRIBUTES)
            meters.first_chunk.record(elapsed, ATTRIBUTES)

    def recorded() -> int:
        assert processor.ended == meters.recorded()
        return processor.ended

    return Contestant("OTel span + two histogram records", run, recorded)


# --- recorders --------------------------------------------------------------------------------


def otel_histogram(*, exponential: bool) -> Contestant:
    """The SDK's histogram with four attributes."""
    meters = Meters(exponential=exponential)

    def run(number: int) -> None:
        record = meters.duration.record
        for _ in repeat(None, number):
            record(VALUE, ATTRIBUTES)

    kind = "exponential" if exponential else "explicit"
    return Contestant(f"OTel {kind} histogram, 4 attributes", run, meters.recorded)


def hdr_histogram() -> Contestant:
    """`hdrhistogram`, two digits, 1 microsecond to one hour."""
    histogram = HdrHistogram(1, 3_600_000_000, 2)
    run = calling(histogram.record_value, 842_100)
    return Contestant("hdrhistogram.record_value", run, histogram.get_total_count)


def dd_sketch() -> Contestant:
    """`ddsketch` at one percent."""
    sketch = DDSketch(0.01)
    return Contestant("ddsketch.add", calling(sketch.add, VALUE), lambda: int(sketch.count))


def prometheus(*, bound: bool) -> Contestant:
    """`prometheus_client`'s histogram, with its child held or looked up by labels each time."""
    histogram = Histogram(
        "duration_seconds",
        "Duration.",
        ("operation", "provider", "model", "address"),
        registry=CollectorRegistry(),
        buckets=BOUNDS,
    )
    labels = tuple(ATTRIBUTES.values())
    child = histogram.labels(*labels)

    def labelled(number: int) -> None:
        for _ in repeat(None, number):
            histogram.labels(*labels).observe(VALUE)

    def recorded() -> int:
        return next(
            int(sample.value)
            for metric in histogram.collect()
            for sample in metric.samples
            if sample.name.endswith("_count")
        )

    name = f"prometheus_client observe, {'bound' if bound else 'labelled'}"
    return Contestant(name, calling(child.observe, VALUE) if bound else labelled, recorded)


def prometheus_histogram_and_counter() -> Contestant:
    """Observe and increment by labels, as a decorator written by hand does."""
    registry = CollectorRegistry()
    names = ("operation", "provider", "model", "address")
    histogram = Histogram("d_seconds", "Duration.", names, registry=registry, buckets=BOUNDS)
    counter = Counter("calls", "Calls.", names, registry=registry)
    labels = tuple(ATTRIBUTES.values())

    def run(number: int) -> None:
        for _ in repeat(None, number):
            histogram.labels(*labels).observe(VALUE)
            counter.labels(*labels).inc()

    def recorded() -> int:
        return int(
            registry.get_sample_value("calls_total", dict(zip(names, labels, strict=True))) or 0
        )

    return Contestant("prometheus_client observe + inc, labelled", run, recorded)


def recorders() -> Sequence[Contestant]:
    """Return every peer that takes one value."""
    return (
        hdr_histogram(),
        dd_sketch(),
        prometheus(bound=True),
        prometheus(bound=False),
        otel_histogram(exponential=False),
        otel_histogram(exponential=True),
    )


# --- decorators -------------------------------------------------------------------------------


def openllmetry(function: Callable[..., object]) -> tuple[Callable[..., object], CountingProcessor]:
    """Return the function under OpenLLMetry's `@task`; content capture is off."""
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import task

    processor = CountingProcessor()
    Traceloop.init(
        app_name="benchmark",
        processor=processor,
        telemetry_enabled=False,
        instruments=set(),
        disable_batch=True,
    )
    return task(name="answer")(function), processor


def openinference(
    function: Callable[..., object],
) -> tuple[Callable[..., object], CountingProcessor]:
    """Return the function under OpenInference's `@tracer.llm`; content capture is off."""
    from openinference.instrumentation import OITracer, TraceConfig

    provider, processor = tracing()
    config = TraceConfig(hide_inputs=True, hide_outputs=True)
    tracer = OITracer(provider.get_tracer("benchmark"), config)
    return tracer.llm(name="answer")(function), processor
