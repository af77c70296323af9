"""The lock that tells its holder from everybody else."""

import threading

import pytest

from slotel.measure.lock import OwnedLock


def test_the_lock_knows_its_holder():
    """Re-entrant, told from other threads, and free after as many releases."""
    lock = OwnedLock()
    seen = []

    def other():
        seen.append((lock.mine, lock.acquire(blocking=False)))

    with lock:
        assert lock.acquire(blocking=False)
        assert lock.mine
        lock.release()
        assert lock.mine
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert not lock.mine
    assert seen == [(False, False)]


def test_an_error_inside_gives_the_lock_back():
    """It leaves as it came, through as many levels as were entered."""
    lock = OwnedLock()
    with pytest.raises(ValueError, match="inside"), lock, lock:
        raise ValueError("inside")
    assert not lock.mine
    thread = threading.Thread(target=lock.acquire, kwargs={"blocking": False})
    thread.start()
    thread.join()
    assert not lock.acquire(blocking=False)
