"""Which promises one call broke, told at its end for its own span."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Series
from slotel.slo.objective import Document
from slotel.slo.sli import Rule, SlicePercentile, Throughput


class Violations:
    """Compares a call's own figures with every SLI that judges single calls. Any thread may call.

    What applies to a series is worked out once and kept on it.

    Args:
        document: The SLOs.
    """

    def __init__(self, document: Document) -> None:
        self._document = document

    def __call__(self, series: Series, values: Mapping[str, float]) -> tuple[str, ...]:
        """Return the names of the SLOs for which this call is a bad event.

        Args:
            series: The call's series.
            values: Its figures by quantity name, base unit.
        """
        known = series.memo
        if not isinstance(known, _Checks) or known.judge is not self:
            known = series.memo = _Checks(self, self._checks(series.key))
        violated: tuple[str, ...] = ()
        for name, quantity, bound, at_least in known.checks:
            value = bound if quantity is None else values.get(quantity)
            if value is None:
                continue
            if quantity is None or (value < bound if at_least else value > bound):
                violated += (name,)
        return violated

    def _checks(self, key: SeriesKey) -> tuple[_Check, ...]:
        found: list[_Check] = []
        for slo in self._document.slos:
            sli = slo.sli
            if isinstance(sli, (Throughput, SlicePercentile)):
                continue  # They judge slices of time, not calls.
            rule, cut = sli.rule(key), sli.cut
            if rule is Rule.BAD:
                found.append((slo.name, None, 0.0, False))
            elif cut is not None and rule in (Rule.BY_VALUE, Rule.BAD_IF_OVER):
                found.append((slo.name, cut.quantity, cut.bound, cut.at_least))
        return tuple(found)


_Check = tuple[str, str | None, float, bool]
"""SLO, quantity (None: bad whatever the value), bound in the base unit, whether at least."""


@dataclass(frozen=True, slots=True)
class _Checks:
    """What one document asks of the calls of one series."""

    judge: Violations
    checks: tuple[_Check, ...]
