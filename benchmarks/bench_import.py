"""What `import slotel` costs a process, against importing OpenTelemetry's packages.

Each turn is a fresh interpreter that measures the import itself, so its own start is not counted.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

from harness import Report, report

STATEMENTS = {
    "import slotel": "import slotel",
    "import slotel, then slotel.llm": "import slotel; slotel.llm",
    "OpenTelemetry API": "import opentelemetry.trace",
    "OpenTelemetry SDK, traces": "import opentelemetry.sdk.trace",
    "OpenTelemetry SDK, metrics": "import opentelemetry.sdk.metrics",
    "OTLP exporter, HTTP": "import opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "prometheus_client": "import prometheus_client",
    "numpy": "import numpy",
    "OpenLLMetry (traceloop.sdk)": "import traceloop.sdk",
    "OpenInference": "import openinference.instrumentation",
}
FORBIDDEN = (
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "numpy",
    "wrapt",
    "asyncio",
    "openai",
)
PROGRAM = """
import os, time
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before = resident()
started = time.perf_counter()
{statement}
took = time.perf_counter() - started
print(took, resident() - before)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one import took."""

    milliseconds: float
    mebibytes: float


def output(program: str) -> list[str]:
    """Run a program in a fresh interpreter and return the words it prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return done.stdout.decode().split()


def imported(statement: str) -> Cost:
    """Measure the statement in a fresh interpreter."""
    seconds, size = output(PROGRAM.format(statement=statement))
    return Cost(float(seconds) * 1000, float(size) / 2**20)


def bench_imports(bench: Report) -> None:
    """Take turns over the statements."""
    costs: dict[str, list[Cost]] = {name: [] for name in STATEMENTS}
    for _ in range(2 if bench.smoke else 11):
        for name, statement in STATEMENTS.items():
            costs[name].append(imported(statement))
    print("\nA fresh interpreter, median")
    median = {}
    for name, taken in costs.items():
        median[name] = sorted(taken, key=lambda cost: cost.milliseconds)[len(taken) // 2]
        bench.figure(name, median[name].milliseconds, "ms")
        bench.figure(f"{name}: memory", median[name].mebibytes, "MiB")
    ours = median["import slotel, then slotel.llm"].milliseconds
    api = median["OpenTelemetry API"].milliseconds
    bench.gate("slotel.llm over the OpenTelemetry API", ours / api, 2.0)


def main() -> None:
    """Measure the imports and check what `slotel.llm` does not bring."""
    bench = report("import")
    bench_imports(bench)
    brought = set(output("import sys, slotel; slotel.llm; print(*sys.modules)"))
    unwanted = [name for name in FORBIDDEN if name in brought]
    name = f"loaded with slotel.llm, of {', '.join(FORBIDDEN)}"
    bench.gate(name, len(unwanted), 0, unit="modules")
    bench.finish()


if __name__ == "__main__":
    main()
