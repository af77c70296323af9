"""From what callers recorded to arrays of numbers; what cannot be counted is told apart."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence

import numpy as np

from slotel.measure.histogram import Floats, Ints
from slotel.measure.measurement import Quantity

LARGEST = 1e290
"""Numbers beyond this are refused like infinity: the sum of 1e18 of them is still finite."""


def floats(taken: Sequence[object]) -> Floats | None:
    """Return numbers as a float64 array that may be written to; None if something else is there."""
    packed = bytearray(8 * len(taken))
    try:
        # Three times as fast as numpy's own conversion of a list.
        struct.pack_into(f"{len(taken)}d", packed, 0, *taken)
    except Exception:  # noqa: BLE001  # whatever the __float__ of an object of the caller raises
        return None
    return np.frombuffer(packed)


def all_usable(measured: Quantity, low: float, high: float) -> bool:
    """Tell whether values between these extremes can be counted; not if one is not a number."""
    return (low >= 0.0 or (measured.signed and low >= -LARGEST)) and high <= LARGEST


def sift(measured: Quantity, taken: Sequence[object]) -> tuple[Floats, list[int], list[object]]:
    """Return the values that can be counted, their places, and those that cannot.

    Returns:
        Usable values, float64, shape (n,); where each stood in `taken`; refused values.
    """
    found: list[float] = []
    places: list[int] = []
    refused: list[object] = []
    for place, value in enumerate(taken):
        one = floats((value,))
        if one is not None and all_usable(measured, one[0], one[0]):
            found.append(float(one[0]))
            places.append(place)
        else:
            refused.append(value)
    return np.array(found, np.float64), places, refused


def shown(value: object) -> str:
    """Return how a refused value is written in a log: numbers as they are, others by type only."""
    return f"{value!r}" if isinstance(value, float) else f"a value of type {type(value).__name__}"


def differences(runs: Sequence[Sequence[float]]) -> tuple[Floats, Ints, list[int], list[int]]:
    """Return all differences within runs of times, and which run they come from.

    Returns:
        Differences, float64, not below zero; where each run's begin, int64; for each of these
        starts the place of its run among `runs`; and the places of runs that cannot be used
        because a time is not a finite number. Runs of fewer than two times have no difference.
    """
    usable, refused = _packed(runs), list[int]()
    flat = np.concatenate(list(usable.values())) if usable else np.zeros(0)
    if not usable or not np.isfinite(flat).all():
        usable, refused = _usable_runs(runs)
        if not usable:
            return np.zeros(0), np.zeros(0, np.int64), [], refused
        flat = np.concatenate(list(usable.values()))
    sizes = np.array([len(part) for part in usable.values()], np.int64)
    within = np.ones(len(flat) - 1, np.bool_)
    within[np.cumsum(sizes)[:-1] - 1] = False  # From one run's last time to the next one's first.
    found = np.diff(flat)[within]
    starts: Ints = np.cumsum(sizes - 1) - (sizes - 1)
    return np.maximum(found, 0.0), starts, list(usable), refused


def _packed(runs: Sequence[Sequence[float]]) -> dict[int, Floats]:
    """Return the runs of two times or more by place, unlooked at; none unless all are packed."""
    if not all(type(times) is array for times in runs):
        return {}
    return {
        place: np.frombuffer(times)  # type: ignore[call-overload]  # an array has a buffer
        for place, times in enumerate(runs)
        if len(times) > 1
    }


def _usable_runs(runs: Sequence[Sequence[float]]) -> tuple[dict[int, Floats], list[int]]:
    """Return the runs of two times or more by place, and the places of those with a wrong time."""
    found = {place: _finite(times) for place, times in enumerate(runs)}
    refused = [place for place, part in found.items() if part is None]
    usable = {p: part for p, part in found.items() if part is not None and len(part) > 1}
    return usable, refused


def _finite(times: Sequence[float]) -> Floats | None:
    found = np.frombuffer(times) if isinstance(times, array) else floats(times)
    return found if found is not None and np.isfinite(found).all() else None
