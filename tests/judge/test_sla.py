"""Every kind of rule where it passes, fails, is inconclusive, and where there is no data at all."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from every import every
from runs import closed, facts, failure, in_mode, judged, opened, request, rule, scenario, verdict

from pytest_vllm_bench.judge import averages, of_one_repeat
from pytest_vllm_bench.judge.sla import figure_key, is_statistical, number
from pytest_vllm_bench.judge.summary import judge_figures
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.measure.columns import MetricSettings, sample, settings_of
from pytest_vllm_bench.metric_table import parse_name, parse_rule
from pytest_vllm_bench.model import JudgeSettings, Measurement, Message, Observed, Record, Rule, RuleVerdict, Verdict
from pytest_vllm_bench.text import say

PASS, FAIL, INCONCLUSIVE, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID


def noisy(n: int, mean: float = 0.1, seed: int = 1) -> list[float]:
    """Independent TTFTs in seconds, log-normal with a spread of a tenth."""
    return [float(x) for x in mean * np.exp(np.random.default_rng(seed).normal(0, 0.1, size=n))]


def with_share(n: int, k: int, low: float = 0.1, high: float = 1.0) -> list[float]:
    """n TTFTs of which k, spread over the run, are high; all differ a little, without order."""
    values = np.array([low + 1e-4 * x for x in np.random.default_rng(2).permutation(n)])
    values[((np.arange(k) + 0.5) * n / max(k, 1)).astype(int)] += high
    return [float(v) for v in values]


def one(text: str, records: list[Record], **changed: Any) -> RuleVerdict:
    return verdict(text, records, **changed)


# --------------------------------------------------------------------------------- percentiles and ratios


@every(
    ("text", "ttfts", "expected"),
    [
        ("p90_ttft_ms <= 500", with_share(201, 0), PASS),
        ("p90_ttft_ms <= 500", with_share(201, 60), FAIL),
        ("p90_ttft_ms <= 500", with_share(201, 18), INCONCLUSIVE),
        ("p90_ttft_ms < 500", with_share(201, 0), PASS),
        ("median_ttft_ms <= 500", with_share(201, 20), PASS),
        ("median_ttft_ms <= 500", with_share(201, 199), FAIL),
        ("p10_ttft_ms >= 50", with_share(201, 0), PASS),
        ("p10_ttft_ms >= 500", with_share(201, 5), FAIL),
        ("p10_ttft_ms > 99", with_share(201, 5), PASS),
        ("p99_ttft_ms <= 500", with_share(20, 0), INCONCLUSIVE),
        ("p90_itl_ms <= 20", with_share(201, 0), PASS),
        ("p90_itl_ms <= 5", with_share(201, 0), FAIL),
        ("p90_itl_token_ms <= 20", with_share(201, 0), PASS),
        ("p90_tpot_ms <= 20", with_share(201, 0), PASS),
        ("p90_max_gap_ms <= 5", with_share(201, 0), FAIL),
        ("p10_output_tps_per_user >= 90", with_share(201, 0), PASS),
        ("p10_output_tps_per_user >= 150", with_share(201, 0), FAIL),
        ("p90_send_lag_ms <= 1", with_share(201, 0), PASS),
    ],
)
def test_percentiles(text: str, ttfts: list[float], expected: Verdict) -> None:
    found = one(text, closed(ttfts))
    assert found.verdict is expected
    assert found.proven is (expected is not INCONCLUSIVE)
    assert say(found.reason, "en") != say(found.reason, "zh")


@every(
    ("text", "fails", "expected"),
    [
        ("failed_ratio <= 0.1", 0, PASS),
        ("failed_ratio <= 0.1", 60, FAIL),
        ("failed_ratio <= 0.1", 18, INCONCLUSIVE),
        ("failed_ratio < 0.1", 0, PASS),
        ("goodput_ratio >= 0.9", 0, PASS),
        ("goodput_ratio >= 0.9", 60, FAIL),
        ("goodput_ratio > 0.9", 18, INCONCLUSIVE),
        ("slo_attainment.ttft >= 0.9", 0, PASS),
        ("slo_attainment.ttft >= 0.9", 60, FAIL),
        ("slo_attainment.ttft >= 0.9", 18, INCONCLUSIVE),
    ],
)
def test_ratios(text: str, fails: int, expected: Verdict) -> None:
    ttfts: list[float | None] = list(with_share(201, fails))
    records = closed([None if t is not None and t >= 1 else t for t in ttfts])
    found = one(text, records, goodput={"ttft": 500, "e2el": 5000})
    assert found.verdict is expected
    assert found.misses == fails
    assert found.observed == pytest.approx(fails / 201 if "failed" in text else 1 - found.misses / found.n, abs=0.01)
    assert found.interval is not None
    assert isinstance(found.observed, float)
    low, high = found.interval
    assert low is not None
    assert high is not None
    assert low <= float(found.observed) <= float(high)


def some_fail(n: int, k: int) -> list[Record]:
    return closed([None if ttft >= 1 else ttft for ttft in with_share(n, k)])


def near(value: float | tuple[float, float]) -> Any:
    return pytest.approx(value, rel=1e-3)


SAID: list[tuple[str, list[Record], dict[str, Any], str]] = [
    ("p90_ttft_ms <= 500", closed(with_share(201, 60)), {"observed": near(1111.8), "other": near(1111.8), "n": 200,
     "misses": 60, "n_eff": 200.0, "misses_eff": 60.0, "tau": 1.0, "interval": near((1108.4, 1115.8)), "proven": True},
     "proven at 95 % to be broken: 60 of 200 missed it (observed 1112, asked <= 500)"),
    ("p10_ttft_ms >= 50", closed(with_share(201, 0)), {"observed": near(102), "n": 200, "misses": 0, "misses_eff": 0.0,
     "interval": near((101.2, 102.7)), "proven": True, "within": True},
     "proven at 95 %: all 200 at least 1.9 times the limit (observed 102, asked >= 50)"),
    ("p90_ttft_ms <= 500", closed(with_share(201, 22)), {"within": False, "proven": False, "more": None},
     "beyond it, but unproven: 22 of 200 missed it; too close to the limit to decide (observed 1101, asked <= 500)"),
    ("p99_ttft_ms <= 500", closed(with_share(101, 0)), {"within": True, "proven": False, "more": 199},
     "within it, but unproven: all 100 at most 22 % of the limit; about 199 more requests would make it proof "
     "(observed 109.9, asked <= 500)"),
    ("p90_ttft_ms <= 500", some_fail(201, 60), {"observed": "inf", "misses": 60},
     "proven at 95 % to be broken: 60 of 200 missed it (observed inf (60 failed), asked <= 500)"),
    ("failed_ratio <= 0.1", some_fail(201, 18), {"observed": near(0.08955), "interval": near((0.05868, 0.1299)),
     "window": "whole", "other": None, "n": 201, "misses": 18},
     "within it, but unproven: 18 of 201 missed it; too close to the limit to decide (observed 0.08955, asked <= 0.1)"),
    ("goodput_ratio >= 0.9", some_fail(201, 18), {"observed": near(0.91), "interval": near((0.8695, 0.941)),
     "other": near(0.91045), "n": 200, "window": "steady"},
     "within it, but unproven: 18 of 200 missed it; too close to the limit to decide (observed 0.91, asked >= 0.9)"),
    ("max_ttft_ms <= 2000", closed(with_share(201, 0)), {"observed": near(120), "n": 200, "misses": 0, "n_eff": None,
     "within": True, "proven": False, "other": near(120)},
     "all 200 at most 7 % of the limit (observed 120, asked <= 2000)"),
    ("max_ttft_ms <= 100", closed(with_share(201, 0)), {"within": False, "misses": 199, "verdict": FAIL},
     "199 of 200 missed it (observed 120, asked <= 100)"),
    ("std_ttft_ms <= 2000", closed(with_share(201, 0)), {"observed": near(5.813), "other": near(5.802), "n": 201,
     "misses": None, "within": True, "window": "steady"}, "observed 5.813, asked <= 2000"),
    ("std_ttft_ms <= 1", closed(with_share(201, 0)), {"within": False, "verdict": FAIL}, "observed 5.813, asked <= 1"),
    ("mean_ttft_ms <= 110", closed(noisy(300)), {"observed": near(99.387), "other": near(99.4006), "n": 299,
     "interval": near((98.871, 99.9026)), "proven": True, "within": True, "misses": None},
     "proven: 98.87 to 99.9 at 95 % (observed 99.39, asked <= 110)"),
    ("mean_ttft_ms <= 99.5", closed(noisy(300)), {"within": True, "proven": False, "more": 5912},
     "within it, but unproven: 98.87 to 99.9 at 95 %; about 5912 more requests would make it proof (observed 99.39, "
     "asked <= 99.5)"),
    ("mean_ttft_ms <= 90", closed(noisy(300)), {"within": False, "proven": True, "n": 299, "other": near(99.4006)},
     "proven to be broken: 98.87 to 99.9 at 95 % (observed 99.39, asked <= 90)"),
    ("request_throughput >= 6", closed(noisy(300)), {"interval": near((5.2337, 5.3262)), "within": False},
     "proven to be broken: 5.234 to 5.326 at 95 % (observed 5.28, asked >= 6)"),
    ("whole_output_throughput >= 60", closed(noisy(300)), {"interval": near((52.435, 53.161)), "window": "whole",
     "observed": near(52.798), "other": near(52.7997), "n": 299},
     "proven to be broken: 52.43 to 53.16 at 95 % (observed 52.8, asked >= 60)"),
    ("mean_ttft_ms <= 110", closed(noisy(8)), {"within": True, "interval": None, "other": near(102.252), "more": None},
     "within it, but unproven: fewer than 8 requests in a steady window; ask for more requests or for repeats: 3 "
     "(observed 102.1, asked <= 110)"),
]  # fmt: skip


@every(("text", "records", "known", "words"), SAID, ids=[f"{s[0]}-{i}" for i, s in enumerate(SAID)])
def test_a_verdict_and_its_words_to_the_digit(
    text: str, records: list[Record], known: dict[str, Any], words: str
) -> None:
    found = one(text, records, goodput={"ttft": 500})
    assert {key: getattr(found, key) for key in known} == known
    assert say(found.reason) == words


@every(
    ("value", "words"),
    [(None, "–"), ("inf", "inf"), (math.inf, "inf"), (-math.inf, "-inf"), (3.0, "3"), (-2.0, "-2"), (0.12345, "0.1235"),
     (999.96, "1000"), (999.94, "999.9"), (1000.4, "1000"), (-1000.6, "-1001"), (123456.7, "123457")],
)  # fmt: skip
def test_a_figure_as_people_read_it(value: float | str | None, words: str) -> None:
    assert number(value) == words


def test_a_failure_is_a_miss_of_every_latency_rule() -> None:
    ttfts: list[float | None] = list(with_share(200, 0))
    for i in range(5, 200, 5):
        ttfts[i] = None
    found = one("p90_ttft_ms <= 500", closed(ttfts))
    assert found.verdict is FAIL
    assert found.observed == "inf"
    assert found.interval is not None
    assert found.interval[1] == float("inf")
    assert "39 failed" in say(found.reason)


def test_a_missing_value_of_a_success_is_a_miss() -> None:
    records = [request(i, float(i), first_output=None) for i in range(100)]
    assert one("p90_ttfo_ms <= 500", records).verdict is FAIL


def test_answers_of_one_token_are_left_out_of_gap_rules() -> None:
    records = [request(i, float(i), ttft=0.1 + 0.001 * (i % 7), gaps=[] if i % 2 else [0.01] * 9) for i in range(100)]
    found = one("p90_tpot_ms <= 20", records)
    assert (found.n, found.misses) == (49, 0)
    assert one("p90_ttft_ms <= 500", records).n == 99


def test_the_observed_figure_is_the_order_statistic_that_decides() -> None:
    records = [request(i, float(i), ttft=0.001 * (1 + (i * 37) % 100)) for i in range(100)]
    values = sorted(0.001 * (1 + (i * 37) % 100) for i in range(1, 100))  # the window begins with the first completion
    found = one("p90_ttft_ms <= 500", records)
    assert found.n == 99
    assert found.observed == pytest.approx(values[90 - 1] * 1000)
    low = one("p10_ttft_ms >= 1", records)
    assert low.observed == pytest.approx(values[99 - 90] * 1000)


def test_no_more_misses_than_the_share_is_within() -> None:
    edge = [request(i, float(i), ttft=1.0 if i in (30, 60) else 0.1) for i in range(20 * 10 + 1)]
    assert one("p99_ttft_ms <= 500", edge).within is True
    over = [request(i, float(i), ttft=1.0 if i in (30, 60, 90) else 0.1) for i in range(20 * 10 + 1)]
    assert one("p99_ttft_ms <= 500", over).within is False


@pytest.mark.parametrize(("op", "misses"), [("<=", 0), ("<", 100), (">=", 0), (">", 100)])
def test_a_value_at_the_limit(op: str, misses: int) -> None:
    records = [request(i, float(i), ttft=0.0625) for i in range(101)]
    for record in records:
        assert record.sent is not None
        record.first_token = record.sent + 0.0625
    assert one(f"p90_ttft_ms {op} 62.5", records).misses == misses


def test_more_requests_that_would_decide() -> None:
    found = one("p99_ttft_ms <= 500", closed(with_share(101, 0)))
    assert found.verdict is INCONCLUSIVE
    assert found.n == 100
    assert found.more == 299 - 100
    assert "199" in say(found.reason)


def test_too_close_to_decide() -> None:
    found = one("p90_ttft_ms <= 500", closed(with_share(1001, 100)))
    assert found.verdict is INCONCLUSIVE
    assert found.more is None
    assert found.reason.values["why"].key == "judge.too_close"


def test_the_interval_holds_the_limits_that_are_undecided() -> None:
    records = closed(noisy(400))
    found = one("p90_ttft_ms <= 112", records)
    assert found.interval is not None
    low, high = found.interval
    assert low < float(found.observed or 0) < high
    assert one(f"p90_ttft_ms <= {high}", records).verdict is PASS
    assert one(f"p90_ttft_ms <= {high - 0.01}", records).verdict is INCONCLUSIVE
    assert one(f"p90_ttft_ms <= {low}", records).verdict is INCONCLUSIVE
    assert one(f"p90_ttft_ms <= {low - 0.01}", records).verdict is FAIL


def test_the_interval_may_end_with_the_largest_value() -> None:
    records = closed(with_share(31, 0))
    found = one("p90_ttft_ms <= 500", records)
    assert found.n == 30
    assert found.interval is not None
    assert found.interval[1] == pytest.approx(
        1000 * max(float(r.first_token or 0) - float(r.sent or 0) for r in records[1:])
    )
    assert found.interval[0] < found.interval[1]
    short = one("p90_ttft_ms <= 500", closed(with_share(29, 0))).interval
    assert short is not None
    assert short[1] == float("inf"), "28 requests prove nothing about a p90"


def test_a_stall_is_worth_fewer_independent_requests() -> None:
    together = with_share(401, 0)
    for i in range(200, 230):
        together[i] = 1.0
    stalled, scattered = one("p95_ttft_ms <= 500", closed(together)), one(
        "p95_ttft_ms <= 500", closed(with_share(401, 30)))  # fmt: skip
    assert stalled.misses == scattered.misses == 30
    assert scattered.verdict is FAIL
    assert stalled.verdict is INCONCLUSIVE
    assert (stalled.tau or 0) > 5
    assert stalled.n_eff == pytest.approx(stalled.n / (stalled.tau or 1))
    assert stalled.misses_eff == pytest.approx(30 / (stalled.tau or 1))


def test_fail_is_corrected_for_the_number_of_rules_and_pass_is_not() -> None:
    """28 misses or more of 200 come with 4.3 % where a tenth miss: enough for one rule, not for ten that share 5 %."""
    records = closed(with_share(201, 28))
    alone = judged(scenario("p90_ttft_ms <= 500"), records).verdicts[0]
    assert (alone.verdict, alone.n, alone.misses) == (FAIL, 200, 28)
    rules = ["p90_ttft_ms <= 500", *(f"p{q}_e2el_ms <= 9000" for q in range(50, 59))]
    among = judged(scenario(*rules), records).verdicts
    assert among[0].verdict is INCONCLUSIVE
    assert [v.verdict for v in among[1:-1]] == [PASS] * 9


def test_confidence_is_asked_for() -> None:
    records = closed(with_share(401, 4))
    assert one("p98_ttft_ms <= 500", records).verdict is INCONCLUSIVE
    assert one("p98_ttft_ms <= 500", records, judge=JudgeSettings(confidence=0.9)).verdict is PASS


# --------------------------------------------------------------------------------- means and throughputs


@every(
    ("text", "expected"),
    [
        ("mean_ttft_ms <= 110", PASS),
        ("mean_ttft_ms <= 99.5", INCONCLUSIVE),
        ("mean_ttft_ms < 99.5", INCONCLUSIVE),
        ("mean_ttft_ms <= 90", FAIL),
        ("mean_ttft_ms >= 90", PASS),
        ("mean_ttft_ms > 110", FAIL),
        ("mean_itl_ms <= 11", PASS),
        ("mean_itl_ms < 9", FAIL),
        ("mean_output_tps_per_user >= 95", PASS),
        ("request_throughput >= 5", PASS),
        ("request_throughput >= 6", FAIL),
        ("request_throughput >= 5.24", INCONCLUSIVE),
        ("output_throughput >= 50", PASS),
        ("total_token_throughput >= 700", FAIL),
        ("input_throughput <= 700", PASS),
        ("request_goodput >= 5", PASS),
        ("good_output_throughput >= 60", FAIL),
        ("whole_mean_ttft_ms <= 110", PASS),
        ("whole_output_throughput >= 60", FAIL),
    ],
)
def test_means_and_throughputs(text: str, expected: Verdict) -> None:
    found = one(text, closed(noisy(300)), goodput={"ttft": 500})
    assert found.verdict is expected
    assert found.interval is not None
    assert found.interval[0] < float(found.observed or 0) < found.interval[1]
    assert found.window == ("whole" if text.startswith("whole_") else "steady")
    assert (found.more is not None) is (expected is INCONCLUSIVE)


def test_a_mean_too_close_to_its_limit_says_so() -> None:
    records = closed(noisy(300))
    seen = float(one("mean_ttft_ms <= 500", records).observed or 0)
    assert one(f"mean_ttft_ms <= {seen}", records).more is None
    assert one(f"mean_ttft_ms <= {seen + 0.02:.3f}", records).more is None
    near = one(f"mean_ttft_ms <= {seen + 0.2:.3f}", records)
    assert near.interval is not None
    width = (near.interval[1] - near.interval[0]) / 2
    assert near.more == pytest.approx(299 * ((width / 0.2) ** 2 - 1), rel=0.05)
    for times, more in ((1.0005, 1), (9.9, math.ceil(299 * (9.9**2 - 1))), (10.1, None), (10.9, None)):
        assert one(f"mean_ttft_ms <= {seen + width / times:.12f}", records).more == more


def test_a_mean_over_successes_needs_eight_in_a_steady_window() -> None:
    found = one("mean_ttft_ms <= 500", closed(noisy(9)))
    assert found.verdict is PASS
    few = one("mean_ttft_ms <= 500", closed(noisy(8)))
    assert few.verdict is INCONCLUSIVE
    assert few.within is True
    assert few.reason.values["why"].key == "judge.no_blocks"
    assert one("mean_ttft_ms <= 500", closed(noisy(30)), concurrency=None).verdict is INCONCLUSIVE


def test_ten_blocks_from_a_thousand_requests() -> None:
    name = parse_name("mean_ttft_ms")
    assert name is not None
    for n, blocks in ((1000, 5), (1001, 10)):  # the first request is before the window
        found = averages.spread(name, [sample(closed(noisy(n)), MetricSettings(concurrency=1))], (), "mean_ttft_ms")
        assert found is not None
        assert (len(found[0]), found[1]) == (blocks, n - 1)


def uneven() -> list[Record]:
    """Requests of two lengths whose every figure varies; the last token but those of the last comes as that is sent."""
    made = [
        request(i, float(i), ttft=0.1 + 0.001 * (i * 7 % 13), gaps=[0.01 + 0.0001 * (i % 5)] * (9 if i % 3 else 4),
                sequences=i % 4 if i < 20 else None)
        for i in range(40)
    ]  # fmt: skip
    made[38] = request(38, 38.0, ttft=0.5, gaps=[0.25, 0.25])
    return made


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_blocks_by_hand(shuffled: bool) -> None:
    """Blocks of as many requests by sending (gaps by their end), throughputs of as much time."""
    records = uneven()
    seen = sample(records[::-1] if shuffled else records, MetricSettings(concurrency=1))
    assert seen.steady is not None
    begin, end = seen.steady
    inside = [r for r in records if float(r.sent or 0) >= begin]
    width = (end - begin) / 5

    def per_request(figure: Any) -> list[float]:
        return [float(np.mean(block)) for block in np.array_split([figure(r) for r in inside], 5)]

    def per_time(when_and_amount: Any) -> list[float]:
        totals = [0.0] * 5
        for record in records:
            for when, amount in when_and_amount(record):
                if begin < when <= end:
                    totals[min(4, math.ceil((when - begin) / width) - 1)] += amount
        return [total / width for total in totals]

    gaps = [gap for r in records for at, gap in zip(r.arrival_times[1:], np.diff(r.arrival_times), strict=True)
            if begin < at <= end]  # fmt: skip
    expected = {
        "mean_ttft_ms": per_request(lambda r: (r.first_token - r.sent) * 1000),
        "mean_output_tps_per_user": per_request(lambda r: (r.output_tokens - 1) / (r.last_token - r.first_token)),
        "mean_itl_ms": [float(np.mean(block)) * 1000 for block in np.array_split(gaps, 5)],
        "request_throughput": per_time(lambda r: [(r.done, 1)]),
        "output_throughput": per_time(lambda r: zip(r.arrival_times, r.arrival_tokens, strict=True)),
        "input_sequence_throughput": per_time(lambda r: [(r.done, r.sequences or 0)]),
    }
    for text, values in expected.items():
        name = parse_name(text)
        assert name is not None
        found = averages.spread(name, [seen], (), text)
        assert found is not None
        assert (found[1], found[0]) == (len(inside), pytest.approx(values)), text


def test_a_repeat_without_an_answer_is_evidence_of_a_throughput_of_nothing() -> None:
    name = parse_name("request_throughput")
    assert name is not None
    good, dead = (sample(closed(ttfts), MetricSettings(concurrency=1)) for ttfts in (noisy(40), [None] * 40))
    alone, both = (averages.spread(name, samples, (), "request_throughput") for samples in ([good], [good, dead]))
    assert alone is not None
    assert both == (alone[0] + [0.0] * 5, 39 + 39)


def test_a_mean_of_two_gaps_has_an_interval_and_one_gap_has_none() -> None:
    for gaps, interval, why in (([0.01], None, "judge.no_blocks"), ([0.01, 0.011], (7.34312, 13.65688), "judge.more")):
        records = [request(i, float(i), gaps=gaps if i == 10 else ()) for i in range(20)]
        found = one("mean_itl_ms <= 12", records)
        assert found.verdict is INCONCLUSIVE
        assert found.reason.values["why"].key == why
        assert found.interval == (interval and near(interval))  # t = 6.3138 of two values 0.5 from their mean


def test_a_whole_run_borrows_the_relative_width_of_its_steady_window() -> None:
    """A first request of 20 s halves the throughput of the run, and what is known of it to the same part."""
    records = closed([20.0, *noisy(99)])
    steady, whole = (one(f"{window}output_throughput >= 1", records) for window in ("", "whole_"))
    assert steady.interval is not None
    assert whole.interval is not None
    seen, half = float(whole.observed or 0), (whole.interval[1] - whole.interval[0]) / 2
    assert seen < 0.6 * float(steady.observed or 0)
    assert half / seen == pytest.approx((steady.interval[1] / float(steady.observed or 0)) - 1, rel=0.02)
    for away, expected in ((1.1, FAIL), (0.9, INCONCLUSIVE), (-0.9, INCONCLUSIVE), (-1.1, PASS)):
        assert one(f"whole_output_throughput >= {seen + away * half}", records).verdict is expected


def test_a_borrowed_width_is_relative() -> None:
    low, high = averages.interval(10.0, [0.4, 0.6], 0.95, borrowed=False)
    assert averages.interval(10.0, [0.4, 0.6], 0.95, borrowed=True) == pytest.approx(
        (10 - 20 * (10 - low), 20 * high - 190)
    )
    assert averages.interval(10.0, [0.0, 0.0], 0.95, borrowed=True) == (-math.inf, math.inf)


@every("id", ["response_ttft", "response_e2el"])
@every(("factor", "grows"), [(1.0, False), (1.66, False), (1.68, True), (0.5, False)])
def test_a_queue_grows_where_the_last_fifth_waits_half_as_long_again(id: str, factor: float, grows: bool) -> None:
    """A straight line within the window, whatever is outside it and in whatever order the requests are."""
    seen = sample(opened([0.1] * 300), settings_of(scenario(concurrency=None, request_rate=10.0)))
    chosen = np.flatnonzero(seen.in_steady)
    values = np.full(300, 0.0)
    values[chosen] = 0.1 * np.linspace(1, factor, len(chosen))
    ramp = replace(seen, values={id: values})
    assert averages.queue_grows([ramp]) is grows
    if id == "response_e2el":
        unseen = replace(ramp, values={id: values, "response_ttft": np.full(300, np.nan)})
        assert averages.queue_grows([unseen]) is grows
    order = np.random.default_rng(3).permutation(300)
    mixed = replace(ramp, values={id: values[order]}, due=seen.due[order], in_steady=seen.in_steady[order])
    assert averages.queue_grows([mixed]) is grows
    assert not averages.queue_grows([replace(ramp, values={})])


def test_five_answers_show_whether_a_queue_grows() -> None:
    seen = sample(opened([0.1] * 300), settings_of(scenario(concurrency=None, request_rate=10.0)))
    for few in (4, 5):
        values = np.full(300, np.nan)
        values[np.flatnonzero(seen.in_steady)[-few:]] = np.linspace(0.1, 0.3, few)
        assert averages.queue_grows([replace(seen, values={"response_ttft": values})]) is (few == 5)
    values[np.isfinite(values)] = [1, 1.125, 1.25, 1.375, 1.5]
    assert not averages.queue_grows([replace(seen, values={"response_ttft": values})]), "by half and no more"


@pytest.mark.parametrize("window", ["", "whole_"])
def test_with_a_rate_the_repeats_differ_in_what_was_waited_from_due(window: str) -> None:
    repeats = [opened(noisy(200), late=late) for late in (0.1, 0.2, 0.3)]
    asked = scenario(f"{window}mean_ttft_ms <= 500", concurrency=None, request_rate=10.0)
    found = judged(asked, *repeats).verdicts[0]
    half = 2.919985580353726 * 100 / math.sqrt(3)
    assert found.interval == near((float(found.observed or 0) - half, float(found.observed or 0) + half))


def test_with_a_rate_the_blocks_are_of_what_was_waited_from_due() -> None:
    records = opened([0.1] * 200)
    for i, record in enumerate(records):
        assert record.due is not None
        record.due -= 0.01 * (i % 4)
    waits, served = (one(f"mean_{id}_ms <= 500", records, concurrency=None, request_rate=10.0).interval
                     for id in ("ttft", "service_ttft"))  # fmt: skip
    assert served == near((100, 100))
    assert waits is not None
    assert waits[0] < 115 < waits[1]
    assert waits[1] - waits[0] > 0.1


def test_three_repeats_speak_for_themselves() -> None:
    repeats = [closed(noisy(40, mean, seed)) for seed, mean in ((1, 0.1), (2, 0.13), (3, 0.16))]
    found = judged(scenario("mean_ttft_ms <= 150"), *repeats).verdicts[0]
    assert found.verdict is INCONCLUSIVE, "the repeats differ by far more than the blocks of each"
    assert found.n == 117, "all but the first of each"
    assert judged(scenario("mean_ttft_ms <= 150"), repeats[1], repeats[1]).verdicts[0].verdict is PASS
    whole = judged(scenario("whole_output_throughput >= 20"), *repeats).verdicts[0]
    assert whole.verdict is PASS
    assert whole.n == 120
    assert whole.interval is not None
    figures = [400 / (r[-1].done or 0) for r in repeats]
    pooled = 1200 / sum(r[-1].done or 0 for r in repeats)
    half = 2.919985580353726 * np.std(figures, ddof=1) / np.sqrt(3)
    assert whole.interval == pytest.approx((pooled - half, pooled + half)), "its own scatter, not a borrowed one"


def test_exactly_equal_repeats_have_no_width() -> None:
    repeats = [closed([0.1] * 20)] * 3
    assert judged(scenario("mean_ttft_ms <= 100.1"), *repeats).verdicts[0].verdict is PASS
    assert judged(scenario("mean_ttft_ms <= 99.9"), *repeats).verdicts[0].verdict is FAIL


# ---------------------------------------------------------------------------------------- plain comparisons


@every(
    ("text", "expected"),
    [
        ("failed == 0", PASS), ("failed != 0", FAIL), ("completed == 100", PASS), ("completed >= 101", FAIL),
        ("max_ttft_ms <= 2000", PASS), ("max_ttft_ms < 500", FAIL), ("min_ttft_ms >= 50", PASS),
        ("min_ttft_ms > 500", FAIL), ("max_ttft_ms >= 900", PASS), ("std_ttft_ms <= 500", PASS),
        ("p100_ttft_ms <= 2000", PASS), ("p100_ttft_ms <= 500", FAIL), ("duration <= 100", PASS),
        ("max_concurrent_requests == 1", PASS), ("mean_concurrency >= 0.9", PASS), ("p90_ttft_ms == 3", FAIL),
        ("p90_ttft_ms != 3", PASS), ("mean_ttft_ms != 3", PASS), ("goodput_ratio >= 1", FAIL),
        ("goodput_ratio <= 0.99", PASS), ("goodput_ratio >= 0", PASS), ("failed_ratio <= 0", PASS),
        ("failed_ratio <= 1", PASS), ("failed_ratio >= 0.5", FAIL), ("server.hits <= 5", PASS),
        ("server.hits < 5", FAIL), ("failed_timeout == 0", PASS), ("total_output_tokens == 1000", PASS),
    ],
)  # fmt: skip
def test_exact_rules_are_observed_never_proven(text: str, expected: Verdict) -> None:
    asked = scenario(text, goodput={"ttft": 500})
    found = judged(asked, closed(with_share(100, 3)), server={"hits": 5.0}).verdicts[0]
    assert found.verdict is expected
    assert found.proven is False
    assert found.tau is None


def test_a_failed_request_is_the_largest_value() -> None:
    records = closed([0.1] * 50 + [None] + [0.1] * 50)
    assert one("max_ttft_ms <= 500", records).verdict is FAIL
    assert one("max_ttft_ms <= 500", records).observed == "inf"
    assert one("min_ttft_ms >= 50", records).verdict is FAIL


@every("text", ["p90_ttft_ms <= 500", "mean_ttft_ms <= 500", "output_throughput >= 1",
                                  "max_ttft_ms <= 500", "failed_ratio <= 0.5", "goodput_ratio >= 0.1",
                                  "std_ttft_ms <= 5", "p90_itl_ms <= 500", "server.hits <= 5",
                                  "steady_p90_ttft_ms <= 500", "max_output_tokens_per_s >= 1"])  # fmt: skip
def test_no_data_fails(text: str) -> None:
    nothing: list[Record] = []
    found = judged(scenario(text, goodput={"ttft": 500}), nothing).verdicts[0]
    assert found.verdict is FAIL
    assert found.observed is None
    assert found.within is None
    assert found.reason.key == "judge.no_data"


@pytest.mark.parametrize("text", ["mean_ttft_ms <= 500", "output_throughput >= 1", "p90_itl_ms <= 500"])
def test_all_failed_is_no_data_for_what_is_over_successes(text: str) -> None:
    found = one(text, closed([None] * 50))
    assert found.verdict is FAIL
    assert found.reason.key == "judge.no_data"


def test_ninety_nine_failures_and_a_quick_success_are_not_good() -> None:
    found = one("goodput_ratio >= 0.5", [*(failure(i, float(i)) for i in range(99)), request(99, 99.0)],
                goodput={"ttft": 500})  # fmt: skip
    assert found.verdict is FAIL
    assert found.misses == 99


def test_goodput_rules_without_limits_have_no_data() -> None:
    assert one("goodput_ratio >= 0.5", closed(noisy(20))).reason.key == "judge.no_data"


# ------------------------------------------------------------------------------------------------ windows


def test_rules_look_at_the_steady_window_and_show_the_other() -> None:
    records = closed([3.0] * 4 + noisy(96), cap=4)
    found = one("p90_ttft_ms <= 500", records, concurrency=4)
    assert (found.window, found.misses) == ("steady", 0)
    assert found.other == pytest.approx(float(np.quantile([3.0] * 4 + noisy(96), 0.9)) * 1000)
    whole = one("whole_p90_ttft_ms <= 500", records, concurrency=4)
    assert (whole.window, whole.misses, whole.n) == ("whole", 4, 100)
    steady = [record for record in records if float(record.sent or 0) >= float(records[0].done or 0)]
    ttfts = [float(record.first_token or 0) - float(record.sent or 0) for record in steady]
    assert (found.n, whole.other) == (len(steady), pytest.approx(float(np.quantile(ttfts, 0.9)) * 1000))
    exact = judged(in_mode(scenario("mean_ttft_ms <= 500", concurrency=4), "exact"), records).verdicts[0]
    assert (exact.window, exact.observed) == ("steady", pytest.approx(float(np.mean(ttfts)) * 1000))
    assert exact.other == pytest.approx(float(np.mean([3.0] * 4 + noisy(96))) * 1000)
    assert one("max_ttft_ms <= 500", records, concurrency=4).verdict is PASS
    assert one("whole_max_ttft_ms <= 500", records, concurrency=4).verdict is FAIL


def test_gap_rules_look_at_their_window_too() -> None:
    records = closed(noisy(60))
    records[0] = request(0, 0.0, gaps=[0.02] * 9)
    assert one("max_itl_ms <= 15", records).verdict is PASS
    assert one("whole_max_itl_ms <= 15", records).verdict is FAIL
    assert one("whole_max_itl_ms <= 15", records).misses == 9
    mean = one("mean_itl_ms <= 10.5", records)
    assert mean.verdict is PASS
    assert mean.interval == pytest.approx((10, 10)), "the blocks are those of the window"


def test_failures_are_always_counted_over_the_whole_run() -> None:
    records = closed([*[None] * 4, *noisy(96)], cap=4)
    assert one("failed == 0", records, concurrency=4).verdict is FAIL
    found = one("failed_ratio <= 0.5", records, concurrency=4)
    assert (found.window, found.misses, found.n) == ("whole", 4, 100)
    steady = one("steady_failed == 0", records, concurrency=4)
    assert steady.window == "whole"
    assert one("failed_timeout == 0", records, concurrency=4).verdict is FAIL


def test_a_refused_connection_is_a_miss_in_the_window_it_fell_in() -> None:
    records = closed(noisy(100), cap=4)
    for i in range(50, 70):
        gone = records[i]
        records[i] = failure(i, None, "connect", due=0.0, ready=None, done=gone.sent)
    found = one("p50_ttft_ms <= 500", records, concurrency=4)
    assert (found.window, found.misses) == ("steady", 20)
    assert (found.tau or 0) > 1, "they came one after another"


def test_totals_are_those_of_the_run_unless_the_steady_window_is_asked_for() -> None:
    found = one("completed == 100", closed(noisy(100), cap=4), concurrency=4)
    assert (found.window, found.verdict, found.observed) == ("whole", PASS, 100)
    steady = one("steady_completed == 100", closed(noisy(100), cap=4), concurrency=4)
    assert (steady.window, steady.verdict, steady.observed, steady.other) == ("steady", FAIL, 93, 100)


def test_failures_before_the_window_join_a_goodput_rule() -> None:
    records = closed([*[None] * 4, *noisy(96)], cap=4)
    found = one("goodput_ratio >= 0.5", records, concurrency=4, goodput={"ttft": 500})
    assert found.window == "steady"
    assert found.misses == 4
    assert one("whole_goodput_ratio >= 0.5", records, concurrency=4, goodput={"ttft": 500}).n == 100


def test_without_a_steady_window_the_whole_run_is_judged() -> None:
    found = one("p50_ttft_ms <= 500", closed(noisy(40)), concurrency=None)
    assert (found.window, found.n, found.other) == ("whole", 40, None)


def test_one_repeat_without_a_window_sends_all_to_the_whole_run() -> None:
    asked = scenario("p50_ttft_ms <= 500")
    found = judged(asked, closed(noisy(40)), closed(noisy(5))).verdicts[0]
    assert (found.window, found.n) == ("whole", 45)


def test_repeats_are_pooled() -> None:
    found = judged(scenario("p90_ttft_ms <= 500"), closed(noisy(40)), closed(noisy(40, seed=2))).verdicts[0]
    assert found.n == 78
    assert found.verdict is PASS


def test_a_spread_between_repeats_is_less_evidence() -> None:
    good, bad = closed(with_share(101, 0)), closed(with_share(101, 30))
    found = judged(scenario("p90_ttft_ms <= 500"), good, bad).verdicts[0]
    assert found.verdict is INCONCLUSIVE
    assert (found.tau or 0) > 30


# ---------------------------------------------------------------------------------------------- open loops


def test_with_a_rate_latencies_are_read_from_due() -> None:
    records = opened([float(t) for t in noisy(200)], late=1.0)
    asked: dict[str, Any] = {"concurrency": None, "request_rate": 10.0}
    assert one("p50_ttft_ms <= 500", records, **asked).verdict is FAIL
    assert one("p50_service_ttft_ms <= 500", records, **asked).verdict is PASS
    assert one("mean_ttft_ms <= 500", records, **asked).verdict is FAIL
    assert one("mean_service_ttft_ms <= 500", records, **asked).verdict is PASS
    assert one("max_e2el_ms <= 500", records, **asked).verdict is FAIL
    found = judged(scenario("slo_attainment.ttft >= 0.5", goodput={"ttft": 500}, **asked), records).verdicts[0]
    assert found.verdict is FAIL


def test_what_the_cap_kept_unsent_is_a_miss() -> None:
    records = opened(noisy(180))
    records += [failure(180 + i, None, "not_sent", due=(180 + i) / 10, ready=None) for i in range(60)]
    found = one("p90_ttft_ms <= 5000", records, request_rate=10.0, concurrency=4)
    assert found.within is False, "they came in one stretch, so it is not proven"
    assert found.misses == 60
    stopped = judged(scenario("whole_p90_ttft_ms <= 5000", request_rate=10.0), records, complete=False).verdicts[0]
    assert (stopped.misses, stopped.n) == (0, 180)


def growing(n: int) -> list[Record]:
    return opened([0.1 + 0.02 * i for i in range(n)])


def test_a_growing_queue_never_passes() -> None:
    asked: dict[str, Any] = {"concurrency": None, "request_rate": 10.0, "goodput": {"ttft": 9000}}
    for text in ("p90_ttft_ms <= 9000", "goodput_ratio >= 0.9", "mean_e2el_ms <= 9000", "p90_tpot_ms <= 900",
                 "p10_output_tps_per_user >= 1", "max_ttft_ms <= 9000"):  # fmt: skip
        found = one(text, growing(300), **asked)
        assert found.verdict is INCONCLUSIVE, text
        assert found.reason.values["why"].key == "judge.queue_grows"
        assert found.within is True
        assert found.more is None
    assert one("output_throughput >= 1", growing(300), **asked).verdict is PASS
    exact = judged(in_mode(scenario("p90_ttft_ms <= 9000", **asked), "exact"), growing(300))
    assert exact.verdicts[0].verdict is PASS, "an exact gate asks of this run alone"
    assert one("mean_ttft_ms <= 10", growing(300), **asked).verdict is FAIL


def test_a_rise_by_less_than_half_is_no_growing_queue() -> None:
    records = opened([t + 0.0001 * i for i, t in enumerate(noisy(300))])
    assert one("p90_ttft_ms <= 900", records, concurrency=None, request_rate=10.0).verdict is PASS


def test_a_rate_without_a_steady_window_never_passes() -> None:
    found = one("p90_ttft_ms <= 9000", opened([5.0] * 60), concurrency=None, request_rate=10.0)
    assert found.verdict is INCONCLUSIVE
    assert found.reason.values["why"].key == "judge.rate_without_window"


# ------------------------------------------------------------------------------------- modes and scenarios


def test_exact_mode_decides_by_the_observed_side() -> None:
    asked = in_mode(scenario("p99_ttft_ms <= 500", "mean_ttft_ms <= 100.5", "goodput_ratio >= 0.99",
                             goodput={"ttft": 500}), "exact")  # fmt: skip
    found = judged(asked, closed(noisy(20))).verdicts
    assert [v.verdict for v in found[:1]] == [PASS]
    assert not any(v.proven for v in found)
    assert found[1].verdict in (PASS, FAIL)
    assert judged(asked, closed(with_share(20, 2))).verdicts[0].verdict is FAIL


def test_the_scenario_gets_the_worst_of_its_rules() -> None:
    records = closed(with_share(101, 0))
    assert judged(scenario(), records).verdict is PASS
    assert judged(scenario("p99_ttft_ms <= 500"), records).verdict is INCONCLUSIVE
    assert judged(scenario("p99_ttft_ms <= 500", "max_ttft_ms <= 1"), records).verdict is FAIL


def test_implied_rules_are_judged() -> None:
    asked = scenario(goodput={"ttft": 500})
    found = judged(asked, closed([None, *noisy(100)]))
    assert [(v.rule.text, v.rule.implied) for v in found.verdicts] == [("failed == 0", True),
                                                                     ("goodput_ratio >= 0.99", True)]  # fmt: skip
    assert found.verdict is FAIL


def test_a_restarted_server_fails_the_scenario() -> None:
    restarted = Message(key="judge.interrupted")
    found = judged(scenario(), closed(noisy(20)), server_fault=restarted)
    assert found.verdict is FAIL
    assert found.faults == (restarted,)


def test_an_interrupted_run_is_at_best_inconclusive() -> None:
    found = judged(scenario(), closed(noisy(20)), complete=False)
    assert found.verdict is INCONCLUSIVE
    assert [m.key for m in found.faults] == ["judge.interrupted"]
    assert judged(scenario("max_ttft_ms <= 1"), closed(noisy(20)), complete=False).verdict is FAIL


def test_rules_are_judged_under_invalid_too() -> None:
    late = [replace_ready(r) for r in closed(noisy(101))]
    found = judged(scenario("p90_ttft_ms <= 500"), late)
    assert found.verdict is INVALID
    assert found.verdicts[0].verdict is PASS


def replace_ready(record: Record) -> Record:
    assert record.ready is not None
    record.ready -= 0.02
    return record


@pytest.mark.parametrize(
    ("text", "in_a_closed_loop", "with_a_rate"),
    [("median_ttft_ms", "median_ttft_ms", "median_response_ttft_ms"),
     ("p99.9_e2el_ms", "p99.9_e2el_ms", "p99.9_response_e2el_ms"),
     ("p90_service_ttft_ms", "p90_ttft_ms", "p90_ttft_ms"),
     ("mean_tpot_ms", "mean_tpot_ms", "mean_tpot_ms"), ("duration", "duration", "duration")],
)  # fmt: skip
def test_which_figure_a_rule_is_about(text: str, in_a_closed_loop: str, with_a_rate: str) -> None:
    name = parse_name(text)
    assert name is not None
    assert [figure_key(name, open_loop) for open_loop in (False, True)] == [in_a_closed_loop, with_a_rate]


def test_an_unknown_metric_is_refused() -> None:
    asked = replace(scenario("failed == 0").rules[0], metric="nonsense")
    with pytest.raises(KeyError, match="nonsense"):
        judged(replace(scenario(), rules=(asked,)), closed(noisy(20)))
    assert isinstance(parse_rule("nonsense == 0"), Message)


@every(
    ("text", "proven"),
    [("p90_ttft_ms <= 3", True), ("p90_ttft_ms == 3", False), ("mean_ttft_ms <= 3", True), ("mean_ttft_ms == 3", False),
     ("mean_ttft_ms != 3", False), ("goodput_ratio >= 0.9", True), ("goodput_ratio >= 0", False),
     ("failed_ratio <= 1", False), ("failed_ratio <= 0", False), ("failed == 0", False), ("max_ttft_ms <= 3", False)],
)  # fmt: skip
def test_which_rules_are_proven(text: str, proven: bool) -> None:
    """… and share the error that FAIL is allowed."""
    asked = scenario(text).rules[0]
    assert is_statistical(asked) is proven
    assert not is_statistical(replace(asked, metric="nonsense"))
    assert one(text, closed(noisy(300)), goodput={"ttft": 500}).proven is proven


@every(
    ("text", "records", "window", "why"),
    [("p90_ttft_ms <= 500", closed([]), "whole", "no request is in the sample"),
     ("failed == 0", closed([]), "whole", "no request is in the sample"),
     ("mean_ttft_ms <= 500", some_fail(20, 20), "steady", "it was not measured"),
     ("std_ttft_ms <= 500", closed([None] * 20), "steady", "it was not measured"),
     ("server.hits <= 5", closed([0.1] * 20), "whole", "it was not measured"),
     ("slo_attainment.ttft >= 0.5", closed([0.1] * 20), "steady", "no goodput limits are set"),
     ("goodput_ratio >= 0.5", closed([0.1] * 20), "steady", "no goodput limits are set")],
)  # fmt: skip
def test_why_there_is_no_data(text: str, records: list[Record], window: str, why: str) -> None:
    found = one(text, records)
    assert (found.rule.text, found.window, found.verdict, found.other) == (text, window, FAIL, None)
    assert why in say(found.reason)


def test_the_server_and_failures_have_no_other_window() -> None:
    for text in ("server.hits <= 5", "failed <= 5", "failed_ratio <= 0.5"):
        found = judged(scenario(text), closed(noisy(60)), server={"hits": 3.0}).verdicts[0]
        assert (found.window, found.other, found.within) == ("whole", None, True)
    dotted = judged(scenario("server.cache.hits <= 5"), closed(noisy(60)), server={"cache.hits": 3.0}).verdicts[0]
    assert dotted.observed == 3
    nothing = judged(scenario("server.hits <= 5"), [], server={"hits": 3.0}).verdicts[0]
    assert (nothing.verdict, nothing.observed) == (PASS, 3), "the server counts without us"


def test_the_interval_of_small_figures() -> None:
    """Below one unit, and for every comparison."""
    records = [request(i, float(i), ttft=0.0001 + 1e-6 * (i * 37 % 101)) for i in range(201)]
    for op, limit in (("<=", 1), ("<", 1), (">=", 0.05), (">", 0.05)):
        low, high = one(f"p50_ttft_ms {op} {limit}", records).interval or (0, 0)
        assert 0.13 < low < 0.15 < high < 0.17


def test_a_growing_queue_says_nothing_of_failures() -> None:
    found = one("failed_ratio <= 0.1", growing(300), concurrency=None, request_rate=10.0)
    assert found.verdict is PASS


def test_a_steady_window_that_is_not_there_is_said() -> None:
    found = one("steady_p90_ttft_ms <= 500", closed(noisy(20)), concurrency=None)
    assert (found.window, found.rule.text) == ("steady", "steady_p90_ttft_ms <= 500")
    assert say(found.reason).startswith("no data, which never passes: there is no steady window; ")


@every(
    ("asked", "answered"),
    [
        (("mean_ttft_ms <= 1",), ["failed == 0"]),
        (("goodput_ratio >= 1",), []),
        (("failed <= 3", "mean_ttft_ms <= 1"), []),
        (("failed_ratio <= 0.1",), []),
        (("failed <= 0",), ["failed <= 0"]),
        (("server.preemptions == 0", "p99_ttft_ms <= 1"), ["server.preemptions == 0", "failed == 0"]),
    ],
)
def test_what_an_earlier_repeat_answers_for(asked: tuple[str, ...], answered: list[str]) -> None:
    assert [rule.text for rule in of_one_repeat(scenario(*asked))] == answered


def test_a_repeat_that_waits_for_others_is_judged_by_what_is_its_own() -> None:
    asked = scenario("p90_ttft_ms <= 1", "server.preemptions == 0")
    one = Measurement(
        scenario=asked, records=closed([0.1] * 60), observed=Observed(counters={"preemptions": 2.0}), facts=facts()
    )
    alone, waiting = judge(asked, [one]), judge(asked, [one], waits=True)
    of_its_own = [("server.preemptions == 0", FAIL), ("failed == 0", PASS)]
    assert [(v.rule.text, v.verdict) for v in waiting.verdicts] == of_its_own
    assert [(v.rule.text, v.verdict) for v in alone.verdicts] == [("p90_ttft_ms <= 1", FAIL), *of_its_own]
    free = replace(asked, rules=(rule("failed_ratio <= 0.1"),))
    assert judge(free, [one], waits=True).verdicts == ()


def test_figures_of_an_open_loop_are_from_due() -> None:
    """Where they were saved without the requests, as where the requests are there."""
    asked, figures = parse_rule("mean_ttft_ms <= 30"), {"mean_ttft_ms": 10.0, "mean_response_ttft_ms": 50.0}
    assert isinstance(asked, Rule)
    for rated, observed in ((True, 50), (False, 10)):
        (found,) = judge_figures([asked], figures, JudgeSettings(mode="exact"), rated=rated)
        assert (found.observed, found.verdict) == (observed, FAIL if rated else PASS)


def test_figures_that_are_doubted_do_not_pass() -> None:
    """Of files that hold no requests either."""
    held = Message(key="judge.doubt.held", values={"events": 9, "n": 400, "m": 400})
    for odd, expected in (((), PASS), ((held,), INCONCLUSIVE)):
        (found,) = judge_figures([rule("mean_ttft_ms <= 30")], {"mean_ttft_ms": 10.0}, JudgeSettings(mode="exact"),
                                 doubts=odd)  # fmt: skip
        assert (found.verdict, found.within) == (expected, True)
