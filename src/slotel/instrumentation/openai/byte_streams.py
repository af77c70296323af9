"""Response bodies that tell a watcher how their reading goes; the bytes are handed on untouched.

A watched body derives from the byte stream class of the HTTP library in use (httpx or httpx2), as
the library's responses demand. Iterators are plain classes, not generators: dropping one tells the
watcher at once, and no generator of ours stands between a reader and its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol


class Watcher(Protocol):
    """What is told about the reading of one body. No method raises.

    Attributes:
        curious: Whether `wanted` is to be called.
    """

    curious: bool

    def wanted(self) -> None:
        """The reader asks for the next block: it is done with the one before."""
        ...

    def arrived(self, block: bytes) -> None:
        """A block is about to be handed to the reader."""
        ...

    def exhausted(self) -> None:
        """The body came to its end."""
        ...

    def broken(self, error: BaseException) -> None:
        """Reading raised: the connection failed, or the reader was cancelled inside it."""
        ...

    def closed(self) -> None:
        """The body is closed, read to the end or not."""
        ...

    def dropped(self) -> None:
        """The iterator was collected; it may have been left before the end."""
        ...


class _Blocks:
    __slots__ = ("_inner", "_watcher")

    def __init__(self, inner: Iterator[bytes], watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher

    def __iter__(self) -> _Blocks:
        return self

    def __next__(self) -> bytes:
        watcher = self._watcher
        if watcher.curious:
            watcher.wanted()
        try:
            block = next(self._inner)
        except StopIteration:
            watcher.exhausted()
            raise
        except BaseException as error:
            watcher.broken(error)
            raise
        watcher.arrived(block)
        return block

    def __del__(self) -> None:
        self._watcher.dropped()


class _AsyncBlocks:
    __slots__ = ("_inner", "_watcher")

    def __init__(self, inner: AsyncIterator[bytes], watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher

    def __aiter__(self) -> _AsyncBlocks:
        return self

    async def __anext__(self) -> bytes:
        watcher = self._watcher
        if watcher.curious:
            watcher.wanted()
        try:
            block = await anext(self._inner)
        except StopAsyncIteration:
            watcher.exhausted()
            raise
        except BaseException as error:
            watcher.broken(error)
            raise
        watcher.arrived(block)
        return block

    def __del__(self) -> None:
        self._watcher.dropped()


class _Body:
    """The state of a watched body: the body itself and who watches it."""

    _inner: Any
    _watcher: Watcher

    def __init__(self, inner: Any, watcher: Watcher) -> None:
        self._inner = inner
        self._watcher = watcher

    def __getattr__(self, name: str) -> Any:
        # What the library's own stream offers besides, such as `elapsed`.
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)


class _SyncBody(_Body):
    def __iter__(self) -> Iterator[bytes]:
        return _Blocks(iter(self._inner), self._watcher)

    def close(self) -> None:
        self._watcher.closed()
        self._inner.close()


class _AsyncBody(_Body):
    def __aiter__(self) -> AsyncIterator[bytes]:
        return _AsyncBlocks(aiter(self._inner), self._watcher)

    async def aclose(self) -> None:
        self._watcher.closed()
        await self._inner.aclose()


_classes: dict[tuple[type, type], type] = {}


def watch(body: Any, watcher: Watcher) -> Any:
    """Return a body that reads as the given one does and tells the watcher.

    A body of neither known kind (its class derives from no `SyncByteStream` or `AsyncByteStream`)
    is returned as it is, and the watcher is told nothing.
    """
    for base in type(body).__mro__:
        if base.__name__ == "SyncByteStream":
            return _class(_SyncBody, base)(body, watcher)
        if base.__name__ == "AsyncByteStream":
            return _class(_AsyncBody, base)(body, watcher)
    return body


def _class(kind: type, base: type) -> type:
    found = _classes.get((kind, base))
    if found is None:
        name = f"Watched{base.__name__}"
        found = _classes[kind, base] = type(name, (kind, base), {"__doc__": kind.__doc__})
    return found
