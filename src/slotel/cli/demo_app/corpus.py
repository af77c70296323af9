"""The assistant's documents: docstrings of the standard library and the licence text of a package.

Nothing is downloaded and nothing is made up: the text is read from the running Python and from the
`opentelemetry-api` package, so it follows the versions that are installed.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

# Long enough for a thought, short enough that two of them fit into a small model's prompt.
PASSAGE_CHARACTERS = 380

LICENCE = "apache-licence"
_LICENCE_OF = "opentelemetry-api"
# Redistribution, trademarks, warranty, liability and patents: what users of a package ask about.
_LICENCE_SECTIONS = ("3", "4", "6", "7", "8")

_DOCSTRINGS: dict[str, tuple[str, ...]] = {
    "tempfile": (
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
        "tempfile.NamedTemporaryFile",
        "tempfile.TemporaryDirectory",
    ),
    "shutil": (
        "shutil.rmtree",
        "shutil.move",
        "shutil.which",
        "shutil.disk_usage",
        "shutil.make_archive",
        "shutil.copy2",
    ),
    "random": (
        "random",
        "random.Random.shuffle",
        "random.Random.sample",
        "random.Random.randrange",
        "random.Random.gauss",
    ),
    "textwrap": ("textwrap.dedent", "textwrap.shorten", "textwrap.indent", "textwrap.wrap"),
    "subprocess": ("subprocess", "subprocess.run"),
    "json": ("json.dump",),
    "secrets": ("secrets.token_hex", "secrets.token_urlsafe", "secrets.compare_digest"),
    "queue": ("queue.Queue.get", "queue.Queue.task_done", "queue.Queue.join"),
    "threading": (
        "threading.Event",
        "threading.Barrier",
        "threading.Semaphore",
        "threading.Condition.wait",
    ),
    "functools": ("functools.lru_cache", "functools.reduce"),
    "graphlib": (
        "graphlib.TopologicalSorter.prepare",
        "graphlib.TopologicalSorter.get_ready",
        "graphlib.TopologicalSorter.static_order",
    ),
    "heapq": ("heapq", "heapq.merge", "heapq.heappushpop"),
    "copy": ("copy",),
    "shelve": ("shelve",),
    "logging": ("logging.basicConfig",),
}


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its id and its sections, each a title and the text under it."""

    id: str
    sections: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The whole text, sections in order, each after its title."""
        return "\n\n".join(f"{title}: {text}" for title, text in self.sections)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that is embedded, found and shown to the model as one.

    Attributes:
        id: Document id, `#` and the number of the passage from 1, such as `shutil#2`.
        document_id: The document it comes from.
        text: Title of the section, a colon and the text.
    """

    id: str
    document_id: str
    text: str


def documents() -> list[Document]:
    """Return all documents of this Python and this environment.

    Raises:
        LookupError: Docstrings were stripped (`python -OO`) or the licence text is not installed.
    """
    found = [
        Document(name, tuple((title, docstring(title)) for title in titles))
        for name, titles in _DOCSTRINGS.items()
    ]
    return [*found, Document(LICENCE, tuple(_licence_sections()))]


def passages(document: Document) -> list[Passage]:
    """Return the document cut at its paragraphs into passages of about PASSAGE_CHARACTERS."""
    pieces = [f"{title}: {piece}" for title, text in document.sections for piece in _pieces(text)]
    return [
        Passage(f"{document.id}#{number}", document.id, piece)
        for number, piece in enumerate(pieces, start=1)
    ]


def docstring(path: str) -> str:
    """Return the docstring of a module, or of an object in one, by its dotted name.

    Raises:
        LookupError: It has none.
    """
    text = inspect.getdoc(pkgutil.resolve_name(path))
    if not text:
        raise LookupError(f"{path} has no docstring. Do not run the demo with python -OO.")
    return text


def _licence_sections() -> Iterator[tuple[str, str]]:
    # Sections begin like "   4. Redistribution. You may reproduce".
    parts = re.split(r"^ +(\d)\. ", _licence_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    for number in _LICENCE_SECTIONS:
        title, _, text = sections[number].partition(". ")
        yield f"Apache License, {title}", inspect.cleandoc(text)


def _licence_text() -> str:
    for file in metadata.files(_LICENCE_OF) or ():
        if file.name == "LICENSE":
            return file.read_text(encoding="utf-8")
    raise LookupError(f"the licence text of {_LICENCE_OF} is not installed")


def _pieces(text: str) -> Iterator[str]:
    piece = ""
    for paragraph in _paragraphs(text):
        if piece and len(piece) + len(paragraph) > PASSAGE_CHARACTERS:
            yield piece
            piece = ""
        piece = f"{piece} {paragraph}".strip()
    if piece:
        yield piece


def _paragraphs(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text):
        paragraph = " ".join(block.split())
        # A paragraph of its own length over the limit is cut at the ends of its sentences.
        yield from (
            re.split(r"(?<=[.;]) ", paragraph)
            if len(paragraph) > PASSAGE_CHARACTERS
            else (paragraph,)
        )
