"""Reading bodies from their raw blocks, for readers that bypass the client's own parser.

Who reads a streamed response by lines or bytes gets nothing parsed by the client, so no hook of
ours is called. The tap then reads the events itself, one step behind the reader; the copy keeps a
body that is no event stream until its end.
"""

from __future__ import annotations

from typing import Any

# Longer than any answer of a model; longer bodies are measured without their usage.
LIMIT_BYTES = 4_000_000

DONE = b"[DONE]"


def event_data(block: bytes) -> list[bytes]:
    """Return the data of every server-sent event whose data lines lie in the block, in order."""
    found: list[bytes] = []
    for event in block.replace(b"\r\n", b"\n").split(b"\n\n"):
        lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            found.append(b"\n".join(lines))
    return found


def count_events(body: bytes) -> tuple[int, bool]:
    """Return how many events a whole body has for the client to parse, and if `[DONE]` ends it."""
    count = body.count(b"\ndata:") + body.startswith(b"data:")
    done = DONE in body[-32:]
    return count - done, done


class Tap:
    """Blocks of an event stream while it is not known whether the client parses them.

    Attributes:
        at: `time.perf_counter()` when the last block came.
    """

    __slots__ = ("_pending", "at")

    def __init__(self) -> None:
        self._pending = b""
        self.at = 0.0

    def feed(self, block: bytes, *, at: float) -> bool:
        """Keep a block; False when a single event has grown beyond the limit."""
        self._pending += block
        self.at = at
        return len(self._pending) <= LIMIT_BYTES

    def take(self) -> list[bytes]:
        """Return the data of the events that are complete by now, and keep the rest."""
        text = self._pending.replace(b"\r\n", b"\n")
        complete, _, self._pending = text.rpartition(b"\n\n")
        return event_data(complete)


class Copy:
    """A copy of a body as its blocks go by, decoded at the end as its response would decode it."""

    __slots__ = ("_blocks", "_encoding", "_length", "_response_class")

    def __init__(self, response: Any) -> None:
        self._blocks: list[bytes] = []
        self._length = 0
        self._encoding: str | None = response.headers.get("content-encoding")
        self._response_class: Any = type(response)

    def feed(self, block: bytes) -> None:
        """Keep a block; beyond the limit nothing more is kept."""
        self._length += len(block)
        if self._length <= LIMIT_BYTES:
            self._blocks.append(block)

    def text(self) -> bytes | None:
        """Return the whole body without its content encoding; None when it was too long."""
        if self._length > LIMIT_BYTES:
            return None
        raw = b"".join(self._blocks)
        if not self._encoding:
            return raw
        headers = {"content-encoding": self._encoding}
        content: bytes = self._response_class(200, headers=headers, content=raw).content
        return content
