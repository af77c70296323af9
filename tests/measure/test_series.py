"""Series and buffers: identity of handles, the series limit, and who may interrupt whom."""

import gc
import sys
import threading
from dataclasses import replace

import pytest

from slotel.measure import series as series_module
from slotel.measure.measurement import Outcome, Role, SeriesKey
from slotel.measure.series import OTHER, Recorder, Series

KEY = SeriesKey("chat", "openai", "a", attributes=(("tenant", "acme"), ("tier", "gold")))


def counts(recorder):
    """Return the number of durations of each series key."""
    ledger = recorder.ledger()
    ledger.drain()
    return dict(zip(ledger.keys("duration"), ledger.counts("duration").tolist(), strict=True))


def test_a_series_and_its_buffers_are_the_same_objects_for_ever():
    """Handles may be held: the list, its `append` and the row outlive every drain."""
    recorder = Recorder()
    series = recorder.series(KEY)
    buffer = series.buffer("duration")
    values, append = buffer.values, buffer.append
    append(1.0)
    recorder.ledger().drain()
    assert recorder.series(replace(KEY)) is series
    assert series.buffer("duration") is series.duration is buffer
    assert buffer.values is values
    append(2.0)
    assert values == [2.0]
    assert counts(recorder) == {KEY: 2}
    assert series.buffers() == [buffer]
    assert recorder.all_series() == [series]


def test_an_unknown_quantity_is_an_error_where_it_is_asked_for():
    """A buffer's name is checked when it is made; recording by name goes the same way."""
    series = Recorder().series(KEY)
    with pytest.raises(KeyError, match="no_such"):
        series.buffer("no_such")
    series.record("score.anything", -0.5)
    assert series.buffer("score.anything").values == [-0.5]


@pytest.mark.untraced
def test_threads_that_meet_a_series_for_the_first_time_share_it():
    """Whatever the race, there is one series and one buffer of each name."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            recorder, start = Recorder(), threading.Barrier(6)

            def record(recorder=recorder, start=start):
                start.wait()
                recorder.series(KEY).record("documents", 1.0)
                recorder.series(KEY).duration.record(1.0)

            threads = [threading.Thread(target=record) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert counts(recorder) == {KEY: 6}
            assert recorder.ledger().counts("documents").tolist() == [6]
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("name", ["duration", "documents"])
def test_a_finaliser_that_makes_the_same_series_meanwhile_wins(name, monkeypatch):
    """It runs while the series is being made, on the same thread: both record into one series."""
    recorder = Recorder()
    buffer_class = series_module.Buffer
    pending = [True]

    class Early:
        def __init__(self):
            self.myself = self

        def __del__(self):
            recorder.series(KEY).buffer(name).record(1.0)

    def interrupted(*arguments):
        if pending and arguments[2].name == name:
            pending.clear()
            Early()
            gc.collect()
        return buffer_class(*arguments)

    monkeypatch.setattr(series_module, "Buffer", interrupted)
    recorder.series(KEY).buffer(name).record(2.0)
    monkeypatch.undo()
    recorder.series(KEY).buffer(name).record(4.0)
    ledger = recorder.ledger()
    ledger.drain()
    found = [one for one in ledger.snapshot().distributions if one.quantity.name == name]
    assert [(one.key, one.count, one.sum) for one in found] == [(KEY, 3, 7.0)]


# --- the series limit -------------------------------------------------------------------------


def test_series_over_the_limit_share_overflow_series_and_the_total_is_kept():
    """Nothing is dropped: what has no series of its own is counted under fewer dimensions."""
    recorder = Recorder(max_series=10)
    for number in range(100):
        recorder.series(replace(KEY, model=f"model-{number}")).duration.record(1.0)
    found = counts(recorder)
    overflow = SeriesKey("chat", overflow=True)
    assert sum(found.values()) == 100
    assert len(found) == 11
    assert found[overflow] == 90
    assert recorder.overflowed == 90
    assert recorder.ledger().faults == {"overflow.series": 90}


def test_overflow_series_keep_what_slos_filter_on():
    """Operation, outcome and role always; provider, model and attributes where they are named."""
    recorder = Recorder(max_series=1)
    recorder.keep(frozenset({"tier"}))
    recorder.keep(frozenset({"provider"}))
    recorder.series(KEY)
    wanted = replace(KEY, model="b", outcome=Outcome.ERROR, error_type="timeout", role=Role.INNER)
    assert recorder.series(wanted).key == SeriesKey(
        "chat", "openai", None, Outcome.ERROR, None, Role.INNER, (("tier", "gold"),), overflow=True
    )
    assert recorder.series(replace(wanted, error_type="other")) is recorder.series(wanted)


def test_kept_dimensions_that_run_away_meet_a_second_limit():
    """Twice the limit and a handful more is all there can ever be; the total is kept."""
    recorder = Recorder(max_series=10)
    recorder.keep(frozenset({"tenant"}))
    for number in range(500):
        outcome = list(Outcome)[number % 4]
        key = replace(KEY, outcome=outcome, attributes=(("tenant", str(number)),))
        recorder.series(key).duration.record(1.0)
    found = counts(recorder)
    assert sum(found.values()) == 500
    assert len(found) == 20 + 4
    last = {key: count for key, count in found.items() if key.operation == OTHER}
    assert {key.outcome for key in last} == set(Outcome)
    assert sum(last.values()) == 480
    assert all(key.overflow for key in last)


def test_a_series_made_before_the_limit_keeps_its_own():
    """Reaching the limit changes nothing for those that were there."""
    recorder = Recorder(max_series=2)
    first = recorder.series(KEY)
    for number in range(5):
        recorder.series(replace(KEY, model=str(number)))
    assert recorder.series(KEY) is first
    assert first.key == KEY
    assert isinstance(first, Series)
