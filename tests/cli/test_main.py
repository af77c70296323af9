from __future__ import annotations

import argparse
import json
import subprocess
import sys

import pytest

from slotel.cli import main as command_line
from slotel.cli.main import COMMANDS, main
from slotel.errors import ConfigurationError


class Fake:
    """A command that does what the test says."""

    def __init__(self, outcome: int | BaseException) -> None:
        self.outcome = outcome

    def add(self, subparsers: argparse._SubParsersAction) -> None:
        subparsers.add_parser("fake", help="a fake").add_argument("--loud", action="store_true")

    def run(self, args: argparse.Namespace) -> int:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome + args.loud


def with_fake(monkeypatch: pytest.MonkeyPatch, outcome: int | BaseException) -> None:
    monkeypatch.setattr(command_line, "COMMANDS", {**COMMANDS, "fake": Fake(outcome)})


@pytest.mark.parametrize("arguments", [["fake"], ["fake", "--loud"]])
def test_the_exit_code_is_the_command_s(monkeypatch, arguments):
    """Arguments reach the command and what it returns comes back."""
    with_fake(monkeypatch, 2)
    assert main(arguments) == 1 + len(arguments)


def test_an_unknown_command_is_wrong_use(capsys):
    """It exits 2 and says which commands there are."""
    assert main(["frobnicate"]) == 2
    said = capsys.readouterr().err
    assert "frobnicate" in said
    assert "demo" in said


def test_no_command_is_wrong_use_and_shows_the_help(capsys):
    """Without a command there is nothing to do: help on standard error, exit 2."""
    assert main([]) == 2
    shown = capsys.readouterr()
    assert "run a real assistant" in shown.err
    assert shown.out == ""


def test_version_and_help_exit_zero(capsys):
    """What was asked for and printed is no error."""
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    assert "slotel 0." in capsys.readouterr().out


def test_an_error_of_ours_is_one_line_and_wrong_use(monkeypatch, capsys):
    """A SlotelError ends the command without a traceback."""
    with_fake(monkeypatch, ConfigurationError("slos.yaml is not there. Name one that is."))
    assert main(["fake"]) == 2
    assert capsys.readouterr().err == "slotel fake: slos.yaml is not there. Name one that is.\n"


def test_an_interrupt_exits_as_a_shell_expects(monkeypatch):
    """Ctrl-C is 128 + SIGINT, without a traceback."""
    with_fake(monkeypatch, KeyboardInterrupt())
    assert main(["fake"]) == 130


def test_a_fault_of_the_program_is_not_hidden(monkeypatch):
    """Anything that is not an error of ours keeps its traceback."""
    with_fake(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["fake"])


def test_python_m_slotel_is_the_same_command():
    """`python -m slotel` takes the same arguments and exits with the same code."""
    done = subprocess.run(
        [sys.executable, "-m", "slotel", "frobnicate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: slotel ")


def test_a_reader_that_goes_away_is_no_fault(tmp_path):
    """`slotel validate … | head -1` ends as other commands do, without a traceback."""
    path = tmp_path / "slos.yaml"
    many = [
        {"name": f"slo-{n}", "sli": {"availability": {"operation": "chat"}}, "objective": "99%"}
        for n in range(2_000)
    ]
    path.write_text(json.dumps({"version": "slotel/v1", "slos": many}))
    with subprocess.Popen(
        [sys.executable, "-m", "slotel", "validate", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
