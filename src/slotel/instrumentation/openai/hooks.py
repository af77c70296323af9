"""The hooks themselves: five methods of the client's base classes, wrapped while installed.

Every way to make a call (`create`, `parse`, the stream helpers, raw and streaming responses, the
typed and the untyped methods) comes through them, so no resource is wrapped and no object that
the caller gets is replaced. They are private names of a generated client that have not changed
from 1.40 to 3.54; `fits` looks before they are wrapped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from slotel import _faults
from slotel.instrumentation.openai.calls import begin
from slotel.instrumentation.openai.exchange import Exchange

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]

# Where a response carries its exchange; httpx keeps extensions for just such uses.
_EXTENSION = "slotel.exchange"

_current: ContextVar[Exchange | None] = ContextVar("slotel_openai_exchange", default=None)


def _request(
    wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    exchange = _begin(client, args, kwargs)
    # Set even to None: a request made inside another one must not speak for it.
    token = _current.set(exchange)
    try:
        if exchange is None:
            return wrapped(*args, **kwargs)
        with exchange.call.active():
            result = wrapped(*args, **kwargs)
    except BaseException as error:
        if exchange is not None:
            exchange.failed(error)
        raise
    finally:
        _leave(token)
    exchange.returned()
    return result


async def _arequest(
    wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    exchange = _begin(client, args, kwargs)
    token = _current.set(exchange)
    try:
        if exchange is None:
            return await wrapped(*args, **kwargs)
        with exchange.call.active():
            result = await wrapped(*args, **kwargs)
    except BaseException as error:
        if exchange is not None:
            exchange.failed(error)
        raise
    finally:
        _leave(token)
    exchange.returned()
    return result


def _begin(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exchange | None:
    try:
        options = kwargs["options"] if "options" in kwargs else args[1]
        return begin(client, options, streaming=bool(kwargs.get("stream")))
    except Exception as fault:  # noqa: BLE001  # the call must be made whatever happens here
        _faults.report("openai.begin", fault)
        return None


def _leave(token: Any) -> None:
    try:
        _current.reset(token)
    except ValueError:
        # The coroutine was closed from another context than it ran in.
        return


def _process_response(
    wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    # Serves the asynchronous client too: ours is done before its coroutine starts.
    exchange = _current.get()
    if exchange is not None and not exchange.ended:
        try:
            response = kwargs["response"]
            response.extensions[_EXTENSION] = exchange
            exchange.answered(response, retries=kwargs.get("retries_taken"))
        except Exception as fault:  # noqa: BLE001  # the answer must reach its caller
            _faults.report("openai.process_response", fault)
    return wrapped(*args, **kwargs)


def _process_response_data(
    wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        exchange = kwargs["response"].extensions.get(_EXTENSION)
        if exchange is not None and not exchange.ended:
            exchange.parsed(kwargs["data"])
    except Exception as fault:  # noqa: BLE001  # the answer must reach its caller
        _faults.report("openai.process_response_data", fault)
    return wrapped(*args, **kwargs)


HOOKS: tuple[tuple[str, str, Wrapper, frozenset[str]], ...] = (
    ("SyncAPIClient", "request", _request, frozenset({"options", "stream"})),
    ("AsyncAPIClient", "request", _arequest, frozenset({"options", "stream"})),
    ("SyncAPIClient", "_process_response", _process_response, frozenset({"response", "stream"})),
    ("AsyncAPIClient", "_process_response", _process_response, frozenset({"response", "stream"})),
    (
        "BaseClient",
        "_process_response_data",
        _process_response_data,
        frozenset({"data", "response"}),
    ),
)
"""Class, method, wrapper, and the parameters that the wrapper reads."""


def misfit(module: Any) -> str | None:
    """Return which hook this client does not have as expected; None when all of them fit.

    Args:
        module: `openai._base_client`.
    """
    for owner, name, _, parameters in HOOKS:
        method = vars(getattr(module, owner, object)).get(name)
        if method is None:
            return f"{owner}.{name} is missing"
        if not parameters <= _parameters(method).keys():
            return f"{owner}.{name} has other parameters"
        if inspect.iscoroutinefunction(method) is not owner.startswith("Async"):
            return f"{owner}.{name} is of another kind"
    return None


def _parameters(method: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(method).parameters
