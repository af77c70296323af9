"""Runs every benchmark in a process of its own and writes the tables of docs/benchmarks.md.

    python benchmarks/run.py [--smoke] [--gate] [NAME ...]

With --smoke sizes are small, nothing is kept, and only a fault or work that was not counted fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
NAMES = ("operation", "stream", "recorder", "tick", "export", "import", "accuracy", "openai")
BEGIN, END = "<!-- tables: written by `make bench` -->", "<!-- end of the tables -->"

Result = dict[str, Any]


# --- tables -----------------------------------------------------------------------------------


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; all columns but the first are numbers."""
    yield f"| {' | '.join(head)} |"
    yield f"| --- |{' ---: |' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def shown(value: float) -> str:
    """Return a number with three significant digits, and thousands set apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def gate_row(gate: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of a bar."""
    word = "at least" if gate["at_least"] else "at most"
    bar = f"{word} {shown(gate['limit'])}"
    met = "yes" if gate["passed"] else "**no**"
    return gate["name"], f"{shown(gate['value'])} {gate['unit']}", bar, met


def race_table(race: dict[str, Any]) -> Iterator[str]:
    """Yield the table of a race."""
    yield f"**{race['title']}** ({race['rounds']} rounds)"
    yield ""
    rows = (
        (row["name"], *(shown(row[key]) for key in ("min_ns", "median_ns", "p99_ns", "ratio")))
        for row in race["rows"]
    )
    yield from table(("", "min ns", "median ns", "p99 ns", f"times {race['base']}"), rows)


def section(result: Result) -> Iterator[str]:
    """Yield everything about one benchmark."""
    yield f"## {result['benchmark'].replace('_', ': ', 1).replace('_', ' ')}"
    yield ""
    if result["gates"]:
        yield from table(("bar", "measured", "", "met"), map(gate_row, result["gates"]))
    for race in result["races"]:
        yield from race_table(race)
    if result["figures"]:
        rows = ((one["name"], shown(one["value"]), one["unit"]) for one in result["figures"])
        yield from table(("figure", "", ""), rows)


def order(result: Result) -> tuple[int, str]:
    """Return where a result stands on the page."""
    name = result["benchmark"]
    return NAMES.index(name.partition("_")[0]), name


def page_tables(results: list[Result]) -> str:
    """Return what stands between the marks."""
    machine = ", ".join(f"{key} {value}" for key, value in results[0]["machine"].items())
    gates = [gate for result in results for gate in result["gates"]]
    met = sum(gate["passed"] for gate in gates)
    lines = [f"Taken on {machine}. Bars met: {met} of {len(gates)}.", ""]
    for result in sorted(results, key=order):
        lines.extend(section(result))
    return "\n".join(lines)


def write_page() -> None:
    """Put the tables of all results between the marks of the page."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{page_tables(results)}\n{END}{after}", encoding="utf-8")
    print(f"\nwrote {PAGE.relative_to(HERE.parent)}")


# --- running ----------------------------------------------------------------------------------


def run(name: str, arguments: list[str]) -> bool:
    """Run one benchmark; True when it ended well."""
    command = [sys.executable, str(HERE / f"bench_{name}.py"), *arguments]
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}")
    parser.add_argument("--smoke", action="store_true", help="small sizes, nothing kept")
    parser.add_argument("--gate", action="store_true", help="fail when a bar is missed")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    with TemporaryDirectory() as scratch:
        output = Path(scratch) if arguments.smoke else RESULTS
        passed_on = ["--rounds", str(arguments.rounds), "--output", str(output)]
        passed_on += ["--smoke"] * arguments.smoke + ["--gate"] * arguments.gate
        failed = [name for name in arguments.names or NAMES if not run(name, passed_on)]
    if not arguments.smoke:
        write_page()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
