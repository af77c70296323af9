"""`slotel validate` reports every fault and says what valid documents promise."""

import argparse
import io

import pytest

from slotel.cli import validate

VALID = """\
version: slotel/v1
slos:
  - {name: fast, sli: {latency: {at_most: 2s}}, objective: 99.9%}
  - {name: mostly, sli: {availability: {}}, objective: 90%}
  - {name: rarely, sli: {availability: {}}, objective: 5%}
"""


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    validate.add(parser.add_subparsers())
    args = parser.parse_args(["validate", *argv])
    return args.run(args)


@pytest.fixture
def valid(tmp_path):
    path = tmp_path / "valid.yaml"
    path.write_text(VALID)
    return path


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("version: slotel/v1\nslos:\n  - {name: A, objective: 95}\n")
    return path


def test_a_valid_document_is_said_in_words(valid, capsys):
    """One line an SLO, and a word on every default alert that was dropped."""
    assert run(str(valid)) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{valid}: valid, 3 SLOs",
        "  fast: 99.9% of chat calls end within 2s, over 28 days",
        "  mostly: 90% of chat calls succeed, over 28 days",
        "    no 1h/5m alert: it would need 134% of events to be bad",
        "    alerts left: 6h/30m as a page, 24h/2h as a ticket, 3d/6h as a ticket",
        "  rarely: 5% of chat calls succeed, over 28 days",
        "    no 1h/5m alert: it would need 1277% of events to be bad",
        "    no 6h/30m alert: it would need 532% of events to be bad",
        "    no 24h/2h alert: it would need 266% of events to be bad",
        "    no 3d/6h alert: it would need 89% of events to be bad",
        "    alerts left: none",
    ]


def test_every_fault_goes_to_standard_error_with_its_place(broken, capsys):
    """Three faults are three lines with file, line and column; the exit code is 1."""
    assert run(str(broken)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        f"{broken}:3:5:",
        f"{broken}:3:12:",
        f"{broken}:3:26:",
    ]


def test_several_files_are_all_checked_and_the_worst_decides(valid, broken, tmp_path, capsys):
    """A file that cannot be read is wrong use and weighs more than faults."""
    assert run(str(valid), str(broken)) == 1
    assert run(str(tmp_path / "none.yaml"), str(broken), str(valid)) == 2
    captured = capsys.readouterr()
    assert "none.yaml cannot be read: No such file or directory." in captured.err
    assert captured.out.count("valid, 3 SLOs") == 2


def test_a_directory_cannot_be_read(tmp_path, capsys):
    """A directory is wrong use, not a traceback."""
    assert run(str(tmp_path)) == 2
    assert "cannot be read: Is a directory." in capsys.readouterr().err


def test_standard_input_is_read(monkeypatch, capsys):
    """`slotel init --output - | slotel validate -` works."""
    monkeypatch.setattr("sys.stdin", io.StringIO(VALID))
    assert run("-") == 0
    assert capsys.readouterr().out.startswith("<stdin>: valid, 3 SLOs")
