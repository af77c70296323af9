"""The evaluator judges exactly: integer counts, new series, late cuts, jumps, threads, forks."""

import math
import os
import sys
import threading

import pytest

from slotel.engine.evaluation import Counters, Verdict
from slotel.engine.evaluator import Evaluator
from slotel.errors import UnknownNameError
from slotel.measure.measurement import Outcome, Role
from slotel.slo.objective import Document

LATENCY = "sli: {latency: {at_most: 2s}}, objective: 90%"
AVAILABILITY = "sli: {availability: {}}, objective: 90%"
DAY = 86_400


def counts(status) -> tuple[int, int]:
    return status.good, status.total


def test_latency_is_judged_on_the_raw_value(bench):
    """The threshold is inclusive and exact, however close the values are."""
    one = bench(LATENCY)
    one.record("duration", 1.0, 2.0, math.nextafter(2.0, 0), math.nextafter(2.0, 3), 3.0)
    status = one.status()
    assert counts(status) == (3, 5)
    assert status.bad == 2
    assert status.sli_ratio == 0.6


def test_unfinished_calls_are_lower_bounds(bench):
    """An error or a cancellation over the threshold is bad, below it not a valid event."""
    one = bench(LATENCY)
    for outcome in (Outcome.ERROR, Outcome.CANCELLED):
        one.record("duration", 0.1, 5.0, outcome=outcome)
    one.record("duration", 9.0, outcome=Outcome.REJECTED)
    one.record("duration", 1.0)
    assert counts(one.status()) == (1, 3)


def test_time_to_first_token_reads_its_own_quantity(bench):
    """Only streaming calls, which record it, are valid events."""
    one = bench("sli: {time_to_first_token: {at_most: 1s}}, objective: 90%")
    one.record("duration", 50.0, 60.0)
    one.record("time_to_first_token", 0.5, 1.5)
    one.record("time_to_first_token", 0.5, 1.5, outcome=Outcome.CANCELLED)
    assert counts(one.status()) == (1, 3)


def test_availability_counts_outcomes(bench):
    """Success is good, an error bad; cancelled and rejected calls are not valid."""
    one = bench(AVAILABILITY)
    for outcome, calls in zip(Outcome, (7, 2, 3, 4), strict=True):
        one.record("duration", *[1.0] * calls, outcome=outcome)
    assert counts(one.status()) == (7, 9)


def test_quality_takes_either_side_and_negative_scores(bench):
    """Scores at the bound are good on either side; a score may be negative."""
    one = bench(
        "sli: {quality: {score: faith, at_least: 0.8}}, objective: 90%",
        "sli: {quality: {score: tox, at_most: -0.1}}, objective: 90%",
    )
    one.record("score.faith", 0.8, 0.79, 0.9)
    one.record("score.faith", 1.0, operation="retrieval")
    one.record("score.tox", -0.1, -0.5, 0.0)
    assert counts(one.status("a")) == (3, 4)
    assert counts(one.status("b")) == (2, 3)


def test_only_selected_calls_count(bench):
    """Operation, provider, model, attributes and role all filter."""
    one = bench(
        "sli: {availability: {operation: ask, provider: p, model: m, attributes: {tier: gold}}}, "
        "objective: 90%",
        "sli: {availability: {calls: every}}, objective: 90%",
        AVAILABILITY,
    )
    gold = (("tenant", "x"), ("tier", "gold"))
    one.record("duration", 1, operation="ask", provider="p", model="m", attributes=gold)
    one.record("duration", 1, operation="ask", provider="p", model="m")
    one.record("duration", 1, operation="ask", provider="q", model="m", attributes=gold)
    one.record("duration", 1)
    one.record("duration", 1, 1, role=Role.INNER)
    assert counts(one.status("a")) == (1, 1)
    assert counts(one.status("b")) == (3, 3)
    assert counts(one.status("c")) == (1, 1)


def test_series_that_appear_later_count_from_their_first_value(bench):
    """Nothing is lost when a new model, error or series comes hours after registration."""
    one = bench(LATENCY, AVAILABILITY)
    one.record("duration", 1.0)
    one.tick(3_600)
    one.record("duration", 5.0, model="new")
    one.record("duration", 5.0, outcome=Outcome.ERROR, error_type="500")
    assert counts(one.status("a")) == (1, 3)
    assert counts(one.status("b")) == (2, 3)


def test_counting_begins_at_registration(bench):
    """Calls before it are in the ledger and in no SLO, though the cut of another SLO saw them."""
    one = bench(LATENCY)
    one.record("duration", 1.0, 5.0)
    one.tick()
    late = Evaluator(one.evaluator.document, one.ledger, one.clock)
    late.register()
    one.record("duration", 1.0, 5.0, 5.0)
    one.record("duration", 5.0, outcome=Outcome.ERROR)
    one.tick()
    late.observe()
    assert counts(late.evaluate().slo("a")) == (1, 4)
    assert counts(one.status()) == (2, 6)


def test_observing_registers_by_itself(bench):
    """Forgetting register() loses nothing but what was drained before the first observation."""
    one = bench(LATENCY)
    lazy = Evaluator(one.evaluator.document, one.ledger, one.clock)
    lazy.observe()
    one.record("duration", 1.0)
    one.tick()
    lazy.observe()
    assert counts(lazy.evaluate().slo("a")) == (1, 1)


def test_counters_are_zero_from_registration(bench):
    """Both counters exist before the first event, so that no scrape misses it."""
    status = bench(LATENCY).evaluate().slo("a")
    assert status.counters == Counters(good=0, bad=0)
    assert status.verdict is Verdict.UNKNOWN
    assert status.sli_ratio is None
    assert status.percentile is None
    assert set(status.burn_rates.values()) == {None}
    assert status.error_budget.remaining == 1.0


@pytest.mark.parametrize(("bad", "verdict"), [(10, Verdict.HOLDS), (11, Verdict.BROKEN)])
def test_the_verdict_is_exact_at_the_objective(bench, bad, verdict):
    """Exactly 10 % bad holds 90 %; one more breaks it."""
    one = bench(LATENCY)
    one.record("duration", *[1.0] * (100 - bad), *[3.0] * bad)
    assert one.status().verdict is verdict


def test_budget_and_burn_rates_per_window(bench):
    """An incident fills the short windows first and leaves them first."""
    one = bench("sli: {availability: {}}, objective: 99%")
    one.record("duration", *[1.0] * 980)
    one.tick()
    one.tick(3 * 3_600)
    one.record("duration", *[1.0] * 20, outcome=Outcome.ERROR)
    status = one.status()
    rates = status.burn_rates
    assert rates["5m"] == pytest.approx(100)
    assert rates["24h"] == rates["3d"] == rates["28d"] == pytest.approx(2)
    one.tick(600)
    status = one.status()
    assert status.burn_rates["5m"] is None
    assert status.burn_rates["1h"] == pytest.approx(100)
    assert status.error_budget.total_events == 10
    assert status.error_budget.consumed_events == 20
    assert status.error_budget.remaining == -1.0
    assert set(rates) == {"5m", "30m", "1h", "2h", "6h", "24h", "3d", "28d"}


def test_events_roll_out_of_the_window_but_not_out_of_the_counters(bench):
    """After 28 days and a slice an event is history; the counter never goes back."""
    one = bench(LATENCY)
    one.record("duration", 5.0)
    one.tick()
    one.tick(28 * DAY + 300)
    status = one.evaluate().slo("a")
    assert status.total == 0
    assert status.counters == Counters(good=0, bad=1)


def test_the_percentile_stands_beside_the_ratio(bench):
    """The objective's percentile of successful calls, with the histogram's error."""
    one = bench("sli: {latency: {at_most: 2s}}, objective: 95%", AVAILABILITY)
    one.record("duration", *(n / 100 for n in range(1, 101)))
    one.record("duration", 50.0, outcome=Outcome.ERROR)
    reading = one.status("a").percentile
    assert reading is not None
    assert reading.q == 95
    assert reading.value == pytest.approx(0.95, rel=reading.error)
    assert 0 < reading.error < 0.004
    assert 0 < reading.coverage_ratio < 1
    assert one.status("b").percentile is None


def test_a_slice_percentile_counts_whole_slices(bench):
    """Each full minute with traffic is one event: good when its p90 is within 2 s."""
    one = bench("sli: {latency: }, objective: p90 <= 2s, per: 1m, slices: 50%")
    for slow in (0, 1, 2, None, 0):  # slow calls of ten in each minute; None: no traffic
        if slow is not None:
            one.record("duration", *[1.0] * (10 - slow), *[9.0] * slow)
        for _ in range(60):
            one.tick(1)
    status = one.evaluate().slo("a")
    assert counts(status) == (3, 4)
    assert status.percentile is not None
    assert status.percentile.q == 90


def test_a_slice_that_was_not_seen_whole_is_not_judged(bench):
    """Starting in the middle, a suspend and a stalled tick leave slices unjudged."""
    one = bench("sli: {latency: }, objective: p90 <= 2s, per: 1m")
    one.clock.advance(30)
    one.evaluator = Evaluator(one.evaluator.document, one.ledger, one.clock)
    one.evaluator.register()  # the first slice is half over
    one.record("duration", 9.0)
    one.tick(20)
    one.tick(20)  # second slice
    one.record("duration", 9.0)
    one.clock.jump_wall(3_600)  # an hour passes in a suspend
    one.tick(20)
    one.tick(60)  # the slice after the suspend was entered from outside
    one.record("duration", 9.0)
    one.tick(180)  # three slices without a tick
    one.tick(60)
    one.record("duration", 1.0)
    one.tick(30)
    one.tick(60)
    assert counts(one.evaluate().slo("a")) == (1, 1)


def test_throughput_judges_slices_with_enough_load(bench):
    """Requests: good when those that were asked for are completed; idle minutes do not count."""
    one = bench("sli: {throughput: {requests_per_second: 0.1}}, objective: 90%")
    for started, completed in ((6, 6), (6, 5), (5, 0), (7, 6)):
        one.record("arrivals", *[1.0] * started)
        one.record("duration", *[1.0] * completed)
        one.record("duration", 1.0, outcome=Outcome.ERROR)
        for _ in range(60):
            one.tick(1)
    assert counts(one.evaluate().slo("a")) == (2, 3)


def test_token_throughput_offers_calls_times_their_mean_tokens(bench):
    """Tokens: 10 calls offer 10 x the mean so far; nothing is judged before a mean is known."""
    one = bench("sli: {throughput: {tokens_per_second: 10}}, objective: 90%")
    minutes = (
        (10, ()),  # no call has completed: nothing is known about their size
        (10, (100.0,) * 6),  # mean 100: 1,000 offered, 600 completed
        (10, (100.0,) * 5),  # 500 of 600 needed
        (5, ()),  # 500 offered: not valid
    )
    for started, tokens in minutes:
        one.record("arrivals", *[1.0] * started)
        one.record("output_tokens", *tokens)
        for _ in range(60):
            one.tick(1)
    assert counts(one.evaluate().slo("a")) == (1, 2)


def test_a_suspend_is_a_gap_in_the_coverage(bench):
    """A wall clock that jumps an hour ahead leaves an hour unknown, not without traffic."""
    one = bench("sli: {availability: {}}, objective: 90%, window: 2h")
    for _ in range(60):
        one.tick(30)
    one.clock.jump_wall(3_600)
    for _ in range(60):
        one.tick(30)
    status = one.evaluate().slo("a")
    assert status.observed_seconds == pytest.approx(3_600)
    assert status.coverage_ratio == pytest.approx(0.5)
    assert status.observed == "1h of 2h observed"


def test_a_clock_set_back_loses_no_event(bench):
    """Events go on counting forward while the wall clock is an hour behind."""
    one = bench(LATENCY)
    one.record("duration", 1.0)
    one.tick(60)
    one.clock.jump_wall(-3_600)
    one.record("duration", 1.0)
    one.tick(60)
    status = one.evaluate().slo("a")
    assert counts(status) == (2, 2)
    assert status.windows["5m"].total == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s of 28 days observed"),
        (90, "1m30s of 28 days observed"),
        (7_261, "2h1m of 28 days observed"),
        (2.5 * DAY, "2.5 of 28 days observed"),
        (30 * DAY, "28 of 28 days observed"),
    ],
)
def test_observed_time_is_said_in_words(bench, seconds, words):
    """A new service says how much of its window it has seen."""
    one = bench(LATENCY)
    one.tick(seconds)
    assert one.evaluate().slo("a").observed == words


def test_an_evaluation_names_its_source_and_its_service(bench):
    """Whoever shows it can say whose truth it is."""
    one = bench(LATENCY)
    evaluation = one.evaluate()
    assert (evaluation.source, evaluation.service) == ("process", "bot")
    assert evaluation.unix_ns == one.clock.unix_ns()
    status = evaluation.slo("a")
    assert status.objective == status.slo.objective


def test_an_unknown_slo_is_an_error_that_names_the_known(bench):
    """A wrong name is met with the names there are."""
    with pytest.raises(UnknownNameError, match=r"there is no SLO named 'x'\. Known here: a"):
        bench(LATENCY).evaluate().slo("x")
    one = bench(LATENCY)
    empty = Evaluator(Document(), one.ledger, one.clock)
    empty.observe()
    with pytest.raises(UnknownNameError, match="The document lists none"):
        empty.evaluate().slo("a")


def _run(workers, others, stop) -> None:
    for thread in others + workers:
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()


@pytest.fixture
def frequent_switches():
    """Threads take turns every 10 µs instead of every 5 ms."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.untraced
@pytest.mark.usefixtures("frequent_switches")
def test_no_count_is_lost_or_doubled_between_threads(bench):
    """Writers, drains, observations and evaluations at once: the sums are exact."""
    one = bench(LATENCY, AVAILABILITY, "sli: {latency: {at_most: 1s}}, objective: 99%")
    per_thread, writers = 20_000, 4
    stop = threading.Event()
    wrong: list[str] = []

    def write(model: str) -> None:
        for n in range(per_thread):
            one.record("duration", 1.5 if n % 4 else 3.0, model=model)

    def tick() -> None:
        while not stop.is_set():
            one.ledger.drain()
            one.evaluator.observe()

    def read() -> None:
        last = 0
        while not stop.is_set():
            counters = one.evaluate().slo("a").counters
            total = counters.good + counters.bad
            if total < last or counters.good < 0 or counters.bad < 0:
                wrong.append(f"{last} -> {counters}")
            last = total

    others = [threading.Thread(target=target) for target in (tick, tick, read)]
    workers = [threading.Thread(target=write, args=(f"m{n}",)) for n in range(writers)]
    _run(workers, others, stop)
    total = per_thread * writers
    assert wrong == []
    assert counts(one.status("a")) == (total * 3 // 4, total)
    assert counts(one.status("b")) == (total, total)
    assert counts(one.status("c")) == (0, total)


class _Finalised:
    """A ledger whose first readings are interrupted by a finaliser that fills and drains."""

    def __init__(self, bench) -> None:
        self._bench = bench
        self.interruptions = 0

    def __getattr__(self, name: str):
        return getattr(self._bench.ledger, name)

    def within(self, quantity: str, column: int):
        if self.interruptions:
            self.interruptions -= 1
            self._bench.record("duration", 1.0, 5.0)
            self._bench.ledger.drain()
        return self._bench.ledger.within(quantity, column)


def test_values_drained_between_two_reads_are_not_torn_apart(bench):
    """What a finaliser drains between counts and thresholds is read again, not misjudged."""
    one = bench(LATENCY)
    ledger = _Finalised(one)
    evaluator = Evaluator(one.evaluator.document, ledger, one.clock)
    evaluator.register()
    one.record("duration", 1.0)
    one.ledger.drain()
    ledger.interruptions = 2
    evaluator.observe()
    assert counts(evaluator.evaluate().slo("a")) == (3, 5)


def test_a_reset_forgets_windows_counters_and_open_slices(bench):
    """What a forked child does, seen from inside: all starts at zero, nothing goes negative."""
    one = bench(LATENCY, "sli: {latency: }, objective: p90 <= 2s, per: 1m")
    one.record("duration", *[5.0] * 9)
    for _ in range(61):
        one.tick()
    assert one.evaluate().slo("b").total == 1
    one.recorder.reset()
    one.evaluator.reset()
    one.record("duration", 1.0)
    for _ in range(120):
        one.tick()
    evaluation = one.evaluate()
    assert evaluation.slo("a").counters == Counters(good=1, bad=0)
    assert counts(evaluation.slo("b")) == (0, 0)


def test_the_percentile_is_none_once_its_values_are_history(bench):
    """Rows without a value in the window give no percentile rather than NaN."""
    one = bench("sli: {latency: {at_most: 2s}}, objective: 95%, window: 5m")
    one.record("duration", 1.0)
    assert one.status().percentile is not None
    one.tick(3_600)
    assert one.evaluate().slo("a").percentile is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_at_zero(bench):
    """The child counts only its own calls; the parent goes on with its own."""
    one = bench(LATENCY)
    one.record("duration", *[5.0] * 7)
    one.tick()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            one.record("duration", 1.0, 5.0)
            counted = one.status()
            good = counts(counted) == (1, 2) and counted.counters == Counters(good=1, bad=1)
            status = 0 if good else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    one.record("duration", 1.0)
    assert counts(one.status()) == (1, 8)
