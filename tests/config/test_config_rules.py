"""Rules that no gate can mean are refused wherever they are written; what is implied gives way to real limits only."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_made import Read, Wrong
from every import every

from pytest_vllm_bench.cli import main
from pytest_vllm_bench.config import matrix
from pytest_vllm_bench.text import say

#: What stands in ``sla`` → what is wrong with it, of 160 planned requests.
MEANT_BY_NOBODY = {
    "always_holds": [
        "failed >= 0", "whole_failed >= 0", "failed_ratio <= 1", "failed_ratio >= 0", "failed != 0.5",
        "goodput_ratio >= 0", "slo_attainment.ttft >= 0.0", "p99_ttft_ms >= 0", "mean_e2el_ms >= 0e3",
        "completed >= 0", "output_throughput >= 0", "duration >= 0", "server.prefix_cache_hit_rate <= 1",
        "server.preemptions >= 0", "failed_timeout >= 0",
    ],
    "never_holds": ["failed < 0", "goodput_ratio > 1", "failed_ratio < 0", "completed < 0", "failed == 0.5",
                    "output_throughput < 0", "server.preemptions < 0"],
    "always_of_planned": ["failed <= 160", "failed < 161", "failed_http <= 1000"],
    "never_of_planned": ["completed > 160", "completed >= 161", "completed == 200"],
    "backwards": ["failed >= 1", "failed != 0", "failed_ratio > 0.01", "failed_ratio == 1", "goodput_ratio <= 0.99",
                  "goodput_ratio == 0", "slo_attainment.tpot < 0.9", "p99_ttft_ms >= 500", "mean_tpot_ms > 50",
                  "completed < 100", "p99_ttft_ms != 5", "failed_rejected >= 1"],
}  # fmt: skip
SOUND = [
    ["failed <= 3"], ["failed < 1"], ["failed == 0"], ["failed_ratio <= 0.05"], ["failed_ratio != 1"],
    ["completed == 160"], ["completed >= 160"], ["completed != 0"], ["output_throughput > 0"], ["min_ttft_ms >= 1"],
    ["mean_ttft_ms >= 90", "mean_ttft_ms <= 110"], ["failed_rejected >= 1", "failed_ratio <= 0.5"],
    ["duration >= 60"], ["max_concurrent_requests <= 16"], ["server.prefix_cache_hit_rate <= 0.05"], ["unsent == 0"],
    ["output_throughput <= 5000"],
]  # fmt: skip
GOODPUT = "goodput: {ttft: 500, tpot: 50}\n"


def test_rules_that_nobody_can_mean(wrong: Wrong) -> None:
    for key, rules in MEANT_BY_NOBODY.items():
        for rule in rules:
            found = {p.message.key for p in wrong(f'{GOODPUT}sla: ["{rule}"]\n')}
            assert found == {f"judge.{key}"}, rule


def test_rules_that_can_be_meant(config: Read) -> None:
    for rules in SOUND:
        assert matrix(config(f"{GOODPUT}sla: {rules}\n")), rules


@pytest.mark.parametrize(
    "place",
    [
        'overrides: [{match: "*", set: {sla: "failed >= 0"}}]',
        "baseline: {tolerance: {goodput_ratio: 1}}",
        "search: {over: concurrency, max: 64, tiers: {fast: {at_least: 4, sla: failed >= 0}}}",
        "sla: failed >= 0",
    ],
)
def test_wherever_rules_stand(wrong: Wrong, place: str) -> None:
    [problem] = wrong(place + "\n")
    assert problem.message.key == "judge.always_holds"
    assert problem.path.endswith(("sla[0]", "goodput_ratio"))
    assert problem.line == 4
    assert "failed <= 0" in say(problem.message) or "goodput_ratio: 0.01" in say(problem.message)


def test_the_command_judge_refuses_them_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rule in ("failed >= 0", "p99_ttft_ms >= 500", "failed_ratio <= 1"):
        assert main(["--lang", "en", "judge", str(tmp_path), "--rule", rule]) == 2
        assert rule in capsys.readouterr().err


@every(
    ("written", "implied"),
    [
        (["failed <= 3"], ["goodput_ratio >= 0.99"]),
        (["failed_ratio <= 0.05"], ["goodput_ratio >= 0.99"]),
        (["goodput_ratio >= 0.5"], []),
        (["request_goodput >= 5"], ["failed == 0"]),
        (["failed_rejected <= 3"], ["failed == 0", "goodput_ratio >= 0.99"]),
        (["slo_attainment.ttft >= 0.9"], ["failed == 0", "goodput_ratio >= 0.99"]),
        (["slo_attainment.ttft >= 0.9", "slo_attainment.tpot >= 0.9"], ["failed == 0"]),
    ],
)
def test_what_is_implied_gives_way_to_a_limit_on_the_same_thing(
    config: Read, written: list[str], implied: list[str]
) -> None:
    [scenario] = matrix(config(f"{GOODPUT}sla: {written}\n"))
    assert [rule.text for rule in scenario.rules if rule.implied] == implied
