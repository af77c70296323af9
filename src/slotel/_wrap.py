"""Measured wrappers that are what the wrapped function was: same kind, same exact signature.

The wrapper's source is put together from identifiers only (parameter names of the function's own
code); defaults and annotations are carried over as objects. A repacking `*args, **kwargs` wrapper
costs about twice as much a call and loses the signature; it serves where a signature cannot be
read.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from contextvars import copy_context
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType
from typing import Any, cast

from slotel._call_span import make_span
from slotel._context import (
    GONE,
    HOLDER,
    NOTED,
    OUTSIDE,
    PLAIN,
    STATE,
    Cell,
    current,
    live,
    noted,
)
from slotel._faults import report
from slotel._figures import FOLD_AT
from slotel._operation import Operation, begin, enter, nest
from slotel._process import clock, recorder
from slotel._site import ADOPTED, SHAPELESS, Site
from slotel._spans import (
    api,
    get_context,
    is_ruled_out,
    restore_context,
    set_context,
    with_span,
)
from slotel._stream import ABANDONED, Tally, Thrown, inside, resume
from slotel.errors import UsageError
from slotel.measure.measurement import Outcome
from slotel.measure.series import SOFT_LIMIT

_PREFIX = "_slotel_"

# What runs before and after the call. `append` is of the site's plain series: a successful outer
# call about which nothing more is known; everything else goes through `settle`.
_CALL = """
{define} {name}({parameters}):
    _slotel_cell = [{plain}, _slotel_site]
    _slotel_parent = _slotel_get()
    if _slotel_parent[0]:
        _slotel_nest(_slotel_cell, _slotel_parent)
    if _slotel_arrive is not None:
        _slotel_arrive(_slotel_cell)
    _slotel_token = None
    if _slotel_otel._TRACER_PROVIDER is not None:
        _slotel_token = _slotel_span(_slotel_cell)
    _slotel_publish(_slotel_cell)
    _slotel_started = _slotel_clock()
    try:
        _slotel_result = {step}_slotel_fn({arguments})
    except _slotel_BaseException as _slotel_error:
        if _slotel_token is not None:
            _slotel_restore(_slotel_token)
        _slotel_fail(_slotel_cell, _slotel_started, _slotel_error)
        raise
    _slotel_ended = _slotel_clock()
    if _slotel_token is not None:
        _slotel_restore(_slotel_token)
    if _slotel_cell[0] == {plain} and _slotel_type(_slotel_result) {test} _slotel_types:
        _slotel_cell[0] = {gone}
        _slotel_append(_slotel_ended - _slotel_started)
        if _slotel_len(_slotel_values) >= _slotel_limit:
            _slotel_relieve(_slotel_buffer)
        return _slotel_result
    return _slotel_settle(_slotel_cell, _slotel_result, _slotel_started, _slotel_ended)
"""

# The body runs in one saved copy of the context. Chunks are counted by the block, so that no chunk
# pays for asking whether its block is full; the loop stands in the wrapper itself, since every
# generator in between costs a chunk.
_GENERATOR = """
def {name}({parameters}):
    _slotel_generator = _slotel_fn({arguments})
    _slotel_call = _slotel_new()
    _slotel_run = _slotel_copy_context().run
    _slotel_run(_slotel_enter, _slotel_call)
    _slotel_tally = _slotel_Tally(_slotel_call)
    _slotel_append = _slotel_tally.times.append
    _slotel_step = _slotel_generator.__next__
    _slotel_item = None
    _slotel_searching = True
    try:
        _slotel_item = _slotel_run(_slotel_step)
        while True:
            for _slotel_left in _slotel_block:
                _slotel_append(_slotel_clock())
                if _slotel_searching:
                    _slotel_searching = _slotel_tally.look(_slotel_item)
                try:
                    _slotel_sent = yield _slotel_item
                except _slotel_GeneratorExit:
                    _slotel_run(_slotel_generator.close)
                    raise
                except _slotel_BaseException as _slotel_error:
                    _slotel_sent = _slotel_Thrown(_slotel_error)
                if _slotel_sent is None:
                    _slotel_item = _slotel_run(_slotel_step)
                elif _slotel_type(_slotel_sent) is _slotel_Thrown:
                    _slotel_item = _slotel_run(_slotel_generator.throw, _slotel_sent.take())
                else:
                    _slotel_item = _slotel_run(_slotel_generator.send, _slotel_sent)
            _slotel_append = _slotel_tally.fold()
    except _slotel_StopIteration as _slotel_stop:
        _slotel_tally.end(_slotel_item)
        return _slotel_stop.value
    except _slotel_BaseException as _slotel_error:
        _slotel_tally.fail(_slotel_error)
        raise
"""

# The context is put on around each step only, inline because a helper would cost a coroutine a
# chunk; `_slotel_inside` does the same for the rarer steps. What the body made current across a
# yield is current again in its next step.
_ASYNC_GENERATOR = """
async def {name}({parameters}):
    _slotel_generator = _slotel_fn({arguments})
    _slotel_call = _slotel_new()
    _slotel_begin(_slotel_call)
    _slotel_cell = _slotel_call.cell
    _slotel_tally = _slotel_Tally(_slotel_call)
    _slotel_append = _slotel_tally.times.append
    _slotel_step = _slotel_generator.__anext__
    _slotel_item = _slotel_sent = _slotel_token = None
    _slotel_searching = True
    _slotel_context = _slotel_call.span_context
    try:
        while True:
            for _slotel_left in _slotel_block:
                if _slotel_sent is None:
                    _slotel_link = _slotel_publish(_slotel_cell)
                    if _slotel_context is not None:
                        _slotel_token = _slotel_set_context(_slotel_context)
                    try:
                        _slotel_item = await _slotel_step()
                    finally:
                        _slotel_cell = _slotel_get()
                        if _slotel_token is not None:
                            _slotel_context = _slotel_get_context()
                            _slotel_restore(_slotel_token)
                        try:
                            _slotel_reset(_slotel_link)
                        except _slotel_ValueError:
                            pass
                else:
                    _slotel_item, _slotel_cell, _slotel_context = await _slotel_inside(
                        _slotel_cell,
                        _slotel_context,
                        _slotel_resume(_slotel_generator, _slotel_sent),
                    )
                _slotel_append(_slotel_clock())
                if _slotel_searching:
                    _slotel_searching = _slotel_tally.look(_slotel_item)
                try:
                    _slotel_sent = yield _slotel_item
                except _slotel_GeneratorExit:
                    await _slotel_inside(_slotel_cell, _slotel_context, _slotel_generator.aclose())
                    raise
                except _slotel_BaseException as _slotel_error:
                    _slotel_sent = _slotel_Thrown(_slotel_error)
            _slotel_append = _slotel_tally.fold()
    except _slotel_StopAsyncIteration:
        _slotel_tally.end(_slotel_item)
    except _slotel_BaseException as _slotel_error:
        _slotel_tally.fail(_slotel_error)
        raise
"""


# Parameters and functions may be called like built-ins, so wrappers know those by names of ours.
_BUILTINS: dict[str, Any] = {
    f"{_PREFIX}{builtin.__name__}": builtin
    for builtin in (
        type,
        len,
        BaseException,
        GeneratorExit,
        StopIteration,
        StopAsyncIteration,
        ValueError,
    )
}
_STREAM_NAMES: dict[str, Any] = {
    **_BUILTINS,
    "_slotel_get": current.get,
    "_slotel_resume": resume,
    "_slotel_Thrown": Thrown,
    "_slotel_publish": current.set,
    "_slotel_reset": current.reset,
    "_slotel_clock": clock,
    "_slotel_block": range(FOLD_AT - 1),
    "_slotel_enter": enter,
    "_slotel_copy_context": copy_context,
    "_slotel_Tally": Tally,
    "_slotel_inside": inside,
    "_slotel_get_context": get_context,
    "_slotel_set_context": set_context,
    "_slotel_restore": restore_context,
}
_STATES = {"plain": str(PLAIN), "gone": str(GONE)}


def decorate(site: Site, function: Any) -> Any:
    """Return a wrapper that measures each call of the function at this site.

    Raises:
        UsageError: It is not a function or another callable that can be wrapped.
    """
    if isinstance(function, staticmethod):
        return staticmethod(decorate(site, cast("staticmethod[..., Any]", function).__func__))
    if isinstance(function, classmethod):
        return classmethod(decorate(site, cast("classmethod[Any, ..., Any]", function).__func__))
    if isinstance(function, type) or not callable(function):
        raise UsageError(
            f"@slotel.{site.kind.word} decorates functions and methods, got {function!r}. "
            "Decorate the class's methods instead."
        )
    namespace = _namespace(site, function)
    template, words = _template(site, function)
    parameters, arguments = _signature(function)
    source = template.format(
        name=_identifier(function), parameters=parameters, arguments=arguments, **words
    )
    exec(compile(source, f"<slotel wrapper of {_identifier(function)}>", "exec"), namespace)  # noqa: S102  # identifiers only, see _signature
    wrapper = namespace[_identifier(function)]
    return _dress(wrapper, function)


def _template(site: Site, function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    if _is(inspect.isgeneratorfunction, function):
        return _GENERATOR, {}
    if _is(inspect.isasyncgenfunction, function):
        return _ASYNC_GENERATOR, {}
    test = "in" if site.inspect is not None else "not in"
    if _is(inspect.iscoroutinefunction, function):
        return _CALL, {"define": "async def", "step": "await ", "test": test, **_STATES}
    return _CALL, {"define": "def", "step": "", "test": test, **_STATES}


def _is(predicate: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    return predicate(function) or predicate(getattr(type(function), "__call__", None))  # noqa: B004  # the class's own method


def _namespace(site: Site, function: Callable[..., Any]) -> dict[str, Any]:
    buffer = site.plain_series().duration
    namespace: dict[str, Any] = {
        **_STREAM_NAMES,
        "_slotel_arrive": site.arrive,
        "_slotel_fn": function,
        "_slotel_new": site.record_class,
        "_slotel_site": site,
        "_slotel_nest": nest,
        "_slotel_otel": api,
        "_slotel_span": open_span,
        "_slotel_append": buffer.append,
        "_slotel_values": buffer.values,
        "_slotel_limit": SOFT_LIMIT,
        "_slotel_relieve": recorder.relieve,
        "_slotel_buffer": buffer,
        "_slotel_types": site.kind.shapeless if site.inspect is not None else ADOPTED,
        "_slotel_settle": settle,
        "_slotel_fail": fail,
        "_slotel_begin": begin,
        "__name__": getattr(function, "__module__", __name__),
    }
    site.namespaces.append(namespace)
    return namespace


def _signature(function: Callable[..., Any]) -> tuple[str, str]:
    """Return parameter list and argument list, with `None` standing for each default."""
    if not isinstance(function, FunctionType):
        return "*args, **kwargs", "*args, **kwargs"
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    count = code.co_argcount + code.co_kwonlyargcount
    keyword_only = code.co_varnames[code.co_argcount : count]
    names = code.co_varnames[: count + _stars(code.co_flags)]
    if any(name.startswith(_PREFIX) or not name.isidentifier() for name in names):
        return "*args, **kwargs", "*args, **kwargs"
    defaults = len(function.__defaults__ or ())
    parameters: list[str] = []
    arguments: list[str] = []
    for place, name in enumerate(positional):
        parameters.append(name if place < len(positional) - defaults else f"{name}=None")
        arguments.append(name)
        if place + 1 == code.co_posonlyargcount:
            parameters.append("/")
    rest = list(code.co_varnames[count : count + _stars(code.co_flags)])
    if code.co_flags & inspect.CO_VARARGS:
        star = f"*{rest.pop(0)}"
        parameters.append(star)
        arguments.append(star)
    elif keyword_only:
        parameters.append("*")
    optional = function.__kwdefaults__ or {}
    parameters += [f"{name}=None" if name in optional else name for name in keyword_only]
    arguments += [f"{name}={name}" for name in keyword_only]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        parameters.append(f"**{rest[0]}")
        arguments.append(f"**{rest[0]}")
    return ", ".join(parameters), ", ".join(arguments)


def _stars(flags: int) -> int:
    return bool(flags & inspect.CO_VARARGS) + bool(flags & inspect.CO_VARKEYWORDS)


def _identifier(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "call")
    if not isinstance(name, str) or name.startswith(("_slotel_", "__")) or not name.isidentifier():
        return "call"
    return "call" if _keyword(name) else name


def _keyword(name: str) -> bool:
    try:
        compile(f"{name} = 0", "", "exec")
    except SyntaxError:
        return True
    return False


def _dress(wrapper: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    if isinstance(function, FunctionType):
        wrapper.__defaults__ = function.__defaults__
        wrapper.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(wrapper, function)
    if not hasattr(function, "__name__"):
        kind = type(function)
        wrapper.__name__, wrapper.__qualname__ = kind.__name__, kind.__qualname__
    return wrapper  # type: ignore[no-any-return]


def open_span(cell: Cell) -> Any:
    """Start the span of a call that is about to run and make it current.

    Returns:
        The token that puts the context back; None when no span was made.
    """
    try:
        context = get_context()
        if is_ruled_out(context):
            return None
        span = make_span(cell, context)
        inside_span = with_span(span, context)
        if cell[STATE] == NOTED:
            cell[HOLDER].span_context = inside_span
        return set_context(inside_span)
    except Exception as error:  # noqa: BLE001  # a broken tracer must not break the call
        report("span.start", error)
        return None


def settle(cell: Cell, result: Any, started: float, ended: float) -> Any:
    """End a call that returned, unless what it returned is still to be run; returns the result."""
    try:
        call: Any = cell[HOLDER] if cell[STATE] == NOTED else noted(cell)
        if call is None or call.cell is not cell:
            return result  # Left to the parent at a fork.
        call.started = started
        kind: type = type(result)  # pyright: ignore[reportUnknownVariableType]
        adopt = _ADOPT.get(kind)  # pyright: ignore[reportUnknownArgumentType]
        if adopt is not None:
            if current.get() is cell:
                parent = live(call.parent)  # The caller is not inside the call any more.
                current.set(OUTSIDE if parent is None else parent.cell)
            return adopt(call, result)
        if kind not in call.site.shapeless:
            call.result(result)
        # Text is whole: a nested call that is still open is none of its making.
        if kind in SHAPELESS or not call.hold():
            call.finish(at=ended)
    except Exception as error:  # noqa: BLE001  # ours, never the caller's
        report("wrapper.settle", error)
    return result


def fail(cell: Cell, started: float, error: BaseException) -> None:
    """End a call that raised."""
    call: Any = noted(cell)
    if call is not None and call.cell is cell:
        call.started = started
        call.finish(error=error)


def _adopt_coroutine(call: Operation, coroutine: Any) -> Any:
    """Measure a coroutine that a synchronous function returned, to its end."""
    return _watch(call, _drive_coroutine(call, coroutine), coroutine)


async def _drive_coroutine(call: Operation, coroutine: Any) -> Any:
    with call.active():
        try:
            result = await coroutine
        except BaseException as error:
            call.finish(error=error)
            raise
        ended = clock()
    return settle(call.cell, result, call.started, ended)


def _adopt_generator(call: Operation, generator: Any) -> Any:
    """Measure a generator that a function returned, to its end."""
    return _watch(call, _stream_wrapper(_GENERATOR)(lambda: generator, lambda: call), generator)


def _adopt_async_generator(call: Operation, generator: Any) -> Any:
    """Measure an asynchronous generator that a function returned, to its end."""
    wrapper = _stream_wrapper(_ASYNC_GENERATOR)
    return _watch(call, wrapper(lambda: generator, lambda: call), generator)


@functools.cache
def _stream_wrapper(template: str) -> Any:
    """Return the wrapper of streams, for one that was made by a call that has begun."""
    source = template.format(name="stream", parameters="_slotel_fn, _slotel_new", arguments="")
    namespace: dict[str, Any] = {**_STREAM_NAMES, "_slotel_begin": _already_begun}
    exec(compile(source, "<slotel wrapper of a stream>", "exec"), namespace)  # noqa: S102  # a constant
    return namespace["stream"]


def _already_begun(call: Operation) -> None:
    """Stand in for `begin`: the call began when its function was called."""


def _watch(call: Operation, stream: Any, inner: Any) -> Any:
    """Name the stream after the one inside it; end the call if it is dropped before it began."""
    stream.__name__, stream.__qualname__ = inner.__name__, inner.__qualname__
    weakref.finalize(stream, _abandon, call, inner).atexit = False
    return stream


def _abandon(call: Operation, inner: Any) -> None:
    if inspect.iscoroutine(inner):
        if inspect.getcoroutinestate(inner) != inspect.CORO_CREATED:
            return  # It ran, so that what came of it decides.
        inner.close()  # Python has said once that nobody awaited it.
    call.finish(Outcome.CANCELLED, error_type=ABANDONED)


_ADOPT: dict[type, Callable[[Operation, Any], Any]] = {
    CoroutineType: _adopt_coroutine,
    GeneratorType: _adopt_generator,
    AsyncGeneratorType: _adopt_async_generator,
}
