"""The words of measurement: outcomes, roles, series and the quantities with their units."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(str, Enum):
    """How a call ended; exactly one for every call."""

    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    """Ended from outside: task cancelled, stream closed early or abandoned, interrupt."""
    REJECTED = "rejected"
    """Refused by our own policy before it was tried; not a valid event of any SLI."""


class Role(str, Enum):
    """Whether this measurement speaks for the call or was made inside another one of its kind."""

    OUTER = "outer"
    INNER = "inner"


Attributes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What identifies a series.

    Attributes:
        operation: Operation name, such as `chat`, `retrieval`, `moderation` or a free name.
        provider: Provider name of the conventions, such as `openai`; None when not known.
        model: Requested model; None when not known.
        outcome: How the calls of this series ended.
        error_type: Class or code of the error; None unless the outcome has one.
        role: Outer for the measurement that counts, inner for one nested in it.
        attributes: User-chosen dimensions, sorted by name.
        overflow: True for the series that takes what came after the series limit was reached.
    """

    operation: str
    provider: str | None = None
    model: str | None = None
    outcome: Outcome = Outcome.SUCCESS
    error_type: str | None = None
    role: Role = Role.OUTER
    attributes: Attributes = ()
    overflow: bool = False


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a buffer measures.

    Attributes:
        name: Name used in the API, such as `duration`.
        unit: UCUM unit of the base value, as written in metrics: `s`, `{token}`, `1`.
        scale: Histogram units per base unit; seconds are counted in nanoseconds (1e9).
        signed: True when negative values are meaningful; they get a histogram of their own.
        bounds: Upper bounds (inclusive) of the exact explicit buckets, ascending, base unit.
    """

    name: str
    unit: str
    scale: float
    signed: bool = False
    bounds: tuple[float, ...] = ()


# Advised bucket bounds: OpenTelemetry GenAI semantic conventions, "Generative AI metrics"
# (gen_ai.client.operation.duration, gen_ai.client.token.usage,
# gen_ai.server.time_per_output_token), https://opentelemetry.io/docs/specs/semconv/gen-ai/
DURATION_BOUNDS = tuple(round(0.01 * 2**k, 2) for k in range(14))
TOKEN_BOUNDS = tuple(float(4**k) for k in range(14))
PER_TOKEN_BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
# No advice exists for the ones below: even steps over the range where scores and hits lie.
RATIO_BOUNDS = tuple(round(0.05 * k, 2) for k in range(21))
COUNT_BOUNDS = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
RATE_BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)

_NANO, _MICRO = 1e9, 1e6
_TABLE = (
    Quantity("duration", "s", _NANO, bounds=DURATION_BOUNDS),
    Quantity("time_to_first_chunk", "s", _NANO, bounds=DURATION_BOUNDS),
    Quantity("time_to_first_token", "s", _NANO, bounds=DURATION_BOUNDS),
    Quantity("time_per_output_token", "s", _NANO, bounds=PER_TOKEN_BOUNDS),
    Quantity("max_gap", "s", _NANO, bounds=DURATION_BOUNDS),
    Quantity("chunk_gap", "s", _NANO, bounds=DURATION_BOUNDS),
    Quantity("input_tokens", "{token}", 1.0, bounds=TOKEN_BOUNDS),
    Quantity("output_tokens", "{token}", 1.0, bounds=TOKEN_BOUNDS),
    Quantity("cached_tokens", "{token}", 1.0, bounds=TOKEN_BOUNDS),
    Quantity("reasoning_tokens", "{token}", 1.0, bounds=TOKEN_BOUNDS),
    Quantity("tokens_per_second", "{token}/s", 1e3, bounds=RATE_BOUNDS),
    Quantity("retries", "{retry}", 1.0, bounds=COUNT_BOUNDS),
    Quantity("documents", "{document}", 1.0, bounds=COUNT_BOUNDS),
    Quantity("top_score", "1", _MICRO, signed=True, bounds=RATIO_BOUNDS),
    Quantity("score_spread", "1", _MICRO, bounds=RATIO_BOUNDS),
    Quantity("empty", "1", _MICRO, bounds=(0.0, 1.0)),
    Quantity("flagged", "1", _MICRO, bounds=(0.0, 1.0)),
    Quantity("arrivals", "{call}", 1.0, bounds=()),
)
QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _TABLE}

SCORE = "score."
CATEGORY = "category."


def quantity(name: str) -> Quantity:
    """Return the quantity of that name; `score.<name>` and `category.<name>` exist on demand.

    Raises:
        KeyError: The name is neither in `QUANTITIES` nor a score or category.
    """
    known = QUANTITIES.get(name)
    if known is not None:
        return known
    if name.startswith(SCORE):
        return Quantity(name, "1", _MICRO, signed=True, bounds=RATIO_BOUNDS)
    if name.startswith(CATEGORY):
        return Quantity(name, "1", _MICRO, bounds=RATIO_BOUNDS)
    raise KeyError(name)
