"""The process's own parts: configuration, tick, questions, fork and exit."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

import slotel
from slotel import _runtime
from slotel._process import recorder
from slotel._runtime import ticker
from slotel.errors import ConfigurationError, UnknownNameError
from slotel.slo.objective import Document
from slotel.slo.spec import parse

pytestmark = pytest.mark.usefixtures("process")

TEXT = """
version: slotel/v1
service: bot
slos:
  - name: answers
    sli: {availability: {operation: chat}}
    objective: 90%
    window: 28d
  - name: quick
    sli: {latency: {operation: chat, at_most: 10s}}
    objective: 95%
    window: 28d
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "slos.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def calls(good: int, bad: int = 0) -> None:
    @slotel.llm
    def answer(fails: bool) -> None:
        if fails:
            raise ValueError

    for number in range(good + bad):
        with contextlib.suppress(ValueError):
            answer(number >= good)


# -- configure ------------------------------------------------------------------------------------


def test_equal_arguments_twice_give_the_same_runtime(document: Path):
    """Libraries and programs may both configure, if they agree."""
    first = slotel.configure(service="bot", slos=document, metrics="none")
    assert slotel.configure(service="bot", slos=str(document), metrics="none") is first
    assert _runtime.runtime() is first


def test_other_arguments_are_refused_and_named(document: Path):
    """The first configuration goes on."""
    first = slotel.configure(service="bot", slos=document, metrics="none")
    with pytest.raises(ConfigurationError, match=r"\(service, slos differ\).*replace=True"):
        slotel.configure(service="other", metrics="none")
    assert _runtime.runtime() is first


def test_replace_replaces_and_keeps_what_was_counted(process, document: Path):
    """The new SLOs count from here on; the summary goes on."""
    slotel.configure(slos=document, metrics="none")
    calls(3)
    assert slotel.status("answers").total == 3
    second = slotel.configure(slos=document, service="other", metrics="none", replace=True)
    assert _runtime.runtime() is second
    assert slotel.status("answers").total == 0
    calls(2)
    assert slotel.status("answers").total == 2
    assert sum(process.measured().values()) == 5


@pytest.mark.parametrize("form", ["path", "text path", "mapping", "document", "slo", "list"])
def test_slos_come_in_every_form(document: Path, form: str):
    """A file, its content, the document or its objects."""
    made = parse(TEXT)
    mapping = {
        "version": "slotel/v1",
        "service": "bot",
        "slos": [
            {
                "name": "answers",
                "sli": {"availability": {"operation": "chat"}},
                "objective": "90%",
                "window": "28d",
            }
        ],
    }
    given: dict[str, Any] = {
        "path": document, "text path": str(document), "mapping": mapping, "document": made,
        "slo": made.slos[0], "list": list(made.slos),
    }  # fmt: skip
    slotel.configure(slos=given[form], metrics="none")
    calls(9, 1)
    status = slotel.status("answers")
    assert (status.good, status.bad) == (9, 1)
    assert slotel.configure(slos=given[form], metrics="none") is _runtime.runtime()


def test_the_environment_configures(monkeypatch: pytest.MonkeyPatch, document: Path):
    """SLOTEL_SLOS and SLOTEL_METRICS stand in for the arguments."""
    monkeypatch.setenv("SLOTEL_SLOS", str(document))
    monkeypatch.setenv("SLOTEL_METRICS", "none")
    made = slotel.configure()
    assert isinstance(made.document, Document)
    assert made.service == "bot"
    assert "none" in made.describe() or "nowhere" in made.describe()


def test_without_an_endpoint_one_line_says_that_nothing_is_sent(caplog):
    """And nothing is."""
    caplog.set_level(logging.INFO)
    slotel.configure(service="bot")
    calls(2)
    assert slotel.flush()
    found = [record for record in caplog.records if record.name.startswith("slotel")]
    assert len(found) == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in found[0].getMessage()
    assert trace._TRACER_PROVIDER is None


def test_a_failed_start_leaves_the_process_unconfigured(monkeypatch: pytest.MonkeyPatch):
    """The corrected call is not refused for the failed one's sake."""

    def fails(self: _runtime.Runtime) -> None:
        raise OSError("no")

    with monkeypatch.context() as patch:
        patch.setattr(_runtime.Runtime, "_start_tracing", fails)
        with pytest.raises(OSError, match="no"):
            slotel.configure(service="bot", metrics="none")
    assert _runtime.runtime() is None
    assert slotel.configure(service="other", metrics="none").service == "other"


def test_calls_made_before_belong_to_no_slo(process, document: Path):
    """Decorators may run before; their SLOs count from `configure()` on."""
    calls(5)
    slotel.configure(slos=document, metrics="none")
    calls(1)
    assert slotel.status("answers").total == 1
    assert sum(process.measured().values()) == 6


def test_two_threads_configure_one_runtime(document: Path):
    """Whoever comes second gets the first one's."""
    made: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: made.append(slotel.configure(slos=document, metrics="none"))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len(set(map(id, made))) == 1


# -- flush, shutdown, questions -------------------------------------------------------------------


def test_everything_works_without_any_configuration(process):
    """Calls are counted, questions answered, and nothing has to be sent."""
    calls(3, 1)
    assert slotel.flush() is True
    slotel.shutdown()
    calls(1)
    assert slotel.percentiles("chat").count == 4
    assert sum(process.measured().values()) == 5


def test_shutdown_twice_and_configuring_again(document: Path):
    """After the end of one configuration another may follow."""
    slotel.configure(slos=document, metrics="none")
    slotel.shutdown()
    slotel.shutdown()
    assert _runtime.runtime() is None
    with pytest.raises(ConfigurationError, match="no SLOs to judge"):
        slotel.status()
    slotel.configure(slos=document, service="again", metrics="none")
    calls(1)
    assert slotel.status("answers").total == 1


def test_status_is_up_to_date_when_asked(document: Path):
    """No tick has to pass first."""
    slotel.configure(slos=document, metrics="none")
    assert slotel.status("answers").sli_ratio is None
    calls(9, 1)
    evaluation = slotel.status()
    assert set(evaluation.slos) == {"answers", "quick"}
    assert evaluation.slo("answers").sli_ratio == pytest.approx(0.9)
    assert slotel.status("answers").burn_rates["5m"] == pytest.approx(1.0)


def test_percentiles_lie_within_their_stated_error(process):
    """Values of a known distribution come back in base units."""
    from slotel.measure.measurement import SeriesKey

    series = recorder.series(SeriesKey("known", "p", "m"))
    for number in range(1, 1001):
        series.buffer("duration").record(number / 1000)
    found = slotel.percentiles("known", (0, 50, 95, 100))
    assert found.count == 1000
    assert list(found) == [0, 50, 95, 100]
    for percent, exact in ((50, 0.5), (95, 0.95), (100, 1.0)):
        assert found[percent] == pytest.approx(exact, rel=found.relative_error + 1e-9)
    assert slotel.percentiles("known", provider="p", model="m").count == 1000
    assert slotel.percentiles("known", provider="q").count == 0
    assert slotel.percentiles("known", outcome="error").count == 0


def test_percentiles_of_nothing_are_nan():
    """Nothing was counted, so nothing is known."""
    found = slotel.percentiles("no-such-operation", (50,), window="5m")
    assert found.count == 0
    assert math.isnan(found[50])
    assert math.isnan(slotel.percentiles("chat", (50,), metric="score.never")[50])


def test_percentiles_leave_nested_and_failed_calls_out():
    """Unless asked for by outcome, only what succeeded counts, once a call."""
    with slotel.llm, slotel.llm:
        pass
    calls(0, 2)
    assert slotel.percentiles("chat").count == 1
    assert slotel.percentiles("chat", outcome="error").count == 2


def test_percentiles_of_a_window_say_what_is_known():
    """The window has just begun to be seen."""
    calls(10)
    found = slotel.percentiles("chat", window="5m")
    assert found.count == 10
    assert found.window_seconds == 300
    assert 0.0 <= found.coverage_ratio <= 1.0


def test_summary_has_one_row_a_series():
    """Counts, percentiles, first token and tokens of each."""

    @slotel.llm(model="m", provider="p", tokens_per_chunk=2)
    def stream() -> Iterator[str]:
        yield from "abc"

    list(stream())
    calls(2, 1)
    rows = {(row.model, row.outcome): row for row in slotel.summary() if row.count}
    assert {place: row.count for place, row in rows.items()} == {
        ("m", "success"): 1, (None, "success"): 2, (None, "error"): 1,
    }  # fmt: skip
    row = rows["m", "success"]
    assert (row.operation, row.provider, row.role) == ("chat", "p", "outer")
    assert row.output_tokens == 6
    assert 0.0 < row.p50 <= row.max * 1.01
    assert row.first_token_p50 >= 0.0
    assert math.isnan(rows[None, "success"].first_token_p50)
    assert rows[None, "error"].error_type == "ValueError"


def test_an_unknown_slo_is_an_error(document: Path):
    """The known ones are listed."""
    slotel.configure(slos=document, metrics="none")
    with pytest.raises(UnknownNameError, match="answers"):
        slotel.status("answer")


# -- the tick -------------------------------------------------------------------------------------


def wait_for(condition: Any, seconds: float = 5.0) -> None:
    event, deadline = threading.Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        event.wait(0.01)


def test_the_first_call_starts_the_tick_and_it_drains():
    """A daemon thread takes the buffers once a second without anyone asking."""
    assert not [thread for thread in threading.enumerate() if thread.name == "slotel-tick"]
    calls(3)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "slotel-tick"]
    assert thread.daemon
    ledger = recorder.ledger()
    wait_for(lambda: sum(ledger.counts("duration")) == 3)


def test_one_bad_tick_does_not_end_the_others(process, monkeypatch: pytest.MonkeyPatch):
    """The fault is counted and the next tick goes on."""
    process.tolerate()
    monkeypatch.setattr(_runtime, "TICK_SECONDS", 0.01)
    done: list[int] = []

    def after() -> None:
        done.append(1)
        if len(done) == 1:
            raise ValueError("bad tick")

    ticker.after_drain = after
    calls(1)
    wait_for(lambda: len(done) > 2)
    assert process.faults["tick"] == 1


@pytest.mark.untraced
def test_a_tick_that_cannot_start_a_thread_breaks_no_call(monkeypatch: pytest.MonkeyPatch, process):
    """At the interpreter's end there are no new threads; the call goes on and is counted."""

    def refuses(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        calls(2)
    assert process.ended() == {("success", None): 2}


# -- fork and exit --------------------------------------------------------------------------------


def run(code: str, *, timeout: float = 40) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, so that its fork or exit is not this process's."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


FORK = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import slotel

def told():
    rows = {f"{r.operation}.{r.outcome}.{r.role}": r.count for r in slotel.summary() if r.count}
    slos = slotel.status("answers") if slotel._runtime.runtime() else None
    return {"rows": rows, "slo": [slos.good, slos.bad] if slos else None}

class Child(int):
    pass

def forked(text):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        return Child(write)
    os.close(write)
    with os.fdopen(read) as pipe:
        child = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return child

def leave(write, known):
    with os.fdopen(write, "w") as pipe:
        pipe.write(json.dumps(known))
    os._exit(0)

@slotel.llm
def quick(): return 1

SLOS = {"version": "slotel/v1", "service": "b", "slos": [{"name": "answers", "sli":
    {"availability": {"operation": "chat"}}, "objective": "90%", "window": "28d"}]}
import slotel._runtime
"""


@pytest.mark.parametrize(
    "form", ["function", "noted", "nested", "block", "generator", "coroutine", "sampled"]
)
@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.untraced
def test_a_fork_inside_a_call_leaves_it_to_the_parent(form: str, configured: bool):
    """Each call is counted once, by whoever began it; the child's SLO counters start at 0."""
    before = "slotel.configure(slos=SLOS, metrics='none')\n" if configured else ""
    if form == "sampled":
        before += (
            "from opentelemetry import trace\n"
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "trace.set_tracer_provider(TracerProvider())\n"
        )
    bodies = {
        "function": "@slotel.llm\ndef call(): return forked('x')\nchild = call()",
        "sampled": "@slotel.llm\ndef call(): return forked('x')\nchild = call()",
        "noted": (
            "@slotel.llm\ndef call():\n    slotel.current().usage(output_tokens=1)\n"
            "    return forked('x')\nchild = call()"
        ),
        "nested": (
            "@slotel.agent\ndef outer(): return call()\n"
            "@slotel.llm\ndef call(): return forked('x')\nchild = outer()"
        ),
        "block": "with slotel.agent('a'), slotel.llm:\n    child = forked('x')",
        "generator": "@slotel.llm\ndef call():\n    yield forked('x')\nchild = list(call())[0]",
        "coroutine": (
            "import asyncio\n@slotel.llm\nasync def call(): return forked('x')\n"
            "child = asyncio.run(call())"
        ),
    }
    after = (
        "\nif isinstance(child, Child):\n    quick(); quick(); leave(child, told())\n"
        "print(json.dumps([told(), child, dict(slotel._faults.counts)]))\n"
    )
    done = run(
        FORK + "import slotel._faults\nquick()\n" + before + "quick()\n" + bodies[form] + after
    )
    assert done.returncode == 0, done.stderr
    parent, child, faults = json.loads(done.stdout)
    assert child["rows"] == {"chat.success.outer": 2}
    assert parent["rows"].pop("chat.success.outer") == 3
    agent = {"invoke_agent.success.outer": 1} if form in ("nested", "block") else {}
    assert parent["rows"] == agent
    assert faults == {}
    if configured:
        assert child["slo"] == [2, 0]
        assert parent["slo"] == [2, 0]


@pytest.mark.untraced
def test_a_forked_child_ticks_by_itself():
    """It has a thread of its own, and a call in it needs nobody's help to be counted."""
    done = run(
        FORK
        + """
import time
quick()
child = forked("x")
if isinstance(child, Child):
    quick()
    deadline = time.monotonic() + 5
    from slotel._process import recorder
    while sum(recorder.ledger().counts("duration")) < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    leave(child, int(sum(recorder.ledger().counts("duration"))))
print(child)
"""
    )
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.timeout(180)
@pytest.mark.untraced
def test_many_forks_under_load_come_back_with_the_right_counts():
    """Threads record while the process forks; no child hangs on a lock held by another thread."""
    done = run(
        FORK
        + """
import threading
stop = threading.Event()
def work():
    while not stop.is_set():
        with slotel.agent("a"):
            quick()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
results = []
for _ in range(15):
    child = forked("x")
    if isinstance(child, Child):
        for _ in range(10): quick()
        leave(child, sum(r.count for r in slotel.summary() if r.operation == "chat"))
    results.append(child)
stop.set()
for thread in threads: thread.join()
print(results == [10] * 15, results)
""",
        timeout=150,
    )
    assert done.stdout.startswith("True"), done.stdout + done.stderr


DEAD = """
import socket, sys, time
import slotel
listener = socket.socket(); listener.bind(("127.0.0.1", 0))
if sys.argv[1:] == [] : pass
kind = {kind!r}
if kind == "silent":
    listener.listen(1)  # It takes the connection and never answers.
port = listener.getsockname()[1]
if kind == "refused":
    listener.close()
slotel.configure(service="bot", endpoint=f"http://127.0.0.1:{{port}}", protocol={protocol!r})

@slotel.llm
def answer(): return 1

for _ in range(10): answer()
import atexit
began = time.monotonic()
atexit._run_exitfuncs()
print(f"{{time.monotonic() - began:.3f}}")
"""


@pytest.mark.loopback
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_exit_is_not_held_up_by_a_dead_collector(kind: str, protocol: str):
    """At most about a second, whatever the collector does, and it is said."""
    seconds = math.inf
    for _ in range(3):  # A machine that is busy with something else may hold it up as well.
        done = run(DEAD.format(kind=kind, protocol=protocol))
        assert done.returncode == 0, done.stderr
        seconds = min(seconds, float(done.stdout))
        if seconds < 1.6:
            break
    assert seconds < 1.6, done.stderr
    said = done.stderr.strip().splitlines()
    assert sorted(line.split()[0] for line in said) == ["Metrics", "Spans"], done.stderr
    assert all("do not reach http://127.0.0.1" in line for line in said)
    assert "Traceback" not in done.stderr


def test_a_process_without_a_collector_exits_in_silence():
    """Nothing is configured, nothing is said."""
    done = run("import slotel\n@slotel.llm\ndef f(): return 1\nf()\nprint(f())\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_calls_during_the_interpreters_end_raise_nothing():
    """An exit handler and a finaliser that make decorated calls."""
    done = run(
        """
        import atexit, slotel
        @slotel.llm
        def f(): return 1
        @slotel.llm
        def stream():
            yield 1
            yield 2
        class Late:
            def __del__(self, f=f): f()
        late = Late()
        running = stream(); next(running)
        atexit.register(f)
        slotel.configure(metrics="none")
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_signal_handler_that_calls_is_counted():
    """It interrupts a call, and each is counted once."""
    done = run(
        """
        import signal, os, slotel
        @slotel.tool
        def inside(): return 1
        signal.signal(signal.SIGUSR1, lambda *_: inside())
        @slotel.llm
        def f():
            os.kill(os.getpid(), signal.SIGUSR1)
            return 1
        for _ in range(50): f()
        print(sorted((r.operation, r.count) for r in slotel.summary()))
        """
    )
    assert done.stdout.strip() == "[('chat', 50), ('execute_tool', 50)]", done.stderr


def test_importing_and_decorating_loads_no_numpy_and_no_sdk():
    """Nor does calling: the tick makes what needs them, later."""
    done = run(
        """
        import sys, slotel
        @slotel.llm
        def f(): return 1
        f()
        heavy = [n for n in ("numpy", "opentelemetry.sdk", "ruamel.yaml") if n in sys.modules]
        print(heavy)
        """
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_warnings_of_ours_are_none():
    """No form of use warns, even with every warning on."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calls(1)
        with slotel.llm:
            slotel.summary()
