"""The ledger: nothing lost or doubled by threads, handlers, finalisers, forks and faults."""

import gc
import json
import logging
import os
import signal
import sys
import threading
import warnings
from array import array
from decimal import Decimal
from fractions import Fraction
from itertools import cycle

import numpy as np
import pytest

from slotel.measure import series as series_module
from slotel.measure.bank import Bank
from slotel.measure.histogram import Layout
from slotel.measure.measurement import SeriesKey
from slotel.measure.series import HARD_LIMIT, SOFT_LIMIT, Exemplar, Gaps, Recorder
from slotel.testing import ManualClock

KEY = SeriesKey("chat", "openai", "a")
OTHER = SeriesKey("chat", "openai", "b")


def total(recorder, name="duration"):
    ledger = recorder.ledger()
    ledger.drain()
    return int(ledger.counts(name).sum())


class Unwilling:
    def __float__(self):
        raise RuntimeError("no number today")


# --- what is refused --------------------------------------------------------------------------

BAD = [
    float("nan"), float("inf"), float("-inf"), -1.0, -5e-324, None, "0.5", b"1", 10**400, 1j, [1.0],
    {}, object(), Unwilling(), 1e291,
]  # fmt: skip


@pytest.mark.parametrize("good", [3, 600])
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: type(bad).__name__)
def test_what_is_no_measurement_is_refused_alone(bad, good, caplog):
    """Whatever stands among the values, all others of the same batch are counted."""
    recorder = Recorder()
    duration, other = recorder.series(KEY).duration, recorder.series(OTHER).duration
    for value in (*[0.5] * good, bad, 2.0):
        duration.record(value)
    other.record(1.0)
    ledger = recorder.ledger()
    ledger.drain()
    assert ledger.counts("duration").tolist() == [good + 1, 1]
    assert ledger.sums("duration").tolist() == [0.5 * good + 2.0, 1.0]
    assert ledger.faults == {"invalid.duration": 1}
    assert len(caplog.messages) == 1


def test_a_batch_of_nothing_but_bad_values_counts_nothing():
    """Neither path stumbles over an empty remainder."""
    recorder = Recorder()
    duration = recorder.series(KEY).duration
    for number in (3, 600):
        for _ in range(number):
            duration.record(None)
        assert total(recorder) == 0
    assert recorder.ledger().faults == {"invalid.duration": 603}
    assert recorder.ledger().snapshot().distributions == []


@pytest.mark.parametrize("beside", [0.25, None])
def test_everything_that_is_a_number_is_counted(beside):
    """Integers, booleans, decimals, fractions and numpy's scalars, with bad company or without."""
    numbers = [1, True, Decimal(1), Fraction(1, 1), np.float32(1), np.float64(1), np.int64(1)]
    for times in (1, 100):
        recorder = Recorder()
        duration = recorder.series(KEY).duration
        for number in [*numbers, beside] * times:
            duration.record(number)
        expected = len(numbers) * times + (times if beside is not None else 0)
        assert total(recorder) == expected


@pytest.mark.parametrize("value", [-0.5, -1e289])
def test_signed_quantities_take_negative_values(value):
    """What is refused of a duration is a score like any other; infinity is neither."""
    recorder = Recorder()
    score = recorder.series(KEY).buffer("score.margin")
    for one in (value, float("-inf")):
        score.record(one)
    assert total(recorder, "score.margin") == 1
    assert recorder.ledger().faults["invalid.score.margin"] == 1


def test_a_refusal_is_logged_once_and_shows_no_content(caplog):
    """A prompt recorded by mistake is counted, and named by its type only."""
    recorder = Recorder()
    for _ in range(3):
        recorder.series(KEY).duration.record("a secret prompt")
        recorder.ledger().drain()
    (message,) = caplog.messages
    assert "secret" not in message
    assert "type str" in message
    assert "counted, logged once" in message
    assert recorder.ledger().faults == {"invalid.duration": 3}


def test_warnings_are_logged_when_the_lock_is_free():
    """A log handler that waits for another thread's use of the ledger gets it."""
    recorder = Recorder()
    ledger = recorder.ledger()
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            other = threading.Thread(target=lambda: seen.append(ledger.counts("duration").sum()))
            other.start()
            other.join(10)

    handler = Handler()
    logging.getLogger("slotel").addHandler(handler)
    try:
        recorder.series(KEY).duration.record(None)
        ledger.snapshot()
        recorder.series(KEY).buffer("documents").record(None)
        for _ in range(SOFT_LIMIT):
            recorder.series(KEY).record("documents", 1.0)
    finally:
        logging.getLogger("slotel").removeHandler(handler)
    assert seen == [0, 0]


# --- faults inside the drain ------------------------------------------------------------------


@pytest.mark.parametrize("number", [5, 600])
def test_a_failing_step_loses_its_own_values_and_says_so(number, monkeypatch, caplog):
    """The other quantities are counted; what could not be is a counted, logged fault."""
    recorder = Recorder()
    series = recorder.series(KEY)
    for _ in range(number):
        series.record("input_tokens", 7.0)
        series.record("duration", 1.0)
        series.record("output_tokens", 9.0)
    ledger = recorder.ledger()
    index = Layout.index

    def failing(self, units, **settings):
        if units[0] >= 1e8:
            raise MemoryError("no room for the index")
        return index(self, units, **settings)

    monkeypatch.setattr(Layout, "index", failing)
    ledger.drain()
    monkeypatch.undo()
    assert ledger.counts("duration").tolist() == [0]
    assert ledger.faults == {"lost.duration": number}
    assert ledger.sums("input_tokens").tolist() == [7.0 * number]
    assert ledger.sums("output_tokens").tolist() == [9.0 * number]
    assert "no room for the index" in caplog.text
    series.record("duration", 1.0)
    ledger.drain()
    (found,) = (one for one in ledger.snapshot().distributions if one.quantity.name == "duration")
    assert (found.count, found.positive.total) == (1, 1)


@pytest.mark.parametrize("step", ["_take_large", "_admit"])
def test_a_full_buffer_that_cannot_be_drained_never_raises_into_the_call(step, monkeypatch):
    """The caller goes on, its values stay, the fault is counted."""
    recorder = Recorder()
    duration = recorder.series(KEY).duration
    ledger = recorder.ledger()

    def failing(*_):
        raise ArithmeticError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, step, failing)
        for _ in range(SOFT_LIMIT + 5):
            duration.record(1.0)
    assert len(duration.values) == SOFT_LIMIT + 5
    assert ledger.faults == {"drain": 6}
    assert total(recorder) == SOFT_LIMIT + 5


@pytest.mark.parametrize("number", [5, 600])
def test_an_interrupt_goes_on_its_way_and_what_it_cost_is_counted(number, monkeypatch):
    """Ctrl-C during a drain is raised; the values in hand are told as lost, the rest stays."""
    recorder = Recorder()
    ledger = recorder.ledger()
    for _ in range(number):
        recorder.series(KEY).duration.record(1.0)
        recorder.series(KEY).record("input_tokens", 7.0)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bank, "count_row", interrupted)
        patch.setattr(Bank, "count_rows", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.drain()
    ledger.drain()
    assert not ledger.lock.mine
    assert ledger.faults == {"lost.duration": number}
    assert ledger.counts("input_tokens").tolist() == [number]


# --- threads ----------------------------------------------------------------------------------


class SwappingRecorder:
    """What must not be done: the drain takes the list and puts a new one in its place."""

    def __init__(self):
        self.values = []
        self.taken = 0

    def record(self, make_value):
        self.values.append(make_value())

    def drain(self):
        full, self.values = self.values, []
        self.taken += len(full)

    def finish(self):
        self.drain()
        return self.taken


class SlotelRecorder:
    """The recorder under test; the drain is followed by a snapshot now and then."""

    def __init__(self):
        self.recorder = Recorder()
        self.ledger = self.recorder.ledger()
        self.column = self.ledger.cut("duration", bound=0.5)
        self.duration = self.recorder.series(KEY).duration
        self.drains = 0

    def record(self, make_value):
        self.duration.record(make_value())

    def drain(self):
        self.drains += 1
        if self.drains % 16 == 0:
            self.ledger.snapshot(reset_interval=True)
        else:
            self.ledger.drain()

    def finish(self):
        (found,) = self.ledger.snapshot().distributions
        within = int(self.ledger.within("duration", self.column)[0])
        recent = self.ledger.window("duration", [0], seconds=3600).counts.total
        # Every other value is 0.25, the rest 1.0.
        assert found.count == 2 * within == found.positive.total == recent
        assert found.sum == 0.625 * found.count
        assert sum(found.bucket_counts) == found.count
        assert not self.ledger.faults
        return found.count


def hammer(recorder, *, threads, number):
    """Record from many threads at the shortest switch interval while another one drains."""
    stop = threading.Event()

    def write():
        values = cycle((0.25, 1.0))

        def make_value():
            return next(values)

        for _ in range(number):
            recorder.record(make_value)

    def drain():
        while not stop.is_set():
            recorder.drain()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        writers = [threading.Thread(target=write) for _ in range(threads)]
        drainer = threading.Thread(target=drain)
        for thread in (drainer, *writers):
            thread.start()
        for writer in writers:
            writer.join()
        stop.set()
        drainer.join()
    finally:
        stop.set()
        sys.setswitchinterval(interval)
    return recorder.finish() - threads * number


@pytest.mark.untraced
def test_threads_lose_and_double_nothing_while_drains_and_snapshots_run():
    """Counts, sums, cuts, buckets and windows are exact under contention."""
    assert hammer(SlotelRecorder(), threads=8, number=150_000) == 0


@pytest.mark.untraced
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_million_records_are_all_counted():
    """The full size: 8 threads x 1,000,000 records."""
    assert hammer(SlotelRecorder(), threads=8, number=1_000_000) == 0


@pytest.mark.untraced
def test_the_same_test_sees_a_recorder_that_swaps_its_buffer_lose():
    """Values of callers that had loaded the old list vanish: this is why it is never swapped."""
    lost = 0
    for _ in range(40):
        lost = hammer(SwappingRecorder(), threads=4, number=20_000)
        if lost:
            break
    assert lost < 0


def test_buffers_are_bounded_without_any_tick():
    """Callers drain what they fill; the limit plus one value a thread is the most that waits."""
    recorder = Recorder()
    recorder.ledger()
    duration = recorder.series(KEY).duration
    largest = 0
    for _ in range(10 * SOFT_LIMIT):
        duration.record(1.0)
        largest = max(largest, len(duration.values))
    assert largest < SOFT_LIMIT
    assert total(recorder) == 10 * SOFT_LIMIT


def test_at_the_hard_limit_a_caller_waits_for_the_running_drain():
    """A drain that is held up lets buffers grow to the hard limit, and then callers wait."""
    recorder = Recorder()
    ledger = recorder.ledger()
    duration = recorder.series(KEY).duration

    def record():
        for _ in range(2 * HARD_LIMIT):
            duration.record(1.0)

    with ledger.lock:
        thread = threading.Thread(target=record)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert len(duration.values) == HARD_LIMIT
    thread.join(30)
    assert total(recorder) == 2 * HARD_LIMIT


def test_before_there_is_a_ledger_only_the_hard_limit_makes_one():
    """numpy is not imported on a caller's thread while the tick is about to do it."""
    recorder = Recorder()
    duration = recorder.series(KEY).duration
    for _ in range(HARD_LIMIT - 1):
        duration.record(1.0)
    assert recorder._ledger is None
    duration.record(1.0)
    assert recorder._ledger is not None
    assert duration.values == []


def test_whoever_interrupts_the_making_of_the_ledger_leaves_it_alone():
    """A finaliser that runs while numpy is imported neither waits for that nor starts again."""
    recorder = Recorder()
    duration = recorder.series(KEY).duration
    with recorder._ledger_lock:
        for _ in range(HARD_LIMIT + 3):
            duration.record(1.0)
    assert recorder._ledger is None
    assert total(recorder) == HARD_LIMIT + 3


# --- re-entrancy ------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["soft", "hard"])
def test_a_signal_handler_that_records_during_drains_neither_hangs_nor_doubles(limit, monkeypatch):
    """Below, at and beyond the limits, in the middle of anything, everything counts once."""
    monkeypatch.setattr(series_module, "SOFT_LIMIT", 64)
    monkeypatch.setattr(series_module, "HARD_LIMIT", 64 if limit == "hard" else 4096)
    recorder = Recorder()
    duration = recorder.series(KEY).duration
    ledger = recorder.ledger()
    column = ledger.cut("duration", bound=0.5)
    by_caller = by_handler = 0

    def handle(*_):
        nonlocal by_handler
        for _ in range(100):
            duration.record(0.25)
        recorder.series(SeriesKey("chat", model=str(by_handler % 700))).duration.record(1.0)
        by_handler += 101

    # Processor time: the timer of real time belongs to the test runner's own limit.
    previous = signal.signal(signal.SIGVTALRM, handle)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0002, 0.0002)
    try:
        while by_caller < 60_000 or by_handler < 50 * 101:
            for _ in range(50):
                duration.record(1.0)
            by_caller += 50
            ledger.drain()
            if by_caller % 1000 == 0:
                ledger.snapshot()
                ledger.window("duration", [0], seconds=60)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
    assert total(recorder) == by_caller + by_handler
    snapshot = ledger.snapshot()
    assert sum(one.positive.total for one in snapshot.distributions) == by_caller + by_handler
    assert ledger.within("duration", column).sum() == by_handler // 101 * 100
    assert len({one.key for one in snapshot.distributions}) == len(snapshot.distributions)
    assert not ledger.faults


class Recording:
    """Part of a reference cycle; the collector runs its finaliser wherever it likes."""

    def __init__(self, duration, number):
        self.duration, self.number, self.myself = duration, number, self

    def __del__(self):
        for _ in range(self.number):
            self.duration.record(0.25)


@pytest.mark.parametrize("number", [1, 100])
def test_a_finaliser_that_records_while_a_drain_runs_is_counted_once(number, monkeypatch):
    """The collector strikes inside drains; soft and hard limit are as small as can be."""
    monkeypatch.setattr(series_module, "SOFT_LIMIT", 32)
    monkeypatch.setattr(series_module, "HARD_LIMIT", 64)
    recorder = Recorder()
    duration = recorder.series(KEY).duration
    ledger = recorder.ledger()
    during = []

    def collecting(count):
        def counting(self, rows, values):
            before = len(duration.values)
            Recording(duration, number)
            gc.collect()
            during.append(len(duration.values) - before)
            count(self, rows, values)

        return counting

    monkeypatch.setattr(Bank, "count_row", collecting(Bank.count_row))
    monkeypatch.setattr(Bank, "count_rows", collecting(Bank.count_rows))
    for _ in range(50):
        duration.record(1.0)
        ledger.drain()
    monkeypatch.undo()
    assert set(during) == {number}
    assert total(recorder) == 50 + len(during) * number


def test_whoever_holds_the_lock_to_read_sees_no_drain_by_its_own_finalisers():
    """Figures read under the lock are of one moment, even when the reader itself records."""
    recorder = Recorder()
    duration = recorder.series(KEY).duration
    ledger = recorder.ledger()
    with ledger.lock:
        before = ledger.counts("duration").tolist()
        for _ in range(HARD_LIMIT + 10):
            duration.record(1.0)
        assert ledger.counts("duration").tolist() == before == [0]
    assert total(recorder) == HARD_LIMIT + 10


@pytest.mark.parametrize("number", [1, 600])
@pytest.mark.parametrize("call", ["drain", "snapshot"])
def test_a_drain_within_a_drain_leaves_everything_to_the_next(number, call):
    """A handler that flushes in the midst of a drain takes nothing out of its hands."""
    recorder = Recorder()
    duration = recorder.series(KEY).duration
    ledger = recorder.ledger()
    left = []

    class Flushing:
        def __float__(self):
            duration.record(0.25)
            getattr(ledger, call)()
            left.append(list(duration.values))
            return 1.0

    for _ in range(number):
        duration.record(1.0)
    duration.record(Flushing())
    ledger.drain()
    assert left[0] == [0.25]
    assert total(recorder) == number + 1 + len(left)


# --- forks ------------------------------------------------------------------------------------


def fork(work):
    """Run `work` in a forked child; returns what it returned, through a pipe."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Threads at a fork: the point here.
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(20)
            os.write(writer, json.dumps(work()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)


@pytest.mark.untraced
def test_a_forked_child_starts_at_zero_with_the_same_handles():
    """What the parent has counted or not yet drained stays its own; cuts and rows go on."""
    clock = ManualClock()
    recorder = Recorder(clock=clock)
    ledger = recorder.ledger()
    column = ledger.cut("duration", bound=1.0)
    duration, append = recorder.series(KEY).duration, recorder.series(KEY).duration.append
    recorder.series(OTHER).duration.record(9.0)
    duration.record(0.5)
    duration.exemplars[0] = Exemplar(0.5, 1, 2, 3)
    ledger.drain()
    ledger.name("duration", [0, 1])
    duration.record(0.5)
    duration.runs.append(([1.0, 2.0], Gaps(), None))
    epoch = recorder.epoch_unix_ns

    def child():
        clock.advance(5)
        began = recorder.epoch_unix_ns
        append(0.25)
        append(3.0)
        (found,) = ledger.snapshot().distributions
        window = ledger.window("duration", [0, 1], seconds=3600)
        return [
            ledger.counts("duration").tolist(), ledger.within("duration", column).tolist(),
            found.key.model, found.start_unix_ns == began, len(found.exemplars),
            window.counts.total, ledger.cut("duration", bound=1.0) == column,
            ledger.version, recorder.ledger() is ledger, dict(ledger.faults),
        ]  # fmt: skip

    clock.advance(10)
    assert fork(child) == [[2, 0], [1, 0], "a", True, 0, 2, True, 2, True, {}]
    assert recorder.epoch_unix_ns == epoch
    ledger.drain()
    assert ledger.counts("duration").tolist() == [3, 1]
    assert ledger.within("duration", column).tolist() == [3, 0]


@pytest.mark.untraced
def test_children_are_exact_while_other_threads_of_the_parent_record_and_drain():
    """Thirty forks in the middle of everything: each child counts its own, the parent its own."""
    recorder = Recorder()
    ledger = recorder.ledger()
    duration = recorder.series(KEY).duration
    stop, recorded = threading.Event(), [0, 0]

    def record(place):
        while not stop.is_set():
            duration.record(1.0)
            recorded[place] += 1

    def drain():
        number = 0
        while not stop.is_set():
            number += 1
            recorder.series(SeriesKey("chat", model=str(number % 1500)))
            ledger.cut("duration", bound=float(number % 50))
            ledger.drain()

    threads = [threading.Thread(target=record, args=(place,)) for place in range(2)]
    threads.append(threading.Thread(target=drain))
    for thread in threads:
        thread.start()

    def child():
        for _ in range(1000):
            duration.record(0.5)
        late = recorder.series(SeriesKey("late")).duration
        late.record(1.0)
        found = ledger.snapshot().distributions
        return [(one.key.operation, one.count, one.sum, one.positive.total) for one in found]

    try:
        for _ in range(30):
            assert fork(child) == [["chat", 1000, 500.0, 1000], ["late", 1, 1.0, 1]]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    ledger.drain()
    assert int(ledger.counts("duration")[0]) == sum(recorded)


class Gate:
    """A value that holds up whoever converts it."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def __float__(self):
        self.reached.set()
        self.open.wait(30)
        return 7.0


@pytest.mark.untraced
@pytest.mark.parametrize("number", [1, 600])
def test_a_fork_while_another_thread_drains_leaves_no_locked_ledger(number):
    """The child drains at once, without the values that the parent's drain has in hand."""
    recorder = Recorder()
    ledger = recorder.ledger()
    duration = recorder.series(KEY).duration
    gate = Gate()
    for _ in range(number):
        duration.record(1.0)
    duration.record(gate)
    drainer = threading.Thread(target=ledger.drain)
    drainer.start()
    assert gate.reached.wait(10)

    def child():
        duration.record(0.5)
        ledger.drain()
        return [ledger.counts("duration").tolist(), ledger.sums("duration").tolist()]

    assert fork(child) == [[1], [0.5]]
    gate.open.set()
    drainer.join()
    assert ledger.counts("duration").tolist() == [number + 1]
    assert ledger.sums("duration").tolist() == [number + 7.0]


@pytest.mark.untraced
def test_a_fork_from_within_a_drain_takes_nothing_of_it_along():
    """A finaliser that forks: the child's ledger is fresh, the drain that it came from is void."""
    recorder = Recorder()
    ledger = recorder.ledger()
    duration = recorder.series(KEY).duration
    pids = []

    class Forking:
        def __float__(self):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pids.append(os.fork())
            return 1.0

    for _ in range(600):
        duration.record(1.0)
    duration.record(Forking())
    ledger.drain()
    if pids == [0]:
        duration.record(0.5)
        ledger.drain()
        os._exit(0 if ledger.sums("duration").tolist() == [0.5] else 1)
    assert os.waitpid(pids[0], 0)[1] == 0
    assert ledger.counts("duration").tolist() == [601]


# --- runs of times ----------------------------------------------------------------------------


def test_differences_of_runs_are_counted_and_the_largest_is_handed_on():
    """Gaps between chunks are values of one quantity; the largest of each stream is another's."""
    recorder = Recorder()
    series = recorder.series(KEY)
    gaps, ends = series.buffer("chunk_gap"), series.buffer("max_gap")
    one, two = Gaps(), Gaps()
    gaps.record_differences(array("d", [1.0, 1.5, 1.75]), one, None)
    gaps.record_differences([5.0, 5.125], two, ends)
    gaps.record_differences(array("d", [1.75, 4.0]), one, ends)
    gaps.record_differences(array("d", [9.0]), Gaps(), ends)
    ledger = recorder.ledger()
    ledger.drain()
    assert ledger.counts("chunk_gap").tolist() == [4]
    assert ledger.sums("chunk_gap").tolist() == [3.125]
    assert ledger.counts("max_gap").tolist() == [2]
    assert ledger.sums("max_gap").tolist() == [2.375]
    assert (one.largest, two.largest) == (2.25, 0.125)
    assert not ledger.faults


def test_a_run_that_is_no_time_costs_only_itself():
    """Not-a-number among the times of one stream loses none of another's."""
    recorder = Recorder()
    gaps = recorder.series(KEY).buffer("chunk_gap")
    gaps.record_differences([1.0, float("nan"), 2.0], Gaps(), None)
    gaps.record_differences([1.0, 1.5], Gaps(), None)
    gaps.record_differences([1.0, "x"], Gaps(), None)
    assert total(recorder, "chunk_gap") == 1
    assert recorder.ledger().faults == {"invalid.chunk_gap": 3}


# --- snapshots --------------------------------------------------------------------------------


def test_a_snapshot_holds_what_was_recorded_until_then_and_does_not_change():
    """It drains first; arrays and tuples in it are copies."""
    clock = ManualClock()
    recorder = Recorder(clock=clock)
    duration = recorder.series(KEY).duration
    recorder.series(OTHER)
    duration.record(1.0)
    duration.exemplars[0] = Exemplar(1.0, 5, 6, 7)
    ledger = recorder.ledger()
    clock.advance(3)
    snapshot = ledger.snapshot()
    duration.record(2.0)
    ledger.drain()
    (found,) = snapshot.distributions
    assert (found.key, found.count, found.positive.total, found.maximum) == (KEY, 1, 1, 1.0)
    assert snapshot.time_unix_ns - found.start_unix_ns == 3_000_000_000
    assert [one.trace_id for one in found.exemplars] == [6]
    assert found.negative is None


def test_rows_appear_with_their_series_before_anything_is_drained():
    """Counts, sums and cuts have a row for every key, at zero from its beginning."""
    recorder = Recorder()
    ledger = recorder.ledger()
    column = ledger.cut("duration", bound=1.0)
    assert ledger.version == 0
    recorder.series(KEY), recorder.series(OTHER).buffer("documents")
    assert ledger.version == 3
    assert ledger.counts("duration").tolist() == [0, 0]
    assert ledger.within("duration", column).tolist() == [0, 0]
    assert ledger.sums("documents").tolist() == [0.0]
    assert ledger.keys("duration") == [KEY, OTHER]
    assert ledger.keys("documents") == [OTHER]
    assert ledger.merged("duration", [0, 1]).total == ledger.merged("duration", []).total == 0
    with pytest.raises(KeyError):
        ledger.counts("no such quantity")


def test_three_digits_are_kept_where_asked_for():
    """The same values, read with a tenth of the error."""
    fine = Recorder(digits=3)
    fine.series(KEY).duration.record(1.2345)
    ledger = fine.ledger()
    ledger.drain()
    found = ledger.merged("duration", [0])
    assert found.relative_error < 0.0005
    assert found.percentile(50) == pytest.approx(1.2345, rel=0.0005)
    assert ledger.window("duration", [0], seconds=60).counts.percentile(50) == found.percentile(50)
