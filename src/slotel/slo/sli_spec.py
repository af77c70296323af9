"""The `sli` part of an SLO document, read and written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from ruamel.yaml.nodes import MappingNode, Node

from slotel.slo.sli import (
    SLI,
    Availability,
    Calls,
    EventSLI,
    Latency,
    Quality,
    Selection,
    SlicePercentile,
    Throughput,
    TimePerOutputToken,
    TimeToFirstToken,
    Work,
)
from slotel.slo.source import Faults, Fields, empty_mapping, entries_of, text_of
from slotel.slo.value import (
    InvalidValueError,
    format_duration,
    format_number,
    parse_duration,
    parse_number,
    shown,
)

MAX_NAME = 200
_SELECTION = ("operation", "provider", "model", "attributes", "calls")
_TIMED: dict[str, type[Latency] | type[TimeToFirstToken] | type[TimePerOutputToken]] = {
    sli.kind: sli for sli in (Latency, TimeToFirstToken, TimePerOutputToken)
}
_RATES = {"requests_per_second": Work.REQUESTS, "tokens_per_second": Work.TOKENS}
_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_TIMED, ("at_most",)),
    "availability": (),
    "quality": ("score", "at_least", "at_most"),
    "throughput": (*_RATES, "per"),
}
_LATER_KINDS = ("flagged", "cost", "freshness", "query", "expression", "all", "any")
_LATER_KEYS = ("over", "label_delay", "missing", "sample", "unfinished", "cancelled", "weight")
_PERCENTILE = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,6})?)\s*(<=|>=)\s*(\S+)")

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Percentile:
    """An objective such as `p95 <= 2s`: which percentile, on which side, of what bound.

    Attributes:
        share: The percentile as a share in (0, 1).
        at_least: True for `>=`.
        bound: The bound's text.
    """

    share: Fraction
    at_least: bool
    bound: str

    @property
    def good_share(self) -> Fraction:
        """Return the share of events that must meet the bound for the percentile to hold."""
        return 1 - self.share if self.at_least else self.share


def parse_percentile(text: str) -> Percentile:
    """Return the percentile written as `p95 <= 2s` or `p5 >= 0.8`.

    Raises:
        InvalidValueError: It cannot be read, or is p0.
    """
    match = _PERCENTILE.fullmatch(text.strip())
    if match is None or not Fraction(match[1]):
        raise InvalidValueError(
            f"a percentile objective cannot be read from {shown(text)}.",
            "Write it as p95 <= 2s.",
        )
    return Percentile(Fraction(match[1]) / 100, match[2] == ">=", match[3])


def read_sli(faults: Faults, node: Node, path: str, percentile: Percentile | None) -> SLI | None:
    """Return the SLI of a node; None when it has faults.

    Args:
        faults: Where faults go.
        node: Value of the SLO's `sli` key.
        path: Its place in the document.
        percentile: The objective, when it is one; its bound is then the SLI's.
    """
    kinds = Fields(faults, node, path, known=_KEYS, later=_LATER_KINDS, what="an sli")
    chosen = [kind for kind in _KEYS if kind in kinds.keys]
    if len(chosen) != 1:
        if isinstance(node, MappingNode) and (len(chosen) > 1 or not kinds.keys):
            found = ", ".join(chosen) or "none"
            cure = f"Write one of {', '.join(_KEYS)}."
            faults.add(node, path, f"an sli has exactly one kind, got {found}.", cure)
        return None
    kind = chosen[0]
    before = len(faults.found)
    sli = _read_kind(kind, kinds, percentile)
    return sli if len(faults.found) == before else None


def _read_kind(kind: str, kinds: Fields, percentile: Percentile | None) -> SLI | None:
    empty = kinds.empty(kind)
    node = kinds.node if empty else kinds.get(kind) or kinds.node
    known = (*_SELECTION, *_KEYS[kind])
    if empty:
        node = empty_mapping(node)
    fields = Fields(
        kinds.faults, node, kinds.at(kind), known=known, later=_LATER_KEYS, what=f"{kind}"
    )
    if not isinstance(node, MappingNode):
        return None
    if percentile is not None and kind not in (*_TIMED, "quality"):
        cure = "Write a percentage, such as 99%."
        fields.faults.add(node, fields.path, f"{kind} has no percentiles.", cure)
        return None
    if kind in _TIMED:
        return _timed(kind, fields, percentile)
    return {"availability": _availability, "quality": _quality, "throughput": _throughput}[kind](
        fields, percentile
    )


def _selection(fields: Fields, *, operation: str | None = "chat") -> Selection:
    calls = fields.choice("calls", [choice.value for choice in Calls])
    return Selection(
        operation=fields.text("operation", longest=MAX_NAME) or operation,
        provider=fields.text("provider", longest=MAX_NAME),
        model=fields.text("model", longest=MAX_NAME),
        attributes=_attributes(fields),
        calls=Calls(calls) if calls else Calls.OUTER,
    )


def _attributes(fields: Fields) -> tuple[tuple[str, str], ...]:
    node = fields.get("attributes")
    if node is None:
        return ()
    names = [text_of(key) for key, _ in entries_of(node)]
    inner = Fields(fields.faults, node, fields.at("attributes"), known=names, what="attributes")
    found = {name: inner.text(name, longest=MAX_NAME) for name in dict.fromkeys(names)}
    return tuple(sorted((name, value) for name, value in found.items() if value is not None))


def _bound(
    fields: Fields, percentile: Percentile | None, key: str, parse: Callable[[str], _Value]
) -> _Value | None:
    """Return the bound from the SLI's own key or from the percentile objective, not both."""
    if percentile is None:
        return fields.read(key, parse, example="2s" if parse is parse_duration else "0.8")
    for other in ("at_most", "at_least"):
        if other in fields.keys:
            message = f"{other} and a percentile objective both give the bound."
            fields.faults.add(fields.keys[other], fields.at(other), message, f"Remove {other}.")
            return None
    return fields.faults.make(fields.node, fields.path, lambda: parse(percentile.bound))


def _timed(kind: str, fields: Fields, percentile: Percentile | None) -> SLI | None:
    select = _selection(fields)
    if percentile is not None and percentile.at_least:
        message = f"{kind} is good when it is low; got a percentile with >=."
        fields.faults.add(fields.node, fields.path, message, "Write <=.")
        return None
    bound = _bound(fields, percentile, "at_most", parse_duration)
    if bound is None:
        if percentile is None:
            fields.missing("at_most", "Write at_most: 2s, or an objective such as p95 <= 2s.")
        return None
    place = "at_most" if percentile is None else ""
    return fields.faults.make(
        fields.get(place) or fields.node,
        fields.at(place) if place else fields.path,
        lambda: _TIMED[kind](at_most_seconds=float(bound), select=select),
    )


def _availability(fields: Fields, percentile: Percentile | None) -> SLI | None:
    return Availability(select=_selection(fields))


def _quality(fields: Fields, percentile: Percentile | None) -> SLI | None:
    select = _selection(fields, operation=None)
    score = fields.text("score", longest=MAX_NAME)
    if score is None:
        fields.missing("score", "Write score: faithfulness, the name it is recorded under.")
    if percentile is not None:
        key = "at_least" if percentile.at_least else "at_most"
        bounds = {key: _bound(fields, percentile, key, parse_number)}
    else:
        bounds = {key: _bound(fields, None, key, parse_number) for key in ("at_least", "at_most")}
        if not {"at_least", "at_most"} & fields.keys.keys():
            fields.missing("at_least", "Write at_least: 0.8, or at_most: 0.2.")
    given = {key: float(bound) for key, bound in bounds.items() if bound is not None}
    if score is None or not given:
        return None
    return fields.faults.make(
        fields.node,
        fields.path,
        lambda: Quality(
            score=score,
            at_least=given.get("at_least"),
            at_most=given.get("at_most"),
            select=select,
        ),
    )


def _throughput(fields: Fields, percentile: Percentile | None) -> SLI | None:
    select = _selection(fields)
    floors = {key: fields.read(key, parse_number, example="5") for key in _RATES}
    per = read_slice(fields, default=60)
    named = [key for key in _RATES if key in fields.keys]
    if len(named) != 1:
        message = f"throughput needs one floor, got {' and '.join(named) or 'none'}."
        cure = "Write requests_per_second: 5, or tokens_per_second: 500."
        fields.faults.add(fields.node, fields.path, message, cure)
        return None
    floor = floors[named[0]]
    if floor is None or per is None:
        return None
    return fields.faults.make(
        fields.get(named[0]) or fields.node,
        fields.at(named[0]),
        lambda: Throughput(
            floor_per_second=floor, work=_RATES[named[0]], per_seconds=per, select=select
        ),
    )


def read_slice(fields: Fields, *, default: int) -> int | None:
    """Return the length of a slice from the key `per`, in whole seconds."""
    if "per" not in fields.keys:
        return default
    seconds = fields.read("per", parse_duration, example="5m")
    if seconds is None:
        return None
    if seconds.denominator != 1:
        fields.faults.add(
            fields.get("per"), fields.at("per"), "per must be whole seconds.", "Write 5m."
        )
        return None
    return int(seconds)


def sli_to_dict(sli: EventSLI | Throughput) -> dict[str, object]:
    """Return the SLI as the document writes it, defaults left out."""
    select = sli.select
    default = None if isinstance(sli, Quality) else "chat"
    body: dict[str, object] = {
        "operation": select.operation if select.operation != default else None,
        "provider": select.provider,
        "model": select.model,
        "attributes": dict(select.attributes) or None,
        "calls": select.calls.value if select.calls is not Calls.OUTER else None,
    }
    if isinstance(sli, Quality):
        body |= {"score": sli.score, "at_least": sli.at_least, "at_most": sli.at_most}
    elif isinstance(sli, Throughput):
        key = next(key for key, work in _RATES.items() if work is sli.work)
        body |= {key: _plain(sli.floor_per_second), "per": format_duration(sli.per_seconds)}
    elif not isinstance(sli, Availability):
        body["at_most"] = format_duration(sli.at_most_seconds)
    return {sli.kind: {key: value for key, value in body.items() if value is not None}}


def _plain(value: Fraction) -> float | int | str:
    text = format_number(value)
    if "/" in text:
        return text
    return int(text) if text.isdigit() else float(text)


def percentile_to_text(sli: SlicePercentile) -> str:
    """Return the objective of a percentile held slice by slice, such as `p95 <= 2s`."""
    share, of = sli.share, sli.of
    if isinstance(of, Quality):
        if of.at_least is not None:
            return f"p{format_number((1 - share) * 100)} >= {of.at_least!r}"
        return f"p{format_number(share * 100)} <= {of.at_most!r}"
    return f"p{format_number(share * 100)} <= {format_duration(of.at_most_seconds)}"
