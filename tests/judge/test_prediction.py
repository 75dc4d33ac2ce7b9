"""Rules on a load that was simulated: which side they would be on, and how surely, by what the twin was wrong by."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from every import every
from runs import rule

from pytest_vllm_bench.judge import prediction
from pytest_vllm_bench.model import Message, Rule, RuleVerdict, Verdict
from pytest_vllm_bench.text import say


def judged(text: str, observed: Any, **changed: Any) -> RuleVerdict:
    """As the judge has it, who knows nothing of predictions."""
    values: dict[str, Any] = {"rule": rule(text), "verdict": Verdict.PASS, "reason": Message(key="judge.counted"),
                              "observed": observed, "within": True, "proven": True, "more": 7}  # fmt: skip
    return RuleVerdict(**{**values, **changed})


def predicted(text: str, errors: dict[str, float], observed: Any = 100.0, **how: Any) -> RuleVerdict:
    made = prediction.predicted(judged(text, observed), errors, **{"open_loop": False, **how})
    assert (made.verdict, made.proven, made.more) == (Verdict.PREDICTED, False, None)
    assert say(made.reason, "en") != say(made.reason, "zh")
    return made


@every(
    "text, errors, word, interval",
    [
        ("p99_ttft_ms <= 500", {"p99_ttft_ms": 0.05}, "holds", (95.0, 105.0)),
        ("p99_ttft_ms <= 90", {"p99_ttft_ms": 0.05}, "breaks", (95.0, 105.0)),
        ("p99_ttft_ms <= 103", {"p99_ttft_ms": 0.05}, "close", (95.0, 105.0)),
        ("p99_ttft_ms <= 500", {"p99_ttft_ms": 0.10}, "holds", (90.0, 110.0)),
        ("p99_ttft_ms <= 500", {"p99_ttft_ms": 0.11}, "untold", None),
        ("p99_ttft_ms <= 500", {}, "untold", None),
        ("p99_ttft_ms <= 500", {"p99_tpot_ms": 0.05}, "untold", None),
        ("p99_response_ttft_ms <= 500", {"p99_ttft_ms": 0.05}, "holds", (95.0, 105.0)),
        ("cost_per_million_output_tokens <= 500", {"output_throughput": 0.01}, "holds", (99.0, 101.0)),
        ("output_throughput_per_accelerator >= 99", {"output_throughput": 0.01}, "holds", (99.0, 101.0)),
        ("goodput_ratio >= 0.9", {"p99_ttft_ms": 0.05}, "untold", None),
        ("failed == 0", {}, "no_failures", None),
        ("failed_timeout == 0", {}, "no_failures", None),
        ("completed >= 1", {}, "no_failures", None),
    ],
)
def test_a_rule_is_predicted_with_what_the_twin_was_wrong_by(
    text: str, errors: dict[str, float], word: str, interval: tuple[float, float] | None
) -> None:
    made = predicted(text, errors)
    assert made.reason.key == f"judge.predicted.{word}"
    assert made.interval == (interval and pytest.approx(interval))
    assert (made.within, made.observed) == ((None, None) if word == "untold" else (True, 100.0))


def test_what_is_said_of_it() -> None:
    assert say(predicted("p99_ttft_ms <= 500", {"p99_ttft_ms": 0.05}).reason) == (
        "would hold: 100 (95 … 105 with the twin's own error of 5%), asked <= 500"
    )
    assert say(predicted("p99_ttft_ms <= 500", {"p99_ttft_ms": 0.25}).reason) == (
        "the twin cannot tell p99_ttft_ms: it was off by 25% on a load that it had not seen, and above 10% nothing is "
        "told; measure it"
    )
    assert say(predicted("p99_ttft_ms <= 500", {}).reason) == (
        "the twin cannot tell p99_ttft_ms: no load that it was held against shows how far off it is; measure it"
    )


def test_of_what_nobody_knows_nothing_is_told() -> None:
    of_tomorrow = Rule(text="of_tomorrow <= 1", metric="of_tomorrow", op="<=", limit=Decimal(1))
    made = prediction.predicted(judged("failed == 0", 1.0, rule=of_tomorrow), {"p99_ttft_ms": 0.05}, open_loop=False)
    assert (made.reason.key, made.observed) == ("judge.predicted.untold", None)
    no_data = judged("p99_ttft_ms <= 500", None, within=None, reason=Message(key="judge.no_data"))
    made = prediction.predicted(no_data, {"p99_ttft_ms": 0.05}, open_loop=False)
    assert (made.verdict, made.reason, made.observed) == (Verdict.PREDICTED, no_data.reason, None)


def test_the_error_is_that_of_what_the_rule_reads() -> None:
    """Of a window's own figure, where that was held against measured ones; with a rate of the latency from ``due``."""
    errors = {"steady_p99_ttft_ms": 0.01, "p99_ttft_ms": 0.02, "p99_response_ttft_ms": 0.03}
    of_window = prediction.predicted(judged("p99_ttft_ms <= 500", 100.0, window="steady"), errors, open_loop=False)
    assert of_window.interval == pytest.approx((99.0, 101.0))
    assert predicted("p99_ttft_ms <= 500", errors).interval == pytest.approx((98.0, 102.0))
    assert predicted("p99_ttft_ms <= 500", errors, open_loop=True).interval == pytest.approx((97.0, 103.0))
    del errors["p99_response_ttft_ms"], errors["steady_p99_ttft_ms"]
    steady = prediction.predicted(judged("p99_ttft_ms <= 500", 100.0, window="steady"), errors, open_loop=True)
    assert steady.interval == pytest.approx((98.0, 102.0))


@every("key", ["queue_grows", "rate_without_window"])
def test_a_load_that_never_settles_breaks_in_time(key: str) -> None:
    why = Message(key=f"judge.{key}")
    seen = judged("p99_ttft_ms <= 500", 100.0, reason=Message(key="judge.invalid_window", values={"why": why}))
    made = prediction.predicted(seen, {"p99_ttft_ms": 0.05}, open_loop=True)
    assert (made.verdict, made.within, made.reason.key) == (Verdict.PREDICTED, False, f"judge.predicted.{key}")
    other = Message(key="judge.counted", values={"why": Message(key="judge.doubt.held")})
    made = prediction.predicted(
        judged("p99_ttft_ms <= 500", 100.0, reason=other), {"p99_ttft_ms": 0.05}, open_loop=True
    )
    assert made.reason.key == "judge.predicted.holds"


def test_goodput_is_what_it_comes_to_where_requests_are_as_much_off_as_the_twin_was() -> None:
    edges = [{"goodput_ratio": 0.85}, {"goodput_ratio": 0.97}]
    made = predicted("goodput_ratio >= 0.9", {}, 0.95, edges=edges)
    assert (made.reason.key, made.interval) == ("judge.predicted.close", (0.85, 0.97))
    assert "with the twin's own error of each latency" in say(made.reason)
    assert predicted("goodput_ratio >= 0.8", {}, 0.95, edges=edges).reason.key == "judge.predicted.holds"
    lost = predicted("goodput_ratio >= 0.8", {}, 0.95, edges=[{"goodput_ratio": None}, edges[1]])
    assert lost.interval == (0.95, 0.97)
    latency = predicted("p99_ttft_ms <= 500", {"p99_ttft_ms": 0.05}, edges=[{"p99_ttft_ms": 50.0}])
    assert latency.interval == pytest.approx((95.0, 105.0))


@every(
    "errors, off",
    [
        ({"p50_ttft_ms": 0.02, "p99_ttft_ms": 0.05, "p99_tpot_ms": 0.03}, {"ttft": 0.05, "tpot": 0.03}),
        ({"p99_ttft_ms": 0.10, "p99_tpot_ms": 0.03}, {"ttft": 0.10, "tpot": 0.03}),
        ({"p99_ttft_ms": 0.11, "p99_tpot_ms": 0.03}, None),
        ({"p99_ttft_ms": 0.05, "mean_tpot_ms": 0.03}, None),  # of its tails nothing is known
        ({"p99_ttft_ms": 0.05, "p99_tpot_ms": 0.03, "mean_ttft_ms": 0.2, "else": 1.0}, {"ttft": 0.05, "tpot": 0.03}),
    ],
)
def test_a_limit_is_as_uncertain_as_the_percentile_that_was_furthest_off(
    errors: dict[str, float], off: dict[str, float] | None
) -> None:
    assert prediction.of_limits({"ttft": 500.0, "tpot": 50.0}, errors) == off
    assert prediction.of_limits({}, errors) is None


def test_figures_that_it_cannot_tell_are_left_out() -> None:
    figures = {"p99_ttft_ms": 1.0, "p99_tpot_ms": 2.0, "steady_mean_e2el_ms": 3.0, "output_throughput": 4.0,
               "request_throughput": 5.0, "cost_per_million_output_tokens": 6.0, "completed": 7.0,
               "duration": 8.0, "of_tomorrow": 9.0}  # fmt: skip
    goodput = dict.fromkeys(("steady_goodput_ratio", "slo_attainment.ttft", "request_goodput"), 0.9)
    errors = {"p99_ttft_ms": 0.1, "p99_tpot_ms": 0.11, "mean_e2el_ms": 0.01, "output_throughput": 0.2}
    untold = ("p99_tpot_ms", "output_throughput", "request_throughput", "cost_per_million_output_tokens")
    sure = {**figures, **dict.fromkeys(untold)}
    assert prediction.told({**figures, **goodput}, errors, limits=True) == {**sure, **goodput}
    assert prediction.told({**figures, **goodput}, errors, limits=False) == {**sure, **dict.fromkeys(goodput)}
