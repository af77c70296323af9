"""What is open in a context: the chain that one context variable points to.

Entering publishes a cell by one set of the variable; leaving changes the cell's state, and whoever
reads the variable goes on to what is around it. Nothing has to be reset, so a call may end in
another context, thread or task than it began in.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slotel._operation import Operation

GONE, PLAIN, NOTED = 0, 1, 2
"""States of a cell.

GONE: it has ended and nothing is around it. PLAIN: a call is open of which nothing but its
duration is known; no `Operation` was made yet. NOTED: every other case.
"""
STATE, HOLDER = 0, 1
"""Places in a cell: its state, and the site of a PLAIN call or the link that it stands for."""

Cell = list[Any]
"""What the context variable holds. A list, since a call without notes makes nothing else: it costs
half of an object with slots, and one look tells whether anything is around a call."""


class Link:
    """A node of the chain of what is open in a context; `closed` ones are skipped."""

    cell: Cell
    parent: Link | None = None
    closed = False
    labels: dict[str, Any] | None = None


class Ambient(Link):
    """Attributes for every operation inside."""

    def __init__(self, parent: Link | None, labels: dict[str, Any], owner: object) -> None:
        self.cell = [NOTED, self]
        self.owner = owner
        self.token: Token[Cell] | None = None
        self.parent = parent
        inherited = parent.labels if parent is not None else None
        self.labels = {**inherited, **labels} if inherited else labels

    def enter(self) -> None:
        """Make the attributes current."""
        self.token = current.set(self.cell)

    def leave(self) -> None:
        """Undo it; in another context than they were made current in, they end for all."""
        try:
            if self.token is not None:
                current.reset(self.token)
        except ValueError:
            self.closed = True
            self.cell[HOLDER] = self.parent


OUTSIDE: Cell = [NOTED, None]
"""What is current where nothing was entered yet; NOTED, so that a context's first call looks."""

current: ContextVar[Cell] = ContextVar("slotel_current", default=OUTSIDE)


def live(link: Link | None) -> Link | None:
    """Return the nearest link that is still open, from this one outward."""
    while link is not None and link.closed:
        link = link.parent
    return link


def held_by(cell: Cell) -> Link | None:
    """Return the nearest open link that a cell stands for."""
    if cell[STATE] == GONE:
        return None
    return noted(cell) if cell[STATE] == PLAIN else live(cell[HOLDER])


def noted(cell: Cell) -> Operation:
    """Return the operation of an open call, made now if nobody needed it before."""
    with _lock:
        if cell[STATE] == PLAIN:
            call: Operation = cell[HOLDER].record_class()
            call.cell, call.claim = cell, [None]
            cell[HOLDER] = call
            cell[STATE] = NOTED
        made: Operation = cell[HOLDER]
        return made


_lock = threading.RLock()
"""Guards the making of operations of plain cells: two threads may ask for the same one."""


def renew_lock() -> None:
    """Take a fresh lock in a forked child, where another thread may have held it at the fork."""
    global _lock  # noqa: PLW0603  # the one lock of this module
    _lock = threading.RLock()


def restore_link(token: Token[Cell]) -> None:
    """Undo a set of `current`; silent in another context than it was set in."""
    try:
        token.var.reset(token)
    except ValueError:
        return
