"""What an exception of the client says: the type of the error, the HTTP facts, the retries.

Read by attribute and by class name, never by importing the client or its HTTP library, so that
every version of both is understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slotel.instrumentation.openai.shapes import error_word, is_word

# What a streamed body may raise before the client makes it its own error.
_HTTP_ERRORS = {"TimeoutException": "APITimeoutError", "TransportError": "APIConnectionError"}


def told(thing: Any, name: str) -> Any:
    """Return an attribute; None where it is missing or, as with httpx, refuses to be read yet."""
    try:
        return getattr(thing, name, None)
    except RuntimeError:
        return None


def error_code(error: BaseException) -> str | None:
    """Return the provider's own code for an error, such as `rate_limit_exceeded`; None if none."""
    code = told(error, "code")
    if isinstance(code, str) and is_word(code):
        return code
    return error_word(told(error, "body"))


def error_type(error: BaseException) -> str:
    """Return the `error.type` of an error: the provider's code, else the name of its class.

    A timeout or a broken connection is called by the client's name for it wherever it struck,
    before the answer (where the client renames it) or within a stream (where old clients do not).

    Source:
        OpenTelemetry semantic conventions for GenAI, `error.type`: the error code returned by the
        provider or the client library, or the canonical name of the exception.
    """
    code = error_code(error)
    if code is not None:
        return code
    for base in type(error).__mro__:
        if base.__name__ in _HTTP_ERRORS:
            return _HTTP_ERRORS[base.__name__]
    return type(error).__name__


def is_the_clients(error: BaseException, request: Any) -> bool:
    """Tell whether an error in flight was raised by the client while it read this request's answer.

    Otherwise it is its caller's own, passing through a `with` block. The client's carry their
    request, or (malformed JSON, say) have not left the client's stream yet.
    """
    if not isinstance(error, Exception):
        return False
    if request is not None and told(error, "request") is request:
        return True
    trace = error.__traceback__
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "openai._streaming"


def http_facts(error: BaseException) -> dict[str, Any]:
    """Return what an error tells of its exchange: status, request id, retries taken, code.

    Returns:
        `status_code`, `request_id`, `retries` and `error_code`; only those that are known.
    """
    response = told(error, "response")
    found = {
        "status_code": told(response, "status_code"),
        "request_id": told(error, "request_id"),
        "retries": _retries(told(told(error, "request"), "headers")),
        "error_code": error_code(error),
    }
    return {name: value for name, value in found.items() if value is not None}


def _retries(headers: Mapping[str, str] | None) -> int | None:
    """Return how often a request was tried again; the client writes it into the request itself."""
    count = headers.get("x-stainless-retry-count") if headers is not None else None
    return int(count) if count is not None and count.isdecimal() else None
