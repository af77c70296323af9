"""Decorated callables stay what they were, and every call of one is measured exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import pickle
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import slotel
from slotel.errors import RejectedError, UsageError

pytestmark = pytest.mark.usefixtures("process")

STREAMED = ["a", "b", "c"]


def finished(coroutine: Any) -> Any:
    """Run a coroutine by hand, without a loop, and return its value."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


class Body:
    """What the decorated things do: give a value or raise, whatever their form."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def result(self) -> str:
        if self.error is not None:
            raise self.error
        return "value"


# Every form takes the decorator and a body, and returns a function that plays one whole call and
# returns what the caller gets.
def _function(wrap: Any, body: Body) -> Callable[[], Any]:
    @wrap
    def call() -> str:
        return body.result()

    return call


def _coroutine(wrap: Any, body: Body) -> Callable[[], Any]:
    @wrap
    async def call() -> str:
        await asyncio.sleep(0)
        return body.result()

    return lambda: finished(call())


def _generator(wrap: Any, body: Body) -> Callable[[], Any]:
    @wrap
    def call() -> Iterator[str]:
        yield "chunk"
        return body.result()

    return lambda: _drained(call())


def _async_generator(wrap: Any, body: Body) -> Callable[[], Any]:
    @wrap
    async def call() -> AsyncIterator[str]:
        await asyncio.sleep(0)
        yield "chunk"
        yield body.result()

    async def last() -> str:
        return [found async for found in call()][-1]

    return lambda: finished(last())


def _drained(generator: Iterator[Any]) -> Any:
    try:
        while True:
            next(generator)
    except StopIteration as stop:
        return stop.value


def _method(wrap: Any, body: Body) -> Callable[[], Any]:
    class Holder:
        @wrap
        def call(self) -> str:
            assert isinstance(self, Holder)
            return body.result()

    return Holder().call


def _classmethod(wrap: Any, body: Body) -> Callable[[], Any]:
    class Holder:
        @wrap
        @classmethod
        def call(cls) -> str:
            assert cls is Holder
            return body.result()

    return Holder.call


def _classmethod_outside(wrap: Any, body: Body) -> Callable[[], Any]:
    class Holder:
        @classmethod
        @wrap
        def call(cls) -> str:
            assert cls is Holder
            return body.result()

    return Holder().call


def _staticmethod(wrap: Any, body: Body) -> Callable[[], Any]:
    class Holder:
        @wrap
        @staticmethod
        def call() -> str:
            return body.result()

    return Holder().call


def _partial(wrap: Any, body: Body) -> Callable[[], Any]:
    def call(given: Body) -> str:
        return given.result()

    return wrap(functools.partial(call, body))


def _partial_coroutine(wrap: Any, body: Body) -> Callable[[], Any]:
    async def call(given: Body) -> str:
        return given.result()

    wrapped = wrap(functools.partial(call, body))
    assert inspect.iscoroutinefunction(wrapped)
    return lambda: finished(wrapped())


def _bound_method(wrap: Any, body: Body) -> Callable[[], Any]:
    return wrap(body.result)


def _callable_object(wrap: Any, body: Body) -> Callable[[], Any]:
    class Caller:
        def __call__(self) -> str:
            return body.result()

    return wrap(Caller())


def _async_callable_object(wrap: Any, body: Body) -> Callable[[], Any]:
    class Caller:
        async def __call__(self) -> str:
            return body.result()

    wrapped = wrap(Caller())
    assert inspect.iscoroutinefunction(wrapped)
    return lambda: finished(wrapped())


def _lambda(wrap: Any, body: Body) -> Callable[[], Any]:
    return wrap(lambda: body.result())


def _returns_coroutine(wrap: Any, body: Body) -> Callable[[], Any]:
    async def inner() -> str:
        await asyncio.sleep(0)
        return body.result()

    @wrap
    def call() -> Any:
        return inner()

    return lambda: finished(call())


def _returns_generator(wrap: Any, body: Body) -> Callable[[], Any]:
    def inner() -> Iterator[str]:
        yield "chunk"
        return body.result()

    @wrap
    def call() -> Any:
        return inner()

    return lambda: _drained(call())


def _returns_async_generator(wrap: Any, body: Body) -> Callable[[], Any]:
    async def inner() -> AsyncIterator[str]:
        yield "chunk"
        yield body.result()

    @wrap
    def call() -> Any:
        return inner()

    async def last() -> str:
        return [found async for found in call()][-1]

    return lambda: finished(last())


def _coroutine_of_async_generator(wrap: Any, body: Body) -> Callable[[], Any]:
    async def inner() -> AsyncIterator[str]:
        yield "chunk"
        yield body.result()

    @wrap
    async def call() -> Any:
        return inner()

    async def last() -> str:
        return [found async for found in await call()][-1]

    return lambda: finished(last())


def _coroutine_returned_of_async_generator(wrap: Any, body: Body) -> Callable[[], Any]:
    async def inner() -> AsyncIterator[str]:
        yield "chunk"
        yield body.result()

    async def opened() -> Any:
        return inner()

    @wrap
    def call() -> Any:
        return opened()

    async def last() -> str:
        return [found async for found in await call()][-1]

    return lambda: finished(last())


def _with_block(wrap: Any, body: Body) -> Callable[[], Any]:
    def call() -> str:
        with wrap:
            return body.result()

    return call


def _async_with_block(wrap: Any, body: Body) -> Callable[[], Any]:
    async def call() -> str:
        async with wrap:
            await asyncio.sleep(0)
            return body.result()

    return lambda: finished(call())


FORMS = [
    _function, _coroutine, _generator, _async_generator, _method, _classmethod,
    _classmethod_outside, _staticmethod, _partial, _partial_coroutine, _bound_method,
    _callable_object, _async_callable_object, _lambda, _returns_coroutine, _returns_generator,
    _returns_async_generator, _coroutine_of_async_generator,
    _coroutine_returned_of_async_generator, _with_block, _async_with_block,
]  # fmt: skip
STREAMS = [_generator, _async_generator, _returns_generator, _returns_async_generator]
SPECS = {
    "bare": lambda: slotel.llm,
    "called": lambda: slotel.llm(model="m", provider="p"),
    "named": lambda: slotel.operation("thing"),
    "journey": lambda: slotel.journey("ask"),
    "retrieval": lambda: slotel.retrieval(source="handbook"),
    "moderation": lambda: slotel.moderation,
}


class OwnBaseException(BaseException):
    pass


ENDINGS = [
    (None, "success", None),
    (ValueError("bad"), "error", "ValueError"),
    (TimeoutError(), "error", "TimeoutError"),
    (asyncio.CancelledError(), "cancelled", "CancelledError"),
    (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt"),
    (SystemExit(1), "cancelled", "SystemExit"),
    (OwnBaseException(), "cancelled", "OwnBaseException"),
    (RejectedError("no"), "rejected", "slotel.errors.RejectedError"),
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_returns_what_it_returned_and_counts_once(process, form, spec: str):
    """A successful call gives its value and is one success."""
    call = form(SPECS[spec](), Body())
    assert call() == "value"
    key = process.only()
    assert (key.outcome.value, key.error_type) == ("success", None)


@pytest.mark.parametrize(("error", "outcome", "reason"), ENDINGS[1:])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_raises_what_was_raised_and_counts_it(process, form, error, outcome, reason):
    """The very exception object comes out, with the frame that raised it, and is counted once."""
    fresh = type(error)(*error.args)
    call = form(slotel.llm, Body(fresh))
    with pytest.raises(type(error)) as caught:
        call()
    assert caught.value is fresh
    assert caught.value.__context__ is None
    names = [frame.name for frame in traceback.extract_tb(fresh.__traceback__)]
    assert names[-1] == "result"
    assert process.ended() == {(outcome, reason): 1}


@pytest.mark.parametrize("form", FORMS)
def test_two_calls_are_two_measurements(process, form):
    """A wrapper keeps nothing from one call to the next."""
    call = form(slotel.llm, Body())
    call()
    call()
    assert process.ended() == {("success", None): 2}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_works_from_many_threads(process, form):
    """Eight threads at once: every call is counted."""
    call = form(slotel.llm(model="threads"), Body())

    def work() -> None:
        for _ in range(20):
            assert call() == "value"

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.ended() == {("success", None): 160}


# -- early ends -----------------------------------------------------------------------------------


def test_a_generator_closed_early_is_cancelled(process):
    """Closing runs the body's `finally`, once, and counts a cancelled call."""
    seen: list[str] = []

    @slotel.llm
    def stream() -> Iterator[str]:
        try:
            yield from STREAMED
        finally:
            seen.append("closed")

    running = stream()
    assert next(running) == "a"
    running.close()
    running.close()
    assert seen == ["closed"]
    assert process.ended() == {("cancelled", "closed"): 1}


@pytest.mark.parametrize("adopted", [False, True])
def test_an_abandoned_generator_is_cancelled_when_collected(process, adopted: bool):
    """A generator dropped half-way counts once, as cancelled."""

    def stream() -> Iterator[str]:
        yield from STREAMED

    call = slotel.llm(lambda: stream()) if adopted else slotel.llm(stream)
    running = call()
    next(running)
    del running
    gc.collect()
    ((outcome, _),) = process.ended()
    assert outcome == "cancelled"
    assert sum(process.ended().values()) == 1


def test_a_generator_never_started_is_no_call(process):
    """Nothing ran, so nothing is measured, and the body was not entered."""

    @slotel.llm
    def stream() -> Iterator[str]:
        raise AssertionError("entered")
        yield ""

    waiting = stream()
    waiting.close()
    del waiting
    gc.collect()
    assert process.ended() == {}


async def test_an_async_generator_never_started_is_no_call(process):
    """The same for asynchronous generators, closed or dropped."""

    @slotel.llm
    async def stream() -> AsyncIterator[str]:
        raise AssertionError("entered")
        yield ""

    await stream().aclose()
    stream()
    gc.collect()
    assert process.ended() == {}


def test_a_coroutine_never_awaited_is_no_call_and_warns_as_ever(process):
    """Python's own warning comes once and names the user's function."""

    @slotel.llm
    async def answer() -> str:
        return "value"

    with pytest.warns(RuntimeWarning, match=r"answer' was never awaited"):
        answer()
    assert process.ended() == {}


@pytest.mark.parametrize("form", ["generator", "async generator", "coroutine"])
def test_what_a_function_returned_but_nobody_ran_is_cancelled(process, form: str):
    """The function itself ran, so its call is counted: abandoned."""

    def generator() -> Iterator[str]:
        yield ""

    async def async_generator() -> AsyncIterator[str]:
        yield ""

    async def coroutine() -> str:
        return ""

    made = {"generator": generator, "async generator": async_generator, "coroutine": coroutine}
    call = slotel.llm(lambda: made[form]())
    expected = pytest.warns(RuntimeWarning, match="never awaited")
    with expected if form == "coroutine" else contextlib.nullcontext():
        call()
        gc.collect()
    assert process.ended() == {("cancelled", "abandoned"): 1}


async def test_an_async_generator_closed_early_is_cancelled(process):
    """`aclose` runs the body's `finally`, awaits in it included."""
    seen: list[str] = []

    @slotel.llm
    async def stream() -> AsyncIterator[str]:
        try:
            for chunk in STREAMED:
                yield chunk
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    running = stream()
    assert await anext(running) == "a"
    await running.aclose()
    await running.aclose()
    assert seen == ["closed"]
    assert process.ended() == {("cancelled", "closed"): 1}


async def test_an_async_generator_closed_from_another_task_is_cancelled(process, caplog):
    """Another task's `aclose` ends the call; nothing is detached in the wrong context."""

    @slotel.llm
    async def stream() -> AsyncIterator[str]:
        for chunk in STREAMED:
            yield chunk

    running = stream()
    assert await anext(running) == "a"
    await asyncio.create_task(running.aclose())
    assert process.ended() == {("cancelled", "closed"): 1}
    assert "detach" not in caplog.text


async def test_an_abandoned_async_generator_is_cancelled_when_collected(process):
    """The loop closes what was dropped, and the call is counted once."""

    @slotel.llm
    async def stream() -> AsyncIterator[str]:
        for chunk in STREAMED:
            yield chunk

    running = stream()
    await anext(running)
    del running
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)
    ((outcome, _),) = process.ended()
    assert outcome == "cancelled"
    assert sum(process.ended().values()) == 1


@pytest.mark.parametrize("form", ["coroutine", "returned", "async generator", "with"])
async def test_a_cancelled_task_is_a_cancelled_call(process, form: str):
    """Cancelling the task that waits inside is one cancelled call, and the task is cancelled."""

    async def waits() -> None:
        await asyncio.Event().wait()

    @slotel.llm
    async def decorated() -> None:
        await waits()

    @slotel.llm
    async def stream() -> AsyncIterator[str]:
        yield "a"
        await waits()

    async def read() -> None:
        async for _ in stream():
            pass

    async def block() -> None:
        async with slotel.llm:
            await waits()

    made = {
        "coroutine": decorated,
        "returned": slotel.llm(lambda: waits()),
        "async generator": read,
        "with": block,
    }

    async def run() -> None:
        await made[form]()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert process.ended() == {("cancelled", "CancelledError"): 1}


async def test_a_timeout_around_a_call_cancels_it(process):
    """`asyncio.timeout` ends the call as cancelled and raises TimeoutError to whoever set it."""

    @slotel.llm
    async def slow() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await slow()
    assert process.ended() == {("cancelled", "CancelledError"): 1}


def test_a_with_block_closed_with_its_generator_is_cancelled(process):
    """A block inside a generator that is closed ends with GeneratorExit."""

    def stream() -> Iterator[str]:
        with slotel.llm:
            yield "a"

    running = stream()
    next(running)
    running.close()
    assert process.ended() == {("cancelled", "GeneratorExit"): 1}


# -- generators keep their protocol ---------------------------------------------------------------


@pytest.mark.parametrize("adopted", [False, True])
def test_send_throw_and_the_return_value_pass_through(process, adopted: bool):
    """What is sent and thrown reaches the body, and its answers and return value come back."""

    def talk() -> Iterator[Any]:
        got = yield "ready"
        try:
            yield f"got {got}"
        except KeyError as error:
            yield f"caught {error.args[0]}"
        return "done"

    running = (slotel.llm(lambda: talk()) if adopted else slotel.llm(talk))()
    assert next(running) == "ready"
    assert running.send("x") == "got x"
    assert running.throw(KeyError("k")) == "caught k"
    with pytest.raises(StopIteration) as stop:
        next(running)
    assert stop.value.value == "done"
    assert process.ended() == {("success", None): 1}


@pytest.mark.parametrize("adopted", [False, True])
async def test_asend_and_athrow_pass_through(process, adopted: bool):
    """The same for asynchronous generators."""

    async def talk() -> AsyncIterator[Any]:
        got = yield "ready"
        try:
            yield f"got {got}"
        except KeyError as error:
            yield f"caught {error.args[0]}"

    running = (slotel.llm(lambda: talk()) if adopted else slotel.llm(talk))()
    assert await anext(running) == "ready"
    assert await running.asend("x") == "got x"
    assert await running.athrow(KeyError("k")) == "caught k"
    with pytest.raises(StopAsyncIteration):
        await anext(running)
    assert process.ended() == {("success", None): 1}


def test_falsy_values_are_sent_as_they_are(process):
    """0, False and an empty text are not taken for None."""
    got: list[Any] = []

    @slotel.llm
    def listen() -> Iterator[None]:
        while len(got) < 4:
            got.append((yield))

    running = listen()
    next(running)
    for value in (0, False, "", None):
        with contextlib.suppress(StopIteration):
            running.send(value)
    assert got == [0, False, "", None]


def test_an_exception_thrown_in_and_not_caught_is_the_same_one(process):
    """It comes out as it went in, without a context of our making."""

    @slotel.llm
    def stream() -> Iterator[str]:
        yield from STREAMED

    running = stream()
    next(running)
    error = LookupError("x")
    with pytest.raises(LookupError) as caught:
        running.throw(error)
    assert caught.value is error
    assert error.__context__ is None
    assert process.ended() == {("error", "LookupError"): 1}


def test_an_error_after_a_handled_throw_has_no_context_of_ours(process):
    """The body had done with what was thrown; the next error is not chained to it."""

    def stream() -> Iterator[str]:
        with contextlib.suppress(KeyError):
            yield "a"
        raise ValueError("later")

    chained: list[Any] = []
    for call in (stream, slotel.llm(stream)):
        running = call()
        next(running)
        with pytest.raises(ValueError, match="later") as caught:
            running.throw(KeyError("k"))
        chained.append(caught.value.__context__)
    assert chained == [None, None]


async def test_an_error_after_a_handled_athrow_has_no_context_of_ours(process):
    """The same for asynchronous generators."""

    async def stream() -> AsyncIterator[str]:
        with contextlib.suppress(KeyError):
            yield "a"
        raise ValueError("later")

    running = slotel.llm(stream)()
    await anext(running)
    with pytest.raises(ValueError, match="later") as caught:
        await running.athrow(KeyError("k"))
    assert caught.value.__context__ is None


def test_a_generator_that_refuses_to_close_says_so_as_ever(process):
    """Python's RuntimeError comes out; the call is an error."""

    @slotel.llm
    def stubborn() -> Iterator[str]:
        with contextlib.suppress(GeneratorExit):
            yield "a"
        yield "b"

    running = stubborn()
    next(running)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        running.close()
    assert process.ended() == {("error", "RuntimeError"): 1}


def test_a_generator_works_as_a_context_manager(process):
    """`contextlib.contextmanager` over a decorated generator passes errors through it."""

    @contextlib.contextmanager
    @slotel.operation("session")
    def session() -> Iterator[str]:
        yield "s"

    with session() as opened:
        assert opened == "s"
    with pytest.raises(ValueError, match="inside"), session():
        raise ValueError("inside")
    assert process.ended() == {("success", None): 1, ("error", "ValueError"): 1}


def test_a_generator_may_be_stepped_in_several_threads(process):
    """Each step in another thread: one call."""

    @slotel.llm
    def stream() -> Iterator[str]:
        yield from STREAMED

    running, got = stream(), []
    for _ in STREAMED:
        thread = threading.Thread(target=lambda: got.append(next(running)))
        thread.start()
        thread.join()
    assert list(running) == []
    assert got == STREAMED
    assert process.ended() == {("success", None): 1}


def test_recursion_is_one_outer_call_and_nested_ones(process):
    """Every level is measured; only the outermost speaks for the call."""

    @slotel.llm
    def countdown(number: int) -> int:
        return 0 if number == 0 else countdown(number - 1)

    countdown(3)
    roles = {key.role.value: count for key, count in process.measured().items()}
    assert roles == {"outer": 1, "inner": 3}


def test_a_recursive_generator_is_one_outer_call_and_nested_ones(process):
    """The same for generators that go on in themselves."""

    @slotel.llm
    def countdown(number: int) -> Iterator[int]:
        yield number
        if number:
            yield from countdown(number - 1)

    assert list(countdown(3)) == [3, 2, 1, 0]
    roles = {key.role.value: count for key, count in process.measured().items()}
    assert roles == {"outer": 1, "inner": 3}


@pytest.mark.parametrize("chunks", [0, 1, 1024, 1025, 5000])
def test_a_stream_of_any_length_hands_on_every_chunk(process, chunks: int):
    """Folding the times of long streams loses no chunk and no gap."""

    @slotel.llm
    def stream() -> Iterator[int]:
        yield from range(chunks)

    assert list(stream()) == list(range(chunks))
    gaps = sum(process.measured("chunk_gap").values())
    assert gaps == max(0, chunks - 1)


@pytest.mark.parametrize("chunks", [0, 1, 1024, 1025, 5000])
async def test_an_async_stream_of_any_length_hands_on_every_chunk(process, chunks: int):
    """The same for asynchronous streams."""

    @slotel.llm
    async def stream() -> AsyncIterator[int]:
        for number in range(chunks):
            yield number

    assert [number async for number in stream()] == list(range(chunks))
    gaps = sum(process.measured("chunk_gap").values())
    assert gaps == max(0, chunks - 1)


# -- wrappers are what they wrap ------------------------------------------------------------------

PREDICATES = [
    inspect.isfunction, inspect.iscoroutinefunction, inspect.isgeneratorfunction,
    inspect.isasyncgenfunction, inspect.isroutine, callable,
]  # fmt: skip


def plain(a: int, b: str = "b") -> str:
    """Say something."""
    return f"{a}{b}"


async def coroutine(a: int, /, b: str = "b", *, c: float, d: list[int] | None = None) -> str:
    return f"{a}{b}{c}{d}"


def generator(*args: int, **kwargs: str) -> Iterator[Any]:
    yield args
    yield kwargs


async def async_generator(a, /, *rest, key=1, **more) -> AsyncIterator[Any]:
    yield a, rest, key, more


def every_kind(a, b=2, /, c=3, *rest, d, e=5, **more):
    return a, b, c, rest, d, e, more


FUNCTIONS = [plain, coroutine, generator, async_generator, every_kind]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_inspection_of_a_wrapper_answers_as_for_the_function(function):
    """Predicates, signature, names, annotations and documentation are the function's."""
    wrapped = slotel.llm(function)
    for predicate in PREDICATES:
        assert predicate(wrapped) == predicate(function), predicate
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert inspect.signature(wrapped, follow_wrapped=False).parameters.keys() == (
        inspect.signature(function).parameters.keys()
    )
    assert wrapped.__wrapped__ is function
    assert wrapped.__annotations__ == function.__annotations__
    assert wrapped.__defaults__ == function.__defaults__
    assert wrapped.__kwdefaults__ == function.__kwdefaults__
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        assert getattr(wrapped, name) == getattr(function, name)
    assert inspect.getsource(wrapped) == inspect.getsource(function)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {"d": 4}),
        ((1, 2, 3, 4, 5), {"d": 4, "e": 6, "x": 7}),
        ((1,), {"c": 9, "d": 4, "a": "in kwargs", "b": "too"}),
    ],
)
def test_arguments_arrive_as_they_were_given(args: Any, kwargs: Any):
    """Positional-only, keyword-only, defaults and the rest: the body sees the same."""
    assert slotel.llm(every_kind)(*args, **kwargs) == every_kind(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1,), {}), ((), {"a": 1, "d": 4}), ((1, 2, 3), {"c": 3, "d": 4})],
)
def test_wrong_arguments_are_refused_as_before(args: Any, kwargs: Any):
    """The function's own TypeError, at the call, and no call is counted."""
    with pytest.raises(TypeError) as expected:
        every_kind(*args, **kwargs)
    with pytest.raises(TypeError) as caught:
        slotel.llm(every_kind)(*args, **kwargs)
    assert str(caught.value).split(")")[1] == str(expected.value).split(")")[1]


@pytest.mark.parametrize("function", [coroutine, generator, async_generator])
def test_wrong_arguments_of_lazy_functions_are_refused_at_the_call(process, function):
    """Not later, when the result is run."""
    if function is generator:
        with pytest.raises(TypeError):
            slotel.llm(lambda: 0)(1)
        return
    with pytest.raises(TypeError):
        slotel.llm(function)()
    assert process.ended() == {}


def _names_of_builtins(type: int, len: int, *, ValueError: int = 3) -> tuple[int, int, int]:  # noqa: A002
    return type, len, ValueError


async def _async_names(BaseException: int, StopAsyncIteration: int) -> AsyncIterator[int]:  # noqa: A002
    yield BaseException
    yield StopAsyncIteration


async def test_parameters_may_be_called_like_builtins(process):
    """A parameter `type` or `len` is the function's own affair."""
    assert slotel.tool(_names_of_builtins)(1, 2) == (1, 2, 3)
    assert [value async for value in slotel.llm(_async_names)(1, 2)] == [1, 2]
    assert process.ended() == {("success", None): 2}


@pytest.mark.parametrize(
    "name", ["type", "len", "BaseException", "_slotel_fn", "class", "π", "x y"]
)
def test_functions_may_be_called_like_anything(process, name: str):
    """Whatever the function is called, calling it calls it."""

    def function(value: int) -> int:
        return value + 1

    function.__name__ = name
    wrapped = slotel.llm(function)
    assert wrapped(1) == 2
    assert wrapped.__name__ == name
    assert process.ended() == {("success", None): 1}


@pytest.mark.parametrize("make", ["args", "kwargs", "plain"])
def test_parameters_with_our_prefix_do_not_clash(make: str):
    """Names that the wrapper uses itself may be parameters."""
    space: dict[str, Any] = {}
    text = {
        "args": "def f(*_slotel_fn): return _slotel_fn",
        "kwargs": "def f(*, x=0, **_slotel_cell): return (x, _slotel_cell)",
        "plain": "def f(_slotel_started=7): return (_slotel_started,)",
    }[make]
    exec(text, space)  # noqa: S102
    wrapped = slotel.llm(space["f"])
    assert wrapped() == space["f"]()
    assert inspect.signature(wrapped) == inspect.signature(space["f"])


def test_private_parameters_of_methods_keep_their_mangled_names():
    """`__secret` inside a class is `_Owner__secret` for callers, as Python has it."""

    class Owner:
        def ask(self, __secret: int) -> int:
            return __secret

        measured = slotel.llm(ask)

    assert Owner().measured(_Owner__secret=3) == 3  # type: ignore[call-arg]


@slotel.tool
def pickled(value: int) -> int:
    return value * 2


class Pickles:
    @slotel.tool
    def method(self, value: int) -> int:
        return value * 3


def test_decorated_functions_pickle_by_name():
    """A process pool finds the wrapper under the function's name."""
    module = sys.modules[__name__]
    assert pickle.loads(pickle.dumps(module.pickled)) is module.pickled
    assert pickle.loads(pickle.dumps(module.Pickles.method)) is module.Pickles.method
    assert pickle.loads(pickle.dumps(module.Pickles().method))(2) == 6


def test_attributes_of_a_function_are_carried_over():
    """What other decorators left on the function is on the wrapper."""

    def function() -> None:
        """Do nothing."""

    function.route = "/ask"  # type: ignore[attr-defined]
    assert slotel.llm(function).route == "/ask"


def test_what_a_function_returned_keeps_its_name(process):
    """Debuggers and warnings show the user's name for an adopted coroutine or generator."""

    async def answer() -> str:
        return "value"

    def stream() -> Iterator[str]:
        yield "a"

    async def astream() -> AsyncIterator[str]:
        yield "a"

    adopted = slotel.llm(lambda: answer())()
    assert inspect.iscoroutine(adopted)
    assert adopted.__name__ == "answer"
    assert finished(adopted) == "value"
    running = slotel.llm(lambda: stream())()
    assert inspect.isgenerator(running)
    assert running.__name__ == "stream"
    running.close()
    astreaming = slotel.llm(lambda: astream())()
    assert inspect.isasyncgen(astreaming)
    assert astreaming.__name__ == "astream"


def test_a_generator_function_runs_nothing_before_its_first_step():
    """Laziness is kept: calling enters nothing."""
    entered: list[int] = []

    @slotel.llm
    def stream() -> Iterator[int]:
        entered.append(1)
        yield 1

    running = stream()
    assert entered == []
    assert inspect.getgeneratorstate(running) == "GEN_CREATED"
    assert next(running) == 1


def test_a_generator_takes_one_step_ahead_of_its_reader_only():
    """Chunks are handed over one at a time, as they are made."""
    made: list[int] = []

    @slotel.llm
    def stream() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            yield number

    for count, number in enumerate(stream(), start=1):
        assert number == count - 1
        assert len(made) == count


def test_other_iterators_are_handed_back_untouched(process):
    """A list iterator, a map or a user's own stream keeps its class; the call ended at return."""

    class Stream:
        def __iter__(self) -> Iterator[str]:
            return iter(STREAMED)

    for made in (iter(STREAMED), map(str, STREAMED), Stream()):
        assert slotel.llm(lambda given: given)(made) is made
    assert process.ended() == {("success", None): 3}


# -- clear errors at set-up -----------------------------------------------------------------------


class _Class:
    pass


@pytest.mark.parametrize("given", [_Class, 5, object(), property(lambda self: 1), ["f"], int])
def test_only_callables_are_decorated(given: Any):
    """A class or anything else is a TypeError that says what to do."""
    with pytest.raises(UsageError, match="functions and methods") as caught:
        slotel.llm(given)
    assert isinstance(caught.value, TypeError)


def test_a_decorated_class_is_a_type_error():
    """The usual form of the mistake."""
    with pytest.raises(TypeError, match="methods instead"):

        @slotel.agent
        class Agent:
            pass


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("llm", {"modle": "m"}, r"slotel.llm has no option 'modle'. It takes: attributes, content"),
        ("tool", {"model": "m"}, r"slotel.tool has no option 'model'"),
        ("journey", {"top_k": 1}, r"slotel.journey has no option 'top_k'"),
        ("llm", {"model": 5}, r"model must be text of 1 to 256 characters, got 5"),
        ("llm", {"provider": b"p"}, r"provider must be text"),
        ("retrieval", {"top_k": 0}, r"top_k must be a whole number >= 1, got 0"),
        ("retrieval", {"top_k": True}, r"top_k must be a whole number >= 1, got True"),
        ("llm", {"tokens_per_chunk": "1"}, r"tokens_per_chunk must be a whole number"),
        ("llm", {"attributes": ["a"]}, r"attributes must be a mapping"),
        ("llm", {"content": "text"}, r"content must be a function"),
        ("llm", {"attributes": {"a": object()}}, r"attribute 'a' must be text, a number"),
        ("llm", {"attributes": {5: "a"}}, r"an attribute's name must be text, got 5"),
        ("llm", {"attributes": {"a": "x" * 10_000}}, r"attribute 'a' has 10000 characters"),
        ("llm", {"model": "\ud800"}, r"model must be text of 1 to 256 characters"),
        ("llm", {"model": "x" * 10_000}, r"model must be text of 1 to 256 characters"),
        ("llm", {"operation": ""}, r"operation must be text of 1 to 256 characters, got ''"),
    ],
)
def test_a_wrong_option_is_refused_at_once(kind: str, options: dict[str, Any], message: str):
    """The message names the decorator, the option and what it takes."""
    with pytest.raises(UsageError, match=message) as caught:
        getattr(slotel, kind)(**options)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["", "x" * 10_000])
def test_a_name_that_cannot_be_used_is_refused_at_once(name: str):
    """An empty name or one of 10 kB is no name of an operation."""
    with pytest.raises(UsageError, match="name must be text of 1 to 256 characters"):
        slotel.journey(name)


def test_a_function_together_with_options_is_refused():
    """`llm(function, model=…)` would be ambiguous; the message shows the right form."""
    with pytest.raises(UsageError, match=r"Write @slotel.llm\(…\) above the function"):
        slotel.llm(plain, model="m")  # type: ignore[call-overload]


def test_specifications_are_immutable_and_say_what_they_are():
    """Calling one makes another; the first stays as it was."""
    first = slotel.llm(model="m")
    second = first("chatty", provider="p")
    assert repr(first) == "slotel.llm(None, model='m')"
    assert repr(second) == "slotel.llm('chatty', model='m', provider='p')"


def test_the_same_options_give_the_same_specification(process):
    """A block in a loop makes no site a call; other options, and other names, are others."""
    assert slotel.llm(model="m") is slotel.llm(model="m")
    assert slotel.llm(model="m") is not slotel.llm(model="n")
    assert slotel.llm("a", model="m") is not slotel.llm(model="m")
    assert slotel.llm(model="m")(provider="p") is not slotel.llm(model="m")
    sites = {id(slotel.llm(model="m").site) for _ in range(10)}
    assert len(sites) == 1
    for number in range(600):
        slotel.operation(f"made-up-{number}")
    with slotel.llm(attributes={"tier": "gold"}), slotel.llm(attributes={"tier": "free"}):
        pass
    tiers = {dict(key.attributes)["tier"] for key in process.measured()}
    assert tiers == {"gold", "free"}


def test_kinds_are_counted_under_their_operation(process):
    """Each decorator has the operation name that the conventions, or we, give it."""
    expected = {
        "llm": "chat", "embedding": "embeddings", "retrieval": "retrieval", "rerank": "rerank",
        "moderation": "moderation", "tool": "execute_tool", "agent": "invoke_agent",
        "journey": "plain", "operation": "plain",
    }  # fmt: skip
    for kind, name in expected.items():
        process.fresh()
        getattr(slotel, kind)(plain)(1)
        assert process.only().operation == name


def test_a_name_goes_before_the_functions_own(process):
    """`@tool("search")` is the tool search, whatever the function is called."""
    slotel.tool("search")(plain)(1)
    assert process.only().attributes == (("gen_ai.tool.name", "search"),)
