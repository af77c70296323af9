"""The text of an SLO document as nodes that know their line, and the list of its faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import Any, TypeVar, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from slotel.errors import Fault
from slotel.slo.value import InvalidValueError, shown, suggestion

MAX_CHARACTERS = 1_000_000
MAX_TEXT = 4_000
MAX_DEPTH = 100

_Value = TypeVar("_Value")
_TAG = "tag:yaml.org,2002:"
_HALF = re.compile("[\ud800-\udfff]")
_SURPRISES = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "empty",
    "timestamp": "a date",
    "map": "a mapping",
    "seq": "a list",
}


def tag_of(node: Node) -> str:
    """Return `str`, `int`, `float`, `bool`, `null`, `map`, `seq`, or another tag's own text."""
    return str(cast(Any, node).tag).removeprefix(_TAG)


def text_of(node: Node) -> str:
    """Return a scalar's text as it was written, without quotes.

    JSON escapes characters beyond the first plane as two halves, which YAML leaves apart; they
    are joined, and a half without its other becomes U+FFFD: no such text can be sent anywhere.
    """
    text = str(cast(Any, node).value)
    return text if _HALF.search(text) is None else _joined(text)


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def kind_of(node: Node) -> str:
    """Return in words what a node is, with the value where it is short."""
    tag = tag_of(node)
    kind = _KINDS.get(tag, f"of type {shown(tag)}")
    return f"{kind} {shown(text_of(node))}" if tag in ("int", "float", "bool", "str") else kind


@dataclass(slots=True)
class Faults:
    """What is wrong with one document; grows while it is read. One thread.

    Attributes:
        source: File name, or where the text came from.
        found: The faults so far.
    """

    source: str
    found: list[Fault] = field(default_factory=list[Fault])

    def add(self, node: Node | None, path: str, message: str, cure: str = "") -> None:
        """Note a fault at a node; None stands for the whole document."""
        mark = cast(Any, node).start_mark if node is not None else None
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        self.found.append(Fault(self.source, line, column, path, message, cure))

    def take(self, node: Node, path: str, read: Callable[[str], _Value]) -> _Value | None:
        """Return what `read` makes of the scalar's text; note the fault if it refuses."""
        try:
            return read(text_of(node))
        except InvalidValueError as error:
            self.add(node, path, error.message, error.cure)
            return None

    def make(self, node: Node, path: str, build: Callable[[], _Value]) -> _Value | None:
        """Return what `build` makes; note the fault if one of its values is refused."""
        try:
            return build()
        except InvalidValueError as error:
            self.add(node, path, error.message, error.cure)
            return None


def compose(text: str, faults: Faults) -> Node | None:
    """Return the root node of a YAML 1.2 (or JSON) text; None, with a fault, if there is none."""
    if len(text) > MAX_CHARACTERS:
        faults.add(None, "", f"the document has {len(text):,} characters; 1,000,000 are read.")
        return None
    if _flow_depth(text) > MAX_DEPTH:
        faults.add(None, "", "the document is nested too deeply to be an SLO document.")
        return None
    try:
        node = cast(Node | None, cast(Any, YAML(typ="rt", pure=True)).compose(text))
    except MarkedYAMLError as error:
        faults.found.append(_syntax_fault(faults.source, cast(Any, error)))
    except ReaderError as error:
        caught = cast(Any, error)
        line = text.count("\n", 0, int(caught.position)) + 1
        message = f"the character {caught.character!r} is not allowed in YAML."
        faults.found.append(Fault(faults.source, line, 1, "", message, "Remove it."))
    # The parser itself raises these on directives and tags that it does not expect.
    except (*_SURPRISES, YAMLError, YAMLStreamError) as error:
        problem = " ".join(f"{type(error).__name__} {error}".split())
        faults.add(None, "", f"this is not valid YAML: {problem}.")
    except RecursionError:
        faults.add(None, "", "the document is nested too deeply to be an SLO document.")
    else:
        if node is None or tag_of(node) == "null":
            cure = "Start with `version: slotel/v1`, or run `slotel init --preset chatbot`."
            faults.add(None, "", "the document is empty.", cure)
            return None
        return node
    return None


def _flow_depth(text: str) -> int:
    """Return how many brackets are open at once, quoted ones too: reading takes their square."""
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", text))
    return max(accumulate(steps), default=0)


def _syntax_fault(source: str, error: Any) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    problem = " ".join(str(error.problem or error.context).split())
    return Fault(source, line, column, "", f"this is not valid YAML: {problem}.", _cure_of(problem))


def _cure_of(problem: str) -> str:
    if "\\t" in problem:
        return "Indent with spaces, never with tabs."
    if "another document" in problem:
        return "Keep one document in a file, without a second `---`."
    return "Check the indentation, quotes and brackets here and on the line before."


def node_of(data: object, faults: Faults, path: str = "", depth: int = 0) -> Node:
    """Return plain data (dict, list, text, numbers) as nodes without lines."""
    if depth > 20:
        faults.add(None, path, "the data is nested too deeply to be an SLO document.")
        return _scalar("null", "")
    if isinstance(data, Mapping):
        entries = [
            (
                _scalar("str", str(key)),
                node_of(value, faults, f"{path}.{key}".lstrip("."), depth + 1),
            )
            for key, value in cast(Mapping[object, object], data).items()
        ]
        return cast(Node, cast(Any, MappingNode)(f"{_TAG}map", entries, None, None))
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        items = [
            node_of(item, faults, f"{path}[{i}]", depth + 1)
            for i, item in enumerate(cast(Sequence[object], data))
        ]
        return cast(Node, cast(Any, SequenceNode)(f"{_TAG}seq", items, None, None))
    return _plain(data, faults, path)


def _plain(data: object, faults: Faults, path: str) -> Node:
    if data is None:
        return _scalar("null", "")
    if isinstance(data, bool):
        return _scalar("bool", str(data).lower())
    if isinstance(data, float):
        return _scalar("float", repr(data))
    if isinstance(data, str):
        return _scalar("str", data)
    if isinstance(data, int) and data.bit_length() < 4_096:
        return _scalar("int", str(data))
    if isinstance(data, Fraction):
        return _scalar("str", f"{data.numerator}/{data.denominator}")
    faults.add(None, path, f"a value of type {type(data).__name__} cannot stand here.")
    return _scalar("null", "")


def _scalar(tag: str, text: str) -> Node:
    return cast(Node, cast(Any, ScalarNode)(f"{_TAG}{tag}", text, None, None))


def items_of(node: Node) -> list[Node]:
    """Return the nodes of a list."""
    return cast(list[Node], cast(Any, node).value) if isinstance(node, SequenceNode) else []


def entries_of(node: Node) -> list[tuple[Node, Node]]:
    """Return the keys and values of a mapping, in order, doubled keys included."""
    return (
        cast(list[tuple[Node, Node]], cast(Any, node).value)
        if isinstance(node, MappingNode)
        else []
    )


def empty_mapping(like: Node) -> Node:
    """Return a mapping without keys that stands where another node does."""
    place = cast(Any, like)
    return cast(Node, cast(Any, MappingNode)(f"{_TAG}map", [], place.start_mark, place.end_mark))


class Fields:
    """The keys of one mapping, each read once; notes unknown, doubled and unsupported ones.

    Args:
        faults: Where faults go.
        node: The mapping; anything else is a fault and reads as empty.
        path: Its place in the document.
        known: Keys that may stand there.
        later: Keys that are planned but not supported in this version.
        what: The mapping in words, for messages.
    """

    def __init__(
        self,
        faults: Faults,
        node: Node,
        path: str,
        *,
        known: Iterable[str],
        later: Iterable[str] = (),
        what: str,
    ) -> None:
        self.faults = faults
        self.node = node
        self.path = path
        self.keys: dict[str, Node] = {}
        self._nodes: dict[str, Node] = {}
        self._known, self._later, self._what = frozenset(known), frozenset(later), what
        if not isinstance(node, MappingNode):
            cure = f"Write keys and values: {', '.join(sorted(self._known))}."
            faults.add(node, path, f"{what} must be a mapping, got {kind_of(node)}.", cure)
            return
        for key, value in entries_of(node):
            self._enter(key, value)

    def at(self, key: str) -> str:
        """Return the path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def _enter(self, key: Node, value: Node) -> None:
        name = text_of(key) if isinstance(key, ScalarNode) else "?"
        if name in self.keys:
            mark = cast(Any, self.keys[name]).start_mark
            first = f", first in line {mark.line + 1}" if mark is not None else ""
            self.faults.add(key, self.at(name), f"the key stands twice{first}.", "Keep one.")
        elif name in self._known:
            self._nodes[name] = value
        elif name in self._later:
            self.faults.add(
                key, self.at(name), f"{name} is not supported in this version.", "Remove it."
            )
        elif tag_of(key) == "merge":
            self.faults.add(key, self.path, "merge keys are not supported.", "Repeat the keys.")
        else:
            message = f"unknown key {shown(name)} in {self._what}."
            self.faults.add(key, self.path, message, suggestion(name, self._known))
        self.keys.setdefault(name, key)

    def get(self, key: str) -> Node | None:
        """Return the value of a key; None if it is not there, or empty, which is a fault."""
        node = self._nodes.get(key)
        if node is not None and tag_of(node) == "null":
            self.faults.add(
                node, self.at(key), f"{key} has no value.", "Give it one, or remove the key."
            )
            return None
        return node

    def empty(self, key: str) -> bool:
        """Return True when the key is there without a value."""
        return key in self._nodes and tag_of(self._nodes[key]) == "null"

    def missing(self, key: str, cure: str) -> None:
        """Note that a key is needed, unless it is there with a fault of its own."""
        if key not in self.keys and isinstance(self.node, MappingNode):
            self.faults.add(self.node, self.path, f"{key} is missing in {self._what}.", cure)

    def read(self, key: str, read: Callable[[str], _Value], *, example: str) -> _Value | None:
        """Return a scalar read by a function; a mapping, list or truth value is a fault."""
        node = self.get(key)
        if node is None:
            return None
        if tag_of(node) not in ("str", "int", "float"):
            message = f"{key} cannot be {kind_of(node)}."
            self.faults.add(node, self.at(key), message, f"Write {example}.")
            return None
        return self.faults.take(node, self.at(key), read)

    def text(self, key: str, *, longest: int = MAX_TEXT) -> str | None:
        """Return a text, unchanged; a number or truth value must be quoted to be one."""
        node = self.get(key)
        if node is None:
            return None
        if tag_of(node) != "str":
            cure = f'Write "{text_of(node)}" if you meant the text.'
            cure = cure if isinstance(node, ScalarNode) else "Write one line of text."
            self.faults.add(node, self.at(key), f"{key} must be text, got {kind_of(node)}.", cure)
            return None
        text = text_of(node)
        if not text.strip() or len(text) > longest:
            message = f"{key} must have 1 to {longest:,} characters, got {len(text):,}."
            self.faults.add(node, self.at(key), message)
            return None
        return text

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """Return one of a few words."""
        node = self.get(key)
        if node is None or text_of(node) in choices:
            return text_of(node) if node is not None else None
        message = f"{key} is one of {', '.join(choices)}, got {kind_of(node)}."
        self.faults.add(node, self.at(key), message, suggestion(text_of(node), choices))
        return None
