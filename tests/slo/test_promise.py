"""Promises in one line of plain words."""

import pytest

from slotel.slo.promise import promise
from slotel.slo.spec import parse


@pytest.mark.parametrize(
    ("slo", "words"),
    [
        (
            "sli: {latency: {at_most: 2s}}, objective: 95%",
            "95% of chat calls end within 2s, over 28 days",
        ),
        (
            "sli: {time_to_first_token: {provider: openai}}, objective: p99 <= 800ms, window: 1d",
            "99% of chat calls of openai show their first token within 800ms, over 1 day",
        ),
        (
            "sli: {time_per_output_token: }, objective: p95 <= 100ms, per: 5m, slices: 90%",
            "in 90% of 5m slices 95% of chat calls need at most 100ms per output token, "
            "over 28 days",
        ),
        (
            "sli: {availability: {operation: ask-support}}, objective: 2/3, window: 12h",
            "2/3 of ask-support calls succeed, over 12h",
        ),
        (
            "sli: {quality: {score: toxicity, at_most: 0.2}}, objective: 99%",
            "99% of calls scored on toxicity have toxicity <= 0.2, over 28 days",
        ),
        (
            "sli: {quality: {score: faith}}, objective: p5 >= 0.8",
            "95% of calls scored on faith have faith >= 0.8, over 28 days",
        ),
        (
            "sli: {throughput: {tokens_per_second: 2.5}}, objective: 99%",
            "in 99% of 1m slices chat calls complete 2.5 output tokens a second, over 28 days",
        ),
        (
            "sli: {throughput: {requests_per_second: 5, per: 5m}}, objective: 99%",
            "in 99% of 5m slices chat calls complete 5 requests a second, over 28 days",
        ),
    ],
)
def test_every_kind_of_slo_reads_as_a_sentence(slo, words):
    """What the document promises can be read without knowing the document's keys."""
    document = parse(f"version: slotel/v1\nslos:\n  - {{name: a, {slo}}}\n")
    assert promise(document.slos[0]) == words
