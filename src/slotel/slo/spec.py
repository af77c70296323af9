"""The SLO document, `slotel/v1`: read with every fault at once, and written back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from ruamel.yaml.nodes import Node, SequenceNode

from slotel.errors import SpecErrors
from slotel.slo.burn_rate import DEFAULT_MIN_FAILURES
from slotel.slo.objective import (
    DEFAULT_WINDOW_SECONDS,
    SLO,
    Document,
    check_name,
    check_window,
)
from slotel.slo.objective import objective as parse_objective
from slotel.slo.sli import SLI, Quality, SlicePercentile
from slotel.slo.sli_spec import (
    Percentile,
    parse_percentile,
    percentile_to_text,
    read_sli,
    read_slice,
    sli_to_dict,
)
from slotel.slo.source import (
    MAX_CHARACTERS,
    Faults,
    Fields,
    compose,
    items_of,
    kind_of,
    node_of,
    tag_of,
    text_of,
)
from slotel.slo.value import InvalidValueError, format_duration, format_ratio, parse_duration, shown

VERSION = "slotel/v1"
DEFAULT_SLICES = Fraction(99, 100)
"""Share of slices that must hold when a percentile objective says `per` and not `slices`."""

_TOP = ("version", "service", "owner", "description", "slos")
_TOP_LATER = ("tiers", "composites", "depends_on", "slas", "policies", "exceptions", "alerts")
_LABELS = ("description", "rationale", "owner", "tier", "journey")
_SLO = ("name", "sli", "objective", "per", "slices", "window", "min_failures", *_LABELS)
_SLO_LATER = (
    "bands",
    "exceptions",
    "depends_on",
    "composite",
    "policies",
    "alerts",
    "budget",
    "expected_events",
)
_MAX_LABEL = 200
_MAX_MIN_FAILURES = 1_000_000


@dataclass(frozen=True, slots=True)
class _Target:
    """An objective as read: a share, or a percentile with an optional grid of slices."""

    share: Fraction
    percentile: Percentile | None = None
    per_seconds: int | None = None


def load(path: str | Path) -> Document:
    """Return the SLO document of a file, YAML 1.2 or JSON in UTF-8.

    Raises:
        SpecErrors: The document has faults; all of them are reported.
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as file:
        # No more than a document can have: a device or a dump never fills the memory.
        data = file.read(4 * MAX_CHARACTERS + 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        faults = Faults(str(path))
        line = data.count(b"\n", 0, error.start) + 1
        faults.add(None, "", f"line {line} is not UTF-8 text.", "Save the file as UTF-8.")
        raise SpecErrors(faults.found) from error
    return parse(text, source=str(path))


def parse(text: str, *, source: str = "slos.yaml") -> Document:
    """Return the SLO document of a YAML 1.2 or JSON text.

    Args:
        text: The document, at most 1,000,000 characters.
        source: What faults name as their file.

    Raises:
        SpecErrors: The document has faults; all of them are reported, in order of their lines.
    """
    faults = Faults(source)
    node = compose(text, faults)
    return _finish(node, faults)


def from_dict(data: Mapping[str, object], *, source: str = "document") -> Document:
    """Return the SLO document of plain data, such as `json.load` returns.

    Raises:
        SpecErrors: The document has faults; all of them are reported, each with its path.
    """
    faults = Faults(source)
    return _finish(node_of(data, faults), faults)


def _finish(node: Node | None, faults: Faults) -> Document:
    document = _document(faults, node) if node is not None else None
    if faults.found or document is None:
        raise SpecErrors(sorted(faults.found, key=lambda fault: (fault.line, fault.column)))
    return document


def _document(faults: Faults, node: Node) -> Document | None:
    top = Fields(faults, node, "", known=_TOP, later=_TOP_LATER, what="the document")
    version = top.text("version")
    if version is not None and version != VERSION:
        message = f"version {shown(version)} is not known."
        faults.add(top.get("version"), "version", message, f"Write {VERSION}.")
    top.missing("version", f"Write version: {VERSION} as its first line.")
    service, owner = (top.text(key, longest=_MAX_LABEL) for key in ("service", "owner"))
    description = top.text("description")
    slos = _slos(faults, top)
    if faults.found:
        return None
    return Document(slos=tuple(slos), service=service, owner=owner, description=description)


def _slos(faults: Faults, top: Fields) -> list[SLO]:
    top.missing("slos", "Write slos: and a list, or run `slotel init --preset chatbot`.")
    node = top.get("slos")
    if node is None:
        return []
    if not isinstance(node, SequenceNode):
        faults.add(node, "slos", f"slos must be a list, got {kind_of(node)}.", "Write `- name: …`.")
        return []
    if not items_of(node):
        faults.add(node, "slos", "slos is an empty list.", "Write at least one SLO.")
    names: dict[str, int] = {}
    read = [
        _slo(faults, item, f"slos[{index}]", names) for index, item in enumerate(items_of(node))
    ]
    return [slo for slo in read if slo is not None]


def _slo(faults: Faults, node: Node, path: str, names: dict[str, int]) -> SLO | None:
    before = len(faults.found)
    fields = Fields(faults, node, path, known=_SLO, later=_SLO_LATER, what="an SLO")
    name = _name(fields, names)
    target = _target(fields)
    sli = _sli(fields, target)
    labels = {key: fields.text(key, longest=_longest(key)) for key in _LABELS}
    window = _window(fields)
    failures = fields.read("min_failures", _whole, example="3")
    if name is None or target is None or sli is None or len(faults.found) > before:
        return None
    return SLO(
        name=name,
        sli=sli,
        objective=target.share,
        window_seconds=DEFAULT_WINDOW_SECONDS if window is None else window,
        min_failures=DEFAULT_MIN_FAILURES if failures is None else failures,
        **labels,
    )


def _longest(key: str) -> int:
    return 4_000 if key in ("description", "rationale") else _MAX_LABEL


def _name(fields: Fields, names: dict[str, int]) -> str | None:
    fields.missing("name", "Write name: answer-latency.")
    name, node = fields.text("name"), fields.get("name")
    if name is None or node is None:
        return None
    if fields.faults.take(node, fields.at("name"), _valid_name) is None:
        return None
    if name in names:
        place = f", the first in line {names[name]}" if names[name] else ""
        message = f"two SLOs are named {name!r}{place}."
        fields.faults.add(node, fields.at("name"), message, "Give each its own name.")
    mark = cast(Any, node).start_mark
    names.setdefault(name, mark.line + 1 if mark is not None else 0)
    return name


def _valid_name(text: str) -> str:
    check_name(text)
    return text


def _target(fields: Fields) -> _Target | None:
    fields.missing("objective", "Write objective: 99%, or objective: p95 <= 2s.")
    node = fields.get("objective")
    slices = fields.read("slices", parse_objective, example="99%")
    per = read_slice(fields, default=0)
    if node is None:
        return None
    if tag_of(node) == "str" and text_of(node).strip().startswith("p"):
        percentile = fields.faults.take(node, fields.at("objective"), parse_percentile)
        if percentile is None:
            return None
        if not per:
            _refuse(fields, ("slices",), "per", "Write per: 5m beside it.")
            return _Target(percentile.good_share, percentile)
        return _Target(slices or DEFAULT_SLICES, percentile, per)
    _refuse(fields, ("per", "slices"), "an objective such as p95 <= 2s", "Remove it.")
    share = fields.read("objective", _share, example="99%")
    return _Target(share) if share is not None else None


def _share(text: str) -> Fraction:
    try:
        return parse_objective(text)
    except InvalidValueError as error:
        if not error.cure:
            raise InvalidValueError(error.message, "Write 99%, or p95 <= 2s.") from error
        raise


def _refuse(fields: Fields, keys: tuple[str, ...], without: str, cure: str) -> None:
    for key in keys:
        if key in fields.keys:
            message = f"{key} has no meaning without {without}."
            fields.faults.add(fields.keys[key], fields.at(key), message, cure)


def _sli(fields: Fields, target: _Target | None) -> SLI | None:
    fields.missing("sli", "Write sli: {latency: {at_most: 2s}}.")
    node = fields.get("sli")
    if node is None:
        return None
    percentile = target.percentile if target else None
    sli = read_sli(fields.faults, node, fields.at("sli"), percentile)
    if sli is None or target is None or percentile is None or target.per_seconds is None:
        return sli
    per, share = target.per_seconds, percentile.good_share
    return fields.faults.make(
        fields.get("per") or node,
        fields.at("per"),
        lambda: SlicePercentile(of=cast(Quality, sli), share=share, per_seconds=per),
    )


def _window(fields: Fields) -> int | None:
    if "window" not in fields.keys:
        return None
    node = fields.get("window")
    if node is not None and tag_of(node) == "map":
        message = "calendar windows are not supported in this version."
        fields.faults.add(node, fields.at("window"), message, "Write a rolling window: 28d.")
        return None
    return fields.read("window", _window_seconds, example="28d")


def _window_seconds(text: str) -> int:
    seconds = parse_duration(text)
    if seconds.denominator != 1:
        raise InvalidValueError(f"a window has whole seconds, got {shown(text)}.", "Write 28d.")
    check_window(int(seconds))
    return int(seconds)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) > 0):
        raise InvalidValueError(
            f"min_failures is a whole number from 1 to {_MAX_MIN_FAILURES:,}, got {shown(text)}.",
            "Write 3, or 1 if every failure matters.",
        )
    return min(int(text), _MAX_MIN_FAILURES)


def to_dict(document: Document) -> dict[str, object]:
    """Return the document as plain data that `from_dict`, or `parse` of its JSON, reads back."""
    head = {
        "version": VERSION,
        "service": document.service,
        "owner": document.owner,
        "description": document.description,
        "slos": [slo_to_dict(slo) for slo in document.slos],
    }
    return {key: value for key, value in head.items() if value is not None}


def slo_to_dict(slo: SLO) -> dict[str, object]:
    """Return one SLO as the document writes it."""
    data: dict[str, object] = {"name": slo.name}
    data |= {key: getattr(slo, key) for key in _LABELS if getattr(slo, key) is not None}
    sli = slo.sli
    if isinstance(sli, SlicePercentile):
        kind, body = next(iter(sli_to_dict(sli.of).items()))
        bounds = ("at_most", "at_least")
        kept = {k: v for k, v in cast(dict[str, object], body).items() if k not in bounds}
        data |= {"sli": {kind: kept}, "objective": percentile_to_text(sli)}
        data |= {"per": format_duration(sli.per_seconds), "slices": format_ratio(slo.objective)}
    else:
        data |= {"sli": sli_to_dict(sli), "objective": format_ratio(slo.objective)}
    data["window"] = format_duration(slo.window_seconds)
    if slo.min_failures != DEFAULT_MIN_FAILURES:
        data["min_failures"] = slo.min_failures
    return data
