"""What a reference keeps, what is refused, and how a session is compared with it."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from every import every
from scipy import stats

from pytest_vllm_bench import regression
from pytest_vllm_bench.judge import baseline, comparison, noise
from pytest_vllm_bench.judge.baseline import SessionFigures
from pytest_vllm_bench.judge.comparison import BaselineSettings
from pytest_vllm_bench.judge.rounds import compare_rounds
from pytest_vllm_bench.judge.standing import ALL, compare_all, compare_one, foreseen, standing
from pytest_vllm_bench.model import (
    BaselineOutcome,
    Comparison,
    DatasetChoice,
    Message,
    Result,
    Scenario,
    Verdict,
)
from pytest_vllm_bench.store.row import from_json
from pytest_vllm_bench.text import say

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def row(session: str | None = "s1", **changed: Any) -> Result:
    """A result, as far as baselines read it; None: its file does not say."""
    values: dict[str, Any] = {
        "scenario_id": "io1x1-mc1-np10", "scenario_key": "io1x1-mc1", "session": session, "plan_digest": "d1",
        "simulated": False, "complete": True, "request_rate": "inf", "model_id": "m", "backend": "vllm",
        "environment": {"server": "vllm 0.32", "client": {"cpu": "c", "cpus": 2}},
        "output_throughput": 100.0, "mean_tpot_ms": 10.0, "mean_e2el_ms": 1000.0, "mean_ttft_ms": 50.0,
        "p99_ttft_ms": 80.0, "steady_output_throughput": 110.0, "goodput_ratio": None,
    }  # fmt: skip
    if "repeat" in changed:
        changed["scenario_id"] = f"io1x1-mc1-np10-r{changed['repeat']}"
    return from_json({key: value for key, value in {**values, **changed}.items() if value is not None})


def near(value: Any, rel: float) -> Any:
    return pytest.approx(value, rel=rel)


def session(
    values: Mapping[str, float | tuple[float, ...]] = {}, /, digest: str = "d1", **more: float | tuple[float, ...]
) -> SessionFigures:
    made = {k: v if isinstance(v, tuple) else (v,) for k, v in {**values, **more}.items()}
    return SessionFigures(session="s", digest=digest, values=made)


def test_a_session_keeps_steady_figures_where_there_are_some() -> None:
    made = baseline.session_of(row())
    assert made.values["output_throughput"] == (110.0,)
    assert made.values["mean_tpot_ms"] == (10.0,)
    assert "goodput_ratio" not in made.values
    assert made.environment == {"model": "m", "server": "vllm 0.32", "backend": "vllm",
                                "client.cpu": "c", "client.cpus": 2}  # fmt: skip


def test_each_repeat_has_its_value() -> None:
    repeats = [
        {"mean_tpot_ms": 10.0, "steady_mean_ttft_ms": 1.0, "mean_ttft_ms": 5.0, "plan_digest": "r1"},
        {"mean_tpot_ms": 11.0, "steady_mean_ttft_ms": None, "mean_ttft_ms": 6.0, "plan_digest": "r2"},
    ]
    made = baseline.session_of(row(per_repeat=repeats))
    assert made.values == {"mean_tpot_ms": (10.0, 11.0), "mean_ttft_ms": (5.0, 6.0)}
    assert (made.repeats, made.digest) == (2, "r1")


def test_with_a_rate_latencies_are_those_from_due() -> None:
    made = baseline.session_of(row(request_rate=5.0, mean_response_ttft_ms=70.0, steady_mean_ttft_ms=40.0))
    assert made.values["mean_ttft_ms"] == (70.0,)
    assert made.values["mean_e2el_ms"] == (1000.0,)


def test_every_latency_of_a_rate_is_read_from_due() -> None:
    figures: dict[str, Any] = {"mean_response_e2el_ms": 2000.0, "mean_ttfo_ms": 5.0, "mean_response_ttfo_ms": 6.0}
    made = baseline.session_of(row(request_rate=5.0, **figures), ["mean_ttfo_ms"])
    assert (made.values["mean_e2el_ms"], made.values["mean_ttfo_ms"]) == ((2000.0,), (6.0,))


def test_failures_are_those_of_the_whole_run() -> None:
    """Most come at the start, which the steady window leaves out."""
    made = baseline.session_of(row(failed=4, steady_failed=3, failed_ratio=0.2, steady_failed_ratio=0.1),
                               ["failed", "failed_ratio"])  # fmt: skip
    assert (made.values["failed"], made.values["failed_ratio"]) == ((4,), (0.2,))


def test_what_a_session_is_called() -> None:
    made = baseline.session_of(row(session=None, date="2026-01-01", per_repeat=[{"mean_tpot_ms": 1.0}]))
    assert (made.session, made.digest) == ("2026-01-01", "d1")
    assert baseline.session_of(row(session=None)).session == ""
    assert baseline.relevant(row(environment=None)) == {"model": "m", "backend": "vllm"}


def test_what_is_kept_is_read_again() -> None:
    reference, _ = baseline.fold(None, [row()], keep=5)
    assert baseline.sessions_of(reference, "io1x1-mc1") == [baseline.session_of(row())]
    del reference["scenarios"]["io1x1-mc1"][0]["environment"]
    assert baseline.sessions_of(reference, "io1x1-mc1")[0].environment == {}
    assert baseline.sessions_of({}, "io1x1-mc1") == []


def test_metrics_that_a_tolerance_names_are_kept_too() -> None:
    assert baseline.session_of(row(rtfx=3.0), ["rtfx"]).values["rtfx"] == (3.0,)
    reference, _ = baseline.fold(None, [row(rtfx=3.0)], keep=5, gated=["rtfx"])
    assert baseline.sessions_of(reference, "io1x1-mc1")[0].values["rtfx"] == (3.0,)
    assert "rtfx" not in baseline.session_of(row(rtfx=3.0)).values


def test_folding_keeps_the_last_sessions_sorted_and_small() -> None:
    reference: dict[str, Any] | None = None
    for i in range(7):
        reference, refused = baseline.fold(
            reference,
            [row(f"s{i}", mean_tpot_ms=10 + i / 3), row(f"s{i}", scenario_id="a-np10", scenario_key="a")],
            keep=5,
        )
        assert refused == []
    assert reference is not None
    assert reference["schema_version"] == 1
    assert list(reference["scenarios"]) == ["a", "io1x1-mc1"]
    kept = reference["scenarios"]["io1x1-mc1"]
    assert [s["session"] for s in kept] == ["s2", "s3", "s4", "s5", "s6"]
    assert kept[-1]["metrics"]["mean_tpot_ms"] == [12.0]
    assert kept[0]["metrics"]["mean_tpot_ms"] == [10.6667]
    assert list(kept[0]["metrics"]) == sorted(kept[0]["metrics"])
    assert json.loads(json.dumps(reference, allow_nan=False)) == reference
    assert baseline.sessions_of(reference, "io1x1-mc1")[-1].values["mean_tpot_ms"] == (12.0,)
    assert baseline.sessions_of(reference, "unknown") == []


def test_of_repeats_the_last_row_counts_and_a_part_of_them_is_not_saved() -> None:
    """Another plan would drop the sessions that are kept."""
    whole, _ = baseline.fold(None, [row()], keep=5)
    figures = {"mean_tpot_ms": 1.0, "plan_digest": "r1"}
    repeats = [row(repeat=1), row(repeat=2, plan_digest="d2"), row(repeat=3, per_repeat=[figures] * 3)]
    made, refused = baseline.fold(None, repeats, keep=5)
    assert refused == []
    assert [s["plan"] for s in made["scenarios"]["io1x1-mc1"]] == ["r1"]
    three = {"repeats": {"min": 3, "max": 3}}
    first = [row(repeat=1, config=three)], [row(repeat=2, per_repeat=[figures] * 2, config=three)]
    for part in (*first, repeats[:2], [row(repeat=3, per_repeat=[figures] * 2)], [row(repeat=2)]):
        made, refused = baseline.fold(whole, part, keep=5)
        assert refused == [Message(key="judge.baseline_part", values={"scenario": "io1x1-mc1"})]
        assert made == whole


def test_folding_a_session_again_replaces_it() -> None:
    reference, _ = baseline.fold(None, [row()], keep=5)
    reference, _ = baseline.fold(reference, [row(mean_tpot_ms=20.0)], keep=5)
    (only,) = reference["scenarios"]["io1x1-mc1"]
    assert only["metrics"]["mean_tpot_ms"] == [20.0]


def test_another_plan_starts_afresh() -> None:
    reference, _ = baseline.fold(None, [row()], keep=5)
    reference, _ = baseline.fold(reference, [row("s2", plan_digest="d2")], keep=5)
    assert [s["session"] for s in reference["scenarios"]["io1x1-mc1"]] == ["s2"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"taints": ["simulated"]}, "judge.baseline_tainted"), ({"taints": ["salvaged"]}, "judge.baseline_tainted"),
     ({"verdict": "FAIL"}, "judge.baseline_verdict"), ({"verdict": "INVALID"}, "judge.baseline_verdict"),
     ({"complete": False}, "judge.baseline_no_data"),
     (dict.fromkeys(["output_throughput", "steady_output_throughput", "mean_tpot_ms", "mean_e2el_ms", "mean_ttft_ms",
                     "p99_ttft_ms"]), "judge.baseline_no_data")],
)  # fmt: skip
def test_what_is_not_saved(changed: dict[str, Any], said: str) -> None:
    reference, refused = baseline.fold(None, [row(**changed)], keep=5)
    assert reference["scenarios"] == {}
    assert [m.key for m in refused] == [said]
    assert say(refused[0], "en") != say(refused[0], "zh")


def test_why_it_is_not_saved_is_said() -> None:
    for changed, key, word in (({"taints": ["resumed", "shared"]}, "taint", "report.taint.shared"),
                               ({"verdict": "FAIL"}, "verdict", "report.verdict.FAIL"),
                               ({"verdict": "INVALID"}, "verdict", "report.verdict.INVALID")):  # fmt: skip
        (refused,) = baseline.fold(None, [row(**changed)], keep=5)[1]
        assert refused.values == {"scenario": "io1x1-mc1", key: Message(key=word)}


@every(
    ("scenario", "verdict", "saved"),
    [("*", FAIL, 0), ("*", PASS, 2), ("*", INCONCLUSIVE, 2), ("a", FAIL, 1), ("a", PASS, 2), ("elsewhere", FAIL, 2)],
)
def test_what_was_worse_beside_others_is_no_reference(scenario: str, verdict: Verdict, saved: int) -> None:
    """Nor is any scenario of a session that was worse as a whole."""
    made = compared([session(mean_tpot_ms=10.0)], session(mean_tpot_ms=10.0))["mean_tpot_ms"]
    seen = BaselineOutcome(reference="main", comparisons=(replace(made, scenario=scenario, verdict=verdict),))
    results = [replace(row(), baseline=seen), row(scenario_id="a-np10", scenario_key="a")]
    reference, refused = baseline.fold(None, results, keep=5)
    assert (len(reference["scenarios"]), len(refused)) == (saved, 2 - saved)
    assert [m.values["verdict"] for m in refused] == [Message(key="report.verdict.FAIL")] * (2 - saved)


def test_what_the_stages_took_is_kept_with_six_digits() -> None:
    told = replace(row(plan_digest=None), stages={"decode": {"mean": 12.3456789, "p50": None}})
    assert baseline.session_of(told).stages == {"decode": {"mean": 12.3456789}}
    assert baseline.session_of(told).digest is None
    reference, _ = baseline.fold(None, [told], keep=5)
    assert baseline.sessions_of(reference, "io1x1-mc1")[0].stages == {"decode": {"mean": 12.3457}}
    untold, _ = baseline.fold(None, [row()], keep=5)
    assert "stages" not in untold["scenarios"]["io1x1-mc1"][0]


def test_what_of_a_load_and_its_devices_is_kept() -> None:
    devices = [
        *[{"name": "H200", "driver": "580.1", "power_limit_w": 700.0}] * 2,
        {"name": "L4", "power_limit_w": 72.5},
    ]
    devices += [{"name": "L4", "driver": "580.1"}, {"index": 0}]
    asked = replace(row().scenario, num_prompts=40, seed=7, sampling={"temperature": 0.5}, cache="warm")
    asked = replace(asked, dataset=DatasetChoice(options={"path": "x", "input_len": 3}))
    made = baseline.relevant(replace(row(environment={"accelerators": devices}), scenario=asked))
    assert made["accelerators"] == "2 × H200 (580.1, 700 W) + 1 × L4 (72.5 W) + 1 × L4 (580.1) + 1 × ?"
    assert made["load"] == {"num_prompts": "40", "seed": "7", "cache": "warm", "sampling": "{'temperature': 0.5}",
                            "dataset": "input_len=3 path=x"}  # fmt: skip
    assert "load" not in baseline.relevant(row()), "what is usual is not told"


def test_environments_that_differ() -> None:
    old = baseline.relevant(row())
    new = baseline.relevant(row(model_id="n", environment={"server": "vllm 0.33", "client": {"cpu": "c"}}))
    assert [m.values["what"] for m in baseline.differences(old, new)] == ["model", "server"]
    assert baseline.differences(old, old) == []
    words = [say(message) for message in baseline.differences(old, new)]
    assert all(a in w and b in w for w, a, b in zip(words, ("m", "vllm 0.32"), ("n", "vllm 0.33"), strict=True))


def test_only_the_same_plan_is_comparable() -> None:
    assert comparison.comparable([session()], session(), "k") is None
    missing, other = (
        comparison.comparable([], session(), "k"),
        comparison.comparable([session()], session(digest="d2"), "k"),
    )
    assert missing is not None
    assert other is not None
    assert (missing.key, other.key) == ("judge.baseline_missing", "judge.baseline_other_plan")


def test_a_plan_that_is_another_one_is_said_by_what_was_asked() -> None:
    old, new = (SessionFigures(session="s1", digest=digest, values={}, environment={"load": load})
                for digest, load in (("d1", {"num_prompts": "40", "seed": "1", "cache": "off"}),
                                     ("d2", {"num_prompts": "80", "seed": "1", "dataset": "path=x"})))  # fmt: skip
    said = comparison.comparable([old], new, "k")
    assert said is not None
    what = "num_prompts 40 → 80, cache off → –, dataset – → path=x"
    assert say(said).startswith(f"k was sent another plan when its baseline was saved (s1): {what}; ")
    assert said.key == "judge.baseline_other_plan_by"
    for one, other in ((old, replace(new, environment={})), (replace(old, environment={}), new)):
        nothing = comparison.comparable([one], other, "k")
        assert nothing is not None
        assert (nothing.key, nothing.values["what"]) == ("judge.baseline_other_plan", "")


# ---------------------------------------------------------------------------------------- the comparison


def compared(
    reference: list[SessionFigures], new: SessionFigures, *fresh: SessionFigures, **settings: Any
) -> dict[str, Comparison]:
    """The only scenario of a session."""
    of = standing({"k": reference}, BaselineSettings(**settings), 1)
    found = compare_one(of, {"k": [new, *fresh]}, "k")
    for c in found:
        assert say(c.reason, "en") != say(c.reason, "zh")
    return {c.metric: c for c in found}


def t(q: float, df: float) -> float:
    return float(stats.t.ppf(q, df))


def by_hand(old: list[float], fresh: list[float], alpha: float) -> tuple[float, float, float]:
    """(x, the x that fails, half the interval) of one scenario, as the documentation has it."""
    k, limit = len(old), math.log(1.05) / 0.03
    y = np.log(old) / 0.03
    x = float(np.mean(np.log(fresh) / 0.03) - y.mean())
    if k == 1:
        rulers = [(1.0, 4.0, 1.0)]
    else:
        seen, df = max(float(np.var(y, ddof=1)), noise.LEAST**2), k - 1.0
        both = (seen, df + 2) if seen > 1 else ((4 + df * seen) / (df + 4), df + 4)
        rulers = [(*both, 0.75), (seen, df, 0.25)]
    errors = [(math.sqrt(v + v / k), df, share) for v, df, share in rulers]
    needed = min(max(t(1 - alpha * share, df) * e, limit + t(0.95, df) * e) for e, df, share in errors)
    return x, needed, min(t(0.95, df) * e for e, df, _ in errors)


@every("old", [[10.0], [10.0, 10.1], [10.0, 10.5, 9.8], [10, 12, 9, 11, 10]])
@every("new", [10.0, 10.8, 11.5, 13.0, 20.0, 40.0])
def test_the_decision_as_written(old: list[float], new: float) -> None:
    reference = [session(mean_tpot_ms=v) for v in old]
    settings = {"again": 1, "tolerance": {"mean_tpot_ms": "5%"}}
    found = compared(reference, session(mean_tpot_ms=new), session(mean_tpot_ms=new), **settings)["mean_tpot_ms"]
    x, needed, half = by_hand(old, [new], 0.0025)
    assert (found.verdict is FAIL) is (x > needed)
    assert (found.verdict is PASS) is (x + half <= math.log(1.05) / 0.03)
    assert found.change == pytest.approx(math.expm1(0.03 * x))
    assert found.interval == pytest.approx((math.expm1(0.03 * (x - half)), math.expm1(0.03 * (x + half))))
    assert (found.sessions, found.relative) == (len(old), True)
    middle = math.exp(np.log(old).mean())
    assert (found.reference, found.observed) == (pytest.approx(middle), pytest.approx(new))


def test_history_makes_the_noise_smaller_than_it_is_assumed() -> None:
    quiet = [session(mean_tpot_ms=10 * v) for v in (1.0, 1.002, 0.999, 1.001, 0.998)]
    assert compared(quiet[:1], session(mean_tpot_ms=10.0))["mean_tpot_ms"].detectable > 0.25
    assert compared(quiet, session(mean_tpot_ms=10.0))["mean_tpot_ms"].detectable < 0.07


def kept(**scenarios: list[SessionFigures]) -> dict[str, Any]:
    """A reference of the given scenarios."""
    return {
        "scenarios": {
            key: [{"session": s.session, "plan": s.digest, "metrics": s.values} for s in old]
            for key, old in scenarios.items()
        }
    }


def shown_by(reference: dict[str, Any], repeats: int) -> dict[str, float]:
    kept_of = [baseline.sessions_of(reference, key) for key in reference.get("scenarios", {})]
    return baseline.noise_shown(kept_of, repeats)


def test_noise_is_what_the_whole_reference_has_shown() -> None:
    one = [session(mean_tpot_ms=v) for v in (10.0, 11.0, 12.0)]
    two = [session(mean_tpot_ms=v, p99_ttft_ms=0.0) for v in (50.0, 40.0)]
    shown = shown_by(kept(one=one, two=two), repeats=1)
    small = kept(one=[session(goodput_ratio=0.5), session(goodput_ratio=0.6)])
    assert shown_by(small, repeats=1) == {"goodput_ratio": pytest.approx(float(np.std(np.log([0.5, 0.6]), ddof=1)))}
    within = 2 * np.var(np.log([10, 11, 12]), ddof=1) + np.var(np.log([50, 40]), ddof=1)
    assert shown == {"mean_tpot_ms": pytest.approx(math.sqrt(within / 3))}


def test_repeats_show_noise_even_of_a_single_session() -> None:
    reference = kept(one=[session(mean_tpot_ms=(10.0, 11.0, 12.0))], two=[session(mean_tpot_ms=(5.0, 6.0))])
    of_one = (2 * np.var(np.log([10, 11, 12]), ddof=1) + np.var(np.log([5, 6]), ddof=1)) / 3
    assert shown_by(reference, repeats=1) == {"mean_tpot_ms": pytest.approx(math.sqrt(of_one))}
    assert shown_by(reference, repeats=4) == {"mean_tpot_ms": pytest.approx(math.sqrt(of_one / 4))}


def test_the_larger_of_sessions_and_repeats_is_the_noise() -> None:
    apart = kept(one=[session(mean_tpot_ms=(10.0, 10.1)), session(mean_tpot_ms=(14.0, 14.1))])
    means = [np.log([10, 10.1]).mean(), np.log([14, 14.1]).mean()]
    assert shown_by(apart, repeats=2)["mean_tpot_ms"] == pytest.approx(np.std(means, ddof=1))


def test_of_single_measurements_nothing_is_known() -> None:
    assert shown_by(kept(one=[session(mean_tpot_ms=10.0)], two=[session(mean_tpot_ms=9.0)]), repeats=3) == {}
    assert shown_by({}, repeats=1) == {}


@pytest.mark.parametrize("change", [1.9, 2.1])
def test_a_wide_tolerance_is_a_factor(change: float) -> None:
    """100 % accepts up to twice the figure: ln 2 on the scale of the comparison, not 1."""
    reference, new = [session(mean_tpot_ms=10.0)] * 5, session(mean_tpot_ms=10.0 * change)
    found = compared(reference, new, tolerance={"mean_tpot_ms": "100%"}, noise={"mean_tpot_ms": 0.001})["mean_tpot_ms"]
    assert found.suspected is (change > 2)
    assert found.detectable == pytest.approx(1, abs=0.02)
    assert found.reason.values["change"] == f"{change - 1:+.1%}"
    assert found.reason.values["tolerance"] == "100.0%"


def test_an_absolute_change_is_shown_as_it_is() -> None:
    found = compared([session(goodput_ratio=0.9)] * 5, session(goodput_ratio=0.6), tolerance={"goodput_ratio": 0.2},
                     noise={"goodput_ratio": 0.0001})["goodput_ratio"]  # fmt: skip
    assert (found.suspected, found.reason.values["change"]) == (True, "-0.3")
    assert found.detectable == pytest.approx(-0.2, abs=0.001)
    assert found.reason.values["detectable"] == "-0.2"
    assert (found.reference, found.observed) == (pytest.approx(0.9), pytest.approx(0.6))


def test_more_than_tenfold_is_said_without_digits() -> None:
    assert [comparison.in_words(change, True) for change in (9.99, 10.0, 1e300)] == ["+999.0%", *["> +1000%"] * 2]
    assert comparison.in_words(1234.5, False) == "+1234"


def test_worse_is_lower_for_a_throughput() -> None:
    reference = [session(output_throughput=100.0)] * 5
    assert compared(reference, session(output_throughput=50.0))["output_throughput"].suspected
    better = compared(reference, session(output_throughput=200.0))["output_throughput"]
    assert (better.suspected, better.verdict) == (False, PASS)
    assert better.detectable < 0
    alone = compared(reference[:1], session(output_throughput=99.0))["output_throughput"]
    assert (alone.verdict, alone.reason.key) == (INCONCLUSIVE, "judge.baseline_unproven")


@every(
    ("metric", "noise"),
    [("mean_ttft_ms", 0.05), ("median_ttft_ms", 0.05), ("p90_ttft_ms", 0.1), ("p99_e2el_ms", 0.1),
     ("mean_tpot_ms", 0.03), ("mean_itl_ms", 0.03), ("mean_e2el_ms", 0.03), ("output_throughput", 0.03),
     ("mean_response_ttft_ms", 0.05), ("max_ttft_ms", 0.1), ("std_e2el_ms", 0.1)],
)  # fmt: skip
def test_the_noise_assumed(metric: str, noise: float) -> None:
    assert comparison.default_noise(metric) == noise


def test_noise_and_tolerance_may_be_written() -> None:
    reference, new = [session(mean_tpot_ms=10.0)], session(mean_tpot_ms=10.8)
    assert not compared(reference, new)["mean_tpot_ms"].suspected
    assert compared(reference, new, noise={"mean_tpot_ms": 0.005})["mean_tpot_ms"].suspected
    loose = compared(reference, new, noise={"mean_tpot_ms": 0.005}, tolerance={"mean_tpot_ms": "-20%"})["mean_tpot_ms"]
    assert (loose.suspected, loose.verdict, loose.tolerance) == (False, PASS, pytest.approx(0.2))


def test_an_absolute_tolerance_is_in_the_metrics_own_unit() -> None:
    reference = [session(goodput_ratio=0.99)] * 5
    tolerance = {"goodput_ratio": 0.05}
    noise = {"goodput_ratio": 0.01}
    found = compared(reference, session(goodput_ratio=0.80), tolerance=tolerance, noise=noise)["goodput_ratio"]
    assert found.suspected
    assert found.change == pytest.approx(-0.19)
    assert not found.relative
    assert (
        compared(reference, session(goodput_ratio=0.98), tolerance=tolerance, noise=noise)["goodput_ratio"].verdict
        is PASS
    )
    nothing = compared(reference, session(goodput_ratio=0.0), tolerance=tolerance, noise=noise)
    assert nothing["goodput_ratio"].suspected


def test_gates_are_the_three_unless_tolerances_name_others() -> None:
    everything = {"output_throughput": 1.0, "mean_tpot_ms": 1.0, "mean_e2el_ms": 1.0, "p99_ttft_ms": 1.0}
    found = compared([session(everything)], session(everything))
    assert {m for m, c in found.items() if c.gated} == {"output_throughput", "mean_tpot_ms", "mean_e2el_ms"}
    found = compared([session(everything)], session(everything), tolerance={"p99_ttft_ms": "5%"})
    assert {m for m, c in found.items() if c.gated} == {"p99_ttft_ms"}
    assert comparison.comparisons_planned(50, BaselineSettings()) == 150
    assert comparison.comparisons_planned(0, BaselineSettings()) == 1


def test_a_gate_without_data_is_said() -> None:
    said = comparison.missing_gates([session(mean_tpot_ms=1.0)], session(mean_tpot_ms=1.0), BaselineSettings())
    assert [m.values["metric"] for m in said] == ["output_throughput", "mean_e2el_ms"]
    assert {m.key for m in said} == {"judge.baseline_no_metric"}
    assert compared([session(mean_tpot_ms=0.0)], session(mean_tpot_ms=1.0)) == {}
    everything = session(mean_tpot_ms=1.0, output_throughput=1.0, mean_e2el_ms=1.0)
    for old, new in (([session(mean_tpot_ms=1.0)], everything), ([everything], session(mean_tpot_ms=1.0))):
        said = comparison.missing_gates(old, new, BaselineSettings())
        assert [m.values["metric"] for m in said] == ["output_throughput", "mean_e2el_ms"]
        assert all(str(m.values["metric"]) in say(m) for m in said)
        assert {m.key for m in said} == {"judge.baseline_no_metric"}
    assert compared([session(p99_ttft_ms=1.0)], session(mean_tpot_ms=1.0)) == {}


@every(
    ("old", "new", "named", "lost"),
    [
        (["mean_tpot_ms"], ["mean_tpot_ms"], {}, False),
        (["mean_tpot_ms"], ["mean_e2el_ms"], {}, True),
        (["mean_e2el_ms"], ["mean_e2el_ms", "mean_tpot_ms"], {}, False),  # new, like a new scenario
        (["mean_e2el_ms"], ["mean_e2el_ms"], {}, False),  # pooling has no tokens, and nobody asked for them
        (["mean_e2el_ms"], ["mean_e2el_ms"], {"mean_tpot_ms": "5%"}, True),
        (["failed_ratio"], [], {"failed_ratio": 0.01}, True),
    ],
)
def test_a_gate_that_lost_its_data_is_no_green_gate(
    old: list[str], new: list[str], named: dict[str, str | float], lost: bool
) -> None:
    settings = BaselineSettings(tolerance=named)
    reference = [session(dict.fromkeys(old, 1.0))]
    assert comparison.lost_gates(reference, session(dict.fromkeys(new, 1.0)), settings) is lost


@pytest.mark.parametrize(
    ("old", "new", "tolerance", "suspected", "lost"),
    [
        (3.0, 0.0, "5%", None, True),  # from three good requests a second to none
        (0.0, 0.0, "5%", None, True),
        (0.0, 3.0, "5%", None, False),  # said; better than nothing is no failure
        (3.0, 0.0, 0.1, True, False),
        (0.0, 0.0, 0.1, False, False),
    ],
)
def test_no_percentage_of_nothing(
    old: float, new: float, tolerance: str | float, suspected: bool | None, lost: bool
) -> None:
    """A figure of 0 has no ratio: the gate says so, and a tolerance in numbers compares it."""
    settings = BaselineSettings(tolerance={"request_goodput": tolerance})
    before, after = [session(request_goodput=old)], session(request_goodput=new)
    of = standing({"k": before}, settings, 1)
    made = [c.suspected for c in compare_one(of, {"k": [after]}, "k")]
    said = [m.key for m in comparison.missing_gates(before, after, settings)]
    assert made == ([] if suspected is None else [suspected])
    assert said == (["judge.baseline_not_positive"] if suspected is None else [])
    assert comparison.lost_gates(before, after, settings) is lost


@pytest.mark.parametrize(("new", "verdict"), [(0.0, PASS), (1.0, INCONCLUSIVE)])
def test_no_failure_before_and_none_now_is_within_nothing(new: float, verdict: Verdict) -> None:
    settings = BaselineSettings(tolerance={"failed": 0})
    (made,) = compare_one(standing({"k": [session(failed=0.0)]}, settings, 1), {"k": [session(failed=new)]}, "k")
    assert (made.verdict, made.suspected) == (verdict, new > 0)


def test_a_session_of_nothing_does_not_hide_the_others() -> None:
    found = compared([session(mean_tpot_ms=0.0), session(mean_tpot_ms=10.0)], session(mean_tpot_ms=10.0))
    assert (found["mean_tpot_ms"].sessions, found["mean_tpot_ms"].reference) == (1, pytest.approx(10.0))


def test_a_gate_that_was_never_above_nothing_is_not_lost() -> None:
    """Embeddings have no output tokens, before and now."""
    nothing = session(output_throughput=0.0, mean_e2el_ms=1.0)
    assert not comparison.lost_gates([nothing], nothing, BaselineSettings())
    assert comparison.lost_gates([session(output_throughput=1.0)], nothing, BaselineSettings())


def test_a_suspicion_fails_only_when_fresh_measurements_agree() -> None:
    reference = [session(mean_tpot_ms=v) for v in (10.0, 10.1, 9.9, 10.0, 10.05)]
    bad, fine = session(mean_tpot_ms=20.0), session(mean_tpot_ms=10.1)
    keys = []
    for fresh in ((), (bad,), (bad, bad), (fine,)):  # two that are off may be the suspected one and an accident
        found = compared(reference, bad, *fresh)["mean_tpot_ms"]
        keys.append((found.verdict, found.suspected, found.reason.key.removeprefix("judge.baseline_")))
    assert keys == [(INCONCLUSIVE, True, "suspected"), (INCONCLUSIVE, True, "suspected"), (FAIL, False, "worse"),
                    (INCONCLUSIVE, False, "not_confirmed")]  # fmt: skip


def test_the_first_measurement_does_not_count_once_there_are_fresh_ones() -> None:
    """It was chosen for being bad."""
    reference, bad, fresh = [session(mean_tpot_ms=10.0)] * 3, session(mean_tpot_ms=30.0), (12.0, 9.0)
    for n in (1, 2):
        found = compared(reference, bad, *(session(mean_tpot_ms=v) for v in fresh[:n]))["mean_tpot_ms"]
        assert found.change == pytest.approx(math.prod(fresh[:n]) ** (1 / n) / 10 - 1)


def test_nothing_fails_before_it_was_measured_afresh() -> None:
    """Nor where one fresh measurement is all that is allowed."""
    reference = [session(mean_tpot_ms=v) for v in (10.0, 10.1, 9.9, 10.0, 10.05)]
    bad = session(mean_tpot_ms=20.0)
    found = [compared(reference, *[bad] * n, again=1)["mean_tpot_ms"] for n in (1, 2)]
    assert [(c.verdict, c.suspected) for c in found] == [(INCONCLUSIVE, True), (FAIL, False)]


def test_more_measurements_and_more_runs_in_each_say_more() -> None:
    runs = [10.0, 11.0, 9.5, 10.4, 9.2, 10.8]
    reference = [session(mean_tpot_ms=tuple(np.array(runs[:3]) * v)) for v in (1.0, 1.02, 0.97, 1.01, 0.99)]
    once = [session(mean_tpot_ms=tuple(runs[:n])) for n in (2, 3, 6)]

    def width(*measured: SessionFigures) -> float:
        low, high = compared(reference, *measured)["mean_tpot_ms"].interval
        return math.log1p(high) - math.log1p(low)

    assert width(once[0]) > width(once[1]) > width(once[2])
    assert width(*[once[1]] * 2) > width(*[once[1]] * 3) > width(*[once[1]] * 5)
    assert width(once[1], session(mean_tpot_ms=(14.0,) * 3), session(mean_tpot_ms=(7.0,) * 3)) > width(once[1])


def test_half_of_what_may_err_is_kept_for_the_end() -> None:
    """When all others are known, what was suspected and measured afresh is judged once more, by more of α."""
    reference = [session(mean_tpot_ms=v) for v in (10.0, 10.3, 9.8, 10.1, 9.9)]
    of, seen = standing({"k": reference}, BaselineSettings(), 4), set()
    for value in np.linspace(10.5, 16, 60):
        measured = {"k": [session(mean_tpot_ms=value)] * 3}
        (before,), (end,) = (compare_one(of, measured, "k", last=last) for last in (False, True))
        seen.add((before.verdict, end.verdict, before.suspected, end.reason.key.removeprefix("judge.baseline_")))
    assert {(one, other) for one, other, *_ in seen} == {
        (INCONCLUSIVE, INCONCLUSIVE), (INCONCLUSIVE, FAIL), (FAIL, FAIL)}  # fmt: skip
    assert (INCONCLUSIVE, INCONCLUSIVE, True, "undecided") in seen


def test_a_metric_in_a_unit_of_its_own_blinds_no_other() -> None:
    """What failed has no noise that could be held beside a latency's share of itself."""
    tolerance = {"mean_tpot_ms": "5%", "failed": 0}
    reference = [session(mean_tpot_ms=v, failed=n) for v, n in ((10.0, 0), (10.1, 2), (9.9, 0), (10.0, 0), (10.05, 1))]
    bad = [session(mean_tpot_ms=20.0, failed=n) for n in (0, 7, 1, 0)]
    assert compared(reference, *bad, tolerance=tolerance)["mean_tpot_ms"].verdict is FAIL
    reference = [replace(one, values={**one.values, "failed": (0.0,)}) for one in reference]
    assert compared(reference, *bad, tolerance=tolerance)["mean_tpot_ms"].verdict is FAIL


def test_repeats_of_what_a_scenario_lacks_hide_no_noise() -> None:
    settings = BaselineSettings(tolerance={"goodput_ratio": 0.1})
    repeats = session(goodput_ratio=(0.9, 0.8, 0.85), mean_tpot_ms=(1.0, 1.1, 1.2))
    of = standing({"a": [repeats], "b": [session(mean_tpot_ms=(1.0, 1.1, 1.2))]}, settings, 2)
    assert of.known.within[0] == pytest.approx(np.var([0.9, 0.8, 0.85], ddof=1) / (0.03 * 0.85) ** 2)


def test_sessions_without_names_are_counted_from_the_newest() -> None:
    named = {
        "a": [session(mean_tpot_ms=v) for v in (10.0, 12.0, 11.0)],
        "b": [session(mean_tpot_ms=v) for v in (7.0, 8.0)],
    }

    def noise_of(names: Mapping[str, Sequence[str]]) -> list[float]:
        reference = {key: [replace(one, session=name) for one, name in zip(old, names[key], strict=True)]
                     for key, old in named.items()}  # fmt: skip
        known = standing(reference, BaselineSettings(), 2).known.of(1)
        return [float(known.mood), float(known.mood_df), *known.own, *known.own_df, *known.kept]

    apart = noise_of({"a": "123", "b": "23"})
    assert noise_of({"a": "112", "b": "12"}) == apart, "a name twice says nothing"
    assert noise_of({"a": ["", "", ""], "b": ["", ""]}) == apart
    assert noise_of({"a": "123", "b": "12"}) != apart


def test_what_cannot_be_decided_is_measured_as_often_as_is_asked() -> None:
    reference = [session(mean_tpot_ms=10.0)]
    odd = session(mean_tpot_ms=11.8)
    found = [compared(reference, *[odd] * n, again=3)["mean_tpot_ms"] for n in (1, 2, 3, 4)]
    assert [c.suspected for c in found] == [True, True, True, False]
    assert (found[-1].verdict, found[-1].reason.key) == (INCONCLUSIVE, "judge.baseline_undecided")
    assert "measured afresh (3×) +18.0%" in say(found[-1].reason)


def test_what_is_not_gated_fails_nobody() -> None:
    reference = [session(p99_ttft_ms=10.0)] * 5
    found = compared(reference, session(p99_ttft_ms=90.0))["p99_ttft_ms"]
    assert (found.suspected, found.gated) == (True, False)


def compare_targets(
    a: SessionFigures, b: SessionFigures, settings: BaselineSettings, planned: int
) -> list[Comparison] | Message:
    return compare_rounds({"k": (a, b)}, "k", settings, planned)


def test_the_words_where_nothing_is_compared() -> None:
    other = comparison.comparable([session(digest="d0"), session()], session(digest="d2"), "k")
    nothing = comparison.comparable([], session(digest="d2"), "k")
    assert other is not None
    assert nothing is not None
    assert say(other).startswith("k was sent another plan when its baseline was saved (s); ")
    assert say(nothing) == "the baseline has nothing on k; save it with --vllm-save-baseline"
    four = session(mean_tpot_ms=(1.0,) * 4)
    rounds = compare_targets(four, session(mean_tpot_ms=(1.0,) * 6), BaselineSettings(), 1)
    assert isinstance(rounds, Message)
    assert "takes 5 rounds, and there were 4; set repeats: 5, and run all of them" in say(rounds)


# ----------------------------------------------------------------------------------------- several scenarios


def matrix(worse: Mapping[int, float] = {}, *, sessions: int = 3, scenarios: int = 4) -> tuple[Any, Any]:
    """A reference that varies by 0.3 %, and a session in which some scenarios are worse."""
    rng = np.random.default_rng(sessions)
    metrics = ("mean_tpot_ms", "mean_e2el_ms", "output_throughput")

    def figures(name: str, i: int, mood: float, worse: float) -> SessionFigures:
        signs = np.array([1, 1, -1])
        y = 100 * np.exp(signs * (mood + worse + 0.003 * rng.standard_normal(3)))
        values = {m: (float(v),) for m, v in zip(metrics, y, strict=True)}
        return SessionFigures(session=name, digest="d1", values=values)

    moods = 0.003 * rng.standard_normal(sessions)
    reference = {f"s{i}": [figures(f"{k}", i, mood, 0) for k, mood in enumerate(moods)] for i in range(scenarios)}
    measured = {f"s{i}": [figures("new", i, 0.0, worse.get(i, 0.0)) for _ in range(3)] for i in range(scenarios)}
    return reference, measured


@every(("worse", "sessions"), [(0.3, 1), (0.15, 3), (0.08, 5)])
def test_a_shift_of_all_scenarios_is_seen_by_all_of_them_together(worse: float, sessions: int) -> None:
    reference, measured = matrix(dict.fromkeys(range(4), worse), sessions=sessions)
    of = standing(reference, BaselineSettings(), 4)
    found = compare_all(of, measured)
    assert {c.scenario for c in found} == {ALL}
    assert FAIL in [c.verdict for c in found]
    assert all(c.change == pytest.approx(math.expm1(worse if c.change > 0 else -worse), abs=0.02) for c in found)
    assert all(say(c.reason, "en").startswith("all 4 scenarios together: ") for c in found)
    assert all(say(c.reason, "en") != say(c.reason, "zh") for c in found)
    whole = {m: all_ for m, (_, all_) in foreseen(of, reference).items()}
    assert set(whole) == set(BaselineSettings().gated)


@every("which", [0, 3])
def test_one_scenario_is_seen_beside_the_others_wherever_it_stands(which: int) -> None:
    """The first one has nothing beside it when it is measured: then at the end."""
    reference, measured = matrix({which: 0.1})
    of = standing(reference, BaselineSettings(), 4)
    late = {
        key: [c for c in compare_one(of, measured, key, last=True) if c.gated and c.verdict is FAIL] for key in measured
    }
    assert [key for key, failed in late.items() if failed] == [f"s{which}"]
    (worst, *_) = late[f"s{which}"]
    assert worst.reason.key == "judge.baseline_worse_beside"
    assert "the other scenarios" in say(worst.reason)
    assert FAIL not in [c.verdict for c in compare_all(of, measured)]


@every(("scenarios", "key"), [(1, "worse"), (2, "worse"), (3, "worse_beside")])
def test_it_is_said_whether_there_were_others_beside_it(scenarios: int, key: str) -> None:
    reference, measured = matrix({0: 1.0}, sessions=5, scenarios=scenarios)
    found = compare_one(standing(reference, BaselineSettings(), scenarios), measured, "s0")
    (tpot,) = [c for c in found if c.metric == "mean_tpot_ms"]
    assert (tpot.verdict, tpot.reason.key) == (FAIL, f"judge.baseline_{key}")


def test_what_the_others_did_is_said() -> None:
    reference, measured = matrix({1: 0.2, 2: 0.3, 3: 0.4}, sessions=1)
    of = standing(reference, BaselineSettings(), 4)
    others = [c.reason.values["others"] for c in compare_one(of, measured, "s0") if c.metric == "mean_tpot_ms"]
    assert [float(str(said).rstrip("%")) for said in others] == [pytest.approx(100 * math.expm1(0.3), abs=2)]
    alone = compare_one(of, {"s0": measured["s0"]}, "s0")
    assert {c.reason.values["others"] for c in alone} <= {"+0.0%", "-0.0%"}


def test_a_scenario_that_only_the_reference_or_only_the_session_has_says_nothing() -> None:
    reference, measured = matrix()
    of = standing(reference | {"gone": reference["s0"][:1]}, BaselineSettings(), 4)
    assert compare_one(of, measured | {"new": measured["s0"]}, "new") == []
    assert len(compare_all(of, measured | {"new": measured["s0"]})) == 3
    assert compare_all(of, {"s0": measured["s0"]}) == []
    assert foreseen(of, ["elsewhere"]) == {}


# ------------------------------------------------------------------------------------------ two sets of results


@every(
    ("new", "shown", "noise", "assumed"),
    [(11.0, {}, {}, 0.06), (30.0, {}, {}, 0.06), (14.0, {"mean_tpot_ms": 0.01}, {}, 0.03), (6.0, {}, {}, 0.06),
     (30.0, {"mean_tpot_ms": 0.2}, {}, 0.2), (12.0, {}, {"mean_tpot_ms": 0.002}, 0.002),
     (10.0, {}, {"mean_tpot_ms": 0.01}, 0.01),
     (12.0, {"mean_tpot_ms": 0.01}, {"mean_tpot_ms": 0.002}, 0.01), (30.0, {"mean_e2el_ms": 0.2}, {}, 0.06)],
)  # fmt: skip
def test_of_two_sets_of_results_more_noise_is_believed_possible_than_is_assumed(
    new: float, shown: dict[str, float], noise: dict[str, float], assumed: float
) -> None:
    """Twice as much, unless repeats or the user say how much there is; worth three degrees of freedom."""
    old, after = session(mean_tpot_ms=(9.0, 10.0), goodput_ratio=0.0), session(mean_tpot_ms=new, p99_ttft_ms=1.0)
    (found,) = comparison.compare_two(old, after, BaselineSettings(noise=noise), 3, shown)
    x, limit, spread = math.log(new) - np.log([9.0, 10.0]).mean(), math.log(1.05), assumed * math.sqrt(2)
    least, most = x - t(1 - 0.01 / 3, 3) * spread, x + t(0.95, 3) * spread
    assert found.interval == pytest.approx((math.expm1(least), math.expm1(most)))
    assert found.verdict is (FAIL if least > limit else PASS if most <= limit else INCONCLUSIVE)
    key = {FAIL: "targets_worse", PASS: "baseline_within", INCONCLUSIVE: "baseline_unproven"}[found.verdict]
    assert (found.reason.key, found.sessions, found.change) == (f"judge.{key}", 1, pytest.approx(math.expm1(x)))
    noticed = limit + (t(1 - 0.01 / 3, 3) + t(0.8, 3)) * spread
    assert found.detectable == pytest.approx(math.expm1(noticed))


def test_of_two_sets_of_results_every_metric_that_both_have_is_compared() -> None:
    old, new = (session(output_throughput=v, p99_ttft_ms=v, rtfx=v, mean_tpot_ms=0.0) for v in (1.0, 1.0))
    found = comparison.compare_two(old, new, BaselineSettings(tolerance={"rtfx": 0.1}), 1, {})
    assert [(c.metric, c.gated, c.relative) for c in found] == [
        ("rtfx", True, False), ("output_throughput", False, True), ("p99_ttft_ms", False, True)]  # fmt: skip


# ------------------------------------------------------------------------------------------------ targets


def test_two_targets_are_compared_by_rounds() -> None:
    a = tuple(10 * math.exp(x) for x in (0.3, -0.2, 0.1, 0.0, -0.3))
    b = tuple(v * 1.3 * math.exp(x) for v, x in zip(a, (0.01, -0.01, 0.0, 0.005, -0.005), strict=True))
    found = compare_targets(session(mean_tpot_ms=a), session(mean_tpot_ms=b), BaselineSettings(), 3)
    assert isinstance(found, list)
    (one,) = found
    assert one.verdict is FAIL
    assert one.change == pytest.approx(0.3)
    assert one.reference == pytest.approx(math.exp(np.log(a).mean()))
    assert one.observed == pytest.approx(1.3 * one.reference)
    d = np.log(b) - np.log(a)
    error = d.std(ddof=1) / math.sqrt(5)
    half = t(0.95, 4) * error
    assert one.interval == pytest.approx((math.expm1(d.mean() - half), math.expm1(d.mean() + half)))
    needed = max(t(1 - 0.01 / 3, 4) * error, math.log(1.05) + half)
    assert one.detectable == pytest.approx(math.expm1(needed + t(0.8, 4) * error))
    assert say(one.reason) == "mean_tpot_ms +30.0% (+29.0% to +31.0%) over the rounds: worse by more than 5.0%"
    same = compare_targets(session(mean_tpot_ms=a), session(mean_tpot_ms=a), BaselineSettings(), 1)
    assert isinstance(same, list)
    assert (same[0].verdict, same[0].reason.key) == (PASS, "judge.baseline_within")
    noisy = compare_targets(session(mean_tpot_ms=a), session(mean_tpot_ms=a[::-1]), BaselineSettings(), 1)
    assert isinstance(noisy, list)
    assert (noisy[0].verdict, noisy[0].reason.key) == (INCONCLUSIVE, "judge.baseline_unproven")


def test_the_rounds_of_other_scenarios_say_how_much_rounds_vary() -> None:
    """Five rounds are four degrees of freedom, those of four scenarios sixteen."""
    rng = np.random.default_rng(4)

    def rounds(worse: float) -> tuple[SessionFigures, SessionFigures]:
        a, b = 10 * np.exp(0.01 * rng.standard_normal((2, 5)))
        return session(mean_tpot_ms=tuple(a)), session(mean_tpot_ms=tuple(b * (1 + worse)))

    pairs = {name: rounds(0.0) for name in "abcd"}
    alone, beside = (compare_rounds(p, "a", BaselineSettings(), 12) for p in ({"a": pairs["a"]}, pairs))
    assert isinstance(alone, list)
    assert isinstance(beside, list)
    assert beside[0].change == alone[0].change
    assert beside[0].detectable < alone[0].detectable


def test_targets_keep_to_the_tolerance_written_and_to_whole_rounds() -> None:
    five = {"mean_tpot_ms": (1.0,) * 5, "goodput_ratio": (0.0, 0.0, 0.0, 0.0, 0.01), "p99_ttft_ms": (0.5,) * 5}
    other = {"mean_tpot_ms": (1.1,) * 5, "goodput_ratio": (0.0,) * 5, "p99_ttft_ms": (0.5,) * 5}
    settings = BaselineSettings(tolerance={"mean_tpot_ms": "20%", "goodput_ratio": 0.1})
    found = compare_targets(session(five), session(other), settings, 1)
    assert isinstance(found, list)
    assert {c.metric: (c.verdict, c.tolerance) for c in found} == {
        "mean_tpot_ms": (PASS, 0.2), "goodput_ratio": (PASS, 0.1), "p99_ttft_ms": (PASS, 0.05)}  # fmt: skip
    for less in ({"mean_tpot_ms": (1.1,) * 4}, {"mean_tpot_ms": (0.0, *[1.1] * 4)}, {}):  # rounds without a figure
        both = session(less, p99_ttft_ms=(0.5,) * 5), session(five)
        for a, b in (both, both[::-1]):
            left = compare_targets(a, b, settings, 1)
            assert isinstance(left, list)
            assert {c.metric for c in left} == {"p99_ttft_ms"}


def test_rounds_that_only_one_target_took_are_left_out() -> None:
    a, b = session(mean_tpot_ms=(1.0,) * 5), session(mean_tpot_ms=(1.5,) * 5 + (0.01,) * 2)
    for one, other, verdict in ((a, b, FAIL), (b, a, PASS)):
        found = compare_targets(one, other, BaselineSettings(), 1)
        assert isinstance(found, list)
        assert [(c.verdict, c.sessions) for c in found] == [(verdict, 5)]


def test_fewer_than_five_rounds_are_refused() -> None:
    four = session(mean_tpot_ms=(1.0, 1.0, 1.0, 1.0))
    said = compare_targets(four, four, BaselineSettings(), 1)
    assert isinstance(said, Message)
    assert said.key == "judge.targets_rounds"


def test_a_partner_that_comes_no_more_is_not_waited_for() -> None:
    """One round that it lost is an accident."""
    made = row()
    cell = made.scenario.cell.anywhere
    gate = regression.Rounds(name="a", settings=BaselineSettings(), pairs=frozenset({(cell, "b"), (cell, "c")}))

    def asked(target: str, repeat: int) -> Scenario:
        return replace(
            made.scenario, target=replace(made.scenario.target, name=target), cell=replace(cell, repeat=repeat)
        )

    for repeat in (1, 2, 3):
        for name in ("a", "b"):
            regression.note(gate, replace(made, scenario=asked(name, repeat)))
    waited = {repeat: gate.wants(asked("a", repeat)) for repeat in (1, 4, 5, 6)}
    assert waited == {1: True, 4: True, 5: True, 6: False}
    assert not gate.wants(asked("b", 4)), "it is waited for, and waits for nobody"
