"""The document survives being written and read; no text and no data crash its reader."""

import json
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from slotel.errors import SpecErrors
from slotel.slo.objective import SLO, Document
from slotel.slo.promise import promise
from slotel.slo.sli import (
    Availability,
    Calls,
    Latency,
    Quality,
    Selection,
    SlicePercentile,
    Throughput,
    TimePerOutputToken,
    TimeToFirstToken,
    Work,
)
from slotel.slo.spec import from_dict, parse, to_dict
from slotel.slo.value import format_duration, format_ratio, parse_duration, parse_ratio

ratios = st.fractions(min_value=0, max_value=1, max_denominator=10**9).filter(lambda v: 0 < v < 1)
decimals = st.integers(1, 999_999).map(lambda n: Fraction(n, 1_000_000))
shares = st.one_of(ratios, decimals)
percents = st.integers(1, 99_999_999).map(lambda n: Fraction(n, 100_000_000))
words = st.sampled_from(
    ["x", "gold", "true", "null", "1.5", "a: b", "# no", " é", "日本", "-", "~"]
)
# What YAML can carry: printable characters; JSON escapes the rest.
texts = st.text(
    st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=40
).filter(str.strip)
labels = st.none() | words | texts
names = st.sampled_from(["a", "answer-latency", "0", "true", "x" * 63])
attributes = st.dictionaries(words, words, max_size=2).map(lambda d: tuple(sorted(d.items())))


@st.composite
def selections(draw, default: str | None = "chat"):
    operation = draw(st.just(default) | texts)
    return Selection(
        operation=operation,
        provider=draw(labels),
        model=draw(labels),
        attributes=draw(attributes),
        calls=draw(st.sampled_from(Calls)),
    )


seconds = st.floats(1e-9, 86_400, exclude_min=True)
bounds = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30).filter(
    lambda v: v == 0 or abs(v) > 1e-30
)
slices = st.integers(1, 360).map(lambda n: n * 10)
timed = st.builds(
    lambda kind, at_most, select: kind(at_most_seconds=at_most, select=select),
    st.sampled_from([Latency, TimeToFirstToken, TimePerOutputToken]),
    seconds,
    selections(),
)
quality = st.builds(
    lambda side, bound, **rest: Quality(**{side: bound}, **rest),
    st.sampled_from(["at_least", "at_most"]),
    bounds,
    score=texts,
    select=selections(default=None),
)
slis = st.one_of(
    timed,
    quality,
    st.builds(Availability, select=selections()),
    st.builds(
        Throughput,
        floor_per_second=st.fractions(min_value=Fraction(1, 1000), max_value=10**6),
        work=st.sampled_from(Work),
        per_seconds=slices,
        select=selections(),
    ),
    st.builds(SlicePercentile, of=st.one_of(timed, quality), share=percents, per_seconds=slices),
)
slos = st.builds(
    SLO,
    name=names,
    sli=slis,
    objective=shares,
    window_seconds=st.integers(30, 302_400).map(lambda n: n * 10),
    min_failures=st.integers(1, 1_000),
    description=labels,
    rationale=labels,
    owner=labels,
    tier=labels,
    journey=labels,
)
documents = st.builds(
    Document,
    slos=st.lists(slos, min_size=1, max_size=2, unique_by=lambda slo: slo.name).map(tuple),
    service=labels,
    owner=labels,
    description=labels,
)


@given(documents)
def test_a_document_survives_dict_and_json(document):
    """Writing and reading changes nothing, exact shares and thresholds included."""
    data = to_dict(document)
    assert from_dict(data) == document
    assert parse(json.dumps(data)) == document
    for slo in document.slos:
        assert "\n" not in promise(slo)


@given(st.fractions(min_value=0, max_value=10**7))
def test_decimal_durations_survive(value):
    """Every duration of whole nanoseconds is read back exactly as written."""
    exact = Fraction(int(value * 10**9), 10**9)
    assert parse_duration(format_duration(exact)) == exact


@given(shares)
def test_shares_survive(share):
    """Every share is read back exactly as written."""
    assert parse_ratio(format_ratio(share)) == share


HEAD = """\
version: slotel/v1
slos:
  - name: a
    sli: {latency: {at_most: 2s}}
    objective: 99%
"""


def read_or_refused(read, data) -> None:
    try:
        found = (read(data),)
    except SpecErrors as error:
        found = error.faults
    assert found


@given(st.text(max_size=80))
@example("\ud800")
@example("!!python/object:os.system {}")
@example("&a [*a]")
@example("a: !!binary x")
@example("? ? ? x")
@example("%YAML 9.9\n---\na: 1")
def test_no_text_gives_anything_but_a_document_or_faults(text):
    """Rubbish alone, in front of a document and behind it is refused in order."""
    for whole in (text, f"{text}\n{HEAD}", f"{HEAD}{text}", f"{HEAD}    tier: {text}\n"):
        read_or_refused(parse, whole)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ["name", "sli", "objective", "per", "slices", "window", "min_failures", "tier", "latency"]


@given(st.dictionaries(st.sampled_from(KEYS), json_like, max_size=6), json_like)
def test_no_data_gives_anything_but_a_document_or_faults(slo, sli):
    """Any value in the place of any key is a fault, never an exception of another kind."""
    kinds = ("latency", "availability", "quality", "throughput")
    for item in (slo, *({"name": "a", "objective": "9%", "sli": {kind: sli}} for kind in kinds)):
        read_or_refused(from_dict, {"version": "slotel/v1", "slos": [item]})
