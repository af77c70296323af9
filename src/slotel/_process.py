"""What all calls of the process share: its recorder, its clocks, and what `configure()` decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from slotel.measure.clock import SteadyClock, SystemClock
from slotel.measure.series import Recorder, Series

clock = time.perf_counter
process_clock = SteadyClock(SystemClock())
"""The clock that windows and exports share; calls are timed by `clock`."""
recorder = Recorder(clock=process_clock)
"""The one recorder of the process."""


@dataclass(slots=True)
class _Settings:
    """What `configure()` decides for all operations of the process; replaced field by field."""

    dimensions: frozenset[str] = frozenset()
    arrivals: frozenset[str | None] = frozenset()
    violations: Callable[[Series, Mapping[str, float]], tuple[str, ...]] | None = None
    ensure_running: Callable[[], None] | None = None
    born: float = 0.0


settings = _Settings()
