"""Stopping early, repeats until, and what planned requests can decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from every import every
from runs import closed, failure, in_mode, judged, rule, scenario

from pytest_vllm_bench.judge import effective_rules
from pytest_vllm_bench.judge.enough import enough, undecidable
from pytest_vllm_bench.judge.statistics import at_least
from pytest_vllm_bench.judge.stopping import (
    between_runs,
    due_for_a_look,
    enough_repeats,
    hopeless,
    judged_means,
    spread_said,
)
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.model import JudgeSettings, Record, Repeats, RuleVerdict, Scenario, Verdict
from pytest_vllm_bench.text import say


def looks_of(planned: int) -> list[int]:
    """After how many finished requests there is a look."""
    looked, found = 0, []
    for finished in range(planned + 1):
        if due_for_a_look(finished, planned, looked):
            found.append(finished)
            looked += 1
    return found


def test_a_look_after_each_tenth_but_the_last() -> None:
    assert looks_of(100) == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert looks_of(25) == [3, 5, 8, 10, 13, 15, 18, 20, 23]


def look(asked: Scenario, records: list[Record], in_flight: int = 0) -> Any:
    return hopeless(asked, sample(records, settings_of(asked)), in_flight)


def some_slow(n: int, k: int, seed: int = 3) -> list[Record]:
    rng = np.random.default_rng(seed)
    ttfts = 0.1 + 0.01 * rng.random(n)
    ttfts[rng.permutation(n)[:k]] += 1
    return closed([float(t) for t in ttfts])


def test_a_rule_beyond_hope_stops_the_run() -> None:
    asked = scenario("p90_ttft_ms <= 500")
    found = look(asked, some_slow(60, 30))
    assert found is not None
    assert (found.verdict, found.proven, found.window) == (Verdict.FAIL, True, "steady")
    assert say(found.reason, "en") != say(found.reason, "zh")
    assert look(asked, some_slow(60, 3)) is None
    assert look(asked, []) is None


@pytest.mark.parametrize(
    ("text", "records", "known"),
    [("p90_ttft_ms <= 500", some_slow(60, 30), {"misses": 29, "n": 59, "window": "steady"}),
     ("failed_ratio <= 0.1", [failure(i, i * 0.001, "http") for i in range(20)],
      {"misses": 20, "n": 20, "window": "whole"})],
)  # fmt: skip
def test_what_stops_a_run_to_the_digit(text: str, records: list[Record], known: dict[str, Any]) -> None:
    found = look(scenario(text), records, in_flight=7)
    assert found == RuleVerdict(
        rule=rule(text), verdict=Verdict.FAIL, reason=found.reason, observed=None, within=False, proven=True, tau=1.0,
        window=known["window"], n=known["n"] + 7, misses=known["misses"], n_eff=known["n"] + 7.0,
        misses_eff=float(known["misses"]),
    )  # fmt: skip
    assert say(found.reason).startswith(
        f"{text}: proven broken before the end ({known['misses']} of {known['n']} missed it), so the run was stopped"
    )


def test_requests_that_depend_on_one_another_stop_a_run_on_more_misses() -> None:
    """τ of them are worth one, and so are those in flight."""
    slow = [i // 20 % 3 > 0 for i in range(240)]
    found = look(
        scenario("p90_ttft_ms <= 500"), closed([0.1 + 0.0001 * (i * 37 % 61) + slow[i] for i in range(240)]), 7
    )
    assert found.tau > 2
    assert (found.n, found.misses) == (239 + 7, sum(slow[1:]))
    assert (found.n_eff, found.misses_eff) == pytest.approx((found.n / found.tau, found.misses / found.tau))


def test_a_look_is_stricter_than_the_end() -> None:
    asked = scenario("p90_ttft_ms <= 500")
    records = closed([(1.0 if i % 5 == 3 else 0.1) + 0.0001 * (i * 37 % 61) for i in range(61)])
    assert judged(asked, records).verdicts[0].verdict is Verdict.FAIL
    assert look(asked, records) is None


def test_a_look_at_goodput_at_tokens_and_in_a_stall() -> None:
    implied = look(scenario(goodput={"ttft": 500}), some_slow(60, 40))
    assert implied is not None
    assert (implied.rule.text, implied.misses) == ("goodput_ratio >= 0.99", 39)
    assert look(scenario("p90_itl_token_ms <= 1"), some_slow(60, 30)) is None
    ttfts = [0.1 + 0.0001 * (i * 37 % 61) + (1.0 if 20 <= i < 40 else 0) for i in range(61)]
    stalled = look(scenario("p90_ttft_ms <= 500"), closed(ttfts))
    assert stalled is None or (stalled.tau or 0) > 1
    once = [failure(0, 0.0, "http")]
    assert look(scenario("failed_ratio <= 0.0001"), once) is None, "one miss proves nothing"


def test_looks_share_the_error_among_the_rules() -> None:
    """A twentieth of 5 %, and with five rules that may fail a fifth of it."""
    alone, among = (
        scenario("p90_ttft_ms <= 500"),
        ["p90_ttft_ms <= 500", *(f"p{q}_e2el_ms <= 9e9" for q in range(50, 54))],
    )

    def fewest(asked: Scenario) -> int:
        return next(k for k in range(1, 60) if look(asked, spread(k)) is not None)

    def spread(k: int) -> list[Record]:
        slow = {1 + int((j + 0.5) * 60 / k) for j in range(k)}
        return closed([0.1 + 0.0001 * (i * 37 % 61) + (i in slow) for i in range(61)])

    for asked, alpha in ((alone, 0.0025), (scenario(*among), 0.0005)):
        found = look(asked, spread(fewest(asked)))
        assert at_least(found.misses, found.n, 0.1) <= alpha < at_least(found.misses - 1, found.n, 0.1)


@every("text", ["p50_slot_wait_ms <= 0", "p50_response_ttft_ms <= 0", "slo_attainment.ttft >= 0.9",
                                  "goodput_ratio >= 0.9"])  # fmt: skip
@every("goodput", [{}, {"e2el": 1000.0}])
def test_what_is_not_measured_or_has_no_limit_stops_nothing(text: str, goodput: dict[str, float]) -> None:
    """A closed loop waits for no slot, and an SLO that nobody set is not missed: at the end that is "no data"."""
    asked, records = scenario(text, goodput=goodput), some_slow(200, 0)
    assert look(asked, records) is None
    found = judged(asked, records).verdicts[0]
    assert (found.observed is None) == (text != "goodput_ratio >= 0.9" or not goodput)


def test_requests_in_flight_count_as_within() -> None:
    asked = scenario("failed_ratio <= 0.1")
    records = [failure(i, i * 0.001, "http") for i in range(20)]
    assert look(asked, records) is not None
    assert look(asked, records, in_flight=180) is None


@every("text", ["max_ttft_ms <= 1", "failed == 0", "mean_ttft_ms <= 1", "p90_itl_ms <= 1",
                                  "server.x <= 1", "goodput_ratio >= 1"])  # fmt: skip
def test_exact_rules_means_and_gaps_stop_nothing(text: str) -> None:
    asked = scenario(text, "failed_ratio < 1", "goodput_ratio > 0", goodput={"ttft": 1})
    assert look(asked, [*some_slow(60, 30), failure(60, 99.0)]) is None


def test_exact_mode_stops_nothing() -> None:
    assert look(in_mode(scenario("p90_ttft_ms <= 500"), "exact"), some_slow(60, 30)) is None


def test_windows_are_respected() -> None:
    burst = closed([2.0] * 20 + [0.1] * 45, cap=20)
    whole = look(scenario("whole_p90_ttft_ms <= 500"), some_slow(60, 30))
    assert whole is not None
    assert (whole.window, whole.n) == ("whole", 60)
    assert look(scenario("p90_ttft_ms <= 500", concurrency=20), burst) is None
    assert look(scenario("steady_p90_ttft_ms <= 500", concurrency=20), some_slow(50, 40)) is None, "no window yet"


def test_what_stopped_a_run_stays_proven() -> None:
    asked = scenario("p90_ttft_ms <= 500", "p50_ttft_ms <= 1200", "max_ttft_ms <= 500")
    stopped = look(asked, some_slow(60, 30))
    rest = some_slow(80, 11)
    found = judged(asked, rest, complete=False, hopeless=stopped)
    assert found.verdict is Verdict.FAIL
    near = pytest.approx(1100, rel=0.01)
    assert found.verdicts[0] == replace(stopped, observed=near, other=near)
    assert [v.verdict for v in found.verdicts[1:]] == [Verdict.PASS, Verdict.FAIL, Verdict.PASS]
    assert found.faults == (stopped.reason,)


@pytest.mark.slow
def test_looks_and_end_together_err_little() -> None:
    """Runs exactly at the limit: nine looks and the end prove them over in at most 1.5 × 5 %."""
    asked = scenario("p90_ttft_ms <= 500", "failed_ratio < 1")
    rng, wrong, runs = np.random.default_rng(5), 0, 100
    for _ in range(runs):
        ttfts = np.where(rng.random(120) < 0.1, 1.0, 0.1) + 0.01 * rng.random(120)
        records = closed([float(t) for t in ttfts], gaps=[0.01])
        stopped = any(look(asked, records[:n]) is not None for n in looks_of(120))
        wrong += stopped or judged(asked, records).verdicts[0].verdict is Verdict.FAIL
    assert wrong <= 0.075 * runs + 8, "three standard deviations"


# ------------------------------------------------------------------------------------------------ repeats


def until(values: list[float | None], **changed: Any) -> bool:
    settings = {"min": 2, "max": 6, "until": 0.05, **changed}
    asked = replace(scenario("mean_ttft_ms <= 5", "p99_ttft_ms <= 5"), repeats=Repeats(**settings))
    return enough_repeats(asked, [{"mean_ttft_ms": v, "steady_mean_ttft_ms": None} for v in values])


def test_repeats_until_every_mean_is_narrow() -> None:
    assert not until([100.0])
    assert not until([100.0, 110.0])
    assert until([100.0, 100.1])
    assert until([100.0, 100.1, 99.9])
    assert not until([100.0, 100.1, None])
    assert until([100.0, 200.0, 100.0, 200.0, 100.0, 200.0]), "max is reached"
    assert not until([100.0, 100.1], min=3)
    assert until([0.0, 0.0]), "no tokens in any run: nothing varies"
    assert not until([100.0] * 5, looks=(2, 4), until=None), "whether all is decided is asked of what was judged"
    assert until([100.0, 300.0] * 3, looks=(2, 4), until=None)


def test_the_width_is_that_of_both_sides() -> None:
    """t[.975, 2] · s / √3 ≤ W · mean, at the very edge."""
    values: list[float | None] = [99.0, 100.0, 101.0]
    width = 4.302652729911275 * 1 / np.sqrt(3) / 100
    assert until(values, until=width * 1.0001)
    assert not until(values, until=width * 0.9999)


def test_repeats_without_until_are_as_many_as_asked() -> None:
    assert not until([100.0], until=None, min=3, max=3)
    assert until([100.0, 5.0, 7.0], until=None, min=3, max=3)
    assert until([100.0], until=None, min=1)
    assert not until([100.0], min=1), "one says nothing of how near it is"


def test_every_rule_on_a_mean_counts() -> None:
    asked = scenario("p99_ttft_ms <= 5", "steady_mean_ttft_ms <= 5", "whole_output_throughput >= 1")
    rows = [{"steady_mean_ttft_ms": v, "mean_ttft_ms": 1.0, "output_throughput": 2.0} for v in (1.0, None)]
    assert judged_means(asked, rows) == [[1.0, None], [2.0, 2.0]]


def test_repeats_prefer_the_steady_figure() -> None:
    asked = replace(scenario("mean_ttft_ms <= 5"), repeats=Repeats(min=2, max=9, until=0.05))
    rows: list[dict[str, Any]] = [{"mean_ttft_ms": v, "steady_mean_ttft_ms": 100.0} for v in (100.0, 500.0)]
    assert enough_repeats(asked, rows)
    assert not enough_repeats(replace(asked, rules=(rule("whole_mean_ttft_ms <= 5"),)), rows)
    open_loop = replace(asked, request_rate=5.0)
    assert not enough_repeats(open_loop, rows), "with a rate the figure is response_ttft, which is not there"


def test_the_spread_between_runs() -> None:
    assert between_runs([{"x": 1.0}], "x") is None
    assert between_runs([{"x": 1.0}, {"x": None}], "x") is None
    assert between_runs([{"x": 9.0}, {"x": 11.0}], "x") == pytest.approx(np.std([9, 11], ddof=1) / 10)
    assert between_runs([{"x": 1.0}, {"x": -1.0}], "x") is None
    runs: list[dict[str, Any]] = [{"mean_tpot_ms": v, "mean_e2el_ms": 10 * v} for v in (40.0, 100.0, 160.0)]
    said = spread_said(runs)
    assert said is not None
    assert say(said) == (
        "from run to run (3 runs) they varied: mean_tpot_ms 60.0%, mean_e2el_ms 60.0% (standard deviation over mean)"
    )
    assert spread_said([{"mean_tpot_ms": 9.0}]) is None
    assert between_runs([{"x": 9.0}, {"x": 10.0}, {"x": 12.0}], "x") == pytest.approx(
        np.std([9, 10, 12], ddof=1) / (31 / 3)
    )


# -------------------------------------------------------------------------------------------- before load


def said(*rules: str, planned: int, **changed: Any) -> list[tuple[str, int]]:
    found = undecidable(scenario(*rules, **changed), planned)
    for message in found:
        assert say(message, "en") != say(message, "zh")
    return [(m.values["rule"], m.values["needed"]) for m in found]


def test_rules_that_the_planned_number_cannot_decide() -> None:
    rules = ("p99_ttft_ms <= 5", "p90_ttft_ms <= 5", "mean_ttft_ms <= 5", "p99_itl_ms <= 5", "failed == 0",
             "failed_ratio <= 0.05", "max_ttft_ms <= 5")  # fmt: skip
    assert said(*rules, planned=50) == [("p99_ttft_ms <= 5", 299), ("failed_ratio <= 0.05", 59)]
    assert said(*rules, planned=300) == []


def test_it_says_how_many_are_lacking() -> None:
    found = undecidable(scenario("p99_ttft_ms <= 5", "failed_ratio <= 0.05", concurrency=5), 50)
    assert [say(message) for message in found] == [
        "p99_ttft_ms <= 5: 41 requests cannot prove this even if none misses; it takes 299 independent ones "
        "(at least 258 more)",
        "failed_ratio <= 0.05: 50 requests cannot prove this even if none misses; it takes 59 independent ones "
        "(at least 9 more)",
    ]


def test_a_closed_loop_loses_its_start_burst() -> None:
    assert said("p90_ttft_ms <= 5", planned=46, concurrency=10) == [("p90_ttft_ms <= 5", 29)]
    assert said("p90_ttft_ms <= 5", planned=48, concurrency=10) == []
    assert said("whole_p90_ttft_ms <= 5", planned=29, concurrency=10) == []
    assert said("p90_ttft_ms <= 5", planned=29, concurrency=10) == [], "without a window the whole run counts"
    assert said("p90_ttft_ms <= 5", planned=46, concurrency=10, request_rate=5.0) == []


def test_repeats_are_pooled_before_load_too() -> None:
    three = Repeats(min=3, max=3)
    assert said("p90_ttft_ms <= 5", planned=31, repeats=three) == [("p90_ttft_ms <= 5", 29)]
    assert said("p99_ttft_ms <= 5", planned=300, repeats=three) == [("p99_ttft_ms <= 5", 299)]
    assert said("p99_ttft_ms <= 5", planned=303, repeats=three) == []


def test_where_the_whole_run_is_the_sample() -> None:
    """Requests left out of the window are 2C − 1; each way in which none is."""
    assert said("failed_ratio <= 0.1", planned=29, concurrency=5) == []
    assert said("p90_ttft_ms <= 5", planned=29, concurrency=9) == [("p90_ttft_ms <= 5", 29)]
    assert said("p90_ttft_ms <= 5", planned=27, concurrency=9) == [("p90_ttft_ms <= 5", 29)]
    assert [m.values["n"] for m in undecidable(scenario("p90_ttft_ms <= 5", concurrency=9), 27)] == [10]
    assert [m.values["n"] for m in undecidable(scenario("p90_ttft_ms <= 5", concurrency=9), 26)] == [26]
    assert said("whole_p90_ttft_ms <= 5", planned=28, concurrency=2) == [("whole_p90_ttft_ms <= 5", 29)]
    assert said("whole_p90_ttft_ms <= 5", planned=29, concurrency=2) == []
    three = scenario("p90_ttft_ms <= 5", repeats=Repeats(min=3, max=3), concurrency=2)
    assert [m.values["n"] for m in undecidable(three, 20)] == [3 * (6 - 4 + 1)]
    for text in (
        "goodput_ratio >= 0",
        "p99_itl_ms <= 5",
        "p99_itl_token_ms <= 5",
        "failed_ratio <= 1",
        "max_ttft_ms <= 5",
    ):
        assert said(text, planned=2) == []
        assert enough(scenario(text)) == 25
    assert enough(scenario(goodput={"ttft": 5})) == 628


def test_exact_rules_are_always_decided() -> None:
    assert undecidable(in_mode(scenario("p99_ttft_ms <= 5"), "exact"), 5) == []


def test_implied_goodput_is_among_them() -> None:
    assert said(planned=50, goodput={"ttft": 5}) == [("goodput_ratio >= 0.99", 299)]


def test_enough_for_a_probe() -> None:
    assert enough(scenario("p90_ttft_ms <= 5")) == 61
    assert enough(scenario("p90_ttft_ms <= 5", "p99_e2el_ms <= 5")) == 628
    assert enough(scenario()) == 25
    assert enough(scenario("p99_ttft_ms <= 5", judge=JudgeSettings(confidence=0.99))) == 838
    assert [r.text for r in effective_rules(scenario())] == ["failed == 0"]
    assert [r.text for r in effective_rules(scenario("failed <= 1", goodput={"ttft": 5}))] == [
        "failed <= 1", "goodput_ratio >= 0.99"]  # fmt: skip
