"""The page about the SLO document: every block is valid, every fault is reported as it says."""

import re
from pathlib import Path

import pytest

from slotel.errors import SpecErrors
from slotel.slo import sli_spec, spec
from slotel.slo.burn_rate import alert_table
from slotel.slo.spec import parse

PAGE = (Path(__file__).parents[2] / "docs" / "slo-document.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE.split("## Faults")[1], re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_yaml_block_is_a_valid_document(block):
    """What the page shows can be pasted."""
    assert parse(block).slos


def test_the_python_block_runs():
    """Its own assertion holds."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/slo-document.md", "exec"), {})  # noqa: S102 - our own page


@pytest.mark.parametrize(("written", "reported"), ROWS)
def test_every_fault_of_the_table_is_reported_in_these_words(written, reported):
    """The written line in an otherwise valid SLO gives that message and that cure."""
    keys = {"name": "a", "sli": "{latency: {at_most: 2s}}", "objective": "99%"}
    key, value = written.split(":", 1)
    keys[key] = value.strip()
    lines = "\n".join(f"    {key}: {value}" for key, value in keys.items())
    with pytest.raises(SpecErrors) as caught:
        parse(f"version: slotel/v1\nslos:\n  -\n{lines}\n")
    (fault,) = caught.value.faults
    assert f"{fault.message} {fault.cure}".strip() == reported


def test_the_table_of_faults_is_not_empty():
    """The pattern that reads the page still finds its rows."""
    assert len(ROWS) >= 25
    assert len(BLOCKS) == 3


def test_every_key_is_on_the_page():
    """Known keys and kinds, and those that are refused by name, are all listed."""
    tables = (
        spec._TOP, spec._TOP_LATER, spec._SLO, spec._SLO_LATER, sli_spec._SELECTION,
        sli_spec._KEYS, *sli_spec._KEYS.values(), sli_spec._LATER_KINDS, sli_spec._LATER_KEYS,
    )  # fmt: skip
    missing = [key for keys in tables for key in keys if f"`{key}`" not in PAGE]
    assert missing == []


def test_the_table_of_tiers_is_the_table_of_the_engine():
    """Names, severities, windows, shares and rates are those that are used."""
    for tier in alert_table(28 * 86_400):
        row = (
            f"| {tier.name} | {tier.severity} | {tier.long_window} and {tier.short_window} "
            f"| {float(tier.budget_share * 100):g} % | {float(tier.threshold):.4g} |"
        )
        assert row.replace("0.9333", "0.933") in PAGE
