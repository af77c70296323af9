"""The SLO document: read exactly, every fault at once with line, column, path and cure."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest

from slotel.errors import SpecErrors
from slotel.slo.objective import SLO, Document
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
from slotel.slo.spec import from_dict, load, parse, to_dict

HEAD = "version: slotel/v1\nslos:\n"


def one(slo: str) -> SLO:
    return parse(f"{HEAD}  - {{name: a, {slo}}}\n").slos[0]


def faults(text: str) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        parse(text, source="s.yaml")
    return [str(fault) for fault in caught.value.faults]


def fault_of(slo: str) -> str:
    found = faults(f"{HEAD}  - {{name: a, {slo}}}\n")
    assert len(found) == 1, found
    return found[0].removeprefix("s.yaml:3:")


LATENCY = "sli: {latency: {at_most: 2s}}"


@pytest.mark.parametrize(
    ("sli", "expected"),
    [
        ("latency: {at_most: 2s}", Latency(at_most_seconds=2.0)),
        (
            "time_to_first_token: {at_most: 350ms, model: m}",
            TimeToFirstToken(at_most_seconds=0.35, select=Selection(model="m")),
        ),
        (
            "time_per_output_token: {at_most: 0.05s, calls: every}",
            TimePerOutputToken(at_most_seconds=0.05, select=Selection(calls=Calls.EVERY)),
        ),
        ("availability: ", Availability()),
        (
            "availability: {operation: ask-support, attributes: {tier: gold, a: b}}",
            Availability(
                select=Selection(operation="ask-support", attributes=(("a", "b"), ("tier", "gold")))
            ),
        ),
        ("quality: {score: faith, at_least: 0.8}", Quality(score="faith", at_least=0.8)),
        (
            "quality: {score: tox, at_most: -0.5, operation: chat}",
            Quality(score="tox", at_most=-0.5, select=Selection()),
        ),
        ("throughput: {requests_per_second: 5}", Throughput(floor_per_second=Fraction(5))),
        (
            "throughput: {tokens_per_second: 0.1, per: 5m}",
            Throughput(floor_per_second=Fraction(1, 10), work=Work.TOKENS, per_seconds=300),
        ),
    ],
)
def test_every_kind_of_sli_is_read(sli, expected):
    """Each kind with its options gives the object that Python code would make."""
    assert one(f"sli: {{{sli}}}, objective: 99%").sli == expected


def test_an_slo_without_options_has_the_defaults():
    """28 rolling days, three failures, no labels."""
    slo = one(f"{LATENCY}, objective: 99.9%")
    assert slo == SLO(name="a", sli=Latency(at_most_seconds=2.0), objective=Fraction(999, 1000))


def test_labels_are_kept_as_data():
    """Owner, tier, journey, description and rationale come through unchanged, in any script."""
    slo = one(
        f"{LATENCY}, objective: 99%, tier: gold, owner: équipe, journey: ask, "
        'description: "回答 🙂", rationale: why, min_failures: 1, window: 7d'
    )
    assert (slo.tier, slo.owner, slo.journey) == ("gold", "équipe", "ask")
    assert (slo.description, slo.rationale) == ("回答 🙂", "why")
    assert (slo.min_failures, slo.window_seconds) == (1, 604_800)


@pytest.mark.parametrize("text", ["99.9%", "0.999", '"99.9 %"', "999/1000"])
def test_objectives_are_exact_however_written(text):
    """All spellings of three nines are the same fraction."""
    assert one(f"{LATENCY}, objective: {text}").objective == Fraction(999, 1000)


def test_a_percentile_objective_is_a_share_of_events():
    """p95 <= 2s means that 95 % of the calls end within 2 s, exactly the long form."""
    assert one("sli: {latency: }, objective: p95 <= 2s") == one(f"{LATENCY}, objective: 95%")
    assert one("sli: {latency: {}}, objective: p99.9<=2s").objective == Fraction(999, 1000)


def test_a_low_percentile_objective_is_a_share_of_scores():
    """p5 >= 0.8 means that 95 % of the scores are at least 0.8."""
    assert one("sli: {quality: {score: f}}, objective: p5 >= 0.8") == one(
        "sli: {quality: {score: f, at_least: 0.8}}, objective: 95%"
    )


def test_a_percentile_per_slice_is_a_share_of_slices():
    """With `per` the objective is the share of slices that hold, 99 % unless it says so."""
    slo = one("sli: {latency: }, objective: p95 <= 2s, per: 5m")
    assert slo.sli == SlicePercentile(
        of=Latency(at_most_seconds=2.0), share=Fraction(95, 100), per_seconds=300
    )
    assert slo.objective == Fraction(99, 100)
    slo = one("sli: {latency: }, objective: p95 <= 2s, per: 1m, slices: 97.5%")
    assert slo.objective == Fraction(975, 1000)


FAULTS = [
    (
        f"{LATENCY}, objective: 95",
        "slos[0].objective: a share without % must be at most 1, got '95'. Write 95% if",
    ),
    (f"{LATENCY}, objective: 100%", "must be below 100%, got '100%': it would leave no error bu"),
    (f"{LATENCY}, objective: 1", "must be below 100%, got '1'"),
    (f"{LATENCY}, objective: 0", "must be above 0%, got '0'"),
    (f"{LATENCY}, objective: -3%", "a share cannot be negative, got '-3%'. Write 99%, or p95"),
    (f"{LATENCY}, objective: .nan", "a share cannot be read from '.nan'"),
    (f"{LATENCY}, objective: .inf", "a share cannot be read from '.inf'"),
    (f"{LATENCY}, objective: true", "objective cannot be true or false 'true'. Write 99%."),
    (f"{LATENCY}, objective: [99%]", "objective cannot be a list. Write 99%."),
    (f"{LATENCY}, objective: ", "objective has no value. Give it one, or remove the key."),
    (f"{LATENCY}, objective: 1e999999", "a share cannot be read"),
    (f"{LATENCY}, objective: 0.{'9' * 5_000}", "a share cannot be read from '0.99999"),
    (f"{LATENCY}, objective: p95 < 2s", "percentile objective cannot be read from 'p95 < 2s'"),
    (f"{LATENCY}, objective: p100 <= 2s", "percentile objective cannot be read"),
    (f"{LATENCY}, objective: p0 <= 2s", "percentile objective cannot be read"),
    (f"{LATENCY}, objective: p95 <= 2s", "at_most and a percentile objective both give the bound"),
    ("sli: {latency: }, objective: p95 <= 2", "a duration needs a unit, got '2'"),
    ("sli: {latency: }, objective: p95 <= 0s", "at_most must be over 0 and at most 24 hours"),
    ("sli: {latency: }, objective: p95 >= 2s", "latency is good when it is low"),
    ("sli: {availability: }, objective: p95 <= 2s", "availability has no percentiles. Write a pe"),
    ("sli: {throughput: }, objective: p95 <= 2s", "throughput has no percentiles"),
    (f"{LATENCY}, objective: 99%, per: 5m", "per has no meaning without an objective such as p95"),
    (f"{LATENCY}, objective: 99%, slices: 99%", "slices has no meaning without an objective"),
    ("sli: {latency: }, objective: p9 <= 2s, slices: 9%", "slices has no meaning without per"),
    ("sli: {latency: }, objective: p9 <= 2s, per: 15s", "whole multiple of 10s, at most 1h, got"),
    ("sli: {latency: }, objective: p9 <= 2s, per: 2h", "whole multiple of 10s, at most 1h"),
    ("sli: {latency: }, objective: p9 <= 2s, per: 1.5s", "per must be whole seconds"),
    ("sli: {latency: }, objective: p9 <= 2s, per: 5m, slices: 100%", "must be below 100%"),
    ("sli: {latency: {}}, objective: 99%", "at_most is missing in latency. Write at_most: 2s, or"),
    ("sli: {latency: {at_most: 2}}, objective: 99%", "a duration needs a unit, got '2'. Write 2s"),
    ("sli: {latency: {at_most: -2s}}, objective: 99%", "a duration cannot be negative"),
    ("sli: {latency: {at_most: 0s}}, objective: 99%", "at_most must be over 0 and at most 24"),
    ("sli: {latency: {at_most: 25h}}, objective: 99%", "at_most must be over 0 and at most 24"),
    ("sli: {latency: {at_most: 9999999999999999d}}, objective: 9%", "at_most must be over 0 and"),
    ("sli: {latency: {at_most: [2s]}}, objective: 99%", "at_most cannot be a list. Write 2s."),
    ("sli: {latency: {at_most: }}, objective: 99%", "at_most has no value"),
    ("sli: {latency: 2s}, objective: 99%", "latency must be a mapping, got text '2s'. Write keys"),
    ("sli: {latncy: {at_most: 2s}}, objective: 99%", "'latncy' in an sli. Did you mean latency?"),
    ("sli: {speed: {at_most: 2s}}, objective: 99%", "'speed' in an sli. Known here: availab"),
    ("sli: {}, objective: 99%", "an sli has exactly one kind, got none. Write one of latency"),
    (
        "sli: {latency: {at_most: 2s}, availability: }, objective: 99%",
        "an sli has exactly one kind, got latency, availability",
    ),
    ("sli: latency, objective: 99%", "an sli must be a mapping, got text 'latency'"),
    ("sli: , objective: 99%", "sli has no value"),
    ("objective: 99%", "sli is missing in an SLO. Write sli: {latency"),
    (LATENCY, "objective is missing in an SLO. Write objective: 99%"),
    ("sli: {latency: {at_most: 2s, operaton: x}}, objective: 9%", "Did you mean operation?"),
    ("sli: {latency: {at_most: 2s, calls: all}}, objective: 9%", "calls is one of outer, every"),
    ("sli: {latency: {at_most: 2s, model: 4.1}}, objective: 9%", 'Write "4.1" if you meant the te'),
    ("sli: {latency: {at_most: 2s, model: ''}}, objective: 9%", "must have 1 to 200 characters"),
    (
        f"sli: {{latency: {{at_most: 2s, model: {'m' * 201}}}}}, objective: 9%",
        "model must have 1 to 200 characters, got 201",
    ),
    ("sli: {availability: {attributes: [a]}}, objective: 9%", "attributes must be a mapping"),
    ("sli: {availability: {attributes: {a: 1}}}, objective: 9%", "a must be text, got a whole num"),
    ("sli: {quality: {at_least: 0.8}}, objective: 9%", "score is missing in quality. Write score:"),
    ("sli: {quality: {score: f}}, objective: 9%", "at_least is missing in quality. Write at_least"),
    (
        "sli: {quality: {score: f, at_least: .nan}}, objective: 9%",
        "finite decimal number is needed",
    ),
    (
        "sli: {quality: {score: f, at_least: high}}, objective: 9%",
        "finite decimal number is needed",
    ),
    (
        "sli: {quality: {score: f, at_least: 0.1, at_most: 0.2}}, objective: 9%",
        "needs exactly one finite bound",
    ),
    ("sli: {throughput: {}}, objective: 9%", "throughput needs one floor, got none. Write reques"),
    (
        "sli: {throughput: {requests_per_second: 1, tokens_per_second: 1}}, objective: 9%",
        "throughput needs one floor, got requests_per_second and tokens_per_second",
    ),
    ("sli: {throughput: {requests_per_second: x}}, objective: 9%", "finite decimal number is need"),
    ("sli: {throughput: {requests_per_second: 0}}, objective: 9%", "floor must be over 0"),
    ("sli: {throughput: {requests_per_second: 1, per: 7s}}, objective: 9%", "multiple of 10s"),
    (f"{LATENCY}, objective: 99%, window: 36d", "from 5m to 35d in steps of 10s"),
    (f"{LATENCY}, objective: 99%, window: 1s", "from 5m to 35d in steps of 10s"),
    (f"{LATENCY}, objective: 99%, window: 28", "a duration needs a unit, got '28'"),
    (f"{LATENCY}, objective: 99%, window: 400.0001s", "a window has whole seconds"),
    (f"{LATENCY}, objective: 99%, window: {{month: 1}}", "calendar windows are not supported in"),
    (f"{LATENCY}, objective: 99%, min_failures: 0", "min_failures is a whole number from 1 to"),
    (f"{LATENCY}, objective: 99%, min_failures: 1.5", "min_failures is a whole number from 1"),
    (f"{LATENCY}, objective: 99%, tier: [gold]", "tier must be text, got a list. Write one line"),
    (f"{LATENCY}, objective: 99%, <<: {{a: b}}", "merge keys are not supported. Repeat the keys."),
]


@pytest.mark.parametrize(("slo", "message"), FAULTS)
def test_each_fault_is_reported_once_with_its_cure(slo, message):
    """A single slip gives a single fault that names place, value and cure."""
    assert message in fault_of(slo)


LATER = [
    (f"{LATENCY}, objective: 99%, {key}: x", key)
    for key in ("bands", "exceptions", "depends_on", "alerts", "budget")
] + [
    (f"sli: {{{kind}: {{}}}}, objective: 99%", kind)
    for kind in ("flagged", "cost", "freshness", "query", "expression", "all")
] + [
    (f"sli: {{quality: {{score: f, at_least: 1, {key}: 1h}}}}, objective: 99%", key)
    for key in ("label_delay", "missing", "over")
]  # fmt: skip


@pytest.mark.parametrize(("slo", "key"), LATER)
def test_what_comes_later_is_refused_not_ignored(slo, key):
    """A key of a later version must not look as if it were obeyed."""
    assert f"{key} is not supported in this version. Remove it." in fault_of(slo)


@pytest.mark.parametrize(
    "key", ["tiers", "composites", "depends_on", "slas", "policies", "exceptions"]
)
def test_top_level_keys_that_come_later_are_refused(key):
    """The document's later parts are known by name and refused."""
    found = faults(f"{HEAD}  - {{name: a, {LATENCY}, objective: 99%}}\n{key}: []\n")
    assert found == [f"s.yaml:4:1: {key}: {key} is not supported in this version. Remove it."]


def test_all_faults_are_reported_at_once_in_the_order_of_their_lines():
    """Five slips in one document are five faults, each at its place."""
    text = (
        "version: slotel/v2\n"
        "servce: bot\n"
        "slos:\n"
        "  - name: Answer Latency\n"
        "    sli: {latency: {at_most: 2}}\n"
        "    objective: 99.9\n"
        "    window: 90d\n"
    )
    with pytest.raises(SpecErrors) as caught:
        parse(text)
    assert [(fault.line, fault.column, fault.path) for fault in caught.value.faults] == [
        (1, 10, "version"),
        (2, 1, ""),
        (4, 11, "slos[0].name"),
        (5, 30, "slos[0].sli.latency.at_most"),
        (6, 16, "slos[0].objective"),
        (7, 13, "slos[0].window"),
    ]
    with pytest.raises(SpecErrors, match=r"^6 faults in the SLO document:"):
        parse(text)


def test_doubled_keys_and_doubled_names_name_the_first():
    """Of two equal keys or SLO names the second is the fault; it says where the first is."""
    slo = f"{LATENCY}, objective: 99%"
    text = f"{HEAD}  - {{name: a, {slo}}}\n  - {{name: a, {slo}}}\nversion: slotel/v1\n"
    assert faults(text) == [
        "s.yaml:4:12: slos[1].name: two SLOs are named 'a', the first in line 3. "
        "Give each its own name.",
        "s.yaml:5:1: version: the key stands twice, first in line 1. Keep one.",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.yaml: the document is empty. Start with `version: slotel/v1`"),
        ("# nothing but a remark\n", "the document is empty"),
        ("---\n", "the document is empty"),
        ("- a\n- b\n", "s.yaml:1:1: the document must be a mapping, got a list. Write keys and"),
        ("just text", "the document must be a mapping, got text 'just text'"),
        ("version: [slotel/v1\n", "s.yaml:2:1: this is not valid YAML"),
        ("version: 'slotel/v1\n", "this is not valid YAML"),
        ("a: b: c\n", "s.yaml:1:5: this is not valid YAML: mapping values are not allowed here"),
        ("slos:\n\t- a\n", "Indent with spaces, never with tabs"),
        ("a: 1\n---\nb: 2\n", "Keep one document in a file"),
        ("a: \x00\n", "is not allowed in YAML. Remove it."),
        ("%YAML 9.9\n---\na: 1\n", "this is not valid YAML"),
        ("%YAML 1.3\n---\na: 1\n", "this is not valid YAML"),
        ("a: *nowhere\n", "this is not valid YAML: found undefined alias"),
        ("version: slotel/v1\n", "s.yaml:1:1: slos is missing in the document. Write slos: and a"),
        ("version: slotel/v1\nslos: []\n", "s.yaml:2:7: slos: slos is an empty list"),
        ("version: slotel/v1\nslos: {}\n", "slos must be a list, got a mapping"),
        ("version: slotel/v1\nslos:\n", "slos has no value"),
        (f"{HEAD}  - 5\n", "s.yaml:3:5: slos[0]: an SLO must be a mapping, got a whole number '5'"),
        ("? [a, b]\n: c\nversion: slotel/v1\n", "unknown key '?' in the document"),
        ("[" * 90 + "\n" + "[" * 5_000, "the document is nested too deeply"),
        ("".join(" " * n + "a:\n" for n in range(1_000)), "the document is nested too deeply"),
        ("[" * 5_000, "the document is nested too deeply"),
        ("a" * 1_000_001, "the document has 1,000,001 characters; 1,000,000 are read"),
    ],
    ids=lambda value: value[:20].encode("unicode_escape").decode(),
)
def test_broken_documents_say_what_is_broken(text, message):
    """No text, however wrong, gives anything but a list of faults."""
    assert any(message in fault for fault in faults(text)), faults(text)


def test_aliases_that_multiply_are_not_unfolded():
    """A document of nested aliases ends in faults at once, not in gigabytes."""
    rows = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    assert any("unknown key 'a59'" in fault for fault in faults("\n".join(rows)))


def test_a_file_is_read_with_its_name(tmp_path):
    """Faults name the file; a byte order mark does no harm; JSON is YAML."""
    path = tmp_path / "slos.json"
    data = {"version": "slotel/v1", "slos": [{"name": "a", "objective": 95, "sli": {}}]}
    path.write_text(json.dumps(data, indent=1), encoding="utf-8-sig")
    with pytest.raises(SpecErrors) as caught:
        load(path)
    assert [(fault.source, fault.line) for fault in caught.value.faults] == [
        (str(path), 6),
        (str(path), 7),
    ]


def test_an_endless_file_is_a_fault(tmp_path):
    """No more is read than a document can have."""
    path = tmp_path / "slos.yaml"
    path.write_bytes(b"#" * 5_000_000)
    with pytest.raises(SpecErrors, match="4,000,001 characters; 1,000,000 are read"):
        load(path)


def test_a_file_that_is_not_utf8_is_a_fault(tmp_path):
    """Latin-1 text is refused with the line it was found in."""
    path = tmp_path / "slos.yaml"
    path.write_bytes("version: slotel/v1\nowner: équipe\n".encode("latin-1"))
    with pytest.raises(SpecErrors, match="line 2 is not UTF-8 text"):
        load(path)


@pytest.mark.parametrize("objective", ["95%", 0.95, Fraction(19, 20), "0.95"])
def test_plain_data_is_read_like_a_document(objective):
    """A dict gives the same SLO; its faults carry a path and no line."""
    data = {
        "version": "slotel/v1",
        "slos": ({"name": "a", "sli": {"latency": {"at_most": "2s"}}, "objective": objective},),
    }
    assert from_dict(data).slos[0] == one(f"{LATENCY}, objective: 95%")


def test_plain_data_with_faults_names_paths():
    """Values that no document can hold are faults like any other."""
    data = {
        "version": "slotel/v1",
        "owner": None,
        "slos": [
            {"name": "a", "sli": {"latency": {"at_most": 2.5}}, "objective": True, 7: Decimal(1)},
            b"x",
            float("nan"),
            10**5_000,
        ],
    }
    with pytest.raises(SpecErrors) as caught:
        from_dict(data, source="config")
    text = str(caught.value)
    for part in (
        "config: owner: owner has no value",
        "config: slos[0].sli.latency.at_most: a duration needs a unit, got '2.5'",
        "config: slos[0].objective: objective cannot be true or false",
        "config: slos[0].7: a value of type Decimal cannot stand here",
        "config: slos[0]: unknown key '7' in an SLO",
        "config: slos[1]: a value of type bytes cannot stand here",
        "config: slos[2]: an SLO must be a mapping, got a number 'nan'",
        "config: slos[3]: a value of type int cannot stand here",
    ):
        assert part in text


def test_plain_data_that_contains_itself_is_a_fault():
    """A cycle ends in a fault, not in a RecursionError."""
    data: dict[str, object] = {"version": "slotel/v1"}
    data["slos"] = [data]
    with pytest.raises(SpecErrors, match="nested too deeply"):
        from_dict(data)


def test_escaped_characters_of_json_are_whole_characters():
    """JSON writes an emoji as two halves; a half alone becomes U+FFFD."""
    data = {
        "version": "slotel/v1",
        "owner": "🙂",
        "service": "\ud800",
        "slos": [{"name": "a", "sli": {"availability": {}}, "objective": "99%"}],
    }
    for document in (parse(json.dumps(data)), from_dict(data)):
        assert (document.owner, document.service) == ("🙂", "\ufffd")


def test_two_doubled_names_in_plain_data_have_no_line():
    """Without lines the message stands without a place."""
    slo = {"name": "a", "sli": {"availability": {}}, "objective": "99%"}
    with pytest.raises(SpecErrors, match=r"two SLOs are named 'a'\. Give"):
        from_dict({"version": "slotel/v1", "slos": [slo, slo]})


def test_a_document_is_written_as_it_is_read():
    """Defaults are left out, exact values kept."""
    document = Document(
        service="bot",
        slos=(
            SLO(
                name="slices",
                sli=SlicePercentile(
                    of=Quality(score="f", at_least=0.8), share=Fraction("0.95"), per_seconds=60
                ),
                objective=Fraction(1, 3),
                window_seconds=3_600,
                min_failures=1,
            ),
            SLO(
                name="work",
                sli=Throughput(floor_per_second=Fraction(1, 3)),
                objective=Fraction("0.5"),
            ),
        ),
    )
    with_thirds = to_dict(document)
    assert from_dict(with_thirds) == document
    assert with_thirds["slos"][1]["sli"] == {
        "throughput": {"requests_per_second": "1/3", "per": "1m"}
    }
