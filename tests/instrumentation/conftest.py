"""Every test here runs with the client instrumented, faults raising, and its calls collected."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The helpers stand beside the tests that use them.
sys.path.insert(0, str(Path(__file__).parent))

openai = pytest.importorskip("openai")

from slotel import _faults  # noqa: E402
from slotel._operation import Operation  # noqa: E402
from slotel.instrumentation import openai as instrumentation  # noqa: E402
from slotel.measure.measurement import Outcome  # noqa: E402


@dataclass(frozen=True)
class Seen:
    """What an operation has been told so far."""

    call: Operation

    def __getattr__(self, name: str) -> Any:
        """Return a figure of the call."""
        return getattr(self.call.figures, name)

    @property
    def chunks(self) -> int:
        chunks = self.call.figures.chunks
        return 0 if chunks is None else chunks.count

    @property
    def last_chunk_at(self) -> float:
        return self.call.figures.chunks.last_at


@dataclass(frozen=True)
class Finished(Seen):
    """One operation as it ended."""

    outcome: Outcome
    error_type: str | None
    elapsed: float

    @property
    def operation(self) -> str:
        return self.call.site.operation


class Calls(list[Finished]):
    """The operations that ended, in order."""

    def only(self) -> Finished:
        """Return the one operation that ended, and forget it."""
        assert len(self) == 1, f"{len(self)} operations ended, not one: {self}"
        return self.pop()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    found = Calls()
    settle = Operation._settle

    def observed(call: Operation, outcome: Outcome, reason: str | None, elapsed: float) -> None:
        settle(call, outcome, reason, elapsed)
        found.append(Finished(call, outcome, reason, elapsed))

    monkeypatch.setattr(Operation, "_settle", observed)
    return found


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    _faults.strict(True)
    instrumentation.install()
    yield
    instrumentation.remove()
    _faults.strict(False)
