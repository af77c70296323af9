"""`slotel init` writes a valid first document and never overwrites one unasked."""

import argparse
import subprocess
import sys

import pytest

from slotel.cli import init
from slotel.slo.preset import PRESETS
from slotel.slo.spec import load, parse


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    init.add(parser.add_subparsers())
    args = parser.parse_args(["init", *argv])
    return args.run(args)


@pytest.mark.parametrize("preset", PRESETS)
def test_init_writes_a_valid_document(preset, tmp_path, capsys):
    """Every preset lands in the file, is valid there, and the next step is named."""
    path = tmp_path / "slos.yaml"
    assert run("--preset", preset, "--output", str(path), "--service", "support-bot") == 0
    assert load(path).service == "support-bot"
    assert f"slotel validate {path}" in capsys.readouterr().out


def test_init_writes_slos_yaml_by_default(tmp_path, monkeypatch):
    """Without --output the file is slos.yaml, the service the preset's name."""
    monkeypatch.chdir(tmp_path)
    assert run("--preset", "rag") == 0
    assert load(tmp_path / "slos.yaml").service == "rag"


def test_init_prints_the_document_alone(capsys):
    """With --output - nothing but the document goes to standard output."""
    assert run("--preset", "chatbot", "--output", "-") == 0
    assert parse(capsys.readouterr().out).service == "chatbot"


def test_init_does_not_overwrite_unless_forced(tmp_path, capsys):
    """A document that is there stays as it is; --force replaces it."""
    path = tmp_path / "slos.yaml"
    path.write_text("mine")
    assert run("--preset", "rag", "--output", str(path)) == 2
    assert path.read_text() == "mine"
    assert "is there already. Overwrite it with --force." in capsys.readouterr().err
    assert run("--preset", "rag", "--output", str(path), "--force") == 0
    assert load(path).slos


def test_init_says_when_it_cannot_write(tmp_path, capsys):
    """A directory that is not there is named."""
    path = tmp_path / "nowhere" / "slos.yaml"
    assert run("--preset", "rag", "--output", str(path)) == 2
    assert "cannot be written: No such file or directory." in capsys.readouterr().err


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from slotel.cli.main import main
sys.exit(main(["init", "--preset", "rag", "--output", *sys.argv[1:]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("before", [None, "precious"])
def test_init_leaves_what_was_there_when_the_disk_is_full(before: str | None, tmp_path):
    """Neither an empty file nor the loss of the one that was to be replaced."""
    path = tmp_path / "slos.yaml"
    if before is not None:
        path.write_text(before)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), *(["--force"] if before else [])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot be written: File too large." in done.stderr
    assert [file.read_text() for file in tmp_path.iterdir()] == ([before] if before else [])


@pytest.mark.parametrize("service", [" ", "x" * 201])
def test_init_refuses_a_name_that_no_document_can_hold(service, tmp_path, capsys):
    """The document that would be written is checked first."""
    path = tmp_path / "slos.yaml"
    assert run("--preset", "rag", "--output", str(path), "--service", service) == 2
    assert "service must have 1 to 200 characters" in capsys.readouterr().err
    assert not path.exists()


def test_init_refuses_an_unknown_preset():
    """argparse names the choices and exits 2."""
    with pytest.raises(SystemExit, match="2"):
        run("--preset", "blog")
