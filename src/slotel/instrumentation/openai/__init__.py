"""Measures every call of the `openai` client, whichever way it is made.

Loads without the client: if it is not imported yet, it is patched when it is.
"""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from typing import Any

import wrapt

from slotel.instrumentation.openai.calls import switch
from slotel.instrumentation.openai.patches import Patch, apply

_CLIENT = "openai"


class _Installation:
    """What is installed now; its lock guards both fields."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = False
        self.patches: list[Patch] = []


_installation = _Installation()


def install() -> None:
    """Measure calls of the `openai` client from now on; a second time changes nothing.

    Raises:
        ModuleNotFoundError: The client is not installed.
    """
    if _CLIENT not in sys.modules and find_spec(_CLIENT) is None:
        raise ModuleNotFoundError(f"{_CLIENT} is not installed", name=_CLIENT)
    with _installation.lock:
        if _installation.wanted:
            return
        _installation.wanted = switch.on = True
    # Outside the lock: runs at once when the client is imported already.
    wrapt.register_post_import_hook(_imported, _CLIENT)


def remove() -> None:
    """Stop measuring and restore the client's methods; streams being read are still measured."""
    with _installation.lock:
        _installation.wanted = switch.on = False
        patches, _installation.patches = _installation.patches, []
    for patch in reversed(patches):
        patch.undo()


def _imported(openai: Any) -> None:
    with _installation.lock:
        if _installation.wanted and not _installation.patches:
            _installation.patches = apply(openai)
