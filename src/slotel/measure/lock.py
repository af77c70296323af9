"""A lock that tells its holder from everybody else."""

from __future__ import annotations

import threading


class OwnedLock:
    """A re-entrant lock that knows whether the calling thread holds it.

    Code that a thread runs in the midst of something else (a signal handler, a finaliser) asks
    `mine` and stays away, where a plain lock would deadlock and a re-entrant one would let it see
    and change what is half done. Any thread may call.
    """

    __slots__ = ("_depth", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._owner = 0
        self._depth = 0

    @property
    def mine(self) -> bool:
        """True when the calling thread holds the lock."""
        return self._owner == threading.get_ident()

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take the lock; returns False only when not blocking and another thread holds it."""
        if not self._lock.acquire(blocking=blocking):
            return False
        # A handler that runs before the next line finds the lock free: nothing has begun yet.
        self._owner = threading.get_ident()
        self._depth += 1
        return True

    def release(self) -> None:
        """Give the lock back; once for each time it was taken."""
        self._depth -= 1
        if self._depth == 0:
            self._owner = 0
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
