"""Which metric a distribution is exported as, and with which attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slotel.measure.measurement import CATEGORY, SCORE, Quantity, Role, SeriesKey
from slotel.measure.snapshot import Distribution
from slotel.semconv import (
    CATEGORY as CATEGORY_ATTRIBUTE,
)
from slotel.semconv import (
    ERROR_TYPE,
    OPERATION_NAME,
    OUTCOME,
    OVERFLOW,
    PROVIDER_NAME,
    REQUEST_MODEL,
    ROLE,
    SCORE_NAME,
    TOKEN_TYPE,
    TOKEN_USAGE,
    Metric,
    Naming,
    metric,
    token_type,
)

Attributes = Mapping[str, str | bool]

CONVENTIONS = "gen_ai."
_PREFIXED = {SCORE: SCORE_NAME, CATEGORY: CATEGORY_ATTRIBUTE}


@dataclass(frozen=True, slots=True)
class Named:
    """Where a distribution goes.

    Attributes:
        metric: Name, unit and meaning.
        attributes: Attributes of the point.
    """

    metric: Metric
    attributes: Attributes


def named(distribution: Distribution, naming: Naming) -> Named:
    """Return the metric and the attributes that a distribution is exported with.

    The conventions' metrics carry what speaks for the call itself, so they need no role; ours
    carry the role. A user's attribute never takes the place of one of these.

    Args:
        distribution: What to export.
        naming: Which set of convention names to use.
    """
    key, quantity = distribution.key, distribution.quantity
    found = metric(quantity.name, key.operation, outer=key.role is Role.OUTER, naming=naming)
    attributes: dict[str, str | bool] = dict(key.attributes)
    attributes |= _series_attributes(key)
    if not found.name.startswith(CONVENTIONS):
        attributes[ROLE] = key.role.value
    attributes |= _quantity_attributes(quantity, found)
    return Named(found, attributes)


def _series_attributes(key: SeriesKey) -> dict[str, str | bool]:
    known: dict[str, str | bool | None] = {
        OPERATION_NAME: key.operation,
        PROVIDER_NAME: key.provider,
        REQUEST_MODEL: key.model,
        OUTCOME: key.outcome.value,
        ERROR_TYPE: key.error_type,
        OVERFLOW: True if key.overflow else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _quantity_attributes(quantity: Quantity, found: Metric) -> dict[str, str]:
    if found.name == TOKEN_USAGE:
        kind = token_type(quantity.name)
        return {TOKEN_TYPE: kind} if kind is not None else {}
    for prefix, attribute in _PREFIXED.items():
        if quantity.name.startswith(prefix):
            return {attribute: quantity.name.removeprefix(prefix)}
    return {}
