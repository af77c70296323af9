"""What is read from the ledger: values of one moment, never changed."""

from __future__ import annotations

from dataclasses import dataclass

from slotel.measure.histogram import HdrCounts
from slotel.measure.measurement import Quantity, SeriesKey
from slotel.measure.series import Exemplar


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """One quantity of one series since `start_unix_ns`; numbers are in the base unit.

    Attributes:
        bucket_counts: Exact counts by the quantity's bounds, one more than there are bounds.
        interval_minimum: Smallest value since the previous `snapshot(reset_interval=True)`;
            NaN when there was none, as for `interval_maximum`.
        negative: Histogram of the magnitudes of negative values; None for unsigned quantities.
    """

    key: SeriesKey
    quantity: Quantity
    start_unix_ns: int
    count: int
    sum: float
    minimum: float
    maximum: float
    interval_minimum: float
    interval_maximum: float
    bucket_counts: tuple[int, ...]
    positive: HdrCounts
    negative: HdrCounts | None
    exemplars: tuple[Exemplar, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every distribution that holds at least one value, at one moment."""

    time_unix_ns: int
    distributions: list[Distribution]


@dataclass(frozen=True, slots=True)
class WindowedHistogram:
    """A histogram over a sliding window.

    Attributes:
        counts: What was counted in the window.
        coverage_ratio: Share of the window that is known, 0 to 1.
        seconds: Length of the window that was asked for.
        resolution_seconds: The window's beginning is exact to this much.
    """

    counts: HdrCounts
    coverage_ratio: float
    seconds: float
    resolution_seconds: int
