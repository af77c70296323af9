"""One call of the client, from its request to the last byte of its answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any, Concatenate, ParamSpec

from slotel import _faults
from slotel._operation import Operation
from slotel.instrumentation.openai.byte_streams import watch
from slotel.instrumentation.openai.failures import error_type, http_facts, is_the_clients
from slotel.instrumentation.openai.raw_bodies import DONE, Copy, Tap, count_events, event_data
from slotel.instrumentation.openai.shapes import (
    Answer,
    Api,
    Json,
    as_object,
    error_word,
    expected_choices,
    token_counts,
)
from slotel.measure.measurement import Outcome

_P = ParamSpec("_P")

INCOMPLETE = "incomplete_stream"
"""Error type of a stream that ended without a finish reason, terminal event or `[DONE]`."""


def _safe(
    method: Callable[Concatenate[Exchange, _P], None],
) -> Callable[Concatenate[Exchange, _P], None]:
    """Keep a fault of ours from the caller's call: count it and return."""
    place = f"openai.{method.__name__}"

    def guarded(exchange: Exchange, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        if exchange.ended:
            return
        try:
            method(exchange, *args, **kwargs)
        except Exception as fault:  # noqa: BLE001  # whatever it is, it is ours
            _faults.report(place, fault)

    return guarded


class Exchange:
    """What is known of one call while it lives; ends its operation exactly once.

    It is told of the answer by the hooks of the client and of the bytes by the watched body. It
    holds no object of the user's, so nothing lives longer than it would without it. Any thread;
    a stream is read by one at a time.

    Attributes:
        call: The operation that is measured.
        ended: True once the operation was finished; everything after that is ignored.
        curious: True while it is not known whether the client parses what is read.
    """

    ended = False
    curious = False
    _request: Any = None
    _response: Any = None  # Only while the client's request runs: it must not live for us.
    _watching = False
    _encoded = False
    _done = False
    _tap: Tap | None = None
    _copy: Copy | None = None
    _block = b""
    _before = 0
    _events = 0
    _first_at: float | None = None
    _last_at: float | None = None
    # Of a stream that is in memory, as replaying transports have it: nothing tells when it is
    # read, so its events are counted.
    _last_event = 0
    _ends_with_done = False

    def __init__(self, call: Operation, api: Api, body: Json, *, streaming: bool) -> None:
        self.call = call
        self._api = api
        self._streaming = streaming
        self._answer = Answer(expected=expected_choices(body))

    # --- told by the hooks --------------------------------------------------------------------

    @_safe
    def answered(self, response: Any, *, retries: int | None) -> None:
        """Headers have come: read them, and watch the body if it is still to be read."""
        self._last_at = perf_counter()
        headers = response.headers
        self.call.http(
            status_code=response.status_code,
            request_id=headers.get("x-request-id"),
            retries=retries,
        )
        self._request = response.request
        self._response = response
        if response.is_closed:
            if self._streaming:
                self._block = response.content
                self._last_event, self._ends_with_done = count_events(self._block)
            return
        self._encoded = bool(headers.get("content-encoding"))
        body = watch(response.stream, self)
        self._watching = body is not response.stream
        response.stream = body
        if not self._streaming:
            self._copy = Copy(response)
        elif not self._encoded:
            self._tap = Tap()
            self.curious = True

    def parsed(self, data: Any) -> None:
        """The client parsed an answer, or one event of it; the way of every streamed chunk."""
        if not self._streaming:
            self._read(data)
            return
        if self.curious:
            self._tap = None
            self.curious = False
        self._take(data, perf_counter())
        if self._events == self._last_event:
            self._end_of_memory()

    @_safe
    def _end_of_memory(self) -> None:
        self._done = self._ends_with_done
        self._end_as_read()

    @_safe
    def returned(self) -> None:
        """The client's request returned to its caller; a body may still be unread."""
        response, self._response = self._response, None
        if self._watching or self._last_event:
            return
        if response is not None and not self._answer.complete:
            self._read_memory(response)
        self._end_as_read()

    @_safe
    def failed(self, error: BaseException) -> None:
        """The client's request raised."""
        self._response = None
        self._end_by(error)

    # --- told by the watched body -------------------------------------------------------------

    def wanted(self) -> None:
        """The reader comes back for more; what it did not parse is read here."""
        if self._tap is None or self.ended:
            return
        for data in self._tap.take():
            self._sniff(data, self._tap.at)

    def arrived(self, block: bytes) -> None:
        """A block has come."""
        if self.ended:
            return
        self._block = block
        self._before = self._events
        if self._first_at is None:
            self._first_at = perf_counter()
        if self._tap is not None:
            if not self._tap.feed(block, at=perf_counter()):
                self._tap = None
        elif self._copy is not None:
            self._copy.feed(block)

    @_safe
    def exhausted(self) -> None:
        """The whole body has been read."""
        self.wanted()
        if self._copy is not None:
            self._read(_loads(self._copy.text() or b""))
        elif not self._told_end() and not self._encoded:
            for data in self._unread():
                self._sniff(data, perf_counter())
        self._end_as_read()

    @_safe
    def broken(self, error: BaseException) -> None:
        """Reading the body raised; harmless once the answer is complete."""
        if self._told_end() or self._next_is_done():
            self._end_as_told()
        else:
            self._end_by(error)

    @_safe
    def closed(self) -> None:
        """The body is closed before its end: by its reader, or because parsing it raised."""
        error = sys.exc_info()[1]
        self.wanted()
        if self._told_end() or self._next_is_done():
            self._end_as_told()
        elif error is not None and is_the_clients(error, self._request):
            self._end_by(error)
        elif isinstance(error, GeneratorExit):
            # Given up some time ago, now collected: only what it lasted until then is known.
            self._end(Outcome.CANCELLED, at=self._last_at)
        else:
            self._end(Outcome.CANCELLED)

    def dropped(self) -> None:
        """The body's reader was collected; how long ago it was given up is not known."""
        if self.ended or sys.is_finalizing():
            return
        self._dropped()

    __del__ = dropped  # Nobody is left who could read the body.

    @_safe
    def _dropped(self) -> None:
        if self._last_event and not self._events:
            # In memory and not parsed: read as lines or bytes, if at all.
            for data in self._unread():
                self._sniff(data, self._last_at or perf_counter())
        elif not self._told_end():
            # Old clients do not close a stream whose error event made them raise.
            for data in self._unread()[:1]:
                if data.startswith(DONE) or b'"error"' in data:
                    self._sniff(data, self._last_at or perf_counter())
        if self._told_end():
            self._end_as_told()
        else:
            self._end(Outcome.CANCELLED, at=self._last_at)

    # --- reading ------------------------------------------------------------------------------

    def _take(self, event: Any, at: float) -> None:
        """Read one streamed event; never raises."""
        self._events += 1
        self._last_at = at
        try:
            if "error" in event or "event" in event:
                event = self._unwrap(event)
            if event is not None:
                self.call.chunk(content=self._api.take(self._answer, event), at=at)
        except Exception as fault:  # noqa: BLE001  # a shape that no reader expected
            _faults.report("openai.event", fault)

    def _unwrap(self, event: Json) -> Json | None:
        """Return an event without the envelope of old clients; None for a noted error."""
        if "data" in event:
            event = as_object(event["data"])
        error = event.get("error")
        if not error:
            return event
        self._answer.failure = error_word(error) or "APIError"
        self._answer.complete = True
        self.call.http(error_code=error_word(error))
        return None

    def _sniff(self, data: bytes, at: float) -> None:
        if data.startswith(DONE):
            self._done = True
            return
        event = _loads(data)
        if event is not None:
            self._take(event, at)

    def _read(self, data: Any) -> None:
        """Read a whole answer; never raises."""
        try:
            self._api.read(self._answer, as_object(data))
        except Exception as fault:  # noqa: BLE001  # a shape that no reader expected
            _faults.report("openai.answer", fault)

    def _read_memory(self, response: Any) -> None:
        """Read a body that is in memory and that the client did not parse for its caller."""
        if response.is_closed and "json" in response.headers.get("content-type", ""):
            self._read(_loads(response.content))

    def _unread(self) -> list[bytes]:
        """Return the events of the last block that nobody has parsed."""
        return event_data(self._block)[self._events - self._before :]

    def _told_end(self) -> bool:
        return self._answer.complete or self._done

    def _next_is_done(self) -> bool:
        return not self._encoded and any(data.startswith(DONE) for data in self._unread()[:1])

    # --- ending -------------------------------------------------------------------------------

    def _end_as_read(self) -> None:
        """End when nothing more can come; a stream must have said that it is complete."""
        if self._streaming and not (self._told_end() or self._encoded):
            self._end(Outcome.ERROR, error_type=INCOMPLETE)
        else:
            self._end_as_told()

    def _end_as_told(self) -> None:
        """End by what the answer says of itself, at the time of its last event."""
        answer = self._answer
        at = self._last_at if self._streaming and self._events else None
        if answer.failure is not None:
            self._end(Outcome.ERROR, error_type=answer.failure, at=at)
        elif answer.cancelled:
            self._end(Outcome.CANCELLED, at=at)
        else:
            self._end(Outcome.SUCCESS, at=at)

    def _end_by(self, error: BaseException) -> None:
        """End by an error that the caller sees."""
        self.call.http(**http_facts(error))
        if isinstance(error, Exception):
            self._end(Outcome.ERROR, error=error, error_type=error_type(error))
        else:
            self._end(Outcome.CANCELLED, error=error)

    def _end(
        self,
        outcome: Outcome,
        *,
        error: BaseException | None = None,
        error_type: str | None = None,
        at: float | None = None,
    ) -> None:
        self.ended = True
        try:
            self._tell(outcome)
        finally:
            self.call.finish(outcome=outcome, error=error, error_type=error_type, at=at)
        self._block = b""
        self._tap = self._copy = self._request = self._response = None

    def _tell(self, outcome: Outcome) -> None:
        """Hand what was read to the operation."""
        answer, call = self._answer, self.call
        call.response(
            id=answer.id, model=answer.model, finish_reasons=self._finish_reasons(outcome)
        )
        if answer.usage is not None:
            call.usage(**token_counts(answer.usage), source="provider")
            call.note().reasoning_streamed = answer.reasoning_streamed
        elif self._api.has_usage and (outcome is Outcome.SUCCESS or self._last_at is not None):
            call.usage(source="missing")
        if answer.flagged is not None:
            call.verdict(flagged=answer.flagged, categories=answer.categories)
        if self._streaming and not self._events and self._first_at is not None:
            call.first_chunk(at=self._first_at)

    def _finish_reasons(self, outcome: Outcome) -> list[str]:
        """Return a reason a choice; `error` for one of a stream that never gave any."""
        reasons = self._answer.reasons
        if outcome is Outcome.SUCCESS or not self._streaming or not self._events:
            return [reasons[index] for index in sorted(reasons)]
        return [reasons.get(index, "error") for index in range(self._answer.expected)]


def _loads(text: bytes) -> Any:
    """Return JSON as objects; None for what is none: the caller gets the same text to judge."""
    try:
        return json.loads(text)
    except ValueError:
        return None
