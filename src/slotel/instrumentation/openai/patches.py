"""Putting the hooks into a client and taking them out again."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wrapt

from slotel.instrumentation.openai.fallback import RESOURCES, async_creator, creator
from slotel.instrumentation.openai.hooks import HOOKS, misfit

_logger = logging.getLogger("slotel.instrumentation.openai")


@dataclass(frozen=True, slots=True)
class Patch:
    """One method that was wrapped.

    Attributes:
        owner: The class.
        name: Of the method.
        original: What stood there before.
        ours: What stands there now, unless somebody wrapped it again.
    """

    owner: type
    name: str
    original: Any
    ours: Any

    def undo(self) -> None:
        """Put the original back; a wrapper that was put around ours since then stays."""
        if vars(self.owner).get(self.name) is self.ours:
            setattr(self.owner, self.name, self.original)


def apply(openai: Any) -> list[Patch]:
    """Wrap what this client has to offer, and return what was wrapped.

    Args:
        openai: The client's module, imported completely.
    """
    base = sys.modules.get("openai._base_client")
    wrong = misfit(base)
    if wrong is None:
        return [_wrap(vars(base)[owner], name, hook) for owner, name, hook, _ in HOOKS]
    _logger.warning(
        "slotel: openai %s is not known (%s). `create` is measured from outside: durations, "
        "outcomes and usage; streamed calls are not measured.",
        getattr(openai, "__version__", "of unknown version"),
        wrong,
    )
    return [patch for resource in RESOURCES for patch in _wrap_resource(*resource)]


def _wrap_resource(module: str, name: str, path: str) -> list[Patch]:
    found: list[Patch] = []
    for owner, wrapper in ((name, creator(path)), (f"Async{name}", async_creator(path))):
        try:
            cls: Any = wrapt.resolve_path(module, owner)[2]
        except (ImportError, AttributeError):
            continue  # A client without this resource.
        found.append(_wrap(cls, "create", wrapper))
    return found


def _wrap(owner: type, name: str, wrapper: Callable[..., Any]) -> Patch:
    original = vars(owner)[name]
    if _is_wrapped(original, wrapper):
        # Somebody wrapped ours before it was removed: it is still there, inside theirs.
        return Patch(owner, name, original, original)
    # Positional: the first parameter was called `module` in wrapt 1 and is `target` in wrapt 2.
    wrapt.wrap_function_wrapper(owner, name, wrapper)
    return Patch(owner, name, original, vars(owner)[name])


def _is_wrapped(method: Any, wrapper: Callable[..., Any]) -> bool:
    while method is not None:
        if getattr(method, "_self_wrapper", None) is wrapper:
            return True
        method = getattr(method, "__wrapped__", None)
    return False
