"""First SLO documents for common AI services, to be had before any traffic."""

from __future__ import annotations

import json
import re

from slotel.errors import UnknownNameError
from slotel.slo.value import suggestion

_HEAD = """\
version: slotel/v1
service: @SERVICE@
# owner: team-name            # who answers for these promises

# @WHAT@
#
# Starting points, not measurements: run for a week or two, look at `slotel.status()`, then set each
# number to what users need and what the service can keep. Leave a margin: an objective is missed
# sometimes, that is what its error budget is for. Check every edit with `slotel validate`.
slos:
"""

_FIRST_TOKEN = """\
  - name: first-token
    description: Answers begin quickly enough to feel like a conversation.
    # Streaming calls only. A call given up after this time without a token counts as bad.
    sli: {time_to_first_token: {operation: chat, at_most: @FIRST@}}
    objective: 95%                # the same as: objective: p95 <= @FIRST@, without at_most
    window: 28d

"""

_PER_TOKEN = """\
  - name: token-pace
    description: Text appears at least as fast as people read it.
    sli: {time_per_output_token: {operation: chat, at_most: @PACE@}}
    objective: 95%
    window: 28d

"""

_LATENCY = """\
  - name: @NAME@-latency
    description: @TEXT@
    # Inclusive. A call that failed or was cancelled later than this counts as bad.
    sli: {latency: {operation: @OPERATION@, at_most: @LIMIT@}}
    objective: @SHARE@
    window: 28d

"""

_AVAILABILITY = """\
  - name: @NAME@-availability
    description: @TEXT@
    # Errors are bad; calls that users cancelled are not counted.
    sli: {availability: {operation: @OPERATION@}}
    objective: @SHARE@
    window: 28d

"""

_QUALITY = """\
  - name: @NAME@
    description: @TEXT@
    # Counts the calls that carry this score: call.score("@SCORE@", 0.93).
    sli: {quality: {score: @SCORE@, at_least: @LIMIT@}}
    objective: @SHARE@
    window: 28d

"""

_THROUGHPUT = """\
  - name: token-throughput
    description: Under load the platform delivers the tokens it was sized for.
    # Judged minute by minute; minutes in which less than this was asked for do not count.
    sli: {throughput: {operation: chat, tokens_per_second: 200, per: 1m}}
    objective: 99%
    window: 28d

"""


def _fill(text: str, **values: str) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _latency(name: str, operation: str, limit: str, share: str, text: str) -> str:
    return _fill(_LATENCY, NAME=name, OPERATION=operation, LIMIT=limit, SHARE=share, TEXT=text)


def _availability(name: str, operation: str, share: str, text: str) -> str:
    return _fill(_AVAILABILITY, NAME=name, OPERATION=operation, SHARE=share, TEXT=text)


def _quality(name: str, score: str, limit: str, share: str, text: str) -> str:
    return _fill(_QUALITY, NAME=name, SCORE=score, LIMIT=limit, SHARE=share, TEXT=text)


_PRESETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "rag": (
        "Retrieval-augmented answers: documents are searched, then a model answers from them.",
        (
            _fill(_FIRST_TOKEN, FIRST="2s"),
            _latency("answer", "chat", "15s", "95%", "The whole answer comes before one gives up."),
            _availability("answer", "chat", "99.5%", "Questions get an answer, not an error."),
            _latency("retrieval", "retrieval", "300ms", "99%", "The search leaves time to answer."),
            _quality(
                "retrieval-precision",
                "precision_at_5",
                "0.6",
                "90%",
                "At least three of the five documents found are relevant.",
            ),
            _quality(
                "answer-faithful",
                "faithfulness",
                "0.8",
                "95%",
                "Answers say what the documents say.",
            ),
        ),
    ),
    "chatbot": (
        "A conversation with a model, streamed to the user.",
        (
            _fill(_FIRST_TOKEN, FIRST="1s"),
            _fill(_PER_TOKEN, PACE="100ms"),
            _latency("answer", "chat", "20s", "95%", "The whole answer comes before one gives up."),
            _availability("answer", "chat", "99.5%", "Messages get an answer, not an error."),
            _quality(
                "answer-helpful",
                "helpfulness",
                "0.7",
                "90%",
                "Answers are rated helpful, by users or by a judge.",
            ),
        ),
    ),
    "classifier": (
        "A model that labels inputs. Operation `classify` is @slotel.operation(\"classify\"); write"
        "\n# operation: moderation for @slotel.moderation.",
        (
            _latency("label", "classify", "100ms", "99%", "A label never holds up its caller."),
            _availability("label", "classify", "99.9%", "Every input gets a label."),
            _quality(
                "label-correct",
                "correct",
                "1",
                "95%",
                "Labels that were checked later turn out to be right.",
            ),
        ),
    ),
    "code-assistant": (
        "Code completion and answers inside an editor.",
        (
            _fill(_FIRST_TOKEN, FIRST="500ms"),
            _fill(_PER_TOKEN, PACE="30ms"),
            _latency("completion", "chat", "4s", "95%", "A completion comes before one types on."),
            _availability("completion", "chat", "99.5%", "The editor never shows an error."),
            _quality(
                "completion-parses",
                "parses",
                "1",
                "98%",
                "Completions are code that parses where they are inserted.",
            ),
        ),
    ),
    "platform": (
        "A gateway or model server that other teams call.",
        (
            _availability("chat", "chat", "99.9%", "Requests are answered."),
            _availability("embeddings", "embeddings", "99.9%", "Embedding requests are answered."),
            _fill(_FIRST_TOKEN, FIRST="1s"),
            _fill(_PER_TOKEN, PACE="50ms"),
            _latency("embeddings", "embeddings", "500ms", "99%", "Indexing is not held up."),
            _THROUGHPUT,
        ),
    ),
}  # fmt: skip

PRESETS: tuple[str, ...] = tuple(_PRESETS)
"""Names of the presets."""


def render(preset: str, *, service: str | None = None) -> str:
    """Return the commented SLO document of a preset, valid as it stands.

    Args:
        preset: One of `PRESETS`.
        service: Name of the service, 1 to 200 characters; None takes the preset's name.

    Raises:
        UnknownNameError: There is no such preset.
    """
    found = _PRESETS.get(preset)
    if found is None:
        raise UnknownNameError(f"there is no preset {preset!r}. {suggestion(preset, PRESETS)}")
    what, slos = found
    text = _fill(_HEAD, WHAT=what, SERVICE=_scalar(service or preset))
    return text + "".join(slos).rstrip("\n") + "\n"


def _scalar(text: str) -> str:
    """Return the text as a YAML scalar: plain where nothing in it could mean anything else."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", text) and text.lower() not in (
        "true", "false", "null",
    )  # fmt: skip
    return text if plain else json.dumps(text, ensure_ascii=False)
