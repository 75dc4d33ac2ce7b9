"""No rule comes out weaker than one that it follows from, nor stronger than one that follows from it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from every import every
from runs import failure, judged, opened, request, scenario

from pytest_vllm_bench.judge.implications import _claim
from pytest_vllm_bench.model import Message, Record, RuleVerdict, Verdict
from pytest_vllm_bench.text import say

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def wandering(n: int = 400, seed: int = 5) -> list[Record]:
    """TTFT goes up and down slowly, well below a limit that the worst of it comes near; TPOT does not."""
    rng = np.random.default_rng(seed)
    ttft = 0.3 + 0.15 * np.sin(2 * np.pi * np.arange(n) / 100) + rng.uniform(0, 0.01, size=n)
    return [request(i, float(i), float(ttft[i]), gaps=[float(rng.uniform(0.01, 0.045))] * 9) for i in range(n)]


def rules(records: list[Record], *texts: str, goodput: dict[str, float], **changed: Any) -> list[RuleVerdict]:
    return list(judged(scenario(*texts, goodput=goodput, **changed), records).verdicts[: len(texts)])


BOTH = {"ttft": 500.0, "tpot": 50.0}


@every(
    ("implied", "by"),
    [
        ("p90_ttft_ms <= 500", "goodput_ratio >= 0.9"),
        ("p85_ttft_ms <= 600", "goodput_ratio >= 0.9"),
        ("median_ttft_ms <= 500", "goodput_ratio > 0.9"),
        ("p90_ttfo_ms <= 700", None),  # nothing limits it
        ("slo_attainment.ttft >= 0.9", "goodput_ratio >= 0.9"),
        ("steady_p90_ttft_ms <= 500", "steady_goodput_ratio >= 0.9"),
        ("whole_p90_ttft_ms <= 500", "whole_goodput_ratio >= 0.9"),
        ("whole_p90_ttft_ms <= 500", None),  # of another window
        ("p95_ttft_ms <= 500", None),  # fewer are allowed to miss it
        ("p90_ttft_ms <= 499", None),
        ("p90_ttft_ms < 500", None),
    ],
)
def test_what_follows_from_goodput(implied: str, by: str | None) -> None:
    if "p90_ttft" in implied:
        assert rules(wandering(), implied, goodput={})[0].verdict is INCONCLUSIVE
    found, other = rules(wandering(), implied, by or "goodput_ratio >= 0.9", goodput=BOTH)
    assert (other.verdict, other.proven) == (PASS, True)
    assert (found.verdict, found.proven) == ((PASS, True) if by else (INCONCLUSIVE, False))
    if by and found.reason.key == "judge.follows":
        assert by in say(found.reason)
        assert by in say(found.reason, "zh")
        assert found.interval is not None
        assert (found.interval[0] >= found.rule.limit) if "slo" in implied else (found.interval[1] <= found.rule.limit)


def test_the_order_of_the_rules_is_nothing() -> None:
    texts = ("p90_ttft_ms <= 500", "goodput_ratio >= 0.9", "p80_ttft_ms <= 500")
    for order in itertools.permutations(texts):
        assert {v.verdict for v in rules(wandering(), *order, goodput=BOTH)} == {PASS}


@every(
    ("weak", "strong", "same"),
    [
        ("p90_ttft_ms <= 500", "p90_e2el_ms <= 500", ""),
        ("p90_tpot_ms <= 500", "p90_e2el_ms <= 500", ""),
        ("p90_ttft_ms <= 600", "p95_ttfo_ms < 600", ""),
        ("p10_output_tps_per_user >= 2", "p90_e2el_ms <= 500", ""),
        ("p90_tpot_ms <= 50", "p10_output_tps_per_user >= 20", "the same"),
        ("p10_e2el_ms >= 50", "p10_ttft_ms >= 50", ""),
        ("p90_itl_ms <= 20", "p95_itl_ms <= 20", ""),
        ("failed_ratio <= 0.1", "goodput_ratio >= 0.9", ""),
        ("failed_ratio <= 0.1", "whole_p95_ttft_ms <= 500", ""),
        ("slo_attainment.ttft >= 0.9", "p90_ttft_ms <= 500", "the same"),
        ("mean_ttft_ms <= 500", "mean_e2el_ms <= 500", ""),
        ("total_token_throughput >= 50", "output_throughput >= 50", ""),
        ("request_throughput >= 1", "request_goodput >= 1", ""),
        ("output_throughput > 1", "good_output_throughput > 2", ""),
    ],
)
def test_one_rule_says_more_than_another(weak: str, strong: str, same: str) -> None:
    def claim(text: str) -> Any:
        (found,) = scenario(text).rules
        return _claim(found, {"ttft": 500.0}, False)

    assert claim(strong).gives(claim(weak))
    assert not claim(weak).gives(claim(strong)) or same == "the same"


@every(
    ("one", "other"),
    [
        ("p90_ttft_ms <= 500", "p90_tpot_ms <= 50"),
        ("p90_itl_ms <= 50", "p90_max_gap_ms <= 50"),
        ("p90_ttft_ms <= 500", "mean_ttft_ms <= 100"),
        ("p90_ttft_ms <= 500", "p10_ttft_ms >= 500"),
        ("p90_connect_ms <= 5", "failed_ratio <= 0.1"),
        ("max_ttft_ms <= 500", "p90_ttft_ms <= 500"),
        ("mean_output_tps_per_user >= 20", "mean_tpot_ms <= 50"),
        ("failed == 0", "failed_ratio <= 0.1"),
    ],
)
def test_two_rules_that_say_nothing_of_one_another(one: str, other: str) -> None:
    first, second = (_claim(scenario(text).rules[0], {}, False) for text in (one, other))
    assert first is None or second is None or not (first.gives(second) or second.gives(first))


def test_what_breaks_the_weaker_breaks_the_stronger() -> None:
    """Failures in a row are proof against the share of failures, of which goodput allows no more."""
    records = [failure(i, float(i)) if i % 4 == 0 else request(i, float(i), 0.1 + 0.4 * (i // 100)) for i in range(400)]
    alone, _ = rules(records, "goodput_ratio >= 0.72", "failed_ratio <= 1", goodput={"ttft": 5000.0})
    assert alone.verdict is INCONCLUSIVE
    found, broken = rules(records, "goodput_ratio >= 0.9", "failed_ratio <= 0.1", goodput={"ttft": 5000.0})
    assert (found.verdict, found.proven, broken.verdict) == (FAIL, True, FAIL)


def test_a_proven_break_is_handed_on() -> None:
    """TPOT is broken in short spells, which say so by themselves; TTFT's long ones beside them would hide it."""
    records = []
    for i in range(400):
        slow = i // 130 % 2 == 1 and i % 3 == 0
        records.append(request(i, float(i), 0.9 if slow else 0.1, gaps=[0.09 if i % 5 == 0 else 0.01] * 9))
    pair = rules(records, "goodput_ratio >= 0.9", "p90_tpot_ms <= 50", goodput=BOTH)
    assert [v.verdict for v in pair] == [FAIL, FAIL]


def test_answers_of_one_token_have_no_tpot() -> None:
    """They are good, and no sample of TPOT: of 400 requests 20 are slow, of the 100 that have a TPOT a fifth."""
    records = [request(i, float(i), 0.1, gaps=[] if i % 4 else [0.09 if i % 20 == 0 else 0.01] * 9) for i in range(401)]
    tpot, goodput = rules(records, "p90_tpot_ms <= 50", "goodput_ratio >= 0.9", goodput=BOTH)
    assert goodput.verdict is PASS
    assert tpot.verdict is not PASS


def test_with_a_rate_it_is_the_time_from_due_that_is_limited() -> None:
    records = opened([0.3 + 0.15 * float(np.sin(i / 16)) for i in range(600)], rate=5)
    for text, follows in (("p90_ttft_ms <= 500", True), ("p90_service_ttft_ms <= 500", True)):
        found, other = rules(records, text, "goodput_ratio >= 0.9", goodput={"ttft": 500.0}, concurrency=None,
                             request_rate=5.0)  # fmt: skip
        assert (found.verdict, other.verdict) == (PASS, PASS) if follows else other.verdict is PASS


def test_a_doubt_stays_a_doubt() -> None:
    """A rule that is doubted proves nothing, and one that follows from another keeps its own."""
    held = Message(key="judge.doubt.held", values={"events": 9, "n": 400, "m": 400})
    asked = scenario("p90_ttft_ms <= 500", "goodput_ratio >= 0.9", goodput=BOTH)
    both = judged(asked, wandering(), doubts=[held]).verdicts
    assert [v.verdict for v in both[:2]] == [INCONCLUSIVE, INCONCLUSIVE]
    asked = scenario("p90_ttft_ms <= 900", "p90_e2el_ms <= 900", goodput={})
    tail, whole = judged(asked, wandering(), doubts=[held]).verdicts[:2]
    assert (tail.verdict, whole.verdict) == (INCONCLUSIVE, PASS)
    assert tail.reason.values["why"] == held


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_run_no_rule_is_weaker_than_what_it_follows_from(seed: int) -> None:
    """Random limits on random runs: along each pair the verdict does not fall."""
    rng = np.random.default_rng(seed)
    values = 0.2 * np.exp(np.convolve(rng.normal(size=330), np.ones(30) / 8, "valid"))[:300]
    records = [
        failure(i, float(i)) if rng.random() < 0.02 * (seed % 3) else
        request(i, float(i), float(values[i]), gaps=[float(rng.uniform(0.005, 0.06))] * 9) for i in range(300)
    ]  # fmt: skip
    goodput = {"ttft": float(rng.uniform(200, 600)), "tpot": float(rng.uniform(40, 70)), "e2el": 1500.0}
    shares = ("0.8", "0.9", "0.95")
    texts = [f"goodput_ratio >= {s}" for s in shares]
    for id, limit in goodput.items():
        texts += [f"slo_attainment.{id} >= {s}" for s in shares]
        texts += [f"p{float(s) * 100:g}_{id}_ms <= {limit}" for s in shares]
    found = {v.rule.text: v.verdict for v in rules(records, *texts, goodput=goodput)}
    for share, id in itertools.product(shares, goodput):
        whole, part = found[f"goodput_ratio >= {share}"], found[f"slo_attainment.{id} >= {share}"]
        assert not (whole is PASS and part is not PASS), (share, id)
        assert not (part is FAIL and whole is not FAIL), (share, id)
        tail = found[f"p{float(share) * 100:g}_{id}_ms <= {goodput[id]}"]
        assert not (whole is PASS and tail is not PASS), (share, id)
        for easier in (s for s in shares if s < share):
            assert not (part is PASS and found[f"slo_attainment.{id} >= {easier}"] is not PASS)
