"""No rule comes out weaker than one that it follows from, nor stronger than one that follows from it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from every import every
from runs import failure, judged, opened, request, scenario

from pytest_vllm_bench.judge.implications import _claim, settled
from pytest_vllm_bench.model import Message, Record, Rule, RuleVerdict, Verdict
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
        ("p90_tpot_ms < 50", "p10_output_tps_per_user > 20", "the same"),
        ("p90_tpot_ms <= 2000", "p10_output_tps_per_user >= 0.5", "the same"),
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


def given(text: str, verdict: Verdict = INCONCLUSIVE, **found: Any) -> RuleVerdict:
    """A rule's verdict as counting gave it; a decided one is proven."""
    values: dict[str, Any] = {"reason": Message(key="judge.unproven_within", values={"observed": "1", "limit": "2"}),
                              "observed": 1.0, "window": "steady", "n": 400, "proven": verdict is not INCONCLUSIVE,
                              "more": 60, "interval": (450.0, 520.0)}  # fmt: skip
    return RuleVerdict(rule=scenario(text).rules[0], verdict=verdict, **{**values, **found})


def settled_by(undecided: RuleVerdict, other: RuleVerdict, *, open_loop: bool = False) -> RuleVerdict:
    found, kept = settled([undecided, other], [undecided, other], BOTH, open_loop=open_loop)
    assert kept == other
    return found


def test_what_becomes_of_a_rule_that_follows_from_another() -> None:
    undecided = given("p90_ttft_ms <= 500", misses=20)
    found = settled_by(undecided, given("goodput_ratio >= 0.9", PASS, misses=30))
    assert found == replace(
        undecided, verdict=PASS, proven=True, within=True, more=None, interval=(450.0, 500.0),
        reason=Message(key="judge.follows", values={**undecided.reason.values, "other": "goodput_ratio >= 0.9"}),
    )  # fmt: skip
    assert "follows from goodput_ratio >= 0.9" in say(found.reason)
    above = given("request_throughput >= 1", interval=(0.9, 1.4), observed=1.2)
    found = settled_by(above, given("request_goodput >= 1", PASS, observed=1.1))
    assert (found.verdict, found.interval) == (PASS, (1.0, 1.4))
    assert settled_by(replace(undecided, interval=None), given("p90_e2el_ms <= 500", PASS, misses=30)).interval is None


def test_what_becomes_of_a_rule_that_asks_for_what_is_broken() -> None:
    undecided = given("goodput_ratio >= 0.9", misses=50, interval=(0.85, 0.95), within=True)
    found = settled_by(undecided, given("failed_ratio <= 0.1", FAIL, misses=45))
    assert found == replace(
        undecided, verdict=FAIL, proven=True, within=False, more=None, interval=(0.85, 0.9),
        reason=Message(key="judge.refuted", values={**undecided.reason.values, "other": "failed_ratio <= 0.1"}),
    )  # fmt: skip
    for op in ("<=", "<"):
        latency = given(f"p90_e2el_ms {op} 500", misses=50)
        assert settled_by(latency, given("p90_ttft_ms <= 500", FAIL, misses=45)).interval == (500.0, 520.0)


@every(
    ("undecided", "other", "follows"),
    [
        # what was seen must be so too: no more misses, of no fewer requests
        (given("p90_ttft_ms <= 500", misses=30), given("goodput_ratio >= 0.9", PASS, misses=30), True),
        (given("p90_ttft_ms <= 500", misses=31), given("goodput_ratio >= 0.9", PASS, misses=30), False),
        (given("p90_ttft_ms <= 500", misses=20, n=399), given("goodput_ratio >= 0.9", PASS, misses=30), False),
        (given("mean_ttft_ms <= 500", observed=400.0), given("mean_e2el_ms <= 500", PASS, observed=400.0), True),
        (given("mean_ttft_ms <= 500", observed=401.0), given("mean_e2el_ms <= 500", PASS, observed=400.0), False),
        (given("mean_ttft_ms <= 500", observed=300.0), given("mean_e2el_ms <= 500", PASS, observed=None), False),
        (given("mean_ttft_ms <= 500", observed=3.0, misses=3), given("mean_e2el_ms <= 500", PASS, observed=4.0), True),
        (given("request_throughput > 1", observed=2.0), given("request_goodput > 1", PASS, observed=2.0), True),
        (given("request_throughput >= 1", observed=1.9), given("request_goodput >= 1", PASS, observed=2.0), False),
        # one window says nothing of another; but where all failures count everywhere
        (given("p90_ttft_ms <= 500", misses=2, window="whole"), given("goodput_ratio >= 0.9", PASS, misses=9), False),
        (given("p90_ttft_ms <= 500", misses=2, window="whole"), given("p90_e2el_ms <= 500", PASS, misses=9), False),
        (given("failed_ratio <= 0.1", misses=2, window="whole"), given("goodput_ratio >= 0.9", PASS, misses=9), True),
        (given("failed_ratio <= 0.1", misses=2, window="whole"), given("p90_ttft_ms <= 500", PASS, misses=9), False),
        # only what is stronger proves, only what is weaker refutes
        (given("goodput_ratio >= 0.9", misses=2), given("p90_ttft_ms <= 500", PASS, misses=9), False),
        (given("p90_ttft_ms <= 500", misses=2), given("goodput_ratio >= 0.9", FAIL, misses=2), False),
        (given("p90_ttft_ms <= 500", misses=2), given("goodput_ratio >= 0.9", PASS, misses=9, proven=False), False),
        (given("p90_ttft_ms < 500", misses=2), given("p90_ttft_ms <= 500", PASS, misses=9), False),
        (given("p90_ttft_ms < 500", misses=2), given("p95_ttft_ms < 500", PASS, misses=9), True),
        (given("p10_e2el_ms > 5", misses=2), given("p10_ttft_ms > 5", PASS, misses=9), True),
        # goodput asks for each of its limits, attainment for one
        (given("p90_tpot_ms <= 50", misses=2), given("goodput_ratio >= 0.9", PASS, misses=9), True),
        (given("p90_ttft_ms <= 500", misses=2), given("slo_attainment.ttft >= 0.9", PASS, misses=9), True),
        (given("p90_tpot_ms <= 50", misses=2), given("slo_attainment.ttft >= 0.9", PASS, misses=9), False),
        # of what is compared, not proven, nothing follows
        (given("mean_ttft_ms == 500", observed=600.0), given("mean_ttft_ms >= 550", PASS, observed=600.0), False),
        (given("mean_ttft_ms != 500", observed=600.0), given("mean_ttft_ms >= 550", PASS, observed=600.0), False),
        (given("std_ttft_ms <= 500"), given("std_e2el_ms <= 400", PASS), False),
        (given("max_ttft_ms <= 500", misses=0), given("max_e2el_ms <= 400", PASS, misses=0), False),
        (given("p10_output_tps_per_user >= 0", misses=0), given("p90_tpot_ms <= 50", PASS, misses=0), False),
    ],
    ids=lambda case: f"{case[0].rule.text} by {case[1].rule.text}",
)  # fmt: skip
def test_what_one_verdict_says_of_another(undecided: RuleVerdict, other: RuleVerdict, follows: bool) -> None:
    found = settled_by(undecided, other)
    assert (found.verdict is other.verdict) is follows
    if not follows:
        assert found == undecided


@every(
    ("undecided", "other", "follows"),
    [
        ("p90_ttft_ms <= 500", "goodput_ratio >= 0.9", True),
        ("p90_tpot_ms <= 50", "goodput_ratio >= 0.9", True),
        ("p90_service_ttft_ms <= 500", "goodput_ratio >= 0.9", True),
        ("p90_service_ttft_ms <= 500", "p90_ttft_ms <= 500", True),
        ("p90_ttft_ms <= 500", "p90_service_e2el_ms <= 500", False),
        ("mean_ttft_ms <= 500", "mean_service_e2el_ms <= 500", False),
        ("mean_service_ttft_ms <= 500", "mean_e2el_ms <= 500", True),
    ],
)
def test_with_a_rate_limits_are_on_the_time_from_due(undecided: str, other: str, follows: bool) -> None:
    misses = None if "mean" in undecided else 3
    found = settled_by(given(undecided, misses=misses), given(other, PASS, misses=misses), open_loop=True)
    assert (found.verdict is PASS) is follows


def test_what_is_decided_keeps_its_own_words_and_what_nobody_knows_is_left_alone() -> None:
    decided, strong = given("p90_ttft_ms <= 500", PASS, misses=2), given("p95_ttft_ms <= 400", PASS, misses=9)
    assert settled_by(decided, strong) == decided
    unknown = given("p90_ttft_ms <= 500")
    for op in ("<=", "=="):
        of_tomorrow = Rule(text=f"of_tomorrow {op} 1", metric="of_tomorrow", op=op, limit=Decimal(1))
        assert settled_by(replace(unknown, rule=of_tomorrow), strong).verdict is INCONCLUSIVE


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
