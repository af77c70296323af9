"""`slotel demo`: a real assistant, measured, judged and exported, in one terminal."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from slotel.cli.demo_app.parts import install_lines, missing_parts
from slotel.cli.demo_app.questions import QUESTIONS

_WRONG_USE = 2
# On two cores more threads than cores make every part slower, by a factor of ten and more.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_DESCRIPTION = """\
A support assistant answers questions over real documents: moderation, embeddings, a vector store
and a small language model, all running here. Some calls are slow, failing, flagged or cancelled on
purpose. Every call is measured and judged against SLOs, and everything is exported over OTLP."""
_EPILOG = """\
environment:
  OPENAI_BASE_URL, OPENAI_API_KEY  use that model server, not one started here
  OPENAI_MODEL                     its model (default: gpt-4o-mini)
  OTEL_EXPORTER_OTLP_ENDPOINT      export to that collector, not to one started here

exit codes: 0 every call was measured and received, 1 some were not, 2 parts are missing
"""


def add(subparsers: Any) -> None:
    """Add the command and its options to what `ArgumentParser.add_subparsers()` returned."""
    parser = subparsers.add_parser(
        "demo",
        help="run a real assistant and watch its SLOs",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--questions",
        type=_number_of_questions,
        default=len(QUESTIONS),
        metavar="N",
        help=f"plain questions to ask, 1 to {len(QUESTIONS)} (default: all)",
    )
    parser.add_argument(
        "--local", action="store_true", help="start the model here even if OPENAI_* are set"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo.

    Returns:
        0 when every call made was measured and received, 1 when some were not, 2 when parts are
        missing.
    """
    local = args.local or not (
        os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY")
    )
    missing = missing_parts(local_model=local)
    if missing:
        lines = "\n".join(f"  {line}" for line in install_lines(missing))
        names = ", ".join(missing)
        print(f"slotel demo needs {names}. Install with:\n\n{lines}\n", file=sys.stderr)
        return _WRONG_USE
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    # Late: it imports the parts, which are heavy and perhaps not installed.
    from slotel.cli.demo_app.show import show

    return 0 if show(local_model=local, questions=args.questions) else 1


def _number_of_questions(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= len(QUESTIONS):
        raise argparse.ArgumentTypeError(f"must be from 1 to {len(QUESTIONS)}, got {text!r}")
    return number
