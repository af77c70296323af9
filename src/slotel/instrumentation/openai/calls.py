"""From a request of the client to a started operation: what is asked, of whom, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanKind

from slotel import semconv
from slotel._operation import Operation
from slotel._operation import begin as operation_begin
from slotel.instrumentation.openai.exchange import Exchange
from slotel.instrumentation.openai.shapes import APIS, Api, Json, find_api, find_provider

# Field of the request -> attribute of its span. Values of another type than the conventions' are
# left out: clients hand over sentinels for "not given".
_ATTRIBUTES: tuple[tuple[str, str, type | tuple[type, ...]], ...] = (
    ("max_tokens", semconv.REQUEST_MAX_TOKENS, int),
    ("max_completion_tokens", semconv.REQUEST_MAX_TOKENS, int),
    ("max_output_tokens", semconv.REQUEST_MAX_TOKENS, int),
    ("temperature", semconv.REQUEST_TEMPERATURE, (int, float)),
    ("top_p", semconv.REQUEST_TOP_P, (int, float)),
    ("conversation", semconv.CONVERSATION_ID, str),
)
_PORTS = {"https": 443, "http": 80}


class _Switch:
    """Whether calls are measured; a wrapper that cannot be taken out again looks here."""

    on = False


switch = _Switch()


def begin(client: Any, options: Any, *, streaming: bool) -> Exchange | None:
    """Start to measure a request; None for an endpoint that is not measured.

    Args:
        client: An instance of the client's base class.
        options: Its request options; `url` is still the path as the API names it.
        streaming: Whether the answer is asked for as a stream of events.
    """
    api = find_api(options.url) if options.method.lower() == "post" else None
    if api is None or not switch.on:
        return None
    body = options.json_data
    return start(client, api, body if isinstance(body, Mapping) else {}, streaming=streaming)


def start(client: Any, api: Api, body: Json, *, streaming: bool) -> Exchange:
    """Start to measure a call of a known endpoint."""
    url = client.base_url
    host = url.host
    azure = any(base.__name__ == "BaseAzureClient" for base in type(client).__mro__)
    model = body.get("model")
    attributes = _attributes(api, body)
    attributes[semconv.SERVER_ADDRESS] = host
    attributes[semconv.SERVER_PORT] = url.port or _PORTS.get(url.scheme)
    call = _begin(
        api,
        streaming=streaming,
        provider=find_provider(host, azure=azure),
        model=model if isinstance(model, str) else None,
        attributes=attributes,
    )
    return Exchange(call, api, body, streaming=streaming)


class _Site:
    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.provider = None
        self.model = None
        self.span_name = operation
        self.span_kind = SpanKind.CLIENT
        self.start_attributes = {semconv.OPERATION_NAME: operation}
        self.static_labels = ()
        self.inspect = None


_SITES = {api.kind: _Site(api.kind) for api in APIS.values()}


def _begin(api, *, attributes, **kw):
    call = Operation()
    call.site = _SITES[api.kind]
    call.request(**kw, **attributes)
    operation_begin(call)
    return call


def _attributes(api: Api, body: Json) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if api.api_type is not None:
        found[semconv.OPENAI_API_TYPE] = api.api_type
    for name, attribute, kind in _ATTRIBUTES:
        value = body.get(name)
        if isinstance(value, kind):
            found[attribute] = value
    count = body.get("n")
    if isinstance(count, int) and count != 1:
        found[semconv.REQUEST_CHOICE_COUNT] = count
    return found
