"""Generators measured step by step, finishing their operation exactly once.

A synchronous generator runs in one saved copy of the context, so what its body makes current never
leaks into the caller and nothing has to be detached elsewhere than it was attached. An
asynchronous one shares its task's context, so its own context is put on around each step only.

Times are taken when a chunk arrives. The time that a reader takes between two chunks lies inside
the gap to the next one and inside the duration: a generator cannot tell it from its own work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from opentelemetry.context import Context

from slotel import _spans
from slotel._context import Cell, current, restore_link
from slotel._faults import report
from slotel._operation import Operation
from slotel.measure.measurement import Outcome

CLOSED = "closed"
"""Reason of a stream that its reader left early."""
ABANDONED = "abandoned"
"""Reason of a stream that was dropped and collected."""


class Tally:
    """Chunks of one stream: counts them, finds the first content, ends the operation.

    Belongs to one stream; its reader's thread calls.

    Attributes:
        times: Arrival times since the last fold, `perf_counter` seconds.
    """

    __slots__ = ("_call", "_chunks", "_content", "times")

    def __init__(self, call: Operation) -> None:
        self._call = call
        self._chunks = call.note().stream()
        self._content: Callable[[Any], Any] | None = getattr(call.site, "content", None)
        self.times = self._chunks.times

    def look(self, item: Any) -> bool:
        """Look for the first content in the newest chunk; True when it has yet to come."""
        if not self._has_content(item):
            return True
        self._call.note().first_token_at = self._chunks.last_at
        return False

    def fold(self) -> Callable[[float], None]:
        """Hand the arrival times gathered so far to the recorder; bounds a stream's memory.

        Returns:
            What appends to the times from now on.
        """
        self._call.fold_chunks()
        self.times = self._chunks.times
        return self.times.append

    def end(self, last: Any) -> None:
        """The stream came to its end; `last` is its last chunk, read for what it tells."""
        try:
            self._count()
            if last is not None and not isinstance(last, (str, bytes)):
                self._call.result(last)
        except Exception as error:  # noqa: BLE001  # ours, never the caller's
            report("stream.end", error)
        self._call.finish()

    def fail(self, error: BaseException) -> None:
        """The stream raised, or was closed by its reader."""
        try:
            self._count()
        except Exception as fault:  # noqa: BLE001  # ours, never the caller's
            report("stream.fail", fault)
        if isinstance(error, GeneratorExit):
            self._call.finish(Outcome.CANCELLED, error_type=CLOSED)
        else:
            self._call.finish(error=error)

    def _count(self) -> None:
        figures = self._call.note()
        per_chunk = getattr(self._call.site, "tokens_per_chunk", None)
        if per_chunk and "output_tokens" not in figures.tokens():
            self._call.usage(output_tokens=self._chunks.count * per_chunk, source="counted")

    def _has_content(self, item: Any) -> bool:
        try:
            return bool(item if self._content is None else self._content(item))
        except Exception as error:  # noqa: BLE001  # the user's function, on our account
            report("stream.content", error)
            return True


class Thrown:
    """An exception on its way into a generator, handed on outside of the block that caught it.

    Raised inside that block, whatever the generator raises would be chained to it.
    """

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error: BaseException | None = error

    def take(self) -> Any:
        """Return the exception and let go of it, so that its frames do not keep it alive."""
        error, self._error = self._error, None
        return error


def resume(generator: AsyncGenerator[Any, Any], sent: Any) -> Awaitable[Any]:
    """Return the step that hands a value, or an exception, to an asynchronous generator."""
    return generator.athrow(sent.take()) if type(sent) is Thrown else generator.asend(sent)


async def inside(
    cell: Cell, context: Context | None, step: Awaitable[Any]
) -> tuple[Any, Cell, Context | None]:
    """Await one step with this cell and context current, and put back what was there before.

    Returns:
        What the step gave, and the cell and context that it left: what the body made current
        across a yield is current again in its next step.
    """
    link = current.set(cell)
    token = _spans.set_context(context) if context is not None else None
    try:
        item = await step
        return item, current.get(), _spans.get_context() if token is not None else None
    finally:
        if token is not None:
            _spans.restore_context(token)
        restore_link(link)
