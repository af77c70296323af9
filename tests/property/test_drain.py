"""The ledger against a plain Python model: any values, in any batches, over any series."""

import math
from bisect import bisect_left

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from slotel.measure.histogram import HIGHEST_UNITS, LAYOUTS
from slotel.measure.measurement import SeriesKey, quantity
from slotel.measure.series import Recorder
from slotel.testing import ManualClock

CUTS = (0.0, 0.1 + 0.2, 0.3, 1.0, -0.25)
EDGES = st.sampled_from(
    [0.0, -0.0, 1e-9, 5e-324, 0.01, 0.05, 0.1 + 0.2, 0.3, 1.0, 81.92, 3600.0, 3601.0, 0.25]
)
NUMBERS = st.one_of(
    EDGES,
    EDGES.map(lambda value: math.nextafter(value, math.inf)),
    st.floats(0, 4000),
    st.integers(0, 100),
)
SIGNED = st.one_of(NUMBERS, NUMBERS.map(lambda value: -value))
UNUSABLE = st.sampled_from([math.nan, math.inf, -math.inf, None, "1", 10**400])


class Model:
    """What one series must hold, value by value."""

    def __init__(self, measured):
        self.measured = measured
        self.values = []
        self.met = [[] for _ in range(2 * len(CUTS))]
        self.refused = 0

    def take(self, value, registered):
        usable = isinstance(value, (int, float)) and abs(value) < 10**300 and math.isfinite(value)
        if not usable or (value < 0 and not self.measured.signed):
            self.refused += 1
            return
        self.values.append(float(value))
        for column in registered:
            bound = CUTS[column // 2]
            if value >= bound if column % 2 else value <= bound:
                self.met[column].append(value)

    def buckets(self):
        counts = [0] * (len(self.measured.bounds) + 1)
        for value in self.values:
            counts[bisect_left(self.measured.bounds, value)] += 1
        return tuple(counts)

    def histogram(self, *, negative):
        magnitudes = [
            abs(value) for value in self.values if (value < 0 if negative else value >= 0)
        ]
        # A rounding error of the product must not cost a unit its bucket.
        units = np.array(magnitudes) * self.measured.scale * (1 + 2**-51)
        return np.bincount(LAYOUTS[2].index(np.minimum(units, HIGHEST_UNITS)), minlength=4608)


def batches(values):
    """Return values with how often each is repeated: small batches, or a large one."""
    return st.lists(
        st.tuples(st.integers(0, 2), st.lists(values, max_size=6), st.sampled_from([1, 1, 1, 200])),
        max_size=12,
    )


def dense(counts):
    found = np.zeros(LAYOUTS[2].size, np.int64)
    found[counts.first : counts.first + len(counts.counts)] = counts.counts
    return found.tolist()


def check(ledger, name, models):
    columns = {column: ledger.cut(name, bound=CUTS[column // 2], at_least=bool(column % 2))
               for column in range(2 * len(CUTS))}  # fmt: skip
    rows = {key.model: row for row, key in enumerate(ledger.keys(name))}
    counts, sums = ledger.counts(name), ledger.sums(name)
    for model, expected in models.items():
        row = rows[str(model)]
        assert counts[row] == len(expected.values)
        assert math.isclose(sums[row], math.fsum(expected.values), rel_tol=1e-9, abs_tol=1e-6)
        for column, met in enumerate(expected.met):
            assert ledger.within(name, columns[column])[row] == len(met)
    for found in ledger.snapshot().distributions:
        expected = models[int(found.key.model)]
        assert found.bucket_counts == expected.buckets()
        assert (found.minimum, found.maximum) == (min(expected.values), max(expected.values))
        assert dense(found.positive) == expected.histogram(negative=False).tolist()
        if found.negative is not None:
            assert dense(found.negative) == expected.histogram(negative=True).tolist()
    refused = sum(expected.refused for expected in models.values())
    assert ledger.faults[f"invalid.{name}"] == refused


def run(name, steps, registrations):
    clock = ManualClock()
    recorder = Recorder(clock=clock)
    ledger = recorder.ledger()
    models = {model: Model(quantity(name)) for model in range(3)}
    buffers = [recorder.series(SeriesKey("chat", model=str(m))).buffer(name) for m in models]
    registered = set()
    for number, (model, values, times) in enumerate(steps):
        for column in registrations.get(number, ()):
            ledger.drain()
            ledger.cut(name, bound=CUTS[column // 2], at_least=bool(column % 2))
            registered.add(column)
        for value in values * times:
            buffers[model].record(value)
            models[model].take(value, registered)
        clock.advance(7)
        if number % 3 == 0:
            ledger.drain()
    ledger.drain()
    window = ledger.window(name, [0, 1, 2], seconds=3600).counts
    merged = ledger.merged(name, [0, 1, 2])
    everything = sorted(value for one in models.values() for value in one.values)
    assert window.total == merged.total == len(everything)
    assert window.minus(merged).total == 0
    for percent in (0, 10, 50, 90, 100) if everything else ():
        exact = everything[max(1, math.ceil(percent * len(everything) / 100)) - 1]
        limit = HIGHEST_UNITS / quantity(name).scale
        near = min(max(exact, -limit), limit)
        assert window.percentile(percent) == merged.percentile(percent)
        assert abs(window.percentile(percent) - near) <= 0.00391 * abs(near) + 1e-6
    check(ledger, name, models)


REGISTRATIONS = st.dictionaries(
    st.integers(0, 11), st.lists(st.integers(0, 2 * len(CUTS) - 1), max_size=3), max_size=4
)


@given(batches(st.one_of(NUMBERS, NUMBERS, UNUSABLE)), REGISTRATIONS)
@settings(max_examples=60)
def test_durations_are_counted_like_the_model(steps, registrations):
    """Counts, cuts from their registration on, sums, extremes, buckets and histograms agree."""
    run("duration", steps, registrations)


@given(batches(st.one_of(SIGNED, SIGNED, UNUSABLE)), REGISTRATIONS)
@settings(max_examples=60)
def test_signed_scores_are_counted_like_the_model(steps, registrations):
    """The same for a quantity with a histogram on each side of zero."""
    run("score.margin", steps, registrations)
