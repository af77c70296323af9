"""Every code block of the README and of docs/ does what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
FENCE = re.compile(
    r"^```(?P<language>[\w+-]*)(?P<rest>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
# Programs of the reader's own machine that a shell block may call beside ours.
SHELL_PROGRAMS = {"cd", "git", "pip", "python", "python3", "export", "source", "bash"}


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `rest` is what follows the language on the fence, such as `no-run`."""

    page: str
    line: int
    language: str
    rest: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(REPOSITORY))
    return [
        Block(
            name, text.count("\n", 0, match.start()) + 1, *match.group("language", "rest", "text")
        )
        for match in FENCE.finditer(text)
    ]


PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("**/*.md"))]
BLOCKS = [block for page in PAGES if page.exists() for block in blocks_of(page)]


def of_language(*languages: str) -> list[Block]:
    """Return the blocks of these languages."""
    return [block for block in BLOCKS if block.language in languages]


def test_the_readme_shows_python_and_how_to_start():
    """The README has at least one Python block and one shell block, so the tests below see some."""
    assert {"python", "sh"} <= {block.language for block in BLOCKS if block.page == "README.md"}


@pytest.mark.parametrize("block", of_language("python", "py"), ids=str)
def test_python_block_runs(block: Block, tmp_path: Path):
    """The block runs as pasted, in an empty folder that holds the YAML blocks of its page."""
    for yaml in of_language("yaml"):
        if yaml.page == block.page:
            (tmp_path / "slos.yaml").write_text(yaml.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:slotel", "-c", block.text],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr


def make_targets() -> set[str]:
    """Return the targets of the Makefile."""
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([\w-]+):", text, re.MULTILINE))


def slotel_commands() -> set[str]:
    """Return the commands that `slotel --help` lists."""
    quiet = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", "slotel", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=quiet,
    )
    return set(re.findall(r"^\s+([a-z][\w-]*)\b", done.stdout, re.MULTILINE))


def shell_lines(block: Block) -> list[list[str]]:
    """Return the words of each command of a block; prompts and comments are dropped."""
    lines = block.text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [line for line in words if line]


@pytest.mark.parametrize("block", of_language("sh", "bash", "shell"), ids=str)
def test_shell_block_names_what_exists(block: Block):
    """Each line calls make with a target, slotel with a command, or a program of the reader's."""
    for words in shell_lines(block):
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words = words[1:]
        if words[:1] == ["make"]:
            assert set(words[1:2]) <= make_targets(), words
        elif words[:1] == ["slotel"]:
            assert set(words[1:2]) <= slotel_commands(), words
        elif words:
            assert words[0] in SHELL_PROGRAMS, words


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=lambda p: p.name)
def test_links_within_the_repository_lead_somewhere(page: Path):
    """A relative link names a file that exists."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []
