"""What the engine needs of the ledger of measurements."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slotel.measure.measurement import SeriesKey

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Histogram(Protocol):
    """Counts of a histogram at one moment."""

    @property
    def total(self) -> int:
        """Number of values counted."""
        ...

    @property
    def relative_error(self) -> float:
        """Largest error of a percentile as a share of the exact one."""
        ...

    def percentile(self, percent: float, /) -> float:
        """Return the value below which that percentage of the values lies, base unit."""
        ...


class WindowedHistogram(Protocol):
    """A histogram over a sliding window."""

    @property
    def counts(self) -> Histogram:
        """What was counted in the window."""
        ...

    @property
    def coverage_ratio(self) -> float:
        """Share of the window that is known, 0..1."""
        ...


class Ledger(Protocol):
    """Exact cumulative counts of every series; any thread may call.

    Rows of a quantity are only ever appended, and what they hold never shrinks, except in a
    forked child, where all starts again at zero.
    """

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Hold it to read several figures of the same moment; re-entrant."""
        ...

    @property
    def version(self) -> int:
        """Grows whenever a row is added to any quantity."""
        ...

    def keys(self, quantity: str, /) -> list[SeriesKey]:
        """Return the series keys of a quantity in row order."""
        ...

    def cut(self, quantity: str, /, *, bound: float, at_least: bool = False) -> int:
        """Register an exact threshold and return its column; idempotent."""
        ...

    def counts(self, quantity: str, /) -> Ints:
        """Return the number of values of each row so far, shape (n_rows,)."""
        ...

    def within(self, quantity: str, column: int, /) -> Ints:
        """Return, per row, the values that met the cut since it was registered."""
        ...

    def sums(self, quantity: str, /) -> Floats:
        """Return the exact sum of each row's values, base unit, shape (n_rows,)."""
        ...

    def window(self, quantity: str, rows: Sequence[int], /, *, seconds: float) -> WindowedHistogram:
        """Return the histogram of the last seconds, summed over rows."""
        ...

    def name(self, quantity: str, rows: Sequence[int], /) -> None:
        """Keep these rows' sliding histograms for 35 days."""
        ...
