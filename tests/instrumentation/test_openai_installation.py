"""Putting the hooks in and out, clients that changed, and faults of ours."""

from __future__ import annotations

import gc
import inspect
import logging
import subprocess
import sys
from typing import Any

import openai
import openai_traffic as traffic
import pytest
import wrapt
from openai import _base_client
from openai_traffic import ASK, CHAT_STREAM, Service

from conftest import Calls
from slotel import _faults
from slotel.instrumentation import openai as instrumentation
from slotel.instrumentation.openai import hooks
from slotel.instrumentation.openai.exchange import Exchange
from slotel.measure.measurement import Outcome


def hooked() -> list[Any]:
    """Return what stands in the places of the hooks now."""
    return [vars(getattr(_base_client, owner))[name] for owner, name, _, _ in hooks.HOOKS]


def ask() -> Any:
    client = Service(traffic.answer(traffic.completion())).client()
    return client.chat.completions.create(**ASK)


def test_installing_twice_measures_once(calls: Calls) -> None:
    """A second `install` changes nothing."""
    before = hooked()
    instrumentation.install()
    assert all(now is then for now, then in zip(hooked(), before, strict=True))
    ask()
    assert calls.only().outcome is Outcome.SUCCESS


def test_removing_restores_the_client(calls: Calls) -> None:
    """After `remove`, twice even, the methods are the client's own functions."""
    assert all(isinstance(method, wrapt.FunctionWrapper) for method in hooked())
    instrumentation.remove()
    instrumentation.remove()
    assert all(inspect.isfunction(m) and type(m) is type(ask) for m in hooked())
    ask()
    assert not calls
    instrumentation.install()
    ask()
    assert calls.only().outcome is Outcome.SUCCESS


def test_methods_keep_their_signature_and_kind() -> None:
    """What inspects the client sees what was there."""
    sync, asynchronous = _base_client.SyncAPIClient, _base_client.AsyncAPIClient
    assert inspect.iscoroutinefunction(asynchronous.request)
    assert not inspect.iscoroutinefunction(sync.request)
    wrapped = inspect.signature(sync.request)
    instrumentation.remove()
    assert wrapped == inspect.signature(sync.request)


def test_a_wrapper_around_ours_outlives_it_without_measuring(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another library wrapped over ours: removing leaves it alone, installing doubles nothing."""
    instrumentation.remove()
    original = vars(_base_client.SyncAPIClient)["request"]
    monkeypatch.setattr(_base_client.SyncAPIClient, "request", original)  # Put back at the end.
    instrumentation.install()
    seen = []

    def other(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append(1)
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(_base_client.SyncAPIClient, "request", other)
    instrumentation.remove()
    ask()
    assert (len(seen), len(calls)) == (1, 0)
    instrumentation.install()
    ask()
    assert (len(seen), len(calls)) == (2, 1)


def test_a_stream_opened_before_removing_is_measured_to_its_end(calls: Calls) -> None:
    """What has begun is finished."""
    stream = (
        Service(traffic.stream(CHAT_STREAM)).client().chat.completions.create(**ASK, stream=True)
    )
    next(stream)
    instrumentation.remove()
    list(stream)
    assert calls.only().outcome is Outcome.SUCCESS


def run(program: str) -> str:
    """Run a program in a process of its own and return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_client_is_patched_when_it_is_imported() -> None:
    """Installing imports no client; importing the client later patches it."""
    printed = run(
        "import sys\n"
        "from slotel.instrumentation.openai import install, remove\n"
        "install()\n"
        "print('openai' in sys.modules)\n"
        "import openai, wrapt\n"
        "request = vars(openai._base_client.SyncAPIClient)['request']\n"
        "print(isinstance(request, wrapt.FunctionWrapper))\n"
        "remove()\n"
        "request = vars(openai._base_client.SyncAPIClient)['request']\n"
        "print(isinstance(request, wrapt.FunctionWrapper))\n"
    )
    assert printed.split() == ["False", "True", "False"]


def test_a_client_that_is_not_installed_is_said_to_be_missing() -> None:
    """Named it is an error; unnamed it is not among what is measured."""
    program = (
        "import importlib.util\n"
        "find_spec = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'openai' else find_spec(n, *a)\n"
        "import slotel\n"
        "print(slotel.instrument())\n"
        "try:\n"
        "    slotel.instrument('openai')\n"
        "except slotel.errors.MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    assert run(program).splitlines() == [
        "[]",
        "instrument(): 'openai' cannot be measured: openai is not installed. "
        "Install it with: pip install 'slotel[openai]'",
    ]


def test_removed_before_the_client_is_imported_leaves_it_alone() -> None:
    """Who changed his mind in time gets the client as it is."""
    printed = run(
        "from slotel.instrumentation.openai import install, remove\n"
        "install(); remove()\n"
        "import openai, wrapt\n"
        "request = vars(openai._base_client.SyncAPIClient)['request']\n"
        "print(isinstance(request, wrapt.FunctionWrapper))\n"
    )
    assert printed.split() == ["False"]


# --- a client whose insides have changed ------------------------------------------------------


def moved(**changes: Any) -> Any:
    """Return a base module in which some classes are others."""
    names = ("BaseClient", "SyncAPIClient", "AsyncAPIClient")
    return type("base", (), {name: getattr(_base_client, name) for name in names} | changes)


def test_the_installed_client_fits() -> None:
    """Every hook is there, with the parameters that it reads."""
    instrumentation.remove()
    assert hooks.misfit(_base_client) is None


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (None, "SyncAPIClient.request is missing"),
        (lambda self, cast_to, *, stream: None, "SyncAPIClient.request has other parameters"),
    ],
)
def test_a_moved_hook_is_noticed(method: Any, words: str) -> None:
    """The first one that does not fit is named."""
    instrumentation.remove()
    changed = type("SyncAPIClient", (), {} if method is None else {"request": method})
    assert hooks.misfit(moved(SyncAPIClient=changed)) == words
    assert hooks.misfit(None) == words.replace("has other parameters", "is missing")


def test_a_hook_of_another_kind_is_noticed() -> None:
    """A method that became synchronous cannot be wrapped as a coroutine."""
    instrumentation.remove()
    changed = type("AsyncAPIClient", (), {"request": _base_client.SyncAPIClient.request})
    found = hooks.misfit(moved(AsyncAPIClient=changed))
    assert found == "AsyncAPIClient.request is of another kind"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Instrument as if the client's insides had changed."""
    from slotel.instrumentation.openai import patches

    instrumentation.remove()
    monkeypatch.setattr(patches, "misfit", lambda base: "SyncAPIClient.request is missing")
    with caplog.at_level(logging.WARNING):
        instrumentation.install()
    (record,) = caplog.records
    assert "SyncAPIClient.request is missing" in record.getMessage()


@pytest.mark.usefixtures("outside")
def test_a_changed_client_is_measured_from_outside(calls: Calls) -> None:
    """`create` is wrapped instead: duration, outcome, usage; streams are left alone."""
    assert ask().id == "chatcmpl-1"
    call = calls.only()
    assert (call.operation, call.outcome, call.usage) == ("chat", Outcome.SUCCESS, traffic.TOKENS)
    client = Service(traffic.stream(CHAT_STREAM)).client()
    assert len(list(client.chat.completions.create(**ASK, stream=True))) == 5
    with pytest.raises(openai.RateLimitError):
        Service(traffic.refuse(429, "slow_down")).client().chat.completions.create(**ASK)
    call = calls.only()
    assert (call.outcome, call.error_type, call.status_code) == (Outcome.ERROR, "slow_down", 429)
    instrumentation.remove()
    ask()
    assert not calls


@pytest.mark.usefixtures("outside")
async def test_a_changed_asynchronous_client_is_measured_from_outside(calls: Calls) -> None:
    """Every resource has its asynchronous twin."""
    client = Service(traffic.answer(traffic.MODERATION)).async_client()
    await client.moderations.create(input="a")
    assert calls.only().flagged is True
    client = Service(traffic.refuse(401, "invalid_api_key")).async_client()
    with pytest.raises(openai.AuthenticationError):
        await client.embeddings.create(model="m", input="a")
    assert calls.only().error_type == "invalid_api_key"


@pytest.mark.usefixtures("outside")
def test_a_fault_of_ours_outside_is_harmless(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither beginning nor reading the answer may cost the user the call."""
    from slotel.instrumentation.openai import fallback

    _faults.strict(False)
    monkeypatch.setattr(openai.types.chat.ChatCompletion, "to_dict", broken)
    assert ask().id == "chatcmpl-1"
    assert calls.only().usage_source == "missing"
    monkeypatch.setattr(fallback, "start", broken)
    assert ask().id == "chatcmpl-1"
    assert not calls


def test_a_client_without_a_resource_is_wrapped_where_it_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The Responses API came later than the rest."""
    from slotel.instrumentation.openai import patches

    instrumentation.remove()
    monkeypatch.setattr(patches, "misfit", lambda base: "it moved")
    monkeypatch.setattr(
        patches,
        "RESOURCES",
        (
            ("openai.resources.no_such", "Nothing", "/responses"),
            ("openai.resources.embeddings", "NoSuch", "/embeddings"),
            ("openai.resources.embeddings", "Embeddings", "/embeddings"),
        ),
    )
    found = patches.apply(openai)
    for patch in found:
        patch.undo()
    assert [patch.owner.__name__ for patch in found] == ["Embeddings", "AsyncEmbeddings"]


# --- faults of ours ---------------------------------------------------------------------------


def broken(self: Any, *args: Any, **kwargs: Any) -> None:
    raise RuntimeError("a fault of ours")


@pytest.mark.parametrize("method", ["answered", "parsed", "_tell"])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_fault_of_ours_never_reaches_the_user(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    method: str, streaming: bool,
) -> None:  # fmt: skip
    """Whatever breaks inside a hook, the answer is the answer; the fault is counted and logged."""
    _faults.strict(False)
    monkeypatch.setattr(_faults, "counts", _faults.counts.__class__())
    monkeypatch.setattr(Exchange, method, broken)
    with caplog.at_level(logging.ERROR):
        if streaming:
            client = Service(traffic.stream(CHAT_STREAM)).client()
            assert len(list(client.chat.completions.create(**ASK, stream=True))) == 5
        else:
            assert ask().id == "chatcmpl-1"
    assert sum(_faults.counts.values()) >= 1
    gc.collect()
    assert calls.only().call.finished


def test_a_fault_before_the_call_leaves_it_unmeasured(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that cannot be begun by us is made all the same."""
    _faults.strict(False)
    monkeypatch.setattr(hooks, "begin", broken)
    assert ask().id == "chatcmpl-1"
    assert not calls
    assert _faults.counts["openai.begin"] >= 1


@pytest.mark.parametrize(
    "event", [{"choices": [None]}, {"choices": 1}, {"usage": 1}, {"moderation": 1}, [], 1]
)
def test_events_of_no_known_shape_are_counted_and_passed_on(calls: Calls, event: Any) -> None:
    """A service may send what it likes: the user gets it, the call goes on."""
    _faults.strict(False)
    events = [traffic.HELLO, event, traffic.STOP, traffic.DONE]
    stream = Service(traffic.stream(events)).client().chat.completions.create(**ASK, stream=True)
    assert len(list(stream)) == 3
    call = calls.only()
    assert (call.outcome, call.finish_reasons) == (Outcome.SUCCESS, ("stop",))
