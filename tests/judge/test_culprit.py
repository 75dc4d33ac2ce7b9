"""Which stage of its requests a figure comes from: the arithmetic, what is planted, and what is named of nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import facts, request, scenario

from pytest_vllm_bench.judge import culprit
from pytest_vllm_bench.judge.parts import parts, summed_up
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.model import Comparison, Culprit, Measurement, Message, Record, Result, Verdict
from pytest_vllm_bench.report.culprit import told as culprit_told
from pytest_vllm_bench.report.failure import failure
from pytest_vllm_bench.report.github import step_summary
from pytest_vllm_bench.report.page import page
from pytest_vllm_bench.report.verdict import summary
from pytest_vllm_bench.store.row import from_json, to_json
from pytest_vllm_bench.text import say

games = st.integers(1, 5).flatmap(lambda n: st.lists(st.floats(-1e3, 1e3), min_size=1 << n, max_size=1 << n))


@settings(max_examples=60, deadline=None)
@given(games, st.data())
def test_shares_add_up_are_fair_and_nothing_for_nothing(worth: list[float], data: st.DataObject) -> None:
    game = np.array(worth)
    values = culprit.shapley(game)
    n = len(values)
    assert values.sum() == pytest.approx(game[-1] - game[0], abs=1e-6)
    i, j = (data.draw(st.integers(0, n - 1)) for _ in range(2))
    swapped = [s & ~(1 << i | 1 << j) | (s >> i & 1) << j | (s >> j & 1) << i for s in range(len(game))]
    even = (game + game[swapped]) / 2
    assert culprit.shapley(even)[i] == pytest.approx(culprit.shapley(even)[j], abs=1e-6), "who are alike get the same"
    idle = game[[s & ~(1 << i) for s in range(len(game))]]
    assert culprit.shapley(idle)[i] == 0, "who changes nothing gets nothing"
    both = np.stack([game, idle], axis=1)
    assert pytest.approx(np.array([values, culprit.shapley(idle)]), abs=1e-6) == culprit.shapley(both).T


TOLD = ("queue_time_ms", "time_to_first_token_ms", "generation_time_ms")
KINDS = ("server_queue", "server_prefill", "outside_first", "server_decode", "pause")


def run(bad: str = "", n: int = 200, told: Sequence[str] = TOLD, seed: int = 1, due: bool = False) -> list[Record]:
    """Requests of which a fifth takes half a second longer, in one stage; the server says as much as it is ``told``."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        took = {"server_queue": 0.005, "server_prefill": 0.05, "outside_first": 0.004, "server_decode": 0.2,
                "pause": 0.0, "client_wait": 0.001}  # fmt: skip
        took = {stage: seconds * rng.lognormal(0, 0.1) for stage, seconds in took.items()}
        if bad and rng.random() < 0.2:
            took[bad] += 0.3 + rng.exponential(0.2)
        gaps = [took["server_decode"] / 9] * 9
        gaps[4] += took["pause"]
        says = dict(zip(TOLD, (1e3 * took["server_queue"], 1e3 * took["server_prefill"], 1e3 * sum(gaps)), strict=True))
        sent = 0.5 * i + took["client_wait"]
        first = took["server_queue"] + took["server_prefill"] + took["outside_first"]
        times: dict[str, Any] = {"due": 0.5 * i, "ready": sent} if due else {}
        made.append(request(i, sent, first, gaps, server={key: says[key] for key in told}, **times))
    return made


def judged(rule: str, records: list[Record], **changed: Any) -> Result:
    asked = scenario(rule, **changed)
    return judge(asked, [Measurement(scenario=asked, records=records, facts=facts())])


def blamed(rule: str, records: list[Record], **changed: Any) -> Culprit | None:
    verdict = judged(rule, records, **changed).verdicts[0]
    assert verdict.within is False, verdict
    return verdict.culprit


def test_what_is_planted_is_found() -> None:
    wrong: list[Any] = []
    for bad in KINDS:
        first = bad in ("server_queue", "server_prefill", "outside_first")
        rules = ["p99_e2el_ms <= 320", "mean_e2el_ms <= 290", "p90_e2el_ms <= 320", "max_e2el_ms <= 400"]
        rules += ["p99_ttft_ms <= 100", "p99_ttfo_ms <= 100"] if first else ["p99_tpot_ms <= 30"]
        for rule in rules:
            found = blamed(rule, run(bad))
            shares = [one.share for one in found.shares] if found else []
            if (
                found is None
                or found.stage != bad
                or not found.shares[0].within
                or (found.shares[1:] and found.shares[-1].within)
            ):
                wrong.append((bad, rule, found))
            elif sum(shares) != pytest.approx(found.observed - found.uncontended):
                wrong.append((bad, rule, "does not add up"))
    assert not wrong


def test_the_rule_is_counted_again_as_the_judge_counts() -> None:
    """A request in twenty may miss: without the queue the figure is that of a run without one."""
    with_queue, without = run("server_queue"), run("")
    found = blamed("p95_ttft_ms <= 100", with_queue)
    assert found is not None
    clean = np.sort([r.first_token - r.sent for r in without])[math.ceil(200 * 0.95) - 1]  # type: ignore[operator]
    assert found.shares[0].without == pytest.approx(1e3 * clean, rel=0.05)
    assert found.observed == judged("p95_ttft_ms <= 100", with_queue).verdicts[0].observed


SOME: dict[str, tuple[str, tuple[str, ...], dict[str, Any], str | None]] = {
    "SGLang tells of its queue alone": ("server_queue", TOLD[:1], {}, "server_queue"),
    "llama.cpp of prefill and decoding": ("server_queue", TOLD[1:], {}, "to_first"),
    "nobody tells: before the first token": ("server_queue", (), {}, "to_first"),
    "nobody tells: a pause": ("pause", (), {}, "pause"),
    "nobody tells: decoding": ("server_decode", (), {}, "decode"),
    "the client's own waiting": ("client_wait", TOLD, {"request_rate": 2.0}, "client_wait"),
    "the client's own waiting, nobody tells": ("client_wait", (), {"request_rate": 2.0}, "client_wait"),
}


@every("case", SOME)
def test_where_only_some_stages_are_known(case: str) -> None:
    bad, told, changed, named = SOME[case]
    found = blamed("p95_e2el_ms <= 400", run(bad, told=told, due=bool(changed)), **changed)
    assert (found and found.stage) == named, found


def test_a_connection_is_a_stage_where_requests_are_due() -> None:
    records = run("client_wait", due=True)
    for record in records:
        record.connect_s = record.sent - record.due  # type: ignore[operator]
        record.ready = record.due
    found = blamed("p95_ttft_ms <= 100", records, request_rate=2.0)
    assert found is not None
    assert found.stage == "connect"


def test_goodput_is_a_latency_rule_too() -> None:
    found = blamed("goodput_ratio >= 0.95", run("server_queue"), goodput={"ttft": 100.0, "tpot": 40.0})
    assert found is not None
    assert found.stage == "server_queue"
    assert found.shares[0].within
    assert found.shares[0].without > 0.95
    assert found.shares[0].share == pytest.approx(found.uncontended - found.observed)
    found = blamed("slo_attainment.max_gap >= 0.95", run("pause"), goodput={"max_gap": 100.0})
    assert found is not None
    assert found.stage == "pause"


NOBODY = {
    "what holds": ("p99_ttft_ms <= 5000", run("server_queue")),
    "no latency": ("output_throughput >= 100000", run("server_queue")),
    "one stage is all that is known": ("p99_ttft_ms <= 50", run("server_queue", told=())),
    "too few requests": ("p99_ttft_ms <= 50", run("server_queue", n=10)),
    "gaps are no requests": ("p99_itl_ms <= 1", run("pause")),
    "the wrong side": ("p99_ttft_ms >= 90000", run("server_queue")),
    "a spread": ("std_ttft_ms <= 1", run("server_queue")),
}


@every("case", NOBODY)
def test_where_nobody_can_be_named(case: str) -> None:
    rule, records = NOBODY[case]
    assert judged(rule, records).verdicts[0].culprit is None


def test_failures_are_no_stage() -> None:
    records = run("server_queue")
    for record in records[::4]:
        record.error = "timeout"
    assert judged("p90_ttft_ms <= 100", records).verdicts[0].culprit is None, "the figure is a failure"
    found = blamed("p70_ttft_ms <= 10", [*run("server_queue")[:100], *records[100:]])
    assert found is not None
    assert all(math.isfinite(one.share) for one in found.shares)


def test_everybody_alike_is_nobody() -> None:
    found = blamed("mean_ttft_ms <= 10", alike(200, 0.0, np.random.default_rng(3)))
    assert found is not None
    assert found.stage is None


def alike(n: int, phi: float, rng: np.random.Generator) -> list[Record]:
    stages = two(n, phi, rng) * 0.1
    told = [dict(zip(TOLD[:2], 1e3 * one, strict=True)) for one in stages.T]
    return [request(i, 10.0 * i, stages[:, i].sum() + 0.001, server=told[i]) for i in range(n)]


def two(n: int, phi: float, rng: np.random.Generator) -> Any:
    """Two stages of one kind, heavy in the tail, whose values have to do with those before."""
    z = rng.normal(size=(2, n))
    for t in range(1, n):
        z[:, t] = phi * z[:, t - 1] + math.sqrt(1 - phi**2) * z[:, t]
    return np.exp(z)


@pytest.mark.slow
def test_how_often_one_is_named_where_none_is_worse() -> None:
    """About one run in fifty (of 100 runs each at n = 100 … 1,000 and φ = 0 … 0.95: 0–3 % of means, 0–4 % of p90,
    1–6 % of p99; 40 requests that are all of one mood, φ = 0.95: 5–12 %)."""
    figures = {"p99": partial(culprit._ordered, Fraction(1, 100)), "p90": partial(culprit._ordered, Fraction(1, 10)),
               "mean": lambda rows, weights: rows @ weights.T / weights.sum(axis=1)}  # fmt: skip
    rng, rates = np.random.default_rng(7), {}
    for n, phi in ((100, 0.0), (100, 0.95), (400, 0.8)):
        for name, figure in figures.items():
            hits = sum(named(two(n, phi, rng), figure) is not None for _ in range(60))
            rates[n, phi, name] = hits / 60
    assert np.mean(list(rates.values())) <= 0.04, rates
    assert max(rates.values()) <= 0.1, rates


def named(stages: Any, figure: Any) -> int | None:
    whole = stages.sum(axis=0)
    beyond = stages - np.quantile(stages, 0.1, axis=1)[:, None]
    rows = np.array([whole, whole - beyond[0], whole - beyond[1], whole - beyond.sum(axis=0)])
    return culprit.drawn_and_named([rows], figure)[1]


def test_the_same_run_says_the_same() -> None:
    assert blamed("p99_ttft_ms <= 100", run("server_queue")) == blamed("p99_ttft_ms <= 100", run("server_queue"))


def test_of_a_long_run_a_part_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(culprit, "READ", 100)
    found = blamed("mean_ttft_ms <= 100", run("server_queue", n=1001))
    assert found is not None
    assert found.stage == "server_queue"


def culprit_lines(one: Comparison) -> list[str]:
    return [say(message) for message in culprit_told(one)]


def against(metric: str, new: list[Record], *old: list[Record], **of: Any) -> Comparison:
    """A comparison that failed, of a run with sessions before."""
    asked = scenario()
    values = {"metric": metric, "gated": True, "verdict": Verdict.FAIL, "reason": Message(key="report.unsaid"),
              "reference": 255.0, "observed": 400.0, "change": 0.5, "interval": (0.1, 0.9), "tolerance": 0.05,
              "detectable": 0.1, "sessions": len(old)}  # fmt: skip
    before = [summed_up([sample(records, settings_of(asked))]) for records in old]
    return culprit.changed(Comparison(**{**values, **of}), [sample(new, settings_of(asked))], {}, before)


def test_a_worse_baseline_has_its_culprit() -> None:
    old = [run(seed=seed) for seed in (5, 6, 7)]
    wrong: list[Any] = []
    for bad in KINDS:
        first = bad in ("server_queue", "server_prefill", "outside_first")
        metrics = {"mean_e2el_ms": 255.0, "p99_e2el_ms": 310.0, "p90_e2el_ms": 290.0}
        metrics |= {"p99_ttft_ms": 75.0} if first else {"mean_tpot_ms": 22.0}
        for metric, reference in metrics.items():
            found = against(metric, run(bad), *old, reference=reference, tolerance=0.15).culprit
            if found is None or found.stage != bad or not found.shares[0].within:
                wrong.append((bad, metric, found))
            elif found.uncontended != pytest.approx(reference, rel=0.2):
                wrong.append((bad, metric, found.uncontended))
    assert not wrong
    lines = culprit_lines(against("mean_e2el_ms", run("server_queue"), *old, tolerance=0.15))
    assert lines[0].startswith("mean_e2el_ms changed because of queueing: ")
    assert lines[1].startswith("with queueing as before 2")
    assert lines[2].endswith(" ms with all of them as before")


def test_where_a_change_has_no_culprit() -> None:
    new, old = run("server_queue"), run()
    assert against("mean_e2el_ms", new, old, verdict=Verdict.PASS).culprit is None
    assert against("output_throughput", new, old).culprit is None
    assert against("mean_e2el_ms", new).culprit is None, "a reference of before"
    assert against("mean_e2el_ms", new, old, scenario="*").culprit is None
    told = against("mean_e2el_ms", new, run(told=())).culprit
    assert told is None or told.stage is None, "the server did not tell before"
    same = against("mean_e2el_ms", run(seed=9), run(seed=8), run(seed=10), reference=200.0).culprit
    assert same is not None
    assert same.stage is None, "nothing has changed"


def test_it_is_said_in_three_lines_everywhere(tmp_path: Any) -> None:
    result = judged("p95_ttft_ms <= 100", run("server_queue"))
    assert result.verdict is Verdict.FAIL
    text = failure(result, width=200)
    assert "p95_ttft_ms comes from queueing: " in text
    assert ": would pass; without prefill " in text
    assert "would not" in text
    assert "with all of them uncontended" in text
    assert "p95_ttft_ms 主要来自服务端排队：" in failure(result, "zh", width=200)
    assert "p95_ttft_ms comes from queueing" in step_summary([result])
    shown = page([result])
    assert "p95_ttft_ms comes from queueing" in shown
    assert "若没有服务端排队则为" in shown
    scenarios: Any = summary([result])["scenarios"]
    rule = scenarios[0]["rules"][0]
    assert rule["culprit"]["stage"] == "server_queue"
    kept = from_json(json.loads(json.dumps(to_json(result))))
    assert kept.verdicts[0].culprit == result.verdicts[0].culprit
    assert failure(kept, width=200) == text
    later = replace(kept.verdicts[0], culprit=replace(kept.verdicts[0].culprit, stage="of_tomorrow"))  # type: ignore[type-var]
    assert "no stage of the requests stands out" in failure(replace(kept, verdicts=(later,)), width=200)
    none = judged("mean_ttft_ms <= 10", alike(200, 0.0, np.random.default_rng(3)))
    assert "mean_ttft_ms: no stage of the requests stands out" in failure(none, width=200)


def test_stages_add_up_for_every_request() -> None:
    rng = np.random.default_rng(2)
    asked = scenario(request_rate=2.0)
    records = run("pause", due=True) + [
        request(200 + i, 100.0 + i, float(rng.exponential(0.1)), [], due=100.0 + i, ready=100.0 + i) for i in range(20)
    ]
    for told in (TOLD, TOLD[:1], TOLD[1:], ()):
        for record in records[:200]:
            record.server = {key: (record.server or {}).get(key, 1.0) for key in told}
        values = sample(records, settings_of(asked)).values
        for id in ("ttft", "ttfo", "e2el", "tpot", "max_gap", "response_ttft", "response_e2el", "response_ttfo"):
            whole: Any = sum(parts(values, id).values())
            known = np.isfinite(whole)
            assert known.any(), (told, id)
            assert whole[known] == pytest.approx(values[id][known], abs=1e-9), (told, id)
