"""What one point of a histogram counts: everything since the start, or since the point before."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from slotel.measure.histogram import HdrCounts
from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Exemplar
from slotel.measure.snapshot import Distribution, Snapshot

Identity = tuple[str, SeriesKey]
Extremes = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Accumulation:
    """The values of one quantity of one series over one stretch of time; base unit.

    Attributes:
        start_unix_ns: Where the stretch begins; it ends at the snapshot's time.
        count: Number of values, at least 1.
        sum: Their sum.
        minimum: The smallest.
        maximum: The largest.
        bucket_counts: Exact counts by the quantity's bounds, one more than there are bounds.
        positive: Histogram of the values from zero up.
        negative: Histogram of the magnitudes below zero; None for unsigned quantities.
        exemplars: Calls of this stretch that are worth a look.
    """

    start_unix_ns: int
    count: int
    sum: float
    minimum: float
    maximum: float
    bucket_counts: tuple[int, ...]
    positive: HdrCounts
    negative: HdrCounts | None
    exemplars: tuple[Exemplar, ...]


def identity(distribution: Distribution) -> Identity:
    """Return what tells a distribution from all others of the process."""
    return distribution.quantity.name, distribution.key


def since_start(current: Distribution) -> Accumulation:
    """Return everything that the series has counted."""
    return Accumulation(
        start_unix_ns=current.start_unix_ns,
        count=current.count,
        sum=current.sum,
        minimum=current.minimum,
        maximum=current.maximum,
        bucket_counts=current.bucket_counts,
        positive=current.positive,
        negative=current.negative,
        exemplars=current.exemplars,
    )


def since(
    current: Distribution, earlier: Distribution, *, unix_ns: int, extremes: Extremes
) -> Accumulation | None:
    """Return what was counted after an earlier snapshot; None when there was nothing.

    Args:
        current: The distribution now.
        earlier: The same one in the earlier snapshot.
        unix_ns: When the earlier snapshot was taken.
        extremes: Smallest and largest value since then.
    """
    if current.count == earlier.count:
        return None
    negative = current.negative
    if negative is not None and earlier.negative is not None:
        negative = negative.minus(earlier.negative)
    return Accumulation(
        start_unix_ns=unix_ns,
        count=current.count - earlier.count,
        sum=current.sum - earlier.sum,
        minimum=extremes[0],
        maximum=extremes[1],
        bucket_counts=tuple(
            now - before
            for now, before in zip(current.bucket_counts, earlier.bucket_counts, strict=True)
        ),
        positive=current.positive.minus(earlier.positive),
        negative=negative,
        exemplars=tuple(one for one in current.exemplars if one.unix_ns > unix_ns),
    )


def together(parts: Iterable[Accumulation]) -> Accumulation:
    """Return one accumulation of several that share bounds; what several series count as one.

    Args:
        parts: At least one.
    """
    first, *others = parts
    total = first
    for part in others:
        total = _added(total, part)
    return total


def _added(one: Accumulation, other: Accumulation) -> Accumulation:
    negative = one.negative
    if negative is not None and other.negative is not None:
        negative = negative.plus(other.negative)
    return Accumulation(
        start_unix_ns=min(one.start_unix_ns, other.start_unix_ns),
        count=one.count + other.count,
        sum=one.sum + other.sum,
        minimum=min(one.minimum, other.minimum),
        maximum=max(one.maximum, other.maximum),
        bucket_counts=tuple(
            a + b for a, b in zip(one.bucket_counts, other.bucket_counts, strict=True)
        ),
        positive=one.positive.plus(other.positive),
        negative=negative,
        exemplars=one.exemplars + other.exemplars,
    )


class Baseline:
    """Where the last delivered delta ended; nothing before the first. One thread only.

    It moves when a batch was delivered, so that a batch that was lost is part of the next one.
    It holds one distribution a series, and so grows with the series alone.
    """

    def __init__(self) -> None:
        self._ended: Snapshot | None = None
        self._known: dict[Identity, Distribution] = {}
        self._extremes: dict[Identity, Extremes] = {}

    def differences(self, current: Snapshot) -> list[tuple[Distribution, Accumulation]]:
        """Return what each distribution counted since the baseline; those with nothing left out.

        Args:
            current: Taken with `reset_interval=True`, which makes this the one delta reader.
        """
        return [
            (distribution, found)
            for distribution in current.distributions
            if (found := self._difference(distribution)) is not None
        ]

    def move(self, delivered: Snapshot) -> None:
        """Let the next difference begin where this snapshot ended."""
        self._ended = delivered
        self._known = {identity(one): one for one in delivered.distributions}
        self._extremes = {}

    @property
    def unix_ns(self) -> int | None:
        """When the last delivered batch ended; None before the first."""
        return self._ended.time_unix_ns if self._ended is not None else None

    def _difference(self, current: Distribution) -> Accumulation | None:
        name = identity(current)
        extremes = self._widened(name, current)
        earlier = self._known.get(name)
        if self._ended is None or earlier is None or _began_anew(current, earlier):
            start = current.start_unix_ns
            if self._ended is not None:
                start = max(start, self._ended.time_unix_ns)
            return replace(since_start(current), start_unix_ns=start)
        return since(current, earlier, unix_ns=self._ended.time_unix_ns, extremes=extremes)

    def _widened(self, name: Identity, current: Distribution) -> Extremes:
        """Return the extremes since the baseline: also those of batches that were lost."""
        low, high = current.interval_minimum, current.interval_maximum
        before = self._extremes.get(name)
        if before is not None:
            # A comparison with NaN, the sign of an interval without values, keeps what there was.
            low = before[0] if math.isnan(low) else min(low, before[0])
            high = before[1] if math.isnan(high) else max(high, before[1])
        if not math.isnan(low):
            self._extremes[name] = (low, high)
        return low, high


def _began_anew(current: Distribution, earlier: Distribution) -> bool:
    return current.start_unix_ns != earlier.start_unix_ns or current.count < earlier.count
