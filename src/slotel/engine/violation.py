"""Which promises one call broke, told at its end for its own span."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slotel.measure.measurement import SeriesKey
from slotel.measure.series import Series
from slotel.slo.objective import Document
from slotel.slo.sli import Cut, Rule, SlicePercentile, Throughput


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
        return tuple(name for name, rule, cut in known.checks if _is_bad(rule, cut, values))

    def _checks(self, key: SeriesKey) -> tuple[tuple[str, Rule, Cut | None], ...]:
        found: list[tuple[str, Rule, Cut | None]] = []
        for slo in self._document.slos:
            sli = slo.sli
            if isinstance(sli, (Throughput, SlicePercentile)):
                continue  # They judge slices of time, not calls.
            rule = sli.rule(key)
            if rule not in (Rule.IGNORED, Rule.GOOD):
                found.append((slo.name, rule, sli.cut))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Checks:
    """What one document asks of the calls of one series."""

    judge: Violations
    checks: tuple[tuple[str, Rule, Cut | None], ...]


def _is_bad(rule: Rule, cut: Cut | None, values: Mapping[str, float]) -> bool:
    if rule is Rule.BAD:
        return True
    value = values.get(cut.quantity) if cut is not None else None
    if value is None or cut is None:
        return False
    return value < cut.bound if cut.at_least else value > cut.bound
