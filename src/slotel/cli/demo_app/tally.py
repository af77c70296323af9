"""What the assistant itself counts: the calls it made, kept apart from anything that measures."""

from __future__ import annotations

import threading
from collections import Counter


class Tally:
    """Calls made, by operation; the truth that measurements are compared with. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: Counter[str] = Counter()

    def count(self, operation: str) -> None:
        """Count one call that is about to be made."""
        with self._lock:
            self._made[operation] += 1

    def made(self) -> dict[str, int]:
        """Return the calls made so far, by operation, in the order of their first call."""
        with self._lock:
            return dict(self._made)
