"""Presets are valid documents with comments that say how to change them."""

import pytest

from slotel.errors import UnknownNameError
from slotel.slo.preset import PRESETS, render
from slotel.slo.spec import parse


def test_presets_are_those_promised():
    """The names are part of the command line."""
    assert PRESETS == ("rag", "chatbot", "classifier", "code-assistant", "platform")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid_and_explains_itself(preset):
    """A preset parses without a fault, and each SLO says what it means."""
    text = render(preset)
    document = parse(text, source=f"{preset}.yaml")
    assert document.service == preset
    assert 3 <= len(document.slos) <= 6
    assert all(slo.description for slo in document.slos)
    assert text.count("#") >= 6
    assert "@" not in text.replace("@slotel.", "")


@pytest.mark.parametrize(
    "service", ["support-bot", "null", "1", "a: b", 'quo"te', "wörld #1", "- x"]
)
def test_a_service_name_of_any_shape_survives(service):
    """Names that YAML would read otherwise are quoted."""
    assert parse(render("rag", service=service)).service == service


def test_an_unknown_preset_names_the_nearest():
    """A slip of the keyboard is met with a suggestion."""
    with pytest.raises(UnknownNameError, match="Did you mean chatbot"):
        render("chat-bot")
