"""Generators measured step by step, finishing their operation exactly once.

A synchronous generator runs in one saved copy of the context, so what its body makes current never
leaks into the caller and nothing has to be detached elsewhere than it was attached. An
asynchronous one shares its task's context, so its own context is put on around each step only.

Times are taken when a chunk arrives. The time that a reader takes between two chunks lies inside
the gap to the next one and inside the duration: a generator cannot tell it from its own work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any

from slotel import _spans
from slotel._context import current, restore_link
from slotel._faults import report
from slotel._figures import FOLD_AT
from slotel._operation import Operation, clock, enter
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

    def look(self, item: Any, at: float) -> bool:
        """Look for the first content in this chunk; True when it has yet to come."""
        if not self._has_content(item):
            return True
        self._call.note().first_token_at = at
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
        if not self._call.hold():
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
        if per_chunk and "output_tokens" not in figures.usage:
            self._call.usage(output_tokens=self._chunks.count * per_chunk, source="counted")

    def _has_content(self, item: Any) -> bool:
        if self._content is None:
            return bool(item)
        try:
            return bool(self._content(item))
        except Exception as error:  # noqa: BLE001  # the user's function, on our account
            report("stream.content", error)
            return True


def drive(call: Operation, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Step a generator in a context of its own and measure it as the operation `call`."""
    context = copy_context()
    run = context.run
    run(enter, call)
    tally = Tally(call)
    append, step, left = tally.times.append, generator.__next__, FOLD_AT
    item: Any = None
    searching = True
    try:
        item = run(step)
        while True:
            now = clock()
            if searching:
                searching = tally.look(item, now)
            append(now)
            left -= 1
            if not left:
                append, left = tally.fold(), FOLD_AT
            try:
                sent = yield item
            except GeneratorExit:
                run(generator.close)
                raise
            except BaseException as thrown:  # noqa: BLE001  # handed on to the user's generator
                item = run(generator.throw, thrown)
                continue
            item = run(step) if sent is None else run(generator.send, sent)
    except StopIteration as stop:
        tally.end(item)
        return stop.value
    except BaseException as error:
        tally.fail(error)
        raise


async def inside(call: Operation, step: Awaitable[Any]) -> Any:
    """Await one step with the operation and its span current, and put the context back."""
    link = current.set(call.cell)
    saved = call.span_context
    token = _spans.set_context(saved) if saved is not None else None
    try:
        return await step
    finally:
        if token is not None:
            # Spans that the body opened across a yield are current again in its next step.
            call.span_context = _spans.get_context()
            _spans.restore_context(token)
        restore_link(link)


async def drive_coroutine(call: Operation, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine that a synchronous function returned, as part of its operation."""
    with call.active():
        try:
            result = await coroutine
        except BaseException as error:
            call.finish(error=error)
            raise
    call.result(result)
    if not call.hold():
        call.finish()
    return result
