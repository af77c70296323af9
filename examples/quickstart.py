"""A support bot in one file: each question is moderated, looked up, answered, and judged.

    python examples/quickstart.py

There is no network and no model here: `answer` picks the sentence that has most words in common
with the question. Put your model's call there and leave the rest as it is.
"""

from __future__ import annotations

import re

import slotel
from slotel.errors import RejectedError

HANDBOOK = {
    "password": "A password is reset on the account page. The mailed link is valid for a day.",
    "invoice": "Invoices are sent on the first of a month. Older invoices are on the billing page.",
    "export": "Your data is exported as a CSV file. An export of a large team takes an hour.",
}
ABUSIVE = {"idiot", "idiots"}
SLOS = {
    "version": "slotel/v1",
    "service": "support-bot",
    "slos": [
        {
            "name": "ask-latency",
            "sli": {"latency": {"operation": "ask-support", "at_most": "2s"}},
            "objective": "95%",
        },
        {
            "name": "retrieval-precision",
            "sli": {"quality": {"score": "precision_at_1", "at_least": 1}},
            "objective": "70%",
        },
    ],
}
QUESTIONS = {  # and the section of the handbook that answers each
    "How do I reset my password?": "password",
    "Where are older invoices?": "invoice",
    "How is my data exported?": "export",
    "Who may see the billing page?": "account",
    "Are you idiots?": "",
}


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


@slotel.moderation
def is_abusive(question: str) -> bool:
    return bool(words(question) & ABUSIVE)


@slotel.retrieval(source="handbook", top_k=1)
def find(question: str, relevant: str) -> list[tuple[dict[str, str], float]]:
    asked = words(question)
    hits = [
        ({"id": section, "text": text}, len(asked & words(text)) / len(asked))
        for section, text in HANDBOOK.items()
    ]
    best = sorted(hits, key=lambda hit: -hit[1])[:1]
    slotel.current().documents(best, relevant=[relevant], k=1)  # precision_at_1 becomes a score
    return best


@slotel.llm(model="word-overlap", provider="local")
def answer(question: str, text: str) -> str:
    asked = words(question)
    chosen = max(text.split(". "), key=lambda sentence: len(asked & words(sentence)))
    slotel.current().usage(
        input_tokens=len(text.split()), output_tokens=len(chosen.split()), source="counted"
    )
    return chosen


@slotel.journey("ask-support")
def ask(question: str, relevant: str) -> str:
    if is_abusive(question):
        raise RejectedError("abusive")  # our own policy: not an error, not a valid event
    ((document, _),) = find(question, relevant)
    return answer(question, document["text"])


def main() -> None:
    # Nothing is sent without an endpoint; metrics="none" says that this is meant.
    slotel.configure(slos=SLOS, metrics="none")
    for question, relevant in QUESTIONS.items():
        try:
            print(f"{question}  {ask(question, relevant)}")
        except RejectedError as refusal:
            print(f"{question}  refused: {refusal}")
    print()
    for row in slotel.summary():
        print(f"{row.operation:12} {row.outcome:9} {row.count} calls, p95 {row.p95 * 1e3:.3f} ms")
    print()
    for name, slo in slotel.status().slos.items():
        left = slo.error_budget.remaining
        print(f"{name:20} {slo.good} of {slo.total} good, budget left {left:.0%}: {slo.verdict}")


if __name__ == "__main__":
    main()
