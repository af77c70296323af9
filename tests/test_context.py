"""What is current where: nesting, roles, ambient attributes, and nothing left in the caller."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import opentelemetry.context as otel_context
import pytest
from opentelemetry import trace

import slotel
from slotel import _context
from slotel._operation import Operation
from slotel._site import Site
from slotel.measure.measurement import Outcome, Role

pytestmark = pytest.mark.usefixtures("process")

user_variable: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="outside")


def here() -> tuple[Any, ...]:
    """Return everything of ours and of OpenTelemetry's that is current."""
    return (
        _context.held_by(_context.current.get()),
        otel_context.get_current(),
        trace.get_current_span(),
    )


def nothing_open() -> bool:
    return _context.held_by(_context.current.get()) is None


# -- current() ------------------------------------------------------------------------------------


def test_outside_of_any_call_everything_is_accepted_and_kept_nowhere(process):
    """`current()` is never None; what it is told has no effect."""
    call = slotel.current()
    assert call is slotel.current()
    call.request(model="m")
    call.usage(output_tokens=3)
    call.chunk("x")
    call.first_token()
    call.score("x", 1.0)
    call.documents([1, 2])
    call.verdict(flagged=True)
    call.attribute("a", "b")
    with call.active():
        assert slotel.current() is call
    assert call.finished
    assert call.finish() is False
    assert call.ref.trace_id == 0
    assert process.measured() == {}


def test_current_is_the_innermost_open_call():
    """Entering puts a call on top, leaving uncovers the one around it."""
    with slotel.agent("a") as outer:
        assert slotel.current() is outer
        with slotel.tool("t") as inner:
            assert slotel.current() is inner
        assert slotel.current() is outer

        @slotel.tool
        def nested() -> Operation:
            return slotel.current()

        found = nested()
        assert found is not outer
        assert found.finished
        assert slotel.current() is outer
    assert nothing_open()


def test_current_is_the_same_object_throughout_a_call():
    """What is told early and late goes to one record."""

    @slotel.llm
    def answer() -> bool:
        first = slotel.current()
        first.usage(output_tokens=2)
        return slotel.current() is first

    assert answer()


def test_every_form_has_its_own_call_current_inside():
    """Functions, coroutines, generators, asynchronous generators and what functions return."""
    site_of = {}

    def look(name: str) -> None:
        call = slotel.current()
        assert not call.finished
        site_of[name] = call.site.operation

    @slotel.operation("function")
    def function() -> None:
        look("function")

    @slotel.operation("coroutine")
    async def coroutine() -> None:
        await asyncio.sleep(0)
        look("coroutine")

    @slotel.operation("generator")
    def generator() -> Iterator[int]:
        yield 1
        look("generator")

    @slotel.operation("stream")
    async def stream() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        look("stream")

    @slotel.operation("returned")
    def returned() -> Any:
        async def inner() -> None:
            await asyncio.sleep(0)
            look("returned")

        return inner()

    async def run() -> None:
        function()
        await coroutine()
        list(generator())
        async for _ in stream():
            assert nothing_open()
        await returned()
        assert nothing_open()

    asyncio.run(run())
    assert site_of == {name: name for name in site_of}
    assert len(site_of) == 5


def test_the_reader_of_a_stream_is_not_inside_it():
    """Between two chunks the reader's own context is what it was."""

    @slotel.llm
    def stream() -> Iterator[int]:
        yield from range(3)

    with slotel.journey("ask") as journey:
        for _ in stream():
            assert slotel.current() is journey


# -- who is outer and who is inner ----------------------------------------------------------------


def test_nested_calls_of_one_operation_are_outer_and_inner(process):
    """The outer one takes over what only the inner one knew."""
    with slotel.llm, slotel.llm(model="m", provider="p") as inner:
        inner.usage(input_tokens=3, output_tokens=4)
    found = {key.role: key for key in process.measured()}
    assert set(found) == {Role.OUTER, Role.INNER}
    tokens = {key.role: total for key, total in process.sums("output_tokens").items()}
    assert tokens == {Role.OUTER: 4.0, Role.INNER: 4.0}


def test_what_the_outer_call_said_itself_stays(process):
    """Model and provider of the outer specification are not replaced by the inner call's."""
    with slotel.llm(model="alias"), slotel.llm as inner:
        inner.request(model="dated", provider="p")
    found = {key.role: (key.model, key.provider) for key in process.measured()}
    assert found == {Role.OUTER: ("alias", "p"), Role.INNER: ("dated", "p")}


def test_calls_of_other_operations_are_outer_themselves(process):
    """An agent that calls a model is not the model's call."""
    with slotel.agent("a"), slotel.llm, slotel.tool("t"):
        pass
    assert {key.role for key in process.measured()} == {Role.OUTER}


def test_a_call_of_the_same_operation_is_inner_through_others(process):
    """What lies between two calls of one operation changes nothing."""
    with slotel.llm, slotel.tool("t"), slotel.llm:
        pass
    roles = sorted(k.role.value for k in process.measured() if k.operation == "chat")
    assert roles == ["inner", "outer"]


def test_a_finished_call_is_nobodys_parent(process):
    """After the end of the first, the second is outer, though it runs in the same context."""
    with slotel.llm:
        pass
    with slotel.llm:
        pass
    assert {key.role for key in process.measured()} == {Role.OUTER}


def test_a_task_that_outlives_its_call_starts_calls_of_its_own(process):
    """A task copied the context while the call was open; by the time it calls, it was over."""

    async def run() -> None:
        go = asyncio.Event()

        async def later() -> None:
            await go.wait()
            with slotel.llm:
                pass

        with slotel.llm:
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        go.set()
        await task

    asyncio.run(run())
    assert {key.role for key in process.measured()} == {Role.OUTER}


def test_a_block_finished_by_hand_leaves_the_one_around_it_open(process):
    """Both blocks are of the same specification; each ends itself."""
    with slotel.llm as outer:
        with slotel.llm as inner:
            assert inner.finish(Outcome.ERROR, error_type="by hand")
            assert not inner.finish()
            with slotel.llm:  # The inner one is over, so this one is the outer one's.
                pass
        assert slotel.current() is outer
        assert not outer.finished
    assert nothing_open()
    assert process.ended() == {("success", None): 2, ("error", "by hand"): 1}


def test_blocks_left_in_another_order_end_every_call_once(process):
    """Whatever the order, each call is measured and nothing stays open."""
    first, second = slotel.llm(model="a"), slotel.llm(model="b")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert nothing_open()
    assert sum(process.measured().values()) == 2


def test_blocks_of_one_specification_in_many_tasks_end_their_own(process):
    """One specification object serves all tasks at once."""
    spec = slotel.llm(model="shared")

    async def one(number: int) -> None:
        async with spec as call:
            for _ in range(number % 5):
                await asyncio.sleep(0)
                assert slotel.current() is call
            call.score("number", number)

    async def run() -> None:
        await asyncio.gather(*(one(number) for number in range(100)))

    asyncio.run(run())
    assert process.ended() == {("success", None): 100}
    assert sum(process.sums("score.number").values()) == sum(range(100))


class Stream:
    """What an instrumented client returns: its operation ends when it has been read."""

    def __init__(self) -> None:
        self.call = Site("llm", model="inner", provider="p").begin(streaming=True)

    def __iter__(self) -> Iterator[str]:
        for text in ("a", "b"):
            self.call.chunk(text)
            yield text
        self.call.usage(output_tokens=2)
        self.call.finish()


@pytest.mark.parametrize("form", ["function", "coroutine"])
def test_an_outer_call_is_held_until_its_stream_ends(process, form: str):
    """The function has returned; its call ends with the nested one, and knows what that knows."""

    @slotel.llm
    def function() -> Stream:
        return Stream()

    @slotel.llm
    async def coroutine() -> Stream:
        return Stream()

    made = function() if form == "function" else asyncio.run(coroutine())
    assert nothing_open()
    assert process.measured() == {}
    assert list(made) == ["a", "b"]
    assert sorted(key.role.value for key in process.measured()) == ["inner", "outer"]
    assert {key.model for key in process.measured()} == {"inner"}
    assert sorted(process.sums("output_tokens").values()) == [2.0, 2.0]
    assert sum(process.measured("time_to_first_token").values()) == 2


def test_a_held_call_ends_as_its_stream_does(process):
    """An error in the middle of the stream is the outer call's outcome too."""

    @slotel.llm
    def answer() -> Stream:
        return Stream()

    answer().call.finish(error=TimeoutError())
    assert process.ended() == {("error", "TimeoutError"): 2}


@pytest.mark.parametrize("returned", ["text", None, 3, True])
def test_a_nested_call_that_goes_on_does_not_hold_a_whole_result(process, returned: object):
    """Nothing of text is still to come: a task left behind is not part of the call."""

    @slotel.llm
    async def summarise() -> None:
        await asyncio.sleep(30)

    @slotel.llm
    async def answer() -> object:
        tasks.append(asyncio.create_task(summarise()))
        await asyncio.sleep(0)
        return returned

    async def main() -> None:
        await answer()
        assert process.ended() == {("success", None): 1}
        tasks[0].cancel()

    tasks: list[asyncio.Task[None]] = []
    asyncio.run(main())
    assert process.ended() == {("success", None): 1, ("cancelled", "CancelledError"): 1}


def test_a_generator_at_its_end_waits_for_no_nested_call(process):
    """A reader that got everything has got everything, whoever still holds the inner stream."""

    @slotel.llm
    def answer() -> Iterator[str]:
        streams.append(Stream())
        yield "a"

    streams: list[Stream] = []
    assert list(answer()) == ["a"]
    assert process.ended() == {("success", None): 1}
    list(streams[0])
    assert process.ended() == {("success", None): 2}


def test_a_stream_in_a_block_does_not_hold_it(process):
    """A block ends where it is left."""
    with slotel.llm:
        stream = Stream()
    assert sum(process.measured().values()) == 1
    list(stream)
    assert sum(process.measured().values()) == 2


# -- tokens of nested calls -----------------------------------------------------------------------


class Answer:
    """A model's answer, as clients return it."""

    model = "m"
    usage = {"completion_tokens": 3}  # noqa: RUF012


def test_tokens_of_several_nested_calls_add_up_though_the_last_answer_is_returned(process):
    """The result says only what the last of them used."""

    @slotel.llm
    def answer() -> Answer:
        for _ in range(2):
            with slotel.llm as attempt:
                attempt.usage(output_tokens=3)
        return Answer()

    answer()
    assert sorted(process.sums("output_tokens").values()) == [6.0, 6.0]


@pytest.mark.parametrize("last", ["nested", "outer"])
def test_tokens_that_both_calls_know_are_counted_once(process, last: str):
    """In whatever order they are told."""
    with slotel.llm as outer:
        nested = slotel.llm.site.begin()
        nested.usage(output_tokens=3)
        if last == "outer":
            nested.finish()
        outer.usage(output_tokens=3)
        nested.finish()
    assert list(process.sums("output_tokens").values()) == [3.0, 3.0]


def test_what_the_provider_says_goes_before_a_count_of_chunks(process):
    """Chunks are counted where nobody knows better."""
    with slotel.llm as outer:
        nested = slotel.llm.site.begin()
        for text in ("a", "b"):
            outer.chunk(text, tokens=1)
        nested.usage(output_tokens=3)
        nested.finish()
    assert list(process.sums("output_tokens").values()) == [3.0, 3.0]


def test_of_several_nested_calls_the_last_one_says_what_came_back(process, spans):
    """A fallback's answer is the answer; the failure before it is not."""
    with slotel.llm(model="outer"):
        with slotel.llm as first:
            first.http(status_code=400, error_code="bad")
            first.finish("error")
        with slotel.llm as second:
            second.http(status_code=200)
            second.response(id="r2")
    (span,) = [one for one in spans.get_finished_spans() if one.name == "chat outer"]
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["gen_ai.response.id"] == "r2"
    assert "slotel.provider.error.code" not in span.attributes


def test_time_per_token_ends_with_the_last_nested_chunk(process):
    """The first stream broke off; the tokens are those of the second."""
    with slotel.llm as outer:
        at = outer.started
        with slotel.llm as first:
            first.chunk("a", at=at + 1)
        with slotel.llm as second:
            second.chunk("b", at=at + 2)
            second.chunk("c", at=at + 5)
            second.usage(output_tokens=5)
    ((_, total),) = [
        item for item in process.sums("time_per_output_token").items() if item[0].role is Role.OUTER
    ]
    assert total == pytest.approx((5 - 1) / 4)


# -- attributes() ---------------------------------------------------------------------------------


def labels_of(operation: str = "chat") -> list[dict[str, str]]:
    from slotel._process import recorder

    ledger = recorder.ledger()
    ledger.drain()
    counts = zip(ledger.keys("duration"), ledger.counts("duration"), strict=False)
    return [dict(key.attributes) for key, n in counts if n and key.operation == operation]


@pytest.fixture
def dimensions(process) -> None:
    slotel.configure(dimensions=["tier", "tenant"], metrics="none")


@pytest.mark.usefixtures("dimensions")
class TestAttributes:
    def test_the_inner_ones_win(self):
        with slotel.attributes(tier="gold", tenant="acme"):
            with slotel.attributes(tier="free"), slotel.llm:
                pass
            with slotel.operation("after"):
                pass
        with slotel.operation("outside"):
            pass
        assert labels_of() == [{"tier": "free", "tenant": "acme"}]
        assert labels_of("after") == [{"tier": "gold", "tenant": "acme"}]
        assert labels_of("outside") == [{}]

    def test_only_named_ones_are_dimensions(self):
        with slotel.attributes(tier=True, other="x"), slotel.llm:
            pass
        assert labels_of() == [{"tier": "true"}]

    def test_they_reach_calls_inside_calls(self):
        with slotel.attributes(tier="gold"), slotel.agent("a"):
            slotel.llm(lambda: None)()
        assert labels_of() == [{"tier": "gold"}]

    def test_a_calls_own_attribute_wins(self):
        with slotel.attributes(tier="gold"), slotel.llm as call:
            call.attribute("tier", "own")
        assert labels_of() == [{"tier": "own"}]

    async def test_they_reach_tasks_and_stay_apart(self):
        async def one(tier: str) -> None:
            async with slotel.attributes(tier=tier):
                await asyncio.sleep(0)
                with slotel.llm:
                    await asyncio.sleep(0)

        await asyncio.gather(one("a"), one("b"))
        assert sorted(found["tier"] for found in labels_of()) == ["a", "b"]

    async def test_one_object_serves_several_tasks_and_stays_in_none(self):
        shared = slotel.attributes(tier="gold")
        steps = [asyncio.Event(), asyncio.Event()]

        async def first() -> None:
            with shared:
                steps[0].set()
                await steps[1].wait()
            with slotel.operation("first"):
                pass

        async def second() -> None:
            await steps[0].wait()
            with shared:
                steps[1].set()
                for _ in range(5):
                    await asyncio.sleep(0)
            with slotel.operation("second"):
                pass

        await asyncio.gather(first(), second())
        assert labels_of("first") == labels_of("second") == [{}]

    def test_one_object_may_be_nested_in_itself(self):
        shared = slotel.attributes(tier="gold")
        with shared:
            with shared:
                pass
            with slotel.llm:
                pass
        with slotel.operation("outside"):
            pass
        assert labels_of() == [{"tier": "gold"}]
        assert labels_of("outside") == [{}]

    async def test_a_task_started_inside_keeps_them(self):
        go = asyncio.Event()

        async def later() -> None:
            await go.wait()
            with slotel.llm:
                pass

        with slotel.attributes(tier="gold"):
            task = asyncio.create_task(later())
        go.set()
        await task
        assert labels_of() == [{"tier": "gold"}]

    def test_threads_have_them_through_propagate(self):
        with slotel.attributes(tier="gold"), ThreadPoolExecutor(4) as pool:
            work = slotel.propagate(lambda number: slotel.llm(lambda: number)())
            assert list(pool.map(work, range(8))) == list(range(8))
        assert labels_of() == [{"tier": "gold"}]

    def test_threads_without_propagate_have_none(self):
        with slotel.attributes(tier="gold"):
            thread = threading.Thread(target=slotel.llm(lambda: None))
            thread.start()
            thread.join()
        assert labels_of() == [{}]

    @pytest.mark.parametrize("how", ["next", "asend"])
    async def test_a_stream_keeps_what_its_body_opened_across_a_yield(self, how: str):
        @slotel.agent("a")
        async def stream() -> AsyncIterator[int]:
            with slotel.attributes(tier="gold"), slotel.operation("block") as block:
                yield 1
                assert slotel.current() is block
                with slotel.llm:
                    pass
                yield 2
                assert slotel.current() is block

        running = stream()
        await anext(running)
        await (anext(running) if how == "next" else running.asend("x"))
        assert nothing_open()
        with contextlib.suppress(StopAsyncIteration):
            await (anext(running) if how == "next" else running.asend("x"))
        assert labels_of() == [{"tier": "gold"}]
        assert nothing_open()

    async def test_a_stream_closed_in_another_task_leaves_none_behind(self):
        async def stream() -> AsyncIterator[int]:
            with slotel.attributes(tier="gold"):
                yield 1

        running = stream()
        await anext(running)
        await asyncio.create_task(running.aclose())
        with slotel.llm:
            pass
        assert labels_of() == [{}]


def test_propagate_carries_the_open_call_and_keeps_the_functions_face(process):
    """A thread's call of the same operation is inner; the function looks as before."""

    def work(number: int) -> int:
        """Work."""
        with slotel.llm:
            return number

    with slotel.llm, ThreadPoolExecutor(2) as pool:
        bound = slotel.propagate(work)
        assert list(pool.map(bound, range(4))) == [0, 1, 2, 3]
    assert bound.__name__ == "work"
    assert bound.__doc__ == "Work."
    roles = {key.role.value: count for key, count in process.measured().items()}
    assert roles == {"outer": 1, "inner": 4}


# -- nothing is left in the caller ----------------------------------------------------------------


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    before = here()
    yield
    assert here() == before


def _raise() -> None:
    raise ValueError


def _coroutine_scenario(body: Callable[[], Any]) -> Callable[[], Any]:
    @slotel.llm
    async def call() -> None:
        await asyncio.sleep(0)
        body()

    async def scenario() -> None:
        with unchanged(), contextlib.suppress(ValueError):
            await call()

    return lambda: asyncio.run(scenario())


def _generator_scenario(body: Callable[[], Any]) -> Callable[[], Any]:
    @slotel.llm
    def call() -> Iterator[int]:
        yield 1
        body()
        yield 2

    def scenario() -> None:
        before = here()
        with contextlib.suppress(ValueError):
            for _ in call():
                assert here() == before

    return scenario


def _async_generator_scenario(body: Callable[[], Any]) -> Callable[[], Any]:
    @slotel.llm
    async def call() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        body()
        yield 2

    async def scenario() -> None:
        before = here()
        with contextlib.suppress(ValueError):
            async for _ in call():
                assert here() == before
        assert here() == before

    return lambda: asyncio.run(scenario())


def _returned_scenario(body: Callable[[], Any]) -> Callable[[], Any]:
    async def inner() -> None:
        await asyncio.sleep(0)
        body()

    call = slotel.llm(lambda: inner())

    async def scenario() -> None:
        with unchanged():
            with unchanged():
                made = call()
            with contextlib.suppress(ValueError):
                await made

    return lambda: asyncio.run(scenario())


def _block_scenario(body: Callable[[], Any]) -> Callable[[], Any]:
    def scenario() -> None:
        with contextlib.suppress(ValueError), slotel.llm:
            body()

    return scenario


def _function_scenario(body: Callable[[], Any]) -> Callable[[], Any]:
    def scenario() -> None:
        with contextlib.suppress(ValueError):
            slotel.llm(lambda: body())()

    return scenario


SCENARIOS = [
    _function_scenario, _coroutine_scenario, _generator_scenario, _async_generator_scenario,
    _returned_scenario, _block_scenario,
]  # fmt: skip


@pytest.mark.parametrize("body", [lambda: None, _raise])
@pytest.mark.parametrize("make", SCENARIOS)
@pytest.mark.parametrize("sdk", [False, True])
def test_no_form_leaves_anything_current_behind(request, caplog, sdk: bool, make, body):
    """The open call and OpenTelemetry's context are the same before and after."""
    if sdk:
        request.getfixturevalue("spans")
    scenario = make(body)
    with unchanged():
        scenario()
    tracer = trace.get_tracer("user")
    with tracer.start_as_current_span("user"), slotel.agent("a"), unchanged():
        scenario()
    assert "detach" not in caplog.text


async def _closed_elsewhere(running: Any) -> None:
    await asyncio.create_task(running.aclose())


@pytest.mark.parametrize("users_span", [False, True])
def test_a_generator_closed_in_another_thread_and_context_leaves_nothing(
    spans, caplog, users_span: bool
):
    """Nothing is detached where it was not attached, even with a span of the user's open inside."""
    tracer = trace.get_tracer("user")

    @slotel.llm
    def stream() -> Iterator[int]:
        opened = tracer.start_as_current_span("user") if users_span else contextlib.nullcontext()
        with opened:
            yield 1
            yield 2

    with unchanged():
        running = stream()
        next(running)
        thread = threading.Thread(target=lambda: contextvars.Context().run(running.close))
        thread.start()
        thread.join()
    assert "detach" not in caplog.text
    assert len(spans.get_finished_spans()) == 1 + users_span


async def test_an_async_generator_closed_in_another_task_leaves_nothing(spans, caplog):
    """The same for asynchronous ones."""

    @slotel.llm
    async def stream() -> AsyncIterator[int]:
        yield 1
        yield 2

    with unchanged():
        running = stream()
        await anext(running)
        await _closed_elsewhere(running)
    assert "detach" not in caplog.text
    assert len(spans.get_finished_spans()) == 1


async def test_a_users_span_across_a_yield_is_current_in_the_next_step_only(spans):
    """It is the body's, not the reader's, and calls inside are its children."""
    tracer = trace.get_tracer("user")

    @slotel.llm
    async def stream() -> AsyncIterator[int]:
        with tracer.start_as_current_span("user"):
            yield 1
            with slotel.tool("t"):
                yield 2

    with unchanged():
        async for _ in stream():
            assert not trace.get_current_span().get_span_context().is_valid
    by_name = {span.name: span for span in spans.get_finished_spans()}
    assert by_name["execute_tool t"].parent.span_id == by_name["user"].context.span_id
    assert by_name["user"].parent.span_id == by_name["chat"].context.span_id


# -- many at once, and the user's own variables ---------------------------------------------------


@pytest.mark.parametrize("sdk", [False, True])
def test_each_of_100_interleaved_tasks_sees_its_own_call(request, process, sdk: bool):
    """Through every kind of step, `current()` is the task's own."""
    if sdk:
        request.getfixturevalue("spans")

    @slotel.llm
    async def stream(number: int) -> AsyncIterator[int]:
        mine = slotel.current()
        for step in range(3):
            await asyncio.sleep(0)
            assert slotel.current() is mine
            yield step

    @slotel.agent
    async def agent(number: int) -> int:
        mine = slotel.current()
        mine.attribute("number", number)
        for _ in range(number % 7):
            await asyncio.sleep(0)
        assert slotel.current() is mine
        async for _ in stream(number):
            assert slotel.current() is mine
            await asyncio.sleep(0)
        with slotel.tool("t") as inner:
            await asyncio.sleep(0)
            assert slotel.current() is inner
        assert slotel.current() is mine
        return number

    async def run() -> None:
        assert await asyncio.gather(*(agent(n) for n in range(100))) == list(range(100))
        assert nothing_open()

    asyncio.run(run())
    by_operation: dict[str, int] = {}
    for key, count in process.measured().items():
        assert key.role is Role.OUTER
        by_operation[key.operation] = by_operation.get(key.operation, 0) + count
    assert by_operation == {"invoke_agent": 100, "chat": 100, "execute_tool": 100}


def test_a_loop_inside_a_thread_inside_a_call_is_apart(process):
    """A nested event loop in a thread sees no call; through propagate it sees the outer one."""
    seen: list[bool] = []

    async def inside() -> None:
        seen.append(nothing_open())
        with slotel.tool("t"):
            await asyncio.sleep(0)

    async def run() -> None:
        with slotel.agent("a"):
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, lambda: asyncio.run(inside()))
            await loop.run_in_executor(None, slotel.propagate(lambda: asyncio.run(inside())))

    asyncio.run(run())
    assert seen == [True, False]
    assert process.ended() == {("success", None): 3}


def test_a_users_variable_set_in_a_function_is_seen_by_the_caller():
    """Decorating does not put a function or coroutine into a context of its own."""

    @slotel.llm
    def function() -> None:
        user_variable.set("function")

    @slotel.llm
    async def coroutine() -> None:
        user_variable.set("coroutine")

    async def run() -> str:
        await coroutine()
        return user_variable.get()

    token = user_variable.set("before")
    try:
        function()
        assert user_variable.get() == "function"
        assert asyncio.run(run()) == "coroutine"
    finally:
        user_variable.reset(token)


async def test_a_users_variable_and_an_async_generator_meet_as_ever():
    """The reader's values reach the body, and the body's the reader."""
    seen: list[str] = []

    @slotel.llm
    async def stream() -> AsyncIterator[int]:
        seen.append(user_variable.get())
        user_variable.set("body")
        yield 1
        seen.append(user_variable.get())

    user_variable.set("reader")
    async for _ in stream():
        assert user_variable.get() == "body"
        user_variable.set("reader again")
    assert seen == ["reader", "reader again"]


def test_a_generators_body_keeps_its_variables_to_itself():
    """It runs in one copy of its reader's context, so that nothing it makes current leaks."""
    seen: list[str] = []

    @slotel.llm
    def stream() -> Iterator[int]:
        seen.append(user_variable.get())
        user_variable.set("body")
        yield 1
        seen.append(user_variable.get())

    token = user_variable.set("reader")
    try:
        for _ in stream():
            assert user_variable.get() == "reader"
        assert seen == ["reader", "body"]
    finally:
        user_variable.reset(token)


def test_a_coroutine_run_inside_another_call_gives_that_call_back():
    """A function returned it outside; whoever awaits it inside another call stays there."""

    async def inner() -> AsyncIterator[int]:
        yield 1

    async def opened() -> Any:
        return inner()

    made = slotel.llm(lambda: opened())()

    async def run() -> None:
        with slotel.agent("a") as agent:
            stream = await made
            assert slotel.current() is agent
            async for _ in stream:
                assert slotel.current() is agent

    asyncio.run(run())


def test_an_slo_can_select_by_an_attribute_that_is_named_as_a_part_of_the_series(process):
    """`model` and `provider` are names like others; the series' own are not meant."""
    chosen = {"latency": {"attributes": {"model": "gold"}, "at_most": "60s"}}
    slo = {"name": "gold", "sli": chosen, "objective": "90%"}
    slotel.configure(metrics="none", slos={"version": "slotel/v1", "slos": [slo]})
    with slotel.attributes(model="gold"), slotel.llm(model="m"):
        pass
    assert slotel.status("gold").total == 1


@pytest.mark.parametrize(("calls", "wanted"), [("outer", 1), ("every", 2)])
def test_the_load_of_a_throughput_slo_is_that_of_the_calls_it_reads(process, calls, wanted: int):
    """Nested calls are offered where they are counted, and marked as such."""
    floor = {"throughput": {"requests_per_second": 1, "calls": calls}}
    slo = {"name": "load", "sli": floor, "objective": "90%"}
    slotel.configure(metrics="none", slos={"version": "slotel/v1", "slos": [slo]})

    @slotel.llm
    def answer(depth: int) -> None:
        if depth:
            answer(depth - 1)

    answer(1)
    started = process.measured("arrivals")
    select = slotel.status("load").slo.sli.select
    assert sum(count for key, count in started.items() if select.matches(key)) == wanted
    assert started.keys() == process.measured().keys()
