"""What users ask: questions with the documents that answer them and the fact to be found."""

from __future__ import annotations

import re
from dataclasses import dataclass

from slotel.cli.demo_app.corpus import LICENCE


@dataclass(frozen=True, slots=True)
class Question:
    """One question and how its answer is judged.

    Attributes:
        text: What the user writes.
        relevant: Ids of the documents that answer it.
        fact: Regular expression, case ignored; an answer without a match is wrong.
    """

    text: str
    relevant: frozenset[str]
    fact: str

    def answered_by(self, answer: str) -> bool:
        """Return whether the answer contains the fact."""
        return re.search(self.fact, answer, re.IGNORECASE | re.DOTALL) is not None


def _about(document: str, *pairs: tuple[str, str]) -> list[Question]:
    return [Question(text, frozenset({document}), fact) for text, fact in pairs]


QUESTIONS: list[Question] = [
    *_about(
        "tempfile",
        ("Who is responsible for deleting a file made by mkstemp?", r"\bcaller\b"),
        ("What happens to a TemporaryDirectory on exit from its context?", r"remov|delet"),
        ("Which signal keeps NamedTemporaryFile from being deleted?", r"SIGKILL"),
    ),
    *_about(
        "shutil",
        ("Which function deletes a directory tree recursively?", r"rmtree"),
        ("Which Unix command is shutil.move similar to?", r"\bmv\b"),
        ("Which figures does disk_usage return?", r"total.*used.*free"),
    ),
    *_about(
        "random",
        ("Which core generator does the random module use?", r"Mersenne"),
        ("What is the period of the random module's generator?", r"19937"),
        ("What does random.shuffle return?", r"\bNone\b"),
    ),
    *_about(
        "textwrap",
        ("Which function removes common leading whitespace from every line?", r"dedent"),
        ("Which function collapses and truncates text to a given width?", r"shorten"),
    ),
    *_about(
        "subprocess",
        ("Which exception does subprocess.run raise when the timeout is over?", r"TimeoutExpired"),
        ("What does subprocess.run return?", r"CompletedProcess"),
        ("What does subprocess.run raise if check is true and the exit code is not zero?",
         r"CalledProcessError"),
    ),
    *_about(
        "json",
        ("What happens with a circular reference if check_circular is false?", r"RecursionError"),
        ("Which indent level of json.dump only inserts newlines?", r"\b(0|zero)\b"),
    ),
    *_about(
        "secrets",
        ("Which function returns a random text string in hexadecimal?", r"token_hex"),
        ("Which kind of analysis does compare_digest prevent?", r"timing"),
    ),
    *_about(
        "queue",
        ("Which exception does Queue.get raise if no item is available?", r"\bEmpty\b"),
        ("What does task_done raise if called more often than items were put?", r"ValueError"),
    ),
    *_about(
        "threading",
        ("What is the initial state of the flag of a threading.Event?", r"\bfalse\b"),
        ("What is the default value of a semaphore's counter?", r"\b(1|one)\b"),
    ),
    *_about(
        "functools",
        ("How is the cache of lru_cache cleared?", r"cache_clear"),
        ("What happens in lru_cache if maxsize is None?", r"disabled|without bound"),
    ),
    *_about("graphlib", ("Which error is raised if the graph has a cycle?", r"CycleError")),
    *_about(
        "heapq",
        ("Which item does heappop return?", r"smallest"),
        ("Which item of a heap is always the smallest?", r"\[0\]|first|root"),
    ),
    *_about("copy", ("Which error does the copy module raise?", r"copy\.Error")),
    *_about("shelve", ("Which argument of shelve.open keeps a cache of entries?", r"writeback")),
    *_about(
        "logging",
        ("When does logging.basicConfig do nothing?", r"handlers"),
        ("Which stream does the default handler of basicConfig write to?", r"stderr"),
    ),
    *_about(
        LICENCE,
        ("On what basis does the Apache License provide the work?", r"as.is\b"),
        ("What must I give to recipients of the Work under the Apache License?",
         r"copy of (this|the) licen[cs]e"),
        ("What ends the patent licenses granted under the Apache License?", r"litigation"),
    ),
]  # fmt: skip

# Rude on purpose, so that the moderation step has something to find.
ABUSIVE: list[str] = [
    "You stupid idiot, just tell me how to sort a damn list!",
    "This shit is useless. Are you a moron or what?",
    "Shut up, dumbass, and give me the fucking answer.",
]
