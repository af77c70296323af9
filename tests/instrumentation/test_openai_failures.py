"""Calls that fail: what the error says, how often it was tried, and nothing of it swallowed."""

from __future__ import annotations

from typing import Any

import openai
import openai_traffic as traffic
import pytest
from openai_traffic import ASK, CHAT_STREAM, Service, http

from conftest import Calls
from slotel.instrumentation.openai.failures import error_type, http_facts
from slotel.measure.measurement import Outcome


def tells_retries() -> bool:
    """Tell whether the installed client writes the number of retries into its requests."""
    service = Service(traffic.answer(traffic.completion()))
    service.client().chat.completions.create(**ASK)
    return "x-stainless-retry-count" in service.requests[0].headers


def test_a_call_that_succeeds_after_retries_is_one_call(calls: Calls) -> None:
    """Two refusals and an answer are one operation with two retries."""
    service = Service(
        traffic.refuse(429, "rate_limit_exceeded", retry_after_ms="1"),
        traffic.refuse(503, retry_after_ms="1"),
        traffic.answer(traffic.completion()),
    )
    service.client(max_retries=2).chat.completions.create(**ASK)
    assert len(service.requests) == 3
    call = calls.only()
    assert (call.outcome, call.retries, call.status_code) == (Outcome.SUCCESS, 2, 200)


async def test_retries_before_a_stream_are_counted(calls: Calls) -> None:
    """The stream that comes in the end belongs to the same call."""
    service = Service(
        traffic.refuse(429, "rate_limit_exceeded", retry_after_ms="1"),
        traffic.stream(CHAT_STREAM),
    )
    client = service.async_client(max_retries=1)
    async for _ in await client.chat.completions.create(**ASK, stream=True):
        pass
    call = calls.only()
    assert (call.outcome, call.retries) == (Outcome.SUCCESS, 1)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("status", "code", "error", "type_"),
    [
        (429, "rate_limit_exceeded", openai.RateLimitError, "rate_limit_exceeded"),
        (429, "insufficient_quota", openai.RateLimitError, "insufficient_quota"),
        (401, "invalid_api_key", openai.AuthenticationError, "invalid_api_key"),
        (400, "content_filter", openai.BadRequestError, "content_filter"),
        (400, "Bad words, many of them", openai.BadRequestError, "invalid_request_error"),
        (500, None, openai.InternalServerError, "invalid_request_error"),
    ],
)
def test_a_refused_call_is_an_error_with_the_providers_code(
    calls: Calls, streaming: bool, status: int, code: str | None, error: type[Exception], type_: str
) -> None:
    """Status, request id and code are kept; a sentence never becomes an error type."""
    client = Service(traffic.refuse(status, code)).client()
    with pytest.raises(error) as raised:
        client.chat.completions.create(**ASK, stream=streaming)
    assert type(raised.value) is error
    call = calls.only()
    assert (call.outcome, call.error_type) == (Outcome.ERROR, type_)
    assert (call.status_code, call.request_id, call.error_code) == (status, "req_1", type_)
    assert (call.model, call.streaming) == (traffic.MODEL, streaming)


def test_a_body_without_an_error_object_leaves_the_class(calls: Calls) -> None:
    """A gateway's own page has no code; the client's class says what it was."""
    service = Service(lambda request: http.Response(502, text="<p>Bad gateway</p>"))
    with pytest.raises(openai.InternalServerError):
        service.client().chat.completions.create(**ASK)
    call = calls.only()
    assert (call.error_type, call.error_code) == ("InternalServerError", None)


def test_the_last_error_tells_how_often_it_was_tried(calls: Calls) -> None:
    """The client writes the count into its request, so the error has it too."""
    if not tells_retries():
        pytest.skip("this client does not write retries into its requests")
    calls.clear()
    service = Service(traffic.refuse(429, "rate_limit_exceeded", retry_after_ms="1"))
    with pytest.raises(openai.RateLimitError):
        service.client(max_retries=2).chat.completions.create(**ASK)
    assert len(service.requests) == 3
    assert calls.only().retries == 2


@pytest.mark.parametrize(
    ("raised", "seen", "type_"),
    [
        (http.ReadTimeout, openai.APITimeoutError, "APITimeoutError"),
        (http.ConnectError, openai.APIConnectionError, "APIConnectionError"),
    ],
)
async def test_a_call_that_gets_no_answer_is_an_error(
    calls: Calls, raised: type[Exception], seen: type[Exception], type_: str
) -> None:
    """Timeouts and connection errors have no status; their class is their type."""
    reply = traffic.raising(lambda request: raised("no answer", request=request))
    with pytest.raises(seen):
        await Service(reply).async_client().chat.completions.create(**ASK)
    call = calls.only()
    assert (call.outcome, call.error_type, call.status_code) == (Outcome.ERROR, type_, None)


def test_an_interrupt_is_no_error_of_the_service(calls: Calls) -> None:
    """Ctrl-C while waiting cancels the call and goes on to the user."""
    reply = traffic.raising(lambda request: KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        Service(reply).client().chat.completions.create(**ASK)
    call = calls.only()
    assert (call.outcome, call.error_type) == (Outcome.CANCELLED, "KeyboardInterrupt")


def test_an_answer_that_does_not_fit_the_clients_types_is_an_error(calls: Calls) -> None:
    """With strict validation the client raises while parsing: the caller got nothing."""
    reply = traffic.answer({**traffic.completion(), "choices": "none"})
    client = Service(reply).client(_strict_response_validation=True)
    with pytest.raises(openai.APIResponseValidationError):
        client.chat.completions.create(**ASK)
    call = calls.only()
    assert (call.outcome, call.error_type) == (Outcome.ERROR, "APIResponseValidationError")


class Unready(Exception):
    """An error that refuses to tell its request, as one of httpx does before it is sent."""

    @property
    def request(self) -> Any:
        raise RuntimeError("not set")


def test_an_error_that_refuses_to_be_read_is_still_named() -> None:
    """What cannot be read is left out."""
    assert error_type(Unready()) == "Unready"
    assert http_facts(Unready()) == {}
