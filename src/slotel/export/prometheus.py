"""The way `prometheus`: a collector for prometheus_client, with exact classic histograms.

Names follow the OpenTelemetry rules for Prometheus, so that a metric has one name whether it was
scraped here or came through a collector. Exponential histograms never get here: prometheus_client
has no exposition for them.

Source:
    https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar as Label
from prometheus_client.utils import (
    floatToGoString,  # pyright: ignore[reportUnknownVariableType]  # has no annotations
)

from slotel.export.accumulation import Accumulation, since_start, together
from slotel.export.producer import Grouped, Point, Readings, group
from slotel.export.readings import Kind, Reading
from slotel.measure.series import Exemplar, Recorder
from slotel.semconv import Metric, Naming

# Units as Prometheus spells them; a unit in braces is an annotation and leaves no trace.
_UNITS = {"s": "seconds", "By": "bytes", "USD": "usd"}
_PER = {"s": "second", "min": "minute", "h": "hour"}
_RESERVED = frozenset({"le", "quantile"})


class SlotelCollector:
    """Gives prometheus_client everything that the process has to tell, at each scrape.

    Any thread may call. In a forked child it starts at zero, as the recorder does; a scraper that
    reaches several workers behind one port sees one of them at a time, so give each its own.

    Args:
        recorder: Where histograms come from.
        readings: Where counters and gauges come from.
        resource: Returns the resource's attributes, for `target_info`.
        naming: Which set of convention names to use.
    """

    def __init__(
        self,
        recorder: Recorder,
        readings: Readings,
        *,
        resource: Callable[[], Mapping[str, object]],
        naming: Naming = Naming.SHIPPED,
    ) -> None:
        self._recorder = recorder
        self._readings = readings
        self._resource = resource
        self._naming = naming

    def describe(self) -> list[Family]:
        """Return nothing: names come and go with the series, and registering must cost nothing."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield the families of one scrape; none of them is empty."""
        numbers = self._readings.read()
        yield _target_info(self._resource())
        yield from self._histograms()
        yield from _numbers(numbers)

    def _histograms(self) -> Iterator[Family]:
        snapshot = self._recorder.ledger().snapshot()
        found = [(one, since_start(one)) for one in snapshot.distributions]
        families: dict[str, Family] = {}
        for metric, labels, bounds, accumulation in _by_labels(group(found, self._naming)):
            _add_histogram(_family(families, metric, "histogram"), bounds, labels, accumulation)
        yield from families.values()


class PrometheusWay:
    """Registers the collector; the scraper does the rest. Any thread may call.

    Args:
        make_collector: Makes the collector, one for each process.
        registry: Where to register it; prometheus_client's default one when None.
    """

    name = "prometheus"

    def __init__(
        self,
        make_collector: Callable[[], SlotelCollector],
        *,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._make_collector = make_collector
        self._registry = registry if registry is not None else REGISTRY
        self._registered: SlotelCollector | None = None

    def start(self) -> None:
        """Register the collector."""
        if self._registered is None:
            self._registered = self._make_collector()
            self._registry.register(self._registered)

    def flush(self, timeout_seconds: float) -> bool:
        """Return True: nothing waits to be sent.

        Args:
            timeout_seconds: Not needed.
        """
        return True

    def shutdown(self, timeout_seconds: float) -> None:
        """Take the collector out of the registry.

        Args:
            timeout_seconds: Not needed.
        """
        collector, self._registered = self._registered, None
        if collector is not None:
            self._registry.unregister(collector)

    def after_fork(self) -> None:
        """Show the child's own state; the registry of a child is a copy of its parent's."""
        if self._registered is not None:
            self.shutdown(0.0)
            self.start()

    def describe(self) -> str:
        """Return where metrics go and how, in one line."""
        return "prometheus: for scrapes of prometheus_client's registry, explicit buckets"


def metric_name(metric: Metric, kind: str) -> str:
    """Return the name of the metric's family, without the suffixes of its samples.

    Args:
        metric: What to name.
        kind: `counter`, `gauge` or `histogram`.
    """
    name = _sanitized(metric.name)
    for suffix in _unit_suffixes(metric.unit, kind):
        if not name.endswith(f"_{suffix}"):
            name = f"{name}_{suffix}"
    return name.removesuffix("_total") if kind == "counter" else name


def _unit_suffixes(unit: str, kind: str) -> list[str]:
    if unit == "1":
        return ["ratio"] if kind == "gauge" else []
    over, _, under = re.sub(r"\{[^}]*\}", "", unit).partition("/")
    suffixes = [_UNITS.get(over, _sanitized(over))] if over else []
    return [*suffixes, f"per_{_PER.get(under, _sanitized(under))}"] if under else suffixes


def _labels(attributes: Mapping[str, object]) -> dict[str, str]:
    """Return labels; attributes that become one name share it, their values joined by `;`."""
    found: dict[str, list[str]] = {}
    for name, value in sorted(attributes.items()):
        label = _sanitized(name)
        label = f"exported_{label}" if label in _RESERVED else label
        found.setdefault(label, []).append(_text(value))
    return {label: ";".join(values) for label, values in found.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sanitized(name: str) -> str:
    clean = re.sub("_+", "_", re.sub(r"[^a-zA-Z0-9_]", "_", name))
    return f"key_{clean}" if clean[:1].isdigit() else clean


def _family(families: dict[str, Family], metric: Metric, kind: str) -> Family:
    name = metric_name(metric, kind)
    if name not in families:
        unit = "seconds" if name.endswith("_seconds") else ""
        families[name] = Family(name, metric.description, kind, unit)
    return families[name]


def _target_info(resource: Mapping[str, object]) -> Family:
    family = Family("target", "Target metadata", "info")
    family.add_sample("target_info", _labels(resource), 1)
    return family


def _numbers(readings: list[Reading]) -> Iterator[Family]:
    families: dict[str, Family] = {}
    for one in readings:
        counts = one.kind is Kind.COUNTER
        family = _family(families, one.metric, "counter" if counts else "gauge")
        sample = f"{family.name}_total" if counts else family.name
        family.add_sample(sample, _labels(one.attributes), one.value)
    yield from families.values()


def _by_labels(
    grouped: Grouped,
) -> list[tuple[Metric, dict[str, str], tuple[float, ...], Accumulation]]:
    """Return histograms by what a scraper sees; those whose labels come out the same are one.

    Attributes that differ only in what labels cannot have (`tenant.id`, `tenant_id`) would be two
    samples of one identity, of which a scraper keeps the first.
    """
    places: dict[Point, tuple[Metric, dict[str, str], tuple[float, ...]]] = {}
    parts: dict[Point, list[Accumulation]] = {}
    for metric, attributes, distribution, found in grouped:
        labels = _labels(attributes)
        point = metric.name, frozenset(labels.items())
        places.setdefault(point, (metric, labels, distribution.quantity.bounds))
        parts.setdefault(point, []).append(found)
    return [(*place, together(parts[point])) for point, place in places.items()]


def _add_histogram(
    family: Family, bounds: tuple[float, ...], labels: dict[str, str], found: Accumulation
) -> None:
    uppers = [*(floatToGoString(bound) for bound in bounds), "+Inf"]
    marks = _exemplars(found.exemplars, bounds)
    for place, count in enumerate(accumulate(found.bucket_counts)):
        bucket = labels | {"le": uppers[place]}
        family.add_sample(f"{family.name}_bucket", bucket, count, exemplar=marks.get(place))
    if found.negative is None:
        family.add_sample(f"{family.name}_count", labels, found.count)
        family.add_sample(f"{family.name}_sum", labels, found.sum)
    # A sum that can fall is no counter: OpenMetrics refuses it, and the count that goes with it.


def _exemplars(found: tuple[Exemplar, ...], bounds: tuple[float, ...]) -> dict[int, Label]:
    """Return the newest exemplar of each bucket; only the OpenMetrics format shows them."""
    marks: dict[int, Label] = {}
    for one in sorted(found, key=lambda one: one.unix_ns):
        place = sum(one.value > bound for bound in bounds)
        ids = {"trace_id": f"{one.trace_id:032x}", "span_id": f"{one.span_id:016x}"}
        marks[place] = Label(ids, one.value, one.unix_ns / 1e9)
    return marks
