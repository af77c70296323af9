"""`slotel init`: write a first SLO document."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from slotel.errors import SpecErrors
from slotel.slo.preset import PRESETS, render

WRONG_USE = 2


def add(subparsers: Any) -> None:
    """Add the command and its options to what `ArgumentParser.add_subparsers()` returned."""
    parser = subparsers.add_parser(
        "init",
        help="write a first SLO document, before any traffic",
        description="Write a commented, working SLO document to start from.",
    )
    parser.add_argument("--preset", required=True, choices=PRESETS, help="kind of service")
    parser.add_argument(
        "--output", default="slos.yaml", metavar="FILE", help="file to write (slos.yaml); - prints"
    )
    parser.add_argument("--service", metavar="NAME", help="name of the service")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the document; return 0, or 2 when it cannot be written or the name is unusable."""
    text = render(args.preset, service=args.service)
    problem = _problem(text)
    if problem:
        return _refuse(f"--service {args.service!r} cannot be a service's name: {problem}")
    if args.output == "-":
        sys.stdout.write(text)
        return 0
    try:
        _write(Path(args.output), text, force=args.force)
    except FileExistsError:
        return _refuse(f"{args.output} is there already. Overwrite it with --force.")
    except OSError as error:
        return _refuse(f"{args.output} cannot be written: {error.strerror or error}.")
    print(f"Wrote {args.output}. Next: slotel validate {args.output}")
    return 0


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write the whole file or leave what is there as it was: the disk may be full.

    Raises:
        OSError: It cannot be written; FileExistsError without `force` if it is there.
    """
    if force and path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")  # A device or a pipe.
    elif force and path.exists():
        path = path.resolve()  # The file that a link names is replaced, not the link.
        made = path.with_name(f"{path.name}.new")
        made.unlink(missing_ok=True)
        _write_new(made, text)
        made.replace(path)
    else:
        _write_new(path, text)


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink()
            raise


def _problem(text: str) -> str:
    """Return what a service name makes of the document that is no longer valid."""
    from slotel.slo.spec import parse

    try:
        parse(text)
    except SpecErrors as error:
        return error.faults[0].message
    return ""


def _refuse(message: str) -> int:
    print(f"slotel init: {message}", file=sys.stderr)
    return WRONG_USE
