"""The public names, pinned: adding or dropping one is a decision, made here."""

from __future__ import annotations

import importlib
import inspect

import pytest

import slotel

PUBLIC = {
    "Runtime",
    "SlotelError",
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
}
SUBPACKAGES = ("cli", "engine", "export", "instrumentation", "measure", "slo")


def test_public_names_are_the_pinned_ones():
    """`__all__` is exactly the list above."""
    assert set(slotel.__all__) == PUBLIC | {"__version__"}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_resolves_and_is_documented(name: str):
    """Each lazy name is there, the same object at every look, with a docstring of its own."""
    value = getattr(slotel, name)
    assert getattr(slotel, name) is value
    assert inspect.getdoc(value)


def test_dir_lists_the_public_names():
    """`dir(slotel)` shows what completion in an editor needs."""
    assert set(dir(slotel)) >= set(slotel.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name fails as with any module, and names itself."""
    with pytest.raises(AttributeError, match="no_such_name"):
        slotel.no_such_name  # noqa: B018


def test_importing_every_subpackage_hides_no_public_name():
    """No subpackage is called like a public name, so importing one can replace none."""
    before = {name: getattr(slotel, name) for name in PUBLIC}
    for package in SUBPACKAGES:
        importlib.import_module(f"slotel.{package}")
    assert {name: getattr(slotel, name) for name in PUBLIC} == before
    assert PUBLIC.isdisjoint(SUBPACKAGES)
