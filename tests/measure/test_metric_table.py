"""Names and rules: what is read, what is refused, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from every import every
from runs import rule, scenario

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.metric_table import (
    ROWS,
    all_names,
    implied_rules,
    parse_name,
    parse_rule,
    percentile_label,
    rule_problems,
)
from pytest_vllm_bench.model import Message, Rule, Timeouts
from pytest_vllm_bench.text import say

VLLM = BACKENDS["vllm"]
POOLING = replace(VLLM, name="made", generates=False, framing="json")


def test_a_rule_is_metric_op_number() -> None:
    made = parse_rule("  steady_p99.9_ttft_ms<=  5e2 ", line=7)
    assert made == Rule(text="steady_p99.9_ttft_ms <= 5e2", metric="p99.9_ttft_ms", op="<=", limit=Decimal(500),
                        window="steady", line=7)  # fmt: skip


def test_a_percentile_is_called_the_same_however_it_is_spelt() -> None:
    assert [percentile_label(Decimal(p)) for p in ("99", "99.0", "99.9", "99.90")] == ["p99", "p99", "p99.9", "p99.9"]


@every("op", ["<=", "<", ">=", ">", "==", "!="])
def test_every_comparison(op: str) -> None:
    assert rule(f"failed {op} 3").op == op


@every(
    ("text", "said"),
    [
        ("p99_ttft_ms", "judge.not_a_rule"),
        ("p99_ttft_ms =< 5", "judge.not_a_rule"),
        ("p99_ttft_ms <= 5 10", "judge.not_a_rule"),
        ("p99_ttft_ms <= 500ms", "judge.not_a_number"),
        ("p99_ttft_ms <= inf", "judge.not_a_number"),
        ("p99_ttft_ms <= nan", "judge.not_a_number"),
        ("p99_tttf_ms <= 500", "judge.unknown_metric"),
        ("p99_ttft <= 500", "judge.unknown_metric"),
        ("ttft <= 500", "judge.unknown_metric"),
        ("p99_output_tps_per_user_ms <= 500", "judge.unknown_metric"),
        ("xyzzy <= 500", "judge.unknown_metric"),
        ("goodput_ratio >= 99", "judge.ratio_limit"),
        ("p99_ttft_ms <= -1", "judge.negative_limit"),
    ],
)
def test_what_is_no_rule_is_said(text: str, said: str) -> None:
    made = parse_rule(text)
    assert isinstance(made, Message)
    assert made.key == said
    assert say(made, "en") != say(made, "zh")


def test_did_you_mean_names_the_near_ones() -> None:
    made = parse_rule("steady_p99_tttf_ms <= 500")
    assert isinstance(made, Message)
    assert "steady_p99_ttft_ms" in say(made)


def test_every_name_is_read() -> None:
    for name in all_names():
        for prefix in ("", "whole_", "steady_"):
            found = parse_name(prefix + name)
            assert found is not None, name
            assert found.text == name
            assert found.row.id in (*ROWS, "slo_attainment", "server")


@every(
    "name",
    [
        "p0_ttft_ms",
        "p101_ttft_ms",
        "p_ttft_ms",
        "slo_attainment.itl",
        "server.",
        "slo_attainment",
        "service_ttft",
        "p99_service_tpot_ms",
        "mean_duration",
    ],
)
def test_names_that_are_none(name: str) -> None:
    assert parse_name(name) is None


def test_service_latencies_are_read_from_sent() -> None:
    found = parse_name("p99_service_ttft_ms")
    assert found is not None
    assert found.service
    assert found.row.id == "ttft"


@every(
    ("written", "goodput", "implied"),
    [
        ([], {}, ["failed == 0"]),
        (["p99_ttft_ms <= 5"], {}, ["failed == 0"]),
        (["failed <= 3"], {}, []),
        (["failed_ratio <= 0.01"], {}, []),
        (["goodput_ratio >= 0.9"], {"ttft": 5}, []),
        ([], {"ttft": 5}, ["failed == 0", "goodput_ratio >= 0.99"]),
        (["request_goodput >= 5"], {"ttft": 5}, ["failed == 0"]),
        (["slo_attainment.ttft >= 0.9"], {"ttft": 5}, ["failed == 0"]),
        (["slo_attainment.ttft >= 0.9"], {"ttft": 5, "tpot": 5}, ["failed == 0", "goodput_ratio >= 0.99"]),
        (["failed >= 0", "failed_ratio <= 1"], {}, ["failed == 0"]),
        (["goodput_ratio >= 0"], {"ttft": 5}, ["failed == 0", "goodput_ratio >= 0.99"]),
    ],
)
def test_implied_rules(written: list[str], goodput: dict[str, float], implied: list[str]) -> None:
    rules = tuple(rule(text) for text in written)
    made = implied_rules(rules, goodput)
    assert [r.text for r in made] == implied
    assert all(r.implied for r in made)
    assert implied_rules((*rules, *made), goodput) == ()


@every(
    ("text", "said"),
    [
        ("p99_ttft_ms <= 300000", "judge.limit_at_timeout"),
        ("p99_itl_ms <= 60000", "judge.limit_at_timeout"),
        ("max_e2el_ms < 3600000", "judge.limit_at_timeout"),
        ("p99_response_ttft_ms <= 5", "judge.cannot_have"),
        ("goodput_ratio >= 0.9", "judge.cannot_have"),
        ("rtfx >= 1", "judge.cannot_have"),
        ("input_sequence_throughput >= 1", "judge.cannot_have"),
    ],
)
def test_rules_that_a_scenario_cannot_have(text: str, said: str) -> None:
    ((found, message),) = rule_problems(scenario(text), VLLM)
    assert found is not None
    assert found.text == text
    assert message.key == said
    assert say(message, "en") != say(message, "zh")


def test_rules_that_a_pooling_backend_cannot_have() -> None:
    asked = scenario("p99_ttft_ms <= 5", "mean_tpot_ms <= 5", "output_throughput >= 5", "p99_e2el_ms <= 5")
    assert [r.metric for r, _ in rule_problems(asked, POOLING) if r] == [
        "p99_ttft_ms", "mean_tpot_ms", "output_throughput"]  # fmt: skip


def test_slos_are_checked_like_rules() -> None:
    asked = scenario("slo_attainment.tpot >= 0.9", goodput={"ttft": 300_000, "e2el": 5})
    assert [m.key for _, m in rule_problems(asked, VLLM)] == ["judge.slo_not_set", "judge.limit_at_timeout"]


def test_fine_rules_have_no_problems() -> None:
    asked = scenario("p99_ttft_ms <= 299999", "goodput_ratio >= 0.99", "server.anything <= 1", goodput={"ttft": 500},
                     timeouts=Timeouts())  # fmt: skip
    assert rule_problems(asked, VLLM) == []


def test_with_a_cap_a_response_may_take_longer_than_any_timeout() -> None:
    asked = scenario("p99_ttft_ms <= 300000", request_rate=5.0)
    assert rule_problems(asked, VLLM) == []
    assert [m.key for _, m in rule_problems(replace(asked, concurrency=None), VLLM)] == ["judge.limit_at_timeout"]
