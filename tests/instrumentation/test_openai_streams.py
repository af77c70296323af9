"""Streams: what counts as content, and every way in which one may end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import inspect
from typing import Any

import openai
import openai_traffic as traffic
import pytest
from openai_traffic import ASK, CHAT_STREAM, DONE, DOT, HELLO, ROLE, STOP, USED, Service
from test_openai_calls import chat_with_helpers, needs_responses

from conftest import Calls, Finished, Seen
from slotel.instrumentation.openai import raw_bodies
from slotel.measure.measurement import Outcome


def ask(*events: Any) -> openai.Stream[Any]:
    """Return the stream of a chat completion that answers with these events."""
    client = Service(traffic.stream(events)).client()
    return client.chat.completions.create(**ASK, stream=True)


async def ask_async(*events: Any) -> openai.AsyncStream[Any]:
    client = Service(traffic.stream(events)).async_client()
    return await client.chat.completions.create(**ASK, stream=True)


async def collect() -> None:
    """Let the loop close every generator that was dropped, one layer after the other."""
    for _ in range(50):
        gc.collect(0)
        await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)


def shape(call: Finished) -> tuple[Outcome, str | None, int]:
    return call.outcome, call.error_type, call.chunks


def assert_complete(call: Finished) -> None:
    """A whole stream was measured: figures, and the order of its times."""
    assert shape(call) == (Outcome.SUCCESS, None, 5)
    assert (call.usage, call.usage_source) == (traffic.TOKENS, "provider")
    assert (call.response_id, call.response_model) == ("chatcmpl-1", traffic.ANSWERED_BY)
    assert (call.finish_reasons, call.status_code) == (("stop",), 200)
    assert call.call.started < call.first_chunk_at < call.first_token_at < call.last_chunk_at
    assert call.call.started + call.elapsed == pytest.approx(call.last_chunk_at, abs=1e-9)
    assert call.streaming is True


# --- read to the end --------------------------------------------------------------------------


def test_a_stream_read_to_its_end(calls: Calls) -> None:
    """Role, text, finish reason and usage are told apart; the user's objects are the client's."""
    stream = ask(*CHAT_STREAM)
    assert type(stream) is openai.Stream
    assert not calls
    found = list(stream)
    assert [one.choices[0].delta.content for one in found[:3]] == ["", "Hello", "."]
    assert found[4].usage.total_tokens == 19
    assert_complete(calls.only())


async def test_an_asynchronous_stream_read_to_its_end(calls: Calls) -> None:
    """The same, asynchronously."""
    stream = await ask_async(*CHAT_STREAM)
    assert type(stream) is openai.AsyncStream
    assert len([one async for one in stream]) == 5
    assert_complete(calls.only())


def test_nothing_is_read_in_advance(calls: Calls) -> None:
    """A block is taken from the service only when the user asks for it."""
    service = Service(traffic.stream(CHAT_STREAM))
    stream = service.client().chat.completions.create(**ASK, stream=True)
    (body,) = service.bodies
    assert body.given == 0
    next(stream)
    assert body.given == 1
    stream.close()
    assert body.closed


def test_events_cut_anywhere_are_measured_the_same(calls: Calls) -> None:
    """Blocks of a network do not care for the borders of events."""
    text = b"".join(traffic.blocks(CHAT_STREAM))
    for size in (1, 7, 100, len(text)):
        parts = [text[start : start + size] for start in range(0, len(text), size)]
        client = Service(traffic.body(parts)).client()
        assert len(list(client.chat.completions.create(**ASK, stream=True))) == 5
        call = calls.only()
        assert (shape(call), call.usage) == ((Outcome.SUCCESS, None, 5), traffic.TOKENS)


def test_a_compressed_stream_is_measured_by_its_parsed_events(calls: Calls) -> None:
    """Content encoding hides the bytes from us, not the events."""
    packed = gzip.compress(b"".join(traffic.blocks(CHAT_STREAM)))
    reply = traffic.body([packed[:50], packed[50:]], content_encoding="gzip")
    stream = Service(reply).client().chat.completions.create(**ASK, stream=True)
    assert len(list(stream)) == 5
    assert calls.only().usage == traffic.TOKENS


def test_a_stream_without_usage_says_so(calls: Calls) -> None:
    """Tokens are not guessed from chunks."""
    list(ask(ROLE, HELLO, STOP, DONE))
    call = calls.only()
    assert (call.usage, call.usage_source) == ({}, "missing")


def replayed(*events: Any) -> Any:
    """Return a client whose transport hands over the whole body at once, as a cassette does."""
    text = b"".join(traffic.blocks(events))
    headers = {"content-type": "text/event-stream"}
    service = Service(lambda request: traffic.http.Response(200, headers=headers, content=text))
    return service.client()


def test_a_stream_from_memory_is_measured(calls: Calls) -> None:
    """It ends with its last event, for there are no bytes to wait for."""
    stream = replayed(*CHAT_STREAM).chat.completions.create(**ASK, stream=True)
    assert not calls
    assert len(list(stream)) == 5
    assert_complete(calls.only())


def test_a_stream_from_memory_need_not_give_a_reason(calls: Calls) -> None:
    """`[DONE]` completes it; without that it was cut off."""
    list(replayed(ROLE, HELLO, DONE).chat.completions.create(**ASK, stream=True))
    assert shape(calls.only()) == (Outcome.SUCCESS, None, 2)
    list(replayed(ROLE, HELLO).chat.completions.create(**ASK, stream=True))
    assert shape(calls.only()) == (Outcome.ERROR, "incomplete_stream", 2)
    list(replayed().chat.completions.create(**ASK, stream=True))
    assert shape(calls.only()) == (Outcome.ERROR, "incomplete_stream", 0)


def test_a_stream_from_memory_left_early_is_cancelled(calls: Calls) -> None:
    """Nothing is told of its closing; it ends when it is collected."""
    with replayed(*CHAT_STREAM).chat.completions.create(**ASK, stream=True) as stream:
        next(stream)
    del stream
    gc.collect()
    assert shape(calls.only()) == (Outcome.CANCELLED, None, 1)


def test_lines_from_memory_are_read_when_they_are_collected(calls: Calls) -> None:
    """Nobody tells how far they were read; the call was over before anyway."""
    chat = replayed(*CHAT_STREAM).chat.completions
    with chat.with_streaming_response.create(**ASK, stream=True) as response:
        assert list(response.iter_lines())
    del response
    gc.collect()
    call = calls.only()
    assert (shape(call), call.usage) == ((Outcome.SUCCESS, None, 5), traffic.TOKENS)


# --- what is content --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "Hello"},
        {"refusal": "No."},
        traffic.tool_delta("look_up", ""),
        {"function_call": {"name": "look_up", "arguments": ""}},
        {"reasoning_content": "Hm."},
        {"audio": {"transcript": "Hello"}},
    ],
)
def test_content_is_told_from_structure(calls: Calls, delta: dict[str, Any]) -> None:
    """The first content is not the first chunk: role and empty deltas say nothing."""
    stream = ask(ROLE, traffic.chunk({"content": ""}), traffic.chunk(delta), STOP, DONE)
    next(stream), next(stream)
    live = seen_of(stream)
    assert (live.first_token_at, live.chunks) == (None, 2)
    next(stream)
    assert live.first_token_at == live.last_chunk_at
    list(stream)
    assert calls.only().outcome is Outcome.SUCCESS


def seen_of(stream: Any) -> Seen:
    """Return what is known of a stream that is still being read."""
    return Seen(stream.response.extensions["slotel.exchange"].call)


def test_an_answer_without_content_has_no_first_token(calls: Calls) -> None:
    """Role and finish reason alone are no content."""
    list(ask(ROLE, STOP, DONE))
    call = calls.only()
    assert (call.outcome, call.first_token_at) == (Outcome.SUCCESS, None)


def test_tool_calls_are_content_from_their_name_on(calls: Calls) -> None:
    """A call of a tool starts with its name; arguments follow."""
    list(
        ask(
            ROLE,
            traffic.chunk(traffic.tool_delta("look_up", "")),
            traffic.chunk(traffic.tool_delta(None, '{"q": 1}')),
            traffic.chunk({}, "tool_calls"),
            USED,
            DONE,
        )
    )
    call = calls.only()
    assert call.finish_reasons == ("tool_calls",)
    assert call.first_chunk_at < call.first_token_at < call.last_chunk_at


def test_several_choices_end_one_by_one(calls: Calls) -> None:
    """With n=2 the answer is complete when both choices are."""
    events = [
        HELLO,
        traffic.chunk({"content": "Hi"}, index=1),
        traffic.chunk({}, "length", index=1),
        traffic.chunk({}, "stop", index=0),
    ]
    client = Service(traffic.stream([*events, DONE])).client()
    list(client.chat.completions.create(**ASK, n=2, stream=True))
    assert calls.only().finish_reasons == ("stop", "length")

    stream = client.chat.completions.create(**ASK, n=2, stream=True)
    for _ in range(3):
        next(stream)
    stream.close()
    call = calls.only()
    assert (call.outcome, call.finish_reasons) == (Outcome.CANCELLED, ("error", "length"))


def test_a_stream_of_legacy_completions(calls: Calls) -> None:
    """Text is content there; a prompt list asks for a choice each."""
    events = [
        {**traffic.TEXT_COMPLETION, "usage": None, "choices": [
            {"index": index, "text": text, "finish_reason": reason, "logprobs": None}]}
        for index, text, reason in (
            (0, "", None), (0, "Hi", None), (1, "Ho", "stop"), (0, "", "stop"))
    ]  # fmt: skip
    client = Service(traffic.stream([*events, DONE])).client()
    list(client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["a", "b"], stream=True))
    call = calls.only()
    assert (call.operation, call.finish_reasons) == ("text_completion", ("stop", "stop"))
    assert call.first_chunk_at < call.first_token_at


# --- the Responses API ------------------------------------------------------------------------


async def test_a_stream_of_a_response(calls: Calls) -> None:
    """`response.created` and its like are structure, text deltas are content."""
    needs_responses()
    client = Service(traffic.stream(traffic.RESPONSE_STREAM)).async_client()
    stream = await client.responses.create(model=traffic.MODEL, input="Hello", stream=True)
    seen = []
    async for one in stream:
        seen.append(one.type)
        if one.type == "response.content_part.added":
            assert seen_of(stream).first_token_at is None
        if one.type == "response.output_text.delta":
            assert seen_of(stream).first_token_at is not None
    assert len(seen) == len(traffic.RESPONSE_STREAM)
    call = calls.only()
    assert (call.outcome, call.usage) == (Outcome.SUCCESS, traffic.TOKENS)
    assert (call.response_id, call.finish_reasons) == ("resp_1", ("stop",))


def test_a_response_helper_is_measured(calls: Calls) -> None:
    """`responses.stream()` reads the same events."""
    needs_responses()
    client = Service(traffic.stream(traffic.RESPONSE_STREAM)).client()
    with client.responses.stream(model=traffic.MODEL, input="Hello") as stream:
        assert stream.get_final_response().output_text == "Hello."
    assert calls.only().usage == traffic.TOKENS


def test_a_function_call_of_a_response_is_content(calls: Calls) -> None:
    """The item that names the function is the first content."""
    needs_responses()
    item = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": ""}
    events = [
        *traffic.RESPONSE_START[:2],
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.completed", "response": traffic.response(output=[item])},
    ]
    numbered = [{**one, "sequence_number": number} for number, one in enumerate(events)]
    client = Service(traffic.stream(numbered)).client()
    list(client.responses.create(model=traffic.MODEL, input="Hello", stream=True))
    call = calls.only()
    assert call.first_chunk_at < call.first_token_at < call.last_chunk_at
    assert call.finish_reasons == ("tool_calls",)


@pytest.mark.parametrize(
    ("last", "error_type"),
    [
        ({"type": "error", "code": "server_error", "message": "It failed.", "param": None},
         "server_error"),
        ({"type": "error", "code": None, "message": "It failed.", "param": None}, "error"),
        ({"type": "response.failed", "response": traffic.response(
            "failed", error={"code": "rate_limit_exceeded", "message": "Slow down."})},
         "rate_limit_exceeded"),
    ],
)  # fmt: skip
def test_a_response_that_fails_midway_is_an_error(
    calls: Calls, last: dict[str, Any], error_type: str
) -> None:
    """The client raises nothing for these events; the call has failed all the same."""
    needs_responses()
    events = [*traffic.RESPONSE_START, {**last, "sequence_number": 9}]
    client = Service(traffic.stream(events)).client()
    list(client.responses.create(model=traffic.MODEL, input="Hello", stream=True))
    call = calls.only()
    assert shape(call) == (Outcome.ERROR, error_type, 5)


# --- ended by the reader ----------------------------------------------------------------------


def test_a_reader_that_breaks_off_has_cancelled(calls: Calls) -> None:
    """Leaving the loop and dropping the stream ends the call once the stream is collected.

    The client's stream and its own generator refer to each other, so that is the collector's work.
    """
    stream = ask(*CHAT_STREAM)
    for _ in stream:
        break
    assert not calls
    del stream
    gc.collect()
    call = calls.only()
    assert shape(call) == (Outcome.CANCELLED, None, 1)
    assert call.finish_reasons == ("error",)


def test_leaving_the_with_block_has_cancelled(calls: Calls) -> None:
    """The block closes the stream; an error of the user's inside it is not the service's."""
    with ask(*CHAT_STREAM) as stream:
        next(stream)
    assert shape(calls.only()) == (Outcome.CANCELLED, None, 1)
    with pytest.raises(ZeroDivisionError), ask(*CHAT_STREAM) as stream:
        next(stream)
        _ = 1 / 0
    assert shape(calls.only()) == (Outcome.CANCELLED, None, 1)


def test_close_has_cancelled_even_if_all_bytes_had_come(calls: Calls) -> None:
    """What lies in the buffer was not read."""
    text = b"".join(traffic.blocks(CHAT_STREAM))
    stream = Service(traffic.body([text])).client().chat.completions.create(**ASK, stream=True)
    next(stream)
    stream.close()
    stream.close()
    assert shape(calls.only()) == (Outcome.CANCELLED, None, 1)


@pytest.mark.parametrize("iterated", [False, True])
def test_an_abandoned_stream_ends_when_it_is_collected(calls: Calls, iterated: bool) -> None:
    """Its elapsed time is that of the last sign of life, not of the collector."""
    stream = ask(*CHAT_STREAM)
    response = stream.response
    if iterated:
        next(stream)
    del stream
    last = response.extensions["slotel.exchange"]._last_at
    del response
    gc.collect()
    call = calls.only()
    assert shape(call) == (Outcome.CANCELLED, None, int(iterated))
    assert call.call.started + call.elapsed == pytest.approx(last, abs=1e-9)


def test_stopping_after_the_finish_reason_is_success(calls: Calls) -> None:
    """The answer was complete; the reader only did not wait for `[DONE]`."""
    with ask(*CHAT_STREAM) as stream:
        for one in stream:
            if one.choices[0].finish_reason:
                break
    call = calls.only()
    assert (shape(call), call.usage_source) == ((Outcome.SUCCESS, None, 4), "missing")


def test_done_without_a_finish_reason_is_success(calls: Calls) -> None:
    """Some services never give a reason; `[DONE]` says enough."""
    list(ask(ROLE, HELLO, DONE))
    assert shape(calls.only()) == (Outcome.SUCCESS, None, 2)


async def test_done_without_a_finish_reason_is_success_asynchronously(calls: Calls) -> None:
    """The asynchronous client drains the body after `[DONE]`; that is no failure."""
    assert len([one async for one in await ask_async(ROLE, HELLO, DONE)]) == 2
    assert shape(calls.only()) == (Outcome.SUCCESS, None, 2)


async def test_a_reader_cancelled_inside_a_read_is_cancelled(calls: Calls) -> None:
    """Cancelled while waiting for the next chunk: told at once, with its reason."""
    stream = await ask_async(ROLE, HELLO, asyncio.Event(), STOP, DONE)
    reached = asyncio.Event()

    async def read() -> None:
        async for one in stream:
            if one.choices[0].delta.content:
                reached.set()

    task = asyncio.create_task(read())
    await reached.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call = calls.only()
    assert shape(call) == (Outcome.CANCELLED, "CancelledError", 2)
    assert call.first_token_at is not None


async def test_a_reader_cancelled_between_reads_is_cancelled(calls: Calls) -> None:
    """Nothing of the client notices; the stream is closed when the loop collects it."""
    stream = await ask_async(*CHAT_STREAM)
    reached = asyncio.Event()

    async def read(stream: Any) -> None:
        async for _ in stream:
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read(stream))
    del stream
    await reached.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    del task
    await collect()
    assert calls.only().outcome is Outcome.CANCELLED


async def test_a_stream_closed_from_another_task_is_cancelled(calls: Calls) -> None:
    """Closing needs no context of ours."""
    stream = await ask_async(*CHAT_STREAM)
    assert await anext(stream)
    await asyncio.create_task(stream.close())
    assert shape(calls.only()) == (Outcome.CANCELLED, None, 1)


async def test_a_generator_around_a_stream_closed_from_another_task(calls: Calls) -> None:
    """A web framework closes its response generator wherever it likes."""
    opened = await ask_async(*CHAT_STREAM)

    async def tokens() -> Any:
        async with opened as stream:
            async for one in stream:
                yield one

    reader = tokens()
    await anext(reader)
    await asyncio.create_task(reader.aclose())
    assert shape(calls.only()) == (Outcome.CANCELLED, None, 1)


# --- ended by the service ---------------------------------------------------------------------


@pytest.mark.parametrize("error", [traffic.failure("server_error"), traffic.failure(None)])
def test_an_error_event_midway_is_an_error(calls: Calls, error: dict[str, Any]) -> None:
    """The client raises from within the stream; the provider's code is the type."""
    code = error["error"]["code"] or "invalid_request_error"
    stream = ask(ROLE, HELLO, error)
    with pytest.raises(openai.APIError, match="It failed."):
        list(stream)
    del stream
    gc.collect()
    call = calls.only()
    assert call.outcome is Outcome.ERROR
    assert call.error_type == code
    assert (call.chunks, call.finish_reasons) == (2, ("error",))


async def test_an_error_event_midway_is_an_error_asynchronously(calls: Calls) -> None:
    """The same, asynchronously."""
    stream = await ask_async(ROLE, HELLO, traffic.failure("server_error"))
    with pytest.raises(openai.APIError, match="It failed."):
        async for _ in stream:
            pass
    del stream
    await collect()
    call = calls.only()
    assert (call.outcome, call.error_type) == (Outcome.ERROR, "server_error")


def test_an_event_that_is_no_json_is_an_error(calls: Calls) -> None:
    """The client cannot read it and raises; the reader has not left by itself."""
    stream = ask(ROLE, HELLO, b"{not json", DOT)
    with pytest.raises(ValueError, match="property name"):
        list(stream)
    del stream
    gc.collect()
    call = calls.only()
    # Old clients leave the body to the collector, and nobody knows why.
    closes_by_itself = "finally" in inspect.getsource(openai.Stream.__stream__)
    expected = (Outcome.ERROR, "JSONDecodeError") if closes_by_itself else (Outcome.CANCELLED, None)
    assert shape(call) == (*expected, 2)
    assert call.usage_source == "missing"


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (traffic.http.ReadTimeout("slow"), "APITimeoutError"),
        (traffic.http.RemoteProtocolError("cut"), "APIConnectionError"),
    ],
)
def test_a_connection_lost_midway_is_an_error(
    calls: Calls, error: Exception, error_type: str
) -> None:
    """Old clients let the HTTP library's error through; its type is the client's name for it."""
    with pytest.raises((openai.APIConnectionError, traffic.http.TransportError)):
        list(ask(ROLE, HELLO, error))
    call = calls.only()
    assert shape(call) == (Outcome.ERROR, error_type, 2)


def test_a_stream_that_just_ends_is_an_error(calls: Calls) -> None:
    """Without finish reason, terminal event or `[DONE]` the answer was cut off."""
    list(ask(ROLE, HELLO))
    assert shape(calls.only()) == (Outcome.ERROR, "incomplete_stream", 2)


def test_a_last_event_without_its_blank_line_counts(calls: Calls) -> None:
    """A service that ends its body right after the data has still said it all."""
    parts = [*traffic.blocks([ROLE, HELLO, STOP]), traffic.event(USED, end=b"\n")]
    stream = Service(traffic.body(parts)).client().chat.completions.create(**ASK, stream=True)
    list(stream)
    assert calls.only().outcome is Outcome.SUCCESS
    parts = [*traffic.blocks([ROLE, HELLO]), traffic.event(STOP, end=b"\n")]
    stream = Service(traffic.body(parts)).client().chat.completions.create(**ASK, stream=True)
    list(stream)
    call = calls.only()
    assert (call.outcome, call.finish_reasons) == (Outcome.SUCCESS, ("stop",))


# --- other ways to read -----------------------------------------------------------------------


def test_a_raw_stream_is_measured_when_it_is_parsed(calls: Calls) -> None:
    """`with_raw_response` and `stream=True`: the stream comes out of `parse`."""
    client = Service(traffic.stream(CHAT_STREAM)).client()
    raw = client.chat.completions.with_raw_response.create(**ASK, stream=True)
    assert not calls
    stream = raw.parse()
    assert type(stream) is openai.Stream
    list(stream)
    assert_complete(calls.only())


async def test_an_asynchronous_raw_stream_is_measured(calls: Calls) -> None:
    """The same, asynchronously."""
    client = Service(traffic.stream(CHAT_STREAM)).async_client()
    raw = await client.chat.completions.with_raw_response.create(**ASK, stream=True)
    assert len([one async for one in raw.parse()]) == 5
    assert_complete(calls.only())


def test_a_streaming_response_parsed_to_a_stream(calls: Calls) -> None:
    """`with_streaming_response` and `stream=True`, parsed."""
    client = Service(traffic.stream(CHAT_STREAM)).client()
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        list(response.parse())
    assert_complete(calls.only())


async def test_an_asynchronous_streaming_response_parsed_to_a_stream(calls: Calls) -> None:
    """The same, asynchronously."""
    client = Service(traffic.stream(CHAT_STREAM)).async_client()
    streaming = client.chat.completions.with_streaming_response
    async with streaming.create(**ASK, stream=True) as response:
        assert len([one async for one in await response.parse()]) == 5
    assert_complete(calls.only())


@pytest.mark.parametrize("read", ["iter_lines", "iter_bytes", "iter_text"])
@pytest.mark.parametrize("size", [40, 10_000])
def test_a_stream_read_as_lines_or_bytes_is_measured(calls: Calls, read: str, size: int) -> None:
    """Nobody parses these events for us, so they are read from the bytes, one step behind."""
    text = b"".join(traffic.blocks(CHAT_STREAM))
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    client = Service(traffic.body([b": keep-alive\n\n", *parts])).client()
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        found = list(getattr(response, read)())
    assert len(found) > 1
    call = calls.only()
    assert (shape(call), call.usage) == ((Outcome.SUCCESS, None, 5), traffic.TOKENS)
    assert call.first_token_at >= call.first_chunk_at


def test_lines_left_unread_have_cancelled(calls: Calls) -> None:
    """A reader of lines that leaves midway has closed the call early."""
    client = Service(traffic.stream(CHAT_STREAM)).client()
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        lines = response.iter_lines()
        for _ in range(4):
            next(lines)
    call = calls.only()
    assert (call.outcome, call.first_token_at is not None) == (Outcome.CANCELLED, True)


def test_lines_of_a_stream_that_fails_are_an_error(calls: Calls) -> None:
    """The error event is read from the bytes as well; nobody raises for it."""
    events = [ROLE, HELLO, traffic.failure("server_error")]
    client = Service(traffic.stream(events)).client()
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        assert list(response.iter_lines())
    call = calls.only()
    assert (call.outcome, call.error_type, call.error_code) == (
        Outcome.ERROR, "server_error", "server_error",
    )  # fmt: skip


def test_an_endless_event_is_not_kept(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that never become an event are given up beyond a limit."""
    monkeypatch.setattr(raw_bodies, "LIMIT_BYTES", 100)
    client = Service(traffic.body([b"data: " + b"x" * 60] * 3)).client()
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        assert len(list(response.iter_bytes())) == 3
    call = calls.only()
    assert shape(call) == (Outcome.ERROR, "incomplete_stream", 0)
    assert call.first_chunk_at is not None


def test_compressed_lines_have_a_first_chunk(calls: Calls) -> None:
    """Events that can be read by nobody still give the time of the first bytes."""
    packed = gzip.compress(b"".join(traffic.blocks(CHAT_STREAM)))
    client = Service(traffic.body([packed], content_encoding="gzip")).client()
    with client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        assert list(response.iter_lines())
    call = calls.only()
    assert (call.outcome, call.usage_source) == (Outcome.SUCCESS, "missing")
    assert call.first_chunk_at is not None


def test_the_chat_helper_read_to_its_end(calls: Calls) -> None:
    """`.stream()` reads its events from the same stream."""
    chat = chat_with_helpers(Service(traffic.stream(CHAT_STREAM)).client())
    with chat.stream(**ASK) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Hello."
    assert_complete(calls.only())


async def test_the_chat_helper_left_early(calls: Calls) -> None:
    """The helper closes the response behind the stream's back; that is seen too."""
    chat = chat_with_helpers(Service(traffic.stream(CHAT_STREAM)).async_client())
    async with chat.stream(**ASK) as stream:
        async for _ in stream:
            break
    assert calls.only().outcome is Outcome.CANCELLED
