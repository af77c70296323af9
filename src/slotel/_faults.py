"""Our own faults: counted and logged once a place, never raised into the caller's call."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress

_logger = logging.getLogger("slotel")

counts: Counter[str] = Counter()
"""Faults so far by place; exported as `slotel.internal.errors`."""

_strict = False


def strict(on: bool) -> None:
    """Let faults raise, as tests want, instead of being counted and logged."""
    global _strict  # noqa: PLW0603  # one switch of the process, for tests only
    _strict = on


def report(place: str, error: BaseException) -> None:
    """Count a fault of ours and log it the first time that it occurs at this place.

    Args:
        place: A fixed name of where it happened, such as `operation.finish`.
        error: What was raised there.
    """
    counts[place] += 1
    if counts[place] == 1:
        text = "slotel: a fault in %s was caught; your call is not affected. Counted, logged once."
        with suppress(Exception):  # A handler that raises must not reach the call either.
            _logger.error(text, place, exc_info=error)
    if _strict:
        raise error


def refuse(place: str, message: str) -> None:
    """Count an unusable value that a call handed over, and log the first one of its kind."""
    counts[place] += 1
    if counts[place] == 1:
        with suppress(Exception):
            _logger.warning("slotel: refused: %s Counted, logged once.", message)
