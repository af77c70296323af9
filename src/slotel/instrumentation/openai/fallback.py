"""What is measured of a client whose insides have changed: each resource's `create`, from outside.

Streams are left alone: nothing tells from outside when one ends without taking it from its reader.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from slotel import _faults
from slotel.instrumentation.openai.calls import start, switch
from slotel.instrumentation.openai.exchange import Exchange
from slotel.instrumentation.openai.shapes import APIS, Api

RESOURCES = (
    ("openai.resources.chat.completions", "Completions", "/chat/completions"),
    ("openai.resources.completions", "Completions", "/completions"),
    ("openai.resources.responses", "Responses", "/responses"),
    ("openai.resources.embeddings", "Embeddings", "/embeddings"),
    ("openai.resources.moderations", "Moderations", "/moderations"),
)
"""Module, class (its asynchronous twin is `Async<class>`) and path of the endpoint."""


@cache
def creator(path: str) -> Callable[..., Any]:
    """Return a wrapper for `create` of the resource that posts to this path."""
    api = APIS[path]

    def create(
        wrapped: Callable[..., Any], resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        exchange = _begin(resource, api, kwargs)
        if exchange is None:
            return wrapped(*args, **kwargs)
        try:
            with exchange.call.active():
                result = wrapped(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            raise
        _finish(exchange, result)
        return result

    return create


@cache
def async_creator(path: str) -> Callable[..., Any]:
    """Return a wrapper for `create` of the asynchronous resource that posts to this path."""
    api = APIS[path]

    async def create(
        wrapped: Callable[..., Any], resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        exchange = _begin(resource, api, kwargs)
        if exchange is None:
            return await wrapped(*args, **kwargs)
        try:
            with exchange.call.active():
                result = await wrapped(*args, **kwargs)
        except BaseException as error:
            exchange.failed(error)
            raise
        _finish(exchange, result)
        return result

    return create


def _begin(resource: Any, api: Api, kwargs: dict[str, Any]) -> Exchange | None:
    try:
        if kwargs.get("stream") or not switch.on:
            return None
        return start(resource._client, api, kwargs, streaming=False)
    except Exception as fault:  # noqa: BLE001  # the call must be made whatever happens here
        _faults.report("openai.begin", fault)
        return None


def _finish(exchange: Exchange, result: Any) -> None:
    try:
        to_dict = getattr(result, "to_dict", None)
        if to_dict is not None:
            exchange.parsed(to_dict())
    except Exception as fault:  # noqa: BLE001  # the answer must reach its caller
        _faults.report("openai.finish", fault)
    exchange.returned()
