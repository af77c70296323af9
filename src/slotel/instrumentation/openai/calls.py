"""From a request of the client to a started operation: what is asked, of whom, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slotel import semconv
from slotel._site import Site
from slotel.instrumentation.openai.exchange import Exchange
from slotel.instrumentation.openai.shapes import (
    Api,
    Json,
    as_object,
    find_api,
    find_provider,
)

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

SITES = {
    "chat": Site("llm"),
    "text_completion": Site("llm", operation="text_completion"),
    "embeddings": Site("embedding"),
    "moderation": Site("moderation"),
}


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
    api = find_api(options.url)
    if api is None or not switch.on or options.method.lower() != "post":
        return None
    return start(client, api, as_object(options.json_data), streaming=streaming)


@dataclass(frozen=True, slots=True)
class _Server:
    """Whom a client talks to; `url` is the client's own object."""

    url: Any
    provider: str
    attributes: dict[str, Any]


# By identity of the client's URL object, which each entry keeps alive.
_servers: dict[int, _Server] = {}
_MAX_SERVERS = 256


def _server(client: Any) -> _Server:
    # Newer clients compute their public `base_url` anew for every reader.
    held = getattr(client, "_base_url", None)
    found = _servers.get(id(held))
    return found if found is not None else _look_at(client, held)


def _look_at(client: Any, held: Any) -> _Server:
    url = client.base_url if held is None else held
    azure = any(base.__name__ == "BaseAzureClient" for base in type(client).__mro__)
    attributes = {semconv.SERVER_ADDRESS: url.host}
    port = url.port or _PORTS.get(url.scheme)
    if port is not None:
        attributes[semconv.SERVER_PORT] = port
    found = _Server(url, find_provider(url.host, azure=azure), attributes)
    if len(_servers) >= _MAX_SERVERS:
        _servers.clear()
    _servers[id(url)] = found
    return found


def start(client: Any, api: Api, body: Json, *, streaming: bool) -> Exchange:
    """Start to measure a call of a known endpoint."""
    server = _server(client)
    model = body.get("model")
    call = SITES[api.operation].begin(
        model=model if isinstance(model, str) else None,
        provider=server.provider,
        streaming=streaming,
        **_attributes(api, body),
        **server.attributes,
    )
    return Exchange(call, api, body, streaming=streaming)


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
