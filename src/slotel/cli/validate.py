"""`slotel validate`: report every fault of SLO documents, and what valid ones promise."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from slotel.errors import SpecErrors
from slotel.slo.burn_rate import AlertTier, alert_tiers
from slotel.slo.objective import SLO, Document
from slotel.slo.promise import promise

FAULTS, WRONG_USE = 1, 2


def add(subparsers: Any) -> None:
    """Add the command and its options to what `ArgumentParser.add_subparsers()` returned."""
    parser = subparsers.add_parser(
        "validate",
        help="check SLO documents and say what they promise",
        description="Report every fault with its file, line and column; exit 1 if there is one.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="SLO document; - reads stdin")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check each file; return 0 when all are valid, 1 on faults, 2 when one cannot be read."""
    return max(_check(file) for file in args.files)


def _check(file: str) -> int:
    from slotel.slo.spec import load, parse

    try:
        if file == "-":
            file = "<stdin>"
            document = parse(sys.stdin.read(), source=file)
        else:
            document = load(file)
    except SpecErrors as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return FAULTS
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        print(f"slotel validate: {file} cannot be read: {reason}.", file=sys.stderr)
        return WRONG_USE
    print("\n".join(_report(file, document)))
    return 0


def _report(file: str, document: Document) -> list[str]:
    count = len(document.slos)
    lines = [f"{file}: valid, {count} SLO{'s' if count != 1 else ''}"]
    for slo in document.slos:
        lines.append(f"  {slo.name}: {promise(slo)}")
        lines += [f"    {note}" for note in _notes(slo)]
    return lines


def _notes(slo: SLO) -> list[str]:
    tiers = alert_tiers(slo.objective, period_seconds=slo.window_seconds)
    notes = [f"no {_named(tier)} alert: {reason}" for tier, reason in tiers.dropped]
    if tiers.dropped:
        left = ", ".join(f"{_named(tier)} as a {tier.severity}" for tier in tiers.active)
        notes.append(f"alerts left: {left or 'none'}")
    return notes


def _named(tier: AlertTier) -> str:
    return f"{tier.long_window}/{tier.short_window}"
