"""The one line that pytest keeps of a failure says why, in both languages, whatever kind of failure it is."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from every import every
from results_made import FAILED, RULE, result

from pytest_vllm_bench.model import Check, Comparison, JudgeSettings, Message, Rule, RuleVerdict, Verdict
from pytest_vllm_bench.model.result import BaselineOutcome, CapacityAnswer, CapacityLevel
from pytest_vllm_bench.report.headline import headline
from pytest_vllm_bench.report.page import Extra, page
from pytest_vllm_bench.report.verdict import Roll, part_of
from pytest_vllm_bench.text import say

FAIL, INVALID, INCONCLUSIVE = Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE
WHY = Message(key="judge.not_measured")
LATE = Check(id="steal", ok=False, observed=0.2, limit=0.05,
             message=Message(key="judge.check.steal.bad", values={"share": "20 %"}))  # fmt: skip


def judged(rule: Rule, verdict: Verdict = FAIL, observed: Any = 16.0, **more: Any) -> RuleVerdict:
    return RuleVerdict(rule=rule, verdict=verdict, reason=WHY, observed=observed, **{"within": False, **more})


def asked(text: str, **more: Any) -> Rule:
    metric, op, limit = text.split()
    return Rule(text=text, metric=metric, op=op, limit=Decimal(limit), **more)  # type: ignore[arg-type]


def compared(**more: Any) -> Comparison:
    values: dict[str, Any] = {
        "metric": "mean_tpot_ms", "gated": True, "verdict": FAIL, "reason": WHY, "reference": 10.0, "observed": 11.2,
        "change": 0.123, "interval": (0.06, 0.2), "tolerance": 0.05, "detectable": 0.2, "sessions": 1}  # fmt: skip
    return Comparison(**{**values, **more})


STRICT = {"judge": JudgeSettings(strict=True)}
TAIL = asked("p90_ttft_ms <= 3")


@every(
    ("verdict", "more", "en", "zh"),
    [
        (FAIL, {"verdicts": (judged(TAIL),)}, "p90_ttft_ms 16 > 3 (+433 %)", "p90_ttft_ms 16 > 3（+433%）"),
        (FAIL, {"verdicts": (judged(asked("output_throughput >= 1200"), observed=900.5),)},
         "output_throughput 900.5 < 1,200 (-25 %)", "output_throughput 900.5 < 1,200（-25%）"),
        (FAIL, {"verdicts": (judged(asked("steady_p90_ttft_ms < 15.5")),)}, "steady_p90_ttft_ms 16 >= 15.5 (+3.2 %)",
         "steady_p90_ttft_ms 16 >= 15.5（+3.2%）"),
        (FAIL, {"verdicts": (judged(TAIL, observed="inf", misses=12),)}, "p90_ttft_ms inf (12 failed) > 3",
         "p90_ttft_ms inf（12 个失败） > 3"),
        (FAIL, {"verdicts": (judged(TAIL, observed=None),)}, "p90_ttft_ms: no data (it was not measured)",
         "p90_ttft_ms：没有数据（未测到该指标）"),
        (FAIL, {"verdicts": (judged(FAILED, observed=3.0), judged(TAIL))}, "p90_ttft_ms 16 > 3 (+433 %); 1 more",
         "p90_ttft_ms 16 > 3（+433%）；另有 1 条"),
        (FAIL, {"verdicts": (judged(FAILED, observed=3.0),)}, "failed (implied) 3 > 0", "failed（自动补上） 3 > 0"),
        (FAIL, {"baseline": BaselineOutcome(reference="main", comparisons=(compared(),))},
         "mean_tpot_ms +12.3 %, allowed 5.0 % (baseline main)",
         "mean_tpot_ms +12.3%，容差 5.0%（基线 main）"),
        (FAIL, {"baseline": BaselineOutcome(reference="main", refused=True, notes=(
            Message(key="judge.baseline_no_metric", values={"metric": "mean_tpot_ms"}),))},
         "mean_tpot_ms is to be compared, but one of the two sessions has no figure for it",
         "需要比较 mean_tpot_ms，但两次会话中有一方没有该指标"),
        (INVALID, {"checks": (LATE,), "verdicts": (judged(TAIL),)},
         r"other machines took 20 % of this one's CPU time; run the client .*; 1 more",
         "宿主机上的其他虚拟机占用了.*另有 1 条"),
        (INCONCLUSIVE, {"scenario": STRICT, "verdicts": (judged(RULE, INCONCLUSIVE, 86.4, within=True, more=24),)},
         "p99_ttft_ms 86.4 <= 500, not proven: about 24 more requests would make it proof",
         "p99_ttft_ms 86.4 <= 500，证据不足：约需再多 24 个请求才能判定"),
        (INCONCLUSIVE, {"verdicts": (judged(RULE, INCONCLUSIVE, 86.4, within=True), judged(TAIL, INCONCLUSIVE))},
         "p90_ttft_ms 16 > 3 (+433 %), not proven; 1 more", "p90_ttft_ms 16 > 3（+433%），证据不足；另有 1 条"),
        (FAIL, {"error": Message(key="server.restarted", values={"what": "x"})}, ".+", ".+"),
        (Verdict.PASS, {"scenario": STRICT, "taints": ("simulated",)}, "--vllm-strict refuses.*",
         "--vllm-strict 不接受.*"),
        (FAIL, {"capacity": CapacityAnswer(held=7, broken=8, levels=(CapacityLevel(
            level=8, held=False, decided=True, proven=True, multiple=1),)),
                "verdicts": (judged(asked("concurrency >= 32"), observed=7.0),)},
         "concurrency 7 < 32 (-78 %)", "concurrency 7 < 32（-78%）"),
    ],
)  # fmt: skip
def test_the_reason_comes_first(verdict: Verdict, more: dict[str, Any], en: str, zh: str) -> None:
    made = result(verdict=verdict, **{"verdicts": (), "checks": (), "notes": (), **more})
    for lang, words in (("en", en), ("zh", zh)):
        said = headline(made, lang)
        assert said == words or (set("*+") & set(words) and re.fullmatch(words, said)), said
        assert "\n" not in said


def test_the_kinds_of_failed_requests_are_named() -> None:
    made = result(verdict=FAIL, verdicts=(judged(FAILED, observed=5.0),), checks=(), notes=())
    made = type(made)(**{**vars(made), "metrics": {**made.metrics, "failed_rejected": 3, "failed_reset": 2}})
    assert headline(made) == "failed (implied) 5 > 0 (rejected (429/503) 3, connection reset 2)"
    assert headline(made, "zh") == "failed（自动补上） 5 > 0（被拒绝 (429/503) 3 个，连接被重置 2 个）"


def test_a_part_of_the_matrix_is_called_a_part() -> None:
    """``-k`` and ``--lf`` leave out what the files then do not hold."""
    made = [result(verdict=Verdict.PASS)]
    assert part_of(made, Roll(matrix=1)) is None
    assert part_of(made, Roll()) is None
    part = part_of(made, Roll(matrix=4))
    assert part is not None
    for lang, words in (("en", "1 of 4 scenarios"), ("zh", "4 个场景中选中 1 个")):
        assert words in say(part, lang)
        assert words in page(made, lang=lang, extra=Extra(roll=Roll(matrix=4)))
        assert words not in page(made, lang=lang, extra=Extra(roll=Roll(matrix=1)))
