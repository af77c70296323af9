"""SLOs for AI services, native to OpenTelemetry.

`import slotel` is cheap: every name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from slotel._version import __version__

if TYPE_CHECKING:
    from slotel._api import (
        agent,
        attributes,
        current,
        embedding,
        instrument,
        journey,
        llm,
        moderation,
        operation,
        percentiles,
        propagate,
        rerank,
        retrieval,
        score,
        status,
        summary,
        tool,
    )
    from slotel._runtime import Runtime, configure, flush, shutdown
    from slotel.errors import SlotelError

_MODULES = {
    "_api": (
        "agent", "attributes", "current", "embedding", "instrument", "journey", "llm",
        "moderation", "operation", "percentiles", "propagate", "rerank", "retrieval", "score",
        "status", "summary", "tool",
    ),
    "_runtime": ("Runtime", "configure", "flush", "shutdown"),
    "errors": ("SlotelError",),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Runtime",
    "SlotelError",
    "__version__",
    "agent",
    "attributes",
    "configure",
    "current",
    "embedding",
    "flush",
    "instrument",
    "journey",
    "llm",
    "moderation",
    "operation",
    "percentiles",
    "propagate",
    "rerank",
    "retrieval",
    "score",
    "shutdown",
    "status",
    "summary",
    "tool",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted({*globals(), *__all__})
