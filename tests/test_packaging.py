"""What is shipped, and what importing it costs the program that does."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

HEAVY = (
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "numpy",
    "wrapt",
    "asyncio",
    "openai",
    "anthropic",
    "rich",
    "ruamel",
    "hdrh",
    "prometheus_client",
)

CALLS = """
@slotel.llm(model="m", provider="p")
def plain(x): return x

@slotel.operation("feature_store.read")
def generator():
    yield 1

with slotel.retrieval(source="handbook") as call:
    call.score("faithfulness", 0.9)
assert plain(1) == 1 and list(generator()) == [1]
"""


def modules_after(program: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after the program."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=False,
        env=quiet,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "program",
    [
        "import slotel",
        "import slotel; [getattr(slotel, name) for name in slotel.__all__]",
        f"import slotel\n{CALLS}",
    ],
    ids=["import", "every public name", "calls"],
)
def test_importing_and_calling_load_nothing_heavy(program: str):
    """Neither the import nor a measured call brings the SDK, numpy, asyncio or a client."""
    loaded = modules_after(program)
    assert "slotel" in loaded
    assert sorted(loaded.intersection(HEAVY)) == []


def test_the_heavy_modules_are_seen_when_they_are_loaded():
    """The check above can fail: what a program imports is what it reports."""
    assert {"numpy", "asyncio"} <= modules_after("import numpy, asyncio")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Return the wheel of this tree, built by the build backend itself."""
    hatchling = pytest.importorskip("hatchling.build")
    folder = tmp_path_factory.mktemp("wheel")
    before = Path.cwd()
    os.chdir(Path(__file__).resolve().parent.parent)
    try:
        name = hatchling.build_wheel(str(folder))
    finally:
        os.chdir(before)
    return zipfile.ZipFile(folder / name)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile):
    """Every source file is in the wheel, and no test, benchmark or lock is."""
    source = Path(__file__).resolve().parent.parent / "src"
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    written = {
        str(path.relative_to(source))
        for path in (source / "slotel").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == written
    assert "slotel/py.typed" in shipped


def test_the_wheel_carries_licence_and_metadata(wheel: zipfile.ZipFile):
    """The licence travels along; the metadata names the version and the Pythons."""
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode()
    assert f"Version: {version('slotel')}" in text
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Python: >=3.11" in text
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_entry_points_name_adapters_that_can_be_installed():
    """Each adapter named in pyproject.toml is found by name and can be installed and removed."""
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    declared = tomllib.loads(project.read_text())["project"]["entry-points"][
        "slotel.instrumentation"
    ]
    found = {point.name: point for point in entry_points(group="slotel.instrumentation")}
    assert set(found) == set(declared)
    for point in found.values():
        adapter = point.load()
        assert callable(adapter.install)
        assert callable(adapter.remove)
