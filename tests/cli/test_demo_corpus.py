from __future__ import annotations

import pytest

from slotel.cli.demo_app import corpus
from slotel.cli.demo_app.corpus import PASSAGE_CHARACTERS, docstring, documents, passages
from slotel.cli.demo_app.questions import QUESTIONS, Question


@pytest.fixture(scope="module")
def found() -> dict[str, corpus.Document]:
    return {document.id: document for document in documents()}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.text)
def test_the_fact_of_each_question_stands_in_a_relevant_document(found, question):
    """No question asks for what this Python's documents do not say."""
    assert any(question.answered_by(found[name].text) for name in question.relevant)


def test_each_fact_stands_within_one_passage(found):
    """What must be found can be found: no fact is cut in two by the end of a passage."""
    pieces = {name: passages(document) for name, document in found.items()}
    for question in QUESTIONS:
        texts = [piece.text for name in question.relevant for piece in pieces[name]]
        assert any(question.answered_by(text) for text in texts), question.text


def test_passages_hold_the_whole_document_once(found):
    """Every word of a section is in its passages, in order and once."""
    for document in found.values():
        for title, text in document.sections:
            joined = " ".join(
                piece.text.removeprefix(f"{title}: ")
                for piece in passages(document)
                if piece.text.startswith(f"{title}: ")
            )
            assert joined.split() == text.split()


def test_passages_have_ids_of_their_own_and_a_moderate_length(found):
    """Ids are unique; only a single sentence may be longer than the limit."""
    every = [piece for document in found.values() for piece in passages(document)]
    assert len({piece.id for piece in every}) == len(every)
    assert all(piece.id.startswith(f"{piece.document_id}#") for piece in every)
    longest = max(len(piece.text) for piece in every)
    assert longest < 2 * PASSAGE_CHARACTERS


def test_an_answer_is_judged_without_regard_to_case_and_lines():
    """The fact may stand anywhere in the answer."""
    question = Question("?", frozenset(), r"total.*used")
    assert question.answered_by("It has TOTAL\nand used.")
    assert not question.answered_by("It has used.")


def test_stripped_docstrings_are_said_plainly():
    """Under `python -OO` there is nothing to answer from."""
    with pytest.raises(LookupError, match="has no docstring. Do not run the demo with python -OO"):
        docstring("tempfile._exists")


def test_a_missing_licence_is_said_plainly(monkeypatch):
    """A repackaged environment may carry no licence texts."""
    monkeypatch.setattr(corpus.metadata, "files", lambda name: [])
    with pytest.raises(LookupError, match="licence text of opentelemetry-api is not installed"):
        documents()
