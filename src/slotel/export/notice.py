"""Say once in the log that a collector is not reached, and once that it is again."""

from __future__ import annotations

import logging
import threading

_log = logging.getLogger(__name__)


class Notice:
    """Turns the outcome of every export into one line at each change. Any thread may call.

    Args:
        what: What does not arrive: `Metrics` or `Spans`.
        target: Where it goes, for people.
    """

    def __init__(self, what: str, target: str) -> None:
        self._what = what
        self._target = target
        self._lock = threading.Lock()
        self._failing = False

    def failed(self, reason: str, outlook: str) -> None:
        """Note that an export failed.

        Args:
            reason: Why.
            outlook: What becomes of that which did not arrive; a whole sentence.
        """
        with self._lock:
            first, self._failing = not self._failing, True
        if first:
            _log.warning(
                "%s do not reach %s: %s. Calls go on and are counted. %s",
                self._what,
                self._target,
                reason.rstrip("."),
                outlook,
            )

    def arrived(self) -> None:
        """Note that an export arrived."""
        with self._lock:
            again, self._failing = self._failing, False
        if again:
            _log.warning("%s reach %s again.", self._what, self._target)
