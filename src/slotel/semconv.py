"""Every attribute, metric and event name, with its stability and where it is defined.

GenAI names follow the OpenTelemetry GenAI semantic conventions as shipped with the
instrumentations of 2026 (schema 1.37). All of them are in development and some are about to be
renamed, so they stand here, and not in an imported package, with a switch between both sets.
Names that no convention has (SLOs, moderation, rerank, quality) are under `slotel.`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

from slotel.errors import ConfigurationError


class Stability(str, Enum):
    """How likely a name is to change."""

    STABLE = "stable"
    DEVELOPMENT = "development"
    SLOTEL = "slotel"
    """Ours: changes only with a major version."""


@dataclass(frozen=True, slots=True)
class Name:
    """One name on the wire.

    Attributes:
        text: The name.
        stability: How likely it is to change.
        version: Version of the conventions it was taken from, or of Slotel for its own.
    """

    text: str
    stability: Stability
    version: str


TABLE: dict[str, Name] = {}
"""Every name of this module by its text."""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
SCOPE = "slotel"


def _name(text: str, stability: Stability, version: str) -> str:
    TABLE[text] = Name(text, stability, version)
    return text


def _stable(text: str) -> str:
    return _name(text, Stability.STABLE, "1.37.0")


def _genai(text: str) -> str:
    return _name(text, Stability.DEVELOPMENT, "1.37.0")


def _ours(text: str) -> str:
    return _name(text, Stability.SLOTEL, "0.1")


# Attributes of the conventions.
ERROR_TYPE = _stable("error.type")
SERVER_ADDRESS = _stable("server.address")
SERVER_PORT = _stable("server.port")
HTTP_STATUS_CODE = _stable("http.response.status_code")
HTTP_RESEND_COUNT = _stable("http.request.resend_count")
OPERATION_NAME = _genai("gen_ai.operation.name")
PROVIDER_NAME = _genai("gen_ai.provider.name")
REQUEST_MODEL = _genai("gen_ai.request.model")
REQUEST_STREAM = _genai("gen_ai.request.stream")
REQUEST_CHOICE_COUNT = _genai("gen_ai.request.choice.count")
REQUEST_MAX_TOKENS = _genai("gen_ai.request.max_tokens")
REQUEST_TEMPERATURE = _genai("gen_ai.request.temperature")
REQUEST_TOP_P = _genai("gen_ai.request.top_p")
RESPONSE_ID = _genai("gen_ai.response.id")
RESPONSE_MODEL = _genai("gen_ai.response.model")
FINISH_REASONS = _genai("gen_ai.response.finish_reasons")
TIME_TO_FIRST_CHUNK = _genai("gen_ai.response.time_to_first_chunk")
INPUT_TOKENS = _genai("gen_ai.usage.input_tokens")
OUTPUT_TOKENS = _genai("gen_ai.usage.output_tokens")
CACHED_TOKENS = _genai("gen_ai.usage.cache_read.input_tokens")
REASONING_TOKENS = _genai("gen_ai.usage.reasoning.output_tokens")
DATA_SOURCE_ID = _genai("gen_ai.data_source.id")
RETRIEVAL_TOP_K = _genai("gen_ai.retrieval.top_k")
TOOL_NAME = _genai("gen_ai.tool.name")
AGENT_NAME = _genai("gen_ai.agent.name")
TOKEN_TYPE = _genai("gen_ai.token.type")
CONVERSATION_ID = _genai("gen_ai.conversation.id")
OPENAI_API_TYPE = _genai("openai.api.type")

# Attributes of ours.
NAME = _ours("slotel.name")
KIND = _ours("slotel.kind")
OUTCOME = _ours("slotel.outcome")
OUTCOME_REASON = _ours("slotel.outcome.reason")
ROLE = _ours("slotel.role")
TIME_TO_FIRST_TOKEN = _ours("slotel.time_to_first_token")
TIME_PER_OUTPUT_TOKEN = _ours("slotel.time_per_output_token")
MAX_GAP = _ours("slotel.max_gap")
TOKENS_PER_SECOND = _ours("slotel.tokens_per_second")
CHUNKS = _ours("slotel.chunks")
USAGE_SOURCE = _ours("slotel.usage.source")
REQUEST_ID = _ours("slotel.request.id")
PROVIDER_ERROR_CODE = _ours("slotel.provider.error.code")
DOCUMENTS = _ours("slotel.retrieval.documents")
TOP_SCORE = _ours("slotel.retrieval.top_score")
SCORE_SPREAD = _ours("slotel.retrieval.score_spread")
FLAGGED = _ours("slotel.moderation.flagged")
CATEGORIES = _ours("slotel.moderation.categories")
SCORE_PREFIX = _ours("slotel.score")
SLO_VIOLATED = _ours("slotel.slo.violated")
SLO_NAME = _ours("slotel.slo.name")
SLO_EVENT = _ours("slotel.slo.event")
SLO_WINDOW = _ours("slotel.slo.window")
QUANTILE = _ours("slotel.quantile")
SCORE_NAME = _ours("slotel.score.name")
CATEGORY = _ours("slotel.moderation.category")
FAULT_PLACE = _ours("slotel.fault.place")
OVERFLOW = _stable("otel.metric.overflow")

# Metrics of ours.
SLO_EVENTS = _ours("slotel.slo.events")
SLO_RATIO = _ours("slotel.slo.sli.ratio")
SLO_OBJECTIVE = _ours("slotel.slo.objective.ratio")
SLO_BUDGET_REMAINING = _ours("slotel.slo.error_budget.remaining.ratio")
SLO_BURN_RATE = _ours("slotel.slo.burn_rate")
SLO_PERCENTILE = _ours("slotel.slo.percentile")
SLO_COVERAGE = _ours("slotel.slo.coverage.ratio")
INTERNAL_ERRORS = _ours("slotel.internal.errors")

GENAI_CLIENT_OPERATIONS = frozenset(
    {"chat", "generate_content", "text_completion", "embeddings", "retrieval", "fetch_response"}
)
"""Operations whose duration the conventions count in the client histogram."""


@dataclass(frozen=True, slots=True)
class Metric:
    """Name, unit and meaning of one exported metric."""

    name: str
    unit: str
    description: str


class Naming(str, Enum):
    """Which names of the GenAI metrics are used.

    `shipped` are the names that instrumentations emit today. `inference` are those that the
    conventions are moving to (`gen_ai.client.inference.*` for inference, one duration metric for
    each other operation).
    """

    SHIPPED = "shipped"
    INFERENCE = "inference"


NAMING_VARIABLE = "SLOTEL_SEMCONV"


def naming_from_environment() -> Naming:
    """Return the naming that SLOTEL_SEMCONV asks for; `shipped` when it is unset.

    Raises:
        ConfigurationError: The variable holds another word.
    """
    text = os.environ.get(NAMING_VARIABLE, "").strip().lower() or Naming.SHIPPED.value
    try:
        return Naming(text)
    except ValueError:
        raise ConfigurationError(
            f"{NAMING_VARIABLE} must be 'shipped' or 'inference', got {text!r}. "
            "Unset it for the names that instrumentations emit today."
        ) from None


_INFERENCE = frozenset({"chat", "generate_content", "text_completion"})

# Quantity -> metric of the conventions, for the operations that they cover; `{}` is the naming's
# word for an operation ("operation" or "inference").
_GENAI_METRICS = {
    "duration": Metric("gen_ai.client.{}.duration", "s", "Duration of a GenAI operation."),
    "time_to_first_chunk": Metric(
        "gen_ai.client.{}.time_to_first_chunk", "s", "Time until the first chunk of a stream."
    ),
    "chunk_gap": Metric(
        "gen_ai.client.{}.time_per_output_chunk", "s", "Time between two chunks of a stream."
    ),
}
for _word in ("operation", "inference", "embeddings", "retrieval"):
    for _metric in _GENAI_METRICS.values():
        _genai(_metric.name.format(_word))
TOKEN_USAGE = _genai("gen_ai.client.token.usage")
TOOL_DURATION = _genai("gen_ai.execute_tool.duration")
AGENT_DURATION = _genai("gen_ai.invoke_agent.duration")

_TOKEN_TYPES = {"input_tokens": "input", "output_tokens": "output"}

_OUR_METRICS = {
    "duration": Metric("slotel.operation.duration", "s", "Duration of an operation."),
    "time_to_first_chunk": Metric(
        "slotel.time_to_first_chunk", "s", "Time until the first chunk, of nested calls."
    ),
    "chunk_gap": Metric("slotel.chunk_gap", "s", "Time between two chunks, of nested calls."),
    "time_to_first_token": Metric(
        "slotel.time_to_first_token",
        "s",
        "Time until the first content; of calls that did not succeed, a lower bound.",
    ),
    "time_per_output_token": Metric(
        "slotel.time_per_output_token", "s", "Time per output token after the first."
    ),
    "max_gap": Metric("slotel.max_gap", "s", "Largest time between two chunks of a stream."),
    "input_tokens": Metric("slotel.input_tokens", "{token}", "Input tokens, of nested calls."),
    "output_tokens": Metric("slotel.output_tokens", "{token}", "Output tokens, of nested calls."),
    "cached_tokens": Metric("slotel.cached_tokens", "{token}", "Input tokens read from a cache."),
    "reasoning_tokens": Metric("slotel.reasoning_tokens", "{token}", "Tokens spent on reasoning."),
    "tokens_per_second": Metric(
        "slotel.output_tokens_per_second", "{token}/s", "Output tokens of a call by its duration."
    ),
    "retries": Metric("slotel.retries", "{retry}", "Times that a call was tried again."),
    "documents": Metric("slotel.retrieval.documents", "{document}", "Documents retrieved."),
    "top_score": Metric("slotel.retrieval.top_score", "1", "Best score of a retrieval."),
    "score_spread": Metric(
        "slotel.retrieval.score_spread", "1", "Best minus worst score of a retrieval."
    ),
    "empty": Metric("slotel.retrieval.empty", "1", "1 for a retrieval that found nothing, else 0."),
    "flagged": Metric("slotel.moderation.flagged", "1", "1 for flagged content, else 0."),
    "arrivals": Metric("slotel.arrivals", "{call}", "Calls started."),
}
for _metric in _OUR_METRICS.values():
    _ours(_metric.name)
SCORE_METRIC = Metric(_ours("slotel.score.value"), "1", "A quality score.")
CATEGORY_METRIC = Metric(_ours("slotel.moderation.category.score"), "1", "Moderation score.")


def metric(quantity_name: str, operation: str, *, outer: bool, naming: Naming) -> Metric:
    """Return the metric that a quantity of an operation is exported as.

    Only what speaks for the call itself (`outer`) goes into the conventions' metrics, so that
    their sums count each call once; nested measurements and everything that the conventions do
    not know go out under `slotel.`.

    Args:
        quantity_name: Name in `measure.measurement.QUANTITIES`, `score.<name>` or
            `category.<name>`.
        operation: Operation name of the series.
        outer: True for role outer.
        naming: Which set of convention names to use.

    Raises:
        KeyError: No such quantity.
    """
    if quantity_name.startswith("score."):
        return SCORE_METRIC
    if quantity_name.startswith("category."):
        return CATEGORY_METRIC
    if outer and quantity_name == "duration" and operation == "execute_tool":
        return Metric(TOOL_DURATION, "s", "Duration of a tool call.")
    if outer and quantity_name == "duration" and operation == "invoke_agent":
        return Metric(AGENT_DURATION, "s", "Duration of an agent invocation.")
    if outer and operation in GENAI_CLIENT_OPERATIONS:
        if quantity_name in _TOKEN_TYPES:
            return Metric(TOKEN_USAGE, "{token}", "Tokens used by a GenAI operation.")
        known = _GENAI_METRICS.get(quantity_name)
        if known is not None:
            word = _operation_word(operation, naming)
            return Metric(known.name.format(word), known.unit, known.description)
    return _OUR_METRICS[quantity_name]


def _operation_word(operation: str, naming: Naming) -> str:
    if naming is Naming.SHIPPED:
        return "operation"
    return "inference" if operation in _INFERENCE else operation


def token_type(quantity_name: str) -> str | None:
    """Return the value of `gen_ai.token.type` for a token quantity, None for any other."""
    return _TOKEN_TYPES.get(quantity_name)
