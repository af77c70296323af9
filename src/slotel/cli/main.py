"""The `slotel` command: a list of commands, each in a small module of its own.

Exit codes: 0 holds, 1 does not hold, 2 wrong use, 3 could not be judged.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from slotel._version import __version__
from slotel.cli import demo, init, validate
from slotel.errors import SlotelError

WRONG_USE = 2
# What a shell reports for a process that SIGINT ended: 128 + 2.
_INTERRUPTED = 130
# The same for SIGPIPE: 128 + 13.
_BROKEN_PIPE = 141


class Command(Protocol):
    """What a command module offers; its name is the command's."""

    def add(self, subparsers: Any, /) -> object:
        """Add the command's parser."""
        ...

    def run(self, args: argparse.Namespace, /) -> int:
        """Run the command and return the exit code."""
        ...


COMMANDS: dict[str, Command] = {"demo": demo, "init": init, "validate": validate}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: Arguments without the program's name; None reads those of the process.
    """
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stopped:  # argparse has printed help, version or what is wrong
        return int(stopped.code or 0)
    if args.command is None:
        parser.print_help(sys.stderr)
        return WRONG_USE
    try:
        status = COMMANDS[args.command].run(args)
        sys.stdout.flush()
        return status
    except SlotelError as error:
        print(f"slotel {args.command}: {error}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # Who reads the output has seen enough.
        # Else the interpreter would complain when it flushes what nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slotel",
        description="SLOs for AI services, native to OpenTelemetry.",
        epilog="Exit codes: 0 holds, 1 does not hold, 2 wrong use, 3 could not be judged.",
    )
    parser.add_argument("--version", action="version", version=f"slotel {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    for command in COMMANDS.values():
        command.add(subparsers)
    return parser
