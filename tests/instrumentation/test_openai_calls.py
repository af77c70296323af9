"""Whole answers: every endpoint and every way to ask for one, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import contextvars
import json
from typing import Any

import openai
import openai_traffic as traffic
import pytest
from openai_traffic import ASK, Service
from pydantic import BaseModel

from conftest import Calls
from slotel.instrumentation.openai import raw_bodies
from slotel.measure.measurement import Outcome


def chat_with_helpers(client: Any) -> Any:
    """Return the resource that has `parse` and `stream`; it was in beta in older clients."""
    chat = client.chat.completions
    return chat if hasattr(chat, "parse") else client.beta.chat.completions


def needs_responses() -> None:
    if not hasattr(openai.OpenAI, "responses"):
        pytest.skip("this client has no Responses API")


def test_a_chat_completion_is_measured_completely(calls: Calls) -> None:
    """Models, status, request id, retries, usage and finish reason are those of the exchange."""
    client = Service(traffic.answer(traffic.completion())).client()
    found = client.chat.completions.create(**ASK)
    assert isinstance(found, openai.types.chat.ChatCompletion)
    assert found.choices[0].message.content == "Hello."
    call = calls.only()
    assert (call.operation, call.outcome, call.error_type) == ("chat", Outcome.SUCCESS, None)
    assert (call.provider, call.model) == ("openai", traffic.MODEL)
    assert (call.response_id, call.response_model) == ("chatcmpl-1", traffic.ANSWERED_BY)
    assert (call.status_code, call.request_id, call.retries) == (200, "req_1", 0)
    assert (call.usage, call.usage_source) == (traffic.TOKENS, "provider")
    assert call.finish_reasons == ("stop",)
    assert call.attributes["server.address"] == "service.test"
    assert call.attributes["server.port"] == 80
    assert call.attributes["openai.api.type"] == "chat_completions"
    assert (call.streaming, call.chunks, call.first_token_at) == (False, 0, None)


async def test_an_asynchronous_chat_completion_is_measured_completely(calls: Calls) -> None:
    """The asynchronous client is measured as the synchronous one is."""
    client = Service(traffic.answer(traffic.completion())).async_client()
    found = await client.chat.completions.create(**ASK)
    assert isinstance(found, openai.types.chat.ChatCompletion)
    call = calls.only()
    assert (call.outcome, call.usage, call.status_code) == (Outcome.SUCCESS, traffic.TOKENS, 200)


class Greeting(BaseModel):
    """What the model is asked to answer with."""

    text: str


def test_parse_is_measured_and_parses(calls: Calls) -> None:
    """`parse` posts by itself and is seen all the same; its result is the user's model."""
    reply = traffic.answer(traffic.completion('{"text": "Hello."}'))
    chat = chat_with_helpers(Service(reply).client())
    found = chat.parse(**ASK, response_format=Greeting)
    assert found.choices[0].message.parsed == Greeting(text="Hello.")
    call = calls.only()
    assert (call.outcome, call.usage) == (Outcome.SUCCESS, traffic.TOKENS)


async def test_parse_of_a_cut_answer_is_an_error(calls: Calls) -> None:
    """The helper raises after the answer came: the call failed, its figures are kept."""
    if not hasattr(openai.resources.chat.completions.Completions, "parse"):
        pytest.skip("this client parses when the call is over")
    reply = traffic.answer(traffic.completion('{"text": "He', reasons=("length",)))
    chat = chat_with_helpers(Service(reply).async_client())
    with pytest.raises(openai.LengthFinishReasonError):
        await chat.parse(**ASK, response_format=Greeting)
    call = calls.only()
    assert (call.outcome, call.error_type) == (Outcome.ERROR, "LengthFinishReasonError")
    assert (call.usage, call.finish_reasons) == (traffic.TOKENS, ("length",))


def test_several_choices_have_a_finish_reason_each(calls: Calls) -> None:
    """With n=2 both reasons are there, in the order of the choices, and n is on the span."""
    reply = traffic.answer(traffic.completion(reasons=("stop", "length")))
    Service(reply).client().chat.completions.create(**ASK, n=2)
    call = calls.only()
    assert call.finish_reasons == ("stop", "length")
    assert call.attributes["gen_ai.request.choice.count"] == 2


def test_what_is_asked_for_is_on_the_span_where_it_was_given(calls: Calls) -> None:
    """Request parameters are kept; the client's sentinels for "not given" are not."""
    client = Service(traffic.answer(traffic.completion())).client()
    client.chat.completions.create(
        **ASK, max_tokens=64, temperature=0.5, top_p=1, seed=openai.NOT_GIVEN
    )
    attributes = calls.only().attributes
    assert attributes["gen_ai.request.max_tokens"] == 64
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["gen_ai.request.top_p"] == 1
    assert not any(isinstance(value, openai.NotGiven) for value in attributes.values())


def test_an_answer_without_usage_is_marked_and_not_guessed(calls: Calls) -> None:
    """No count is made up; the source says that it is missing."""
    reply = traffic.answer({**traffic.completion(), "usage": None})
    Service(reply).client().chat.completions.create(**ASK)
    call = calls.only()
    assert (call.usage, call.usage_source) == ({}, "missing")


def test_embeddings_are_measured(calls: Calls) -> None:
    """Embeddings report the tokens that they read."""
    client = Service(traffic.answer(traffic.EMBEDDINGS)).client()
    client.embeddings.create(model="text-embedding-3-small", input="Hello.")
    call = calls.only()
    assert (call.operation, call.outcome) == ("embeddings", Outcome.SUCCESS)
    assert (call.usage, call.response_model) == ({"input_tokens": 5}, "text-embedding-3-small")


async def test_moderations_report_their_verdict(calls: Calls) -> None:
    """Flagged when any input is; each category with its highest score; no usage is expected."""
    client = Service(traffic.answer(traffic.MODERATION)).async_client()
    found = await client.moderations.create(model="omni-moderation-latest", input=["a", "b"])
    assert [result.flagged for result in found.results] == [False, True]
    call = calls.only()
    assert (call.operation, call.flagged) == ("moderation", True)
    assert call.categories == {"harassment": 0.91, "violence": 0.01}
    assert call.usage_source is None


def test_a_legacy_completion_is_measured(calls: Calls) -> None:
    """The endpoint before chat is an operation of its own."""
    client = Service(traffic.answer(traffic.TEXT_COMPLETION)).client()
    client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say hello.")
    call = calls.only()
    assert (call.operation, call.finish_reasons) == ("text_completion", ("stop",))
    assert call.usage == {"input_tokens": 5, "output_tokens": 2}


def test_a_response_is_a_chat(calls: Calls) -> None:
    """The Responses API has the operation `chat` and says which API it was."""
    needs_responses()
    client = Service(traffic.answer(traffic.response())).client()
    found = client.responses.create(model=traffic.MODEL, input="Say hello.")
    assert found.output_text == "Hello."
    call = calls.only()
    assert (call.operation, call.outcome, call.usage) == ("chat", Outcome.SUCCESS, traffic.TOKENS)
    assert (call.finish_reasons, call.response_id) == (("stop",), "resp_1")
    assert call.attributes["openai.api.type"] == "responses"


@pytest.mark.parametrize(
    ("fields", "outcome", "error_type", "reasons"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
         Outcome.SUCCESS, None, ("max_output_tokens",)),
        ({"status": "failed", "error": {"code": "server_error", "message": "It failed."}},
         Outcome.ERROR, "server_error", ()),
        ({"status": "failed", "error": None}, Outcome.ERROR, "failed", ()),
        ({"status": "cancelled"}, Outcome.CANCELLED, None, ()),
        ({"status": "queued", "background": True}, Outcome.SUCCESS, None, ()),
    ],
)  # fmt: skip
def test_the_status_of_a_response_decides_its_outcome(
    calls: Calls, fields: Any, outcome: Outcome, error_type: str | None, reasons: tuple[str, ...]
) -> None:
    """An answer of HTTP status 200 may still say that it failed or was cancelled."""
    needs_responses()
    client = Service(traffic.answer(traffic.response(**fields))).client()
    client.responses.create(model=traffic.MODEL, input="Say hello.")
    call = calls.only()
    assert (call.outcome, call.error_type) == (outcome, error_type)
    assert call.finish_reasons == reasons


def test_inline_moderation_is_a_verdict_on_the_chat(calls: Calls) -> None:
    """Moderation results that come with a completion count for it."""
    result = {"flagged": True, "category_scores": {"violence": 0.7}, "type": "moderation_result"}
    moderation = {
        "input": {"type": "moderation_results", "model": "m", "results": [result]},
        "output": {**result, "flagged": False, "category_scores": {"violence": 0.1}},
    }
    reply = traffic.answer({**traffic.completion(), "moderation": moderation})
    Service(reply).client().chat.completions.create(**ASK)
    call = calls.only()
    assert (call.flagged, call.categories) == (True, {"violence": 0.7})


# --- raw and streaming responses --------------------------------------------------------------


def test_a_raw_response_is_measured_with_its_usage(calls: Calls) -> None:
    """The call is over before the user parses; usage is read from the body in memory."""
    client = Service(traffic.answer(traffic.completion())).client()
    raw = client.chat.completions.with_raw_response.create(**ASK)
    call = calls.only()
    assert (call.outcome, call.usage) == (Outcome.SUCCESS, traffic.TOKENS)
    assert raw.http_response.status_code == 200
    assert raw.parse().choices[0].message.content == "Hello."
    assert not calls


async def test_an_asynchronous_raw_response_is_measured(calls: Calls) -> None:
    """`with_raw_response` of the asynchronous client, as langchain-openai uses it."""
    client = Service(traffic.answer(traffic.completion())).async_client()
    raw = await client.chat.completions.with_raw_response.create(**ASK)
    assert calls.only().usage == traffic.TOKENS
    assert raw.parse().choices[0].message.content == "Hello."


@pytest.mark.parametrize("read", ["parse", "read", "json", "text", "iter_bytes", "iter_lines"])
def test_a_streaming_response_is_measured_however_it_is_read(calls: Calls, read: str) -> None:
    """The call ends when the body does, and its usage is read whichever way that was."""
    client = Service(traffic.answer(traffic.completion())).client()
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        assert not calls
        found = getattr(response, read)()
        if read.startswith("iter"):
            assert b"Hello." in b"".join(
                part.encode() if isinstance(part, str) else part for part in found
            )
    call = calls.only()
    assert (call.outcome, call.usage) == (Outcome.SUCCESS, traffic.TOKENS)


async def test_an_asynchronous_streaming_response_is_measured(calls: Calls) -> None:
    """Nothing of ours awaits or parses for the user, so no coroutine is left unawaited."""
    client = Service(traffic.answer(traffic.completion())).async_client()
    async with client.chat.completions.with_streaming_response.create(**ASK) as response:
        assert (await response.parse()).id == "chatcmpl-1"
    assert calls.only().usage == traffic.TOKENS


def test_a_compressed_streaming_response_is_read_as_the_client_reads_it(calls: Calls) -> None:
    """The copy is decoded by the response's own library."""
    import gzip

    packed = gzip.compress(json.dumps(traffic.completion()).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    service = Service(
        lambda request: traffic.http.Response(
            200, headers=headers, stream=traffic.Blocks([packed[:40], packed[40:]])
        )
    )
    with service.client().chat.completions.with_streaming_response.create(**ASK) as response:
        assert response.json()["id"] == "chatcmpl-1"
    assert calls.only().usage == traffic.TOKENS


def test_a_streaming_response_that_nobody_reads_is_cancelled(calls: Calls) -> None:
    """Who leaves without the body has closed the call early."""
    client = Service(traffic.answer(traffic.completion())).client()
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        assert response.status_code == 200
    call = calls.only()
    assert (call.outcome, call.status_code) == (Outcome.CANCELLED, 200)


def test_an_answer_that_is_no_json_reaches_the_user_as_text(calls: Calls) -> None:
    """A proxy's page is handed on; the call has no usage."""
    service = Service(
        lambda request: traffic.http.Response(
            200, headers={"content-type": "text/html"}, stream=traffic.Blocks([b"<p>Hello.</p>"])
        )
    )
    assert service.client().chat.completions.create(**ASK) == "<p>Hello.</p>"
    assert calls.only().usage_source == "missing"


# --- who is asked -----------------------------------------------------------------------------


def test_azure_is_recognised_before_it_rewrites_the_path(calls: Calls) -> None:
    """A deployment's path is still a chat; the provider is Azure's."""
    service = Service(traffic.answer(traffic.completion()))
    transport = traffic.http.MockTransport(service._handle)
    client = openai.AzureOpenAI(
        azure_endpoint="https://example.openai.azure.com",
        api_version="2024-10-21",
        api_key="none",
        http_client=traffic.http.Client(transport=transport),
    )
    client.chat.completions.create(**ASK)
    assert "/deployments/" in str(service.requests[0].url)
    call = calls.only()
    assert (call.operation, call.provider) == ("chat", "azure.ai.openai")
    assert call.attributes["server.address"] == "example.openai.azure.com"
    assert call.attributes["server.port"] == 443


def test_a_known_host_gives_the_provider(calls: Calls) -> None:
    """Services that the conventions name and that speak this API are called by their name."""
    client = Service(traffic.answer(traffic.completion())).client(
        base_url="https://api.deepseek.com:8443"
    )
    client.chat.completions.create(**ASK)
    call = calls.only()
    assert (call.provider, call.attributes["server.port"]) == ("deepseek", 8443)


def test_the_untyped_methods_are_measured(calls: Calls) -> None:
    """`client.post` takes the same way as `create`."""
    client = Service(traffic.answer(traffic.completion())).client()
    found = client.post("/chat/completions", body=ASK, cast_to=object)
    assert found["id"] == "chatcmpl-1"
    assert calls.only().usage == traffic.TOKENS


def test_a_request_inside_another_does_not_speak_for_it(calls: Calls) -> None:
    """Who fetches something through a client while a call is under way leaves the call alone."""
    models = Service(traffic.answer({"object": "list", "data": []}, x_request_id="req_2")).client()

    def reply(request: Any) -> Any:
        models.models.list()
        return traffic.answer(traffic.completion())(request)

    Service(reply).client().chat.completions.create(**ASK)
    call = calls.only()
    assert (call.request_id, call.usage) == ("req_1", traffic.TOKENS)


def test_other_endpoints_are_left_alone(calls: Calls) -> None:
    """Listing models is no operation."""
    client = Service(traffic.answer({"object": "list", "data": []})).client()
    assert list(client.models.list()) == []
    assert not calls


async def test_a_cancelled_call_is_cancelled(calls: Calls) -> None:
    """Cancelling the task that waits for the answer ends the call as cancelled, at once."""
    asked = asyncio.Event()

    async def silent(request: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()

    transport = traffic.http.MockTransport(silent)
    client = openai.AsyncOpenAI(
        api_key="none",
        base_url="http://service.test/v1",
        http_client=traffic.http.AsyncClient(transport=transport),
    )
    task = asyncio.create_task(client.chat.completions.create(**ASK))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call = calls.only()
    assert (call.outcome, call.error_type) == (Outcome.CANCELLED, "CancelledError")


async def test_a_call_closed_from_another_context_is_cancelled(calls: Calls) -> None:
    """Whoever drops a coroutine need not be in the context that it was started in."""

    async def silent(request: Any) -> Any:
        await asyncio.Event().wait()

    transport = traffic.http.MockTransport(silent)
    client = openai.AsyncOpenAI(
        api_key="none",
        base_url="http://service.test/v1",
        http_client=traffic.http.AsyncClient(transport=transport),
    )
    coroutine = client.chat.completions.create(**ASK)
    contextvars.copy_context().run(coroutine.send, None)
    contextvars.copy_context().run(coroutine.close)
    call = calls.only()
    assert (call.outcome, call.error_type) == (Outcome.CANCELLED, "GeneratorExit")


def test_a_very_long_answer_is_measured_without_its_usage(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy for us is kept up to a limit only."""
    monkeypatch.setattr(raw_bodies, "LIMIT_BYTES", 100)
    client = Service(traffic.answer(traffic.completion())).client()
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        assert response.parse().id == "chatcmpl-1"
    call = calls.only()
    assert (call.outcome, call.usage_source) == (Outcome.SUCCESS, "missing")
