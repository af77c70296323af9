"""Every error that Slotel raises: what was wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class SlotelError(Exception):
    """The base of all errors raised by Slotel."""


class ConfigurationError(SlotelError, ValueError):
    """`configure()`, a decorator or an environment variable was given something unusable."""


class UsageError(SlotelError, TypeError):
    """A decorator or a call received an object of a kind it cannot work with."""


class SLOValueError(SlotelError, ValueError):
    """A number handed to SLO arithmetic lies outside its stated range."""


class UnknownNameError(SlotelError, LookupError):
    """A name of an SLO, operation, metric or client is not known."""

    def __str__(self) -> str:
        """Return the message itself, not its repr as `LookupError` subclasses may."""
        return str(self.args[0]) if self.args else ""


class MissingDependencyError(SlotelError, ImportError):
    """A feature needs a package that is not installed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a document: where it is, what is wrong and how to mend it.

    Attributes:
        source: File name, or a description of where the text came from.
        line: Line in the source, from 1; 0 when unknown.
        column: Column in the line, from 1; 0 when unknown.
        path: Place in the document, such as `slos[2].objective`; empty for the whole document.
        message: What is wrong, with the value that was found.
        cure: What to write instead; may be empty.
    """

    source: str
    line: int
    column: int
    path: str
    message: str
    cure: str = ""

    def __str__(self) -> str:
        """Return `file:line:column: path: message. cure`."""
        place = f"{self.source}:{self.line}:{self.column}: " if self.line else f"{self.source}: "
        path = f"{self.path}: " if self.path else ""
        cure = f" {self.cure}" if self.cure else ""
        return f"{place}{path}{self.message}{cure}"


class SpecErrors(ConfigurationError):
    """All faults of one SLO document, reported together."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = f"{count} fault{'s' if count != 1 else ''} in the SLO document:"
        super().__init__("\n".join([head, *(f"  {fault}" for fault in self.faults)]))


class RejectedError(SlotelError, RuntimeError):
    """A call was refused by our own policy before it was tried; its outcome is REJECTED."""
