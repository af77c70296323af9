"""What may be told of a call while it is measured: the public methods of a live record."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from slotel import _figures, _shapes
from slotel._context import Link
from slotel._faults import refuse, report
from slotel._figures import FOLD_AT, MAX_CATEGORIES, Figures
from slotel._process import clock

if TYPE_CHECKING:
    from slotel._operation import Site

Told = TypeVar("Told", bound="Callable[..., None]")


def _guarded(method: Told) -> Told:
    """Let a method that the caller tells us something by never raise into the caller."""

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # what was told is lost, the call is not
            report(f"operation.{method.__name__}", error)

    return cast("Told", guarded)


class Telling(Link):
    """A call as its caller sees it: whatever is known of it can be told here.

    Any thread may call. Values that cannot be used are refused, counted and logged once, and never
    raise into the caller.
    """

    site: Site
    figures: Figures | None = None

    def note(self) -> Figures:
        """Return the figures of this call, made at first use."""
        figures = self.figures
        if figures is None:
            figures = self.figures = Figures()
        return figures

    if TYPE_CHECKING:

        def fold_chunks(self) -> None:
            """Hand the chunk times gathered so far to the recorder."""

    @_guarded
    def request(
        self,
        *,
        model: str | None = None,
        provider: str | None = None,
        streaming: bool | None = None,
        **attributes: Any,
    ) -> None:
        """Say what is asked of whom: model, provider, whether chunks are streamed."""
        figures = self.note()
        if model is not None:
            figures.model = _figures.text(model, what="a model")
        if provider is not None:
            figures.provider = _figures.text(provider, what="a provider")
        if streaming is not None:
            figures.streaming = bool(streaming)
        figures.attributes.update(_figures.usable_attributes(attributes))

    def first_chunk(self, at: float | None = None) -> None:
        """Say that the first chunk, even one without content, has come (`perf_counter` seconds)."""
        figures = self.note()
        figures.streaming = True
        if figures.first_chunk_at is None:
            figures.first_chunk_at = moment(at)

    def first_token(self, at: float | None = None) -> None:
        """Say that the first content has come, now or at that `perf_counter` time."""
        now = moment(at)
        figures = self.note()
        figures.streaming = True
        if figures.first_token_at is None:
            figures.first_token_at = now
        if figures.first_chunk_at is None:
            figures.first_chunk_at = now

    def chunk(
        self, text: Any = None, *, tokens: int | None = None, at: float | None = None,
        content: bool | None = None,
    ) -> None:  # fmt: skip
        """Count a chunk of a stream.

        Args:
            text: The chunk; only whether it is empty matters, it is not kept.
            tokens: Output tokens that it carries, when the caller knows.
            at: When it came, `perf_counter` seconds; now when None.
            content: Whether it carries content; by default what is not empty does.
        """
        figures = self.note()
        chunks = figures.stream()
        times = chunks.times
        if at is None:
            now = clock()
        else:  # A float that follows the last one needs no second look.
            last = times[-1] if times else 0.0
            now = at if type(at) is float and last <= at < math.inf else max(last, moment(at))
        times.append(now)
        if figures.first_token_at is None and _figures.has_content(text, content):
            figures.first_token_at = now
        if tokens is not None:
            count = _figures.whole(tokens, place="usage", what="tokens") or 0
            self.usage(
                output_tokens=figures.usage.get("output_tokens", 0) + count, source="counted"
            )
        if len(times) >= FOLD_AT:
            self.fold_chunks()

    @_guarded
    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        source: str = "provider",
    ) -> None:
        """Say how many tokens were used, and who counted: provider, counted, estimated, missing."""
        given = {
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cached_tokens": cached_tokens,
            "reasoning_tokens": reasoning_tokens,
        }
        self.count_tokens(given, source=source)

    def count_tokens(self, given: Mapping[str, int | None], *, source: str) -> None:
        """Say how many tokens were used, by quantity name; see `usage`."""
        figures = self.note()
        for name, value in given.items():
            count = None if value is None else _figures.whole(value, place="usage", what=name)
            if count is not None:
                figures.usage[name] = count
        figures.usage_source = _figures.text(source, what="a source of usage")

    @_guarded
    def response(
        self,
        *,
        id: str | None = None,  # noqa: A002  # the conventions' and every client's word
        model: str | None = None,
        finish_reasons: Sequence[str] | None = None,
    ) -> None:
        """Say what came back: response id, the model that answered, why it stopped."""
        figures = self.note()
        figures.response_id = _figures.text(id, what="a response id") or figures.response_id
        figures.response_model = _figures.text(model, what="a model") or figures.response_model
        if finish_reasons:
            given = (finish_reasons,) if isinstance(finish_reasons, str) else finish_reasons
            reasons = (_figures.text(str(reason), what="a finish reason") for reason in given)
            figures.finish_reasons = tuple(reason or "" for reason in reasons)

    @_guarded
    def http(
        self,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
        retries: int | None = None,
        error_code: str | None = None,
    ) -> None:
        """Say what the transport knows: status, request id, retries, provider's error code."""
        figures = self.note()
        if status_code is not None:
            code = _figures.whole(status_code, place="http", what="status_code")
            figures.status_code = code if code is not None else figures.status_code
        if retries is not None:
            count = _figures.whole(retries, place="http", what="retries")
            figures.retries = count if count is not None else figures.retries
        figures.request_id = _figures.text(request_id, what="a request id") or figures.request_id
        figures.error_code = _figures.text(error_code, what="an error code") or figures.error_code

    def result(self, result: Any) -> None:
        """Read what the result of the call says about itself, recognised by its shape."""
        try:
            inspect_result = self.site.inspect
            if inspect_result is not None:
                inspect_result(self, result)
        except Exception as error:  # noqa: BLE001  # a strange result must not reach the caller
            report("operation.result", error)

    @_guarded
    def documents(self, found: Any, *, relevant: Any = None, k: int | None = None) -> None:
        """Say which documents a retrieval returned.

        Args:
            found: Hits, (document, score) pairs or a store's response.
            relevant: Ids that are relevant to the question, when known; then the share of
                relevant ones among the first k becomes the score `precision_at_<k>`.
            k: How many hits count for that precision; all when None.
        """
        hits = _shapes.hits(found)
        if hits is None:
            refuse("documents", f"documents() got {type(found).__name__}, not a list of hits.")
            return
        self.retrieved(hits)
        if relevant is not None:
            self._score_precision(hits, relevant, hits.count if k is None else k)

    def retrieved(self, hits: _shapes.Hits) -> None:
        """Note hits that were read from a result."""
        figures = self.note()
        figures.documents = hits.count
        figures.document_scores = tuple(hit.score for hit in hits.first if hit.score is not None)

    def _score_precision(self, hits: _shapes.Hits, relevant: Any, depth: Any) -> None:
        if not isinstance(depth, int) or not 0 < depth <= _shapes.MAX_HITS:
            refuse("documents", f"k must lie between 1 and {_shapes.MAX_HITS}, got {depth!r}.")
            return
        if isinstance(relevant, str) or not isinstance(relevant, Iterable):
            refuse("documents", f"relevant must be a list of ids, got {_figures.shown(relevant)}.")
            return
        wanted = set(map(str, relevant))  # pyright: ignore[reportUnknownArgumentType]  # any ids
        right = sum(hit.id in wanted for hit in hits.first[:depth])
        self.score(f"precision_at_{depth}", right / depth)

    @_guarded
    def verdict(self, *, flagged: bool, categories: Mapping[str, float] | None = None) -> None:
        """Say what a moderation decided, with its score by category."""
        figures = self.note()
        figures.flagged = bool(flagged)
        given: Any = categories if categories is not None else {}
        if not isinstance(given, Mapping):
            shown = _figures.shown(given)
            refuse("category", f"categories must map names to scores, got {shown}.")
            return
        for name, value in given.items():  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            number, usable = _figures.finite(value), _figures.score_name(name)
            if usable is None or number is None or number < 0.0:
                shown = f"{_figures.shown(name)}={_figures.shown(value)}"
                refuse("category", f"category {shown} is not a score >= 0.")
            elif len(figures.categories) >= MAX_CATEGORIES and name not in figures.categories:
                refuse("category", f"more than {MAX_CATEGORIES} categories in one verdict.")
            else:
                figures.categories[usable] = number

    @_guarded
    def score(self, name: str, value: float, *, explanation: str | None = None) -> None:
        """Record a quality score of this call: a finite number, or a boolean as 1 and 0."""
        usable, number = _figures.score_name(name), _figures.finite(value)
        if usable is None:
            return
        if number is None:
            shown = _figures.shown(value)
            refuse("score", f"score {usable!r} must be a finite number or a boolean, got {shown}.")
            return
        self.note().scores[usable] = number

    @_guarded
    def attribute(self, name: str, value: Any) -> None:
        """Set an attribute of the span; a dimension of the series where the name is one."""
        if _figures.attribute_value(name, value):
            figures = self.note()
            figures.attributes[name] = value
            figures.labels[name] = _figures.label(value)


def moment(at: Any) -> float:
    """Return that time, or the present one when none, or an unusable one, is given."""
    if type(at) is float and 0.0 <= at < math.inf:
        return at
    known = None if at is None else _figures.moment(at)
    return clock() if known is None else known
