"""`slotel.llm` and its kin: one object, used bare, called, as a decorator and with `with`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypedDict, TypeVar, Unpack, cast, overload

from slotel import _spans
from slotel._context import Link, current, held_by, live
from slotel._faults import report
from slotel._figures import attribute_fault, is_unicode, shown
from slotel._operation import Operation, begin
from slotel._site import KINDS, Site
from slotel._wrap import decorate
from slotel.errors import UsageError
from slotel.measure.measurement import Outcome
from slotel.measure.series import MAX_LABEL_LENGTH

F = TypeVar("F", bound="Callable[..., Any] | staticmethod[..., Any] | classmethod[Any, ..., Any]")

UNMATCHED = "unmatched"
"""Reason of a `with` block that was left in a place where several others were open."""
_CANCELLED = Outcome.CANCELLED
_MAX_DERIVED = 256
"""Specifications that one keeps by their options; names made up for each call end there."""
_TEXTS = ("name", "model", "provider", "operation", "source")
_COUNTS = ("top_k", "tokens_per_chunk")


class Options(TypedDict, total=False):
    """Keywords of the decorators; each kind takes those that make sense for it.

    Attributes:
        model: Model that is asked.
        provider: Provider's name in the conventions, such as `openai`.
        operation: Operation name instead of `chat` (llm only).
        source: Data source of a retrieval.
        top_k: Documents asked for.
        attributes: Attributes of every span; text ones are dimensions of the series too.
        content: Tells of a streamed chunk whether it carries content; what is not empty does.
        tokens_per_chunk: Output tokens of each chunk, where every chunk is that many tokens.
    """

    model: str | None
    provider: str | None
    operation: str | None
    source: str | None
    top_k: int | None
    attributes: Mapping[str, Any] | None
    content: Callable[[Any], Any] | None
    tokens_per_chunk: int | None


class Spec:
    """An immutable description of an operation; the state of a call lives on its live record.

    Use it bare or called, as a decorator (`@llm`, `@llm(model=…)`) or as a context manager
    (`with llm as call`, `async with llm(model=…) as call`). Any thread and task may use the same
    specification at the same time.
    """

    __slots__ = (
        "__weakref__", "_derived", "_kind", "_lock", "_name", "_open", "_options", "_site",
    )  # fmt: skip

    def __init__(self, kind: str, name: str | None = None, **options: Unpack[Options]) -> None:
        self._kind = kind
        self._name = name
        self._options = options
        self._site: Site | None = None
        self._open: dict[int, Operation] = {}
        self._derived: dict[tuple[Any, ...], Spec] = {}
        self._lock = threading.Lock()
        self._check()

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(self, name: str | None = None, /, **options: Unpack[Options]) -> Spec: ...

    def __call__(self, given: Any = None, /, **options: Any) -> Any:
        """Decorate a function, or return a specification with a name or other options.

        Raises:
            UsageError: What is to be decorated is not a function or method, or an option is
                unknown or of a wrong type.
        """
        if given is None or isinstance(given, str):
            return self._with(given if given is not None else self._name, options)
        if options:
            raise UsageError(
                f"slotel.{self._kind} takes a function or options, not both at once. "
                f"Write @slotel.{self._kind}(…) above the function."
            )
        return decorate(self._site_for(given), given)

    def _with(self, name: str | None, options: dict[str, Any]) -> Spec:
        """Return a specification with these options besides, the same one for the same options.

        `with slotel.llm(model="m")` in a loop would otherwise make a site, and its class, a call.
        """
        try:
            key = (name, *options.items())
            known = self._derived.get(key)
        except TypeError:  # Attributes, or anything else that cannot be a key.
            return self._derive(name, options)
        if known is None:
            known = self._derive(name, options)
            if "content" not in options and len(self._derived) < _MAX_DERIVED:
                self._derived[key] = known
        return known

    def _derive(self, name: str | None, options: dict[str, Any]) -> Spec:
        merged: Any = {**self._options, **options}
        return Spec(self._kind, name, **merged)

    def __enter__(self) -> Operation:
        """Begin a call; it is current until the block is left."""
        call = self.site.record_class()
        try:
            begin(call)
            current.set(call.cell)
            if call.span_context is not None:
                call.context_token = _spans.set_context(call.span_context)
        except Exception as error:  # noqa: BLE001  # ours, never the caller's
            report("with.enter", error)
        call.block = True
        self._open[id(call)] = call
        return call

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the call of this block; an exception goes on unchanged."""
        call, sure = self._take()
        if call is None:
            return
        if call.context_token is not None:
            _spans.restore_context(call.context_token)
        call.block = False
        if not (
            call.finish(error=error) if sure else call.finish(_CANCELLED, error_type=UNMATCHED)
        ):
            call.leave()  # It was finished by hand inside the block.

    async def __aenter__(self) -> Operation:
        """Begin a call; the same as the synchronous form."""
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the call of this block; the same as the synchronous form."""
        self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        options = "".join(f", {key}={value!r}" for key, value in self._options.items())
        return f"slotel.{self._kind}({self._name!r}{options})"

    @property
    def site(self) -> Site:
        """The site of this specification's `with` blocks, made at first use."""
        site = self._site
        if site is None:
            with self._lock:
                site = self._site = self._site or Site(self._kind, name=self._name, **self._options)
        return site

    def _site_for(self, function: Any) -> Site:
        """Return a new site, named after the function where the kind needs a name."""
        name = self._name
        if name is None and self._kind in _NAMED_BY_FUNCTION:
            inner = getattr(function, "__func__", function)
            name = getattr(inner, "__name__", type(inner).__name__)
        return Site(self._kind, name=name, **self._options)

    def _take(self) -> tuple[Operation | None, bool]:
        """Remove the record that this exit ends, and say whether it surely belongs to it."""
        link: Link | None = held_by(current.get())
        while link is not None:
            if isinstance(link, Operation) and self._open.pop(id(link), None) is link:
                return link, True
            link = live(link.parent)
        try:
            only = len(self._open) == 1
            return self._open.pop(next(iter(self._open))), only
        except (StopIteration, KeyError):
            return None, False

    def _check(self) -> None:
        known = KINDS[self._kind].options | {"attributes"}
        unknown = sorted(set(self._options) - known)
        if unknown:
            raise UsageError(
                f"slotel.{self._kind} has no option {unknown[0]!r}. "
                f"It takes: {', '.join(sorted(known))}."
            )
        given: dict[str, Any] = {"name": self._name, **self._options}
        for key, value in given.items():
            self._check_type(key, value)
        attributes: Mapping[Any, Any] = given.get("attributes") or {}
        faults = [fault for item in attributes.items() if (fault := attribute_fault(*item))]
        if faults:
            raise UsageError(f"slotel.{self._kind}: {faults[0]}")

    def _check_type(self, key: str, value: Any) -> None:
        wanted = None
        if value is None:
            return
        if key in _TEXTS and not (
            isinstance(value, str) and 0 < len(value) <= MAX_LABEL_LENGTH and is_unicode(value)
        ):
            wanted = f"text of 1 to {MAX_LABEL_LENGTH} characters"
        elif key in _COUNTS and (
            not isinstance(value, int) or isinstance(value, bool) or value < 1
        ):
            wanted = "a whole number >= 1"
        elif key == "attributes" and not isinstance(value, Mapping):
            wanted = "a mapping of names to values"
        elif key == "content" and not callable(cast("object", value)):
            wanted = "a function of a chunk"
        if wanted is not None:
            raise UsageError(f"slotel.{self._kind}: {key} must be {wanted}, got {shown(value)}.")


_NAMED_BY_FUNCTION = frozenset({"tool", "agent", "journey", "operation"})
