"""Which promises one call broke, told at its end for its own span."""

from __future__ import annotations

from collections.abc import Mapping

from slotel.measure.measurement import SeriesKey
from slotel.slo.objective import Document
from slotel.slo.sli import Cut, Rule, SlicePercentile, Throughput

_MAX_KEYS = 5000


class Violations:
    """Compares a call's own figures with every SLI that judges single calls. Any thread may call.

    What applies to a series is worked out once a series key.

    Args:
        document: The SLOs.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[SeriesKey, tuple[tuple[str, Rule, Cut | None], ...]] = {}

    def __call__(self, key: SeriesKey, values: Mapping[str, float]) -> tuple[str, ...]:
        """Return the names of the SLOs for which this call is a bad event.

        Args:
            key: The call's series.
            values: Its figures by quantity name, base unit.
        """
        checks = self._known.get(key)
        if checks is None:
            checks = self._checks(key)
            if len(self._known) < _MAX_KEYS:
                self._known[key] = checks
        return tuple(name for name, rule, cut in checks if _is_bad(rule, cut, values))

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


def _is_bad(rule: Rule, cut: Cut | None, values: Mapping[str, float]) -> bool:
    if rule is Rule.BAD:
        return True
    value = values.get(cut.quantity) if cut is not None else None
    if value is None or cut is None:
        return False
    return value < cut.bound if cut.at_least else value > cut.bound
