"""Every kind of rule, as the metric table has it: one run in which it passes, one in which it fails, one undecided, one
invalid, one without any data.  A new metric or statistic is tried here without anyone adding it."""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import pytest
from every import every
from runs import facts, failure, judged, request, scenario

from pytest_vllm_bench.capacity import answered, outcome, probed
from pytest_vllm_bench.judge.capacity import Probe
from pytest_vllm_bench.judge.sla import is_statistical
from pytest_vllm_bench.measure.columns import sample
from pytest_vllm_bench.measure.settings import settings_of
from pytest_vllm_bench.metric_table import ERROR_COUNTS, ROWS, SLO_IDS, STARTUP, all_names, parse_name, parse_rule
from pytest_vllm_bench.model import (
    CapacityAnswer,
    CapacityLevel,
    Cell,
    Deployment,
    Judgement,
    Record,
    Result,
    Rule,
    Sample,
    Search,
    Track,
    Verdict,
)

GOODPUT = {"ttft": 60.0, "ttfo": 60.0, "tpot": 12.0, "e2el": 165.0, "max_gap": 14.0}
DEPLOYMENT = Deployment(accelerators=2, price_per_hour=7.2)
SERVER = {"prefix_cache_hit_rate": 0.5, **dict.fromkeys(STARTUP, 30.0)}
REQUESTS, RATE, CAP = 400, 20.0, 4
#: p90 for p99: what can be proven of a tail takes a run that is long enough for it.
NAMES = [*all_names((50, 90)), "server.prefix_cache_hit_rate", "service_p50_ttft_ms"[8:]]
TRACKS = tuple(
    Track(name="power_w", device=device, every=0.5, times=(*(i / 2 for i in range(-2, 60)),), values=(150.0,) * 62)
    for device in "01"
)
#: Figures that no request changes: there they are 0, or nothing is wrong with any value.
FREE = {"unsent"}


@cache
def run(kind: Literal["usual", "failing", "waiting"]) -> tuple[Record, ...]:
    """An open loop whose requests vary in everything that is measured; some wait for a slot, some fail."""
    rng, made = random.Random(7), []
    for i in range(REQUESTS):
        due = i / RATE
        late = 0.0 if kind == "waiting" and i % 3 else rng.uniform(0.001, 0.008)
        times: dict[str, Any] = {"due": due, "ready": due + late}
        if kind == "failing" and i % 4 == 0:
            made.append(failure(i, due + late, ERROR_COUNTS[i // 4 % len(ERROR_COUNTS)], **times))
            continue
        gaps = tuple(rng.uniform(0.008, 0.016) for _ in range(9))
        ttft = rng.uniform(0.03, 0.09)
        made.append(
            request(i, due + late + rng.uniform(0.0001, 0.0003), ttft, gaps, **times,
                    connect_s=rng.uniform(0.001, 0.002), audio_s=1.5, sequences=2,
                    arrival_tokens=array("i", [1] * 10), reconnected=i % 100 == 7, server=told(i, ttft, sum(gaps)))
        )  # fmt: skip
    return tuple(made)


def told(i: int, ttft: float, decoding: float) -> dict[str, float]:
    """What the server says of its own time: of each part some, so that some is left outside."""
    rng = random.Random(i)
    queue, prefill, decode = (
        rng.uniform(0.1, 0.2) * ttft,
        rng.uniform(0.3, 0.6) * ttft,
        rng.uniform(0.7, 0.9) * decoding,
    )
    return {"queue_time_ms": queue * 1e3, "time_to_first_token_ms": prefill * 1e3, "generation_time_ms": decode * 1e3}


@cache
def sampled(kind: Literal["usual", "failing", "waiting"], complete: bool, slos: bool) -> Sample:
    """What its hundreds of rules are held against, looked at once: it depends on none of them."""
    settings = settings_of(asked("failed == 0", goodput=GOODPUT if slos else {}), complete=complete)
    return replace(sample(run(kind), settings), tracks=TRACKS)


def kind_of(name: str) -> Literal["usual", "failing", "waiting"]:
    """Counts of failures need failures, which would make the largest of every latency infinite; a share not all."""
    return "failing" if name.startswith("failed") else "waiting" if name == "cap_bound" else "usual"


def of(name: str, complete: bool = True, slos: bool = True) -> Sample:
    return sampled(kind_of(name), complete, slos)


def asked(*rules: str, **changed: Any) -> Any:
    usual = {"goodput": GOODPUT, "request_rate": RATE, "concurrency": None, "deployment": DEPLOYMENT}
    return scenario(*rules, **{**usual, **changed})


def judge(text: str, seen: Sample | tuple[Record, ...], **evidence: Any) -> Judgement:
    return judged(asked(text), seen, **{"server": SERVER, **evidence})


@cache
def figures(kind: Literal["usual", "failing", "waiting"]) -> dict[str, Any]:
    """What all rules see in such a run; one judgement of all of them, for a figure is the same beside others."""
    names = [name for name in NAMES if kind_of(name) == kind]
    seen = judged(asked(*(f"{name} >= 0" for name in names)), of(names[0]), server=SERVER).verdicts
    return {verdict.rule.metric: verdict.observed for verdict in seen}


def figure(name: str) -> float:
    """What the rule sees in the usual run."""
    rule = parse_rule(f"{name} >= 0")
    assert isinstance(rule, Rule)
    seen = figures(kind_of(name))[rule.metric]
    assert isinstance(seen, float), f"{name}: a metric without a figure in this run is not tested; give the run one"
    return seen


def op_of(name: str) -> Literal["<=", ">="]:
    """The side on which a limit makes sense."""
    found = parse_name(name)
    assert found is not None
    return ">=" if found.row.better == "higher" else "<="


def limited(name: str, side: Literal["good", "bad", "near"]) -> str:
    """A rule on ``name`` whose limit the usual run keeps by far, breaks by far, or just meets."""
    op, seen = op_of(name), figure(name)
    assert math.isfinite(seen)
    found = parse_name(name)
    assert found is not None
    if side == "near":
        return f"{name} {op} {seen:.17f}"
    if found.row.unit == "ratio":
        low, high = "0.001", "0.999"
    else:
        low, high = f"{seen / 100:.9f}", f"{seen * 100 + 1:.9f}"
    return f"{name} {op} {high if (op == '<=') == (side == 'good') else low}"


def statistical(name: str) -> bool:
    rule = parse_rule(limited(name, "near"))
    assert isinstance(rule, Rule)
    return is_statistical(rule)


def test_every_row_of_the_table_is_among_the_names() -> None:
    tried = {found.row.id for name in NAMES if (found := parse_name(name)) is not None}
    assert set(ROWS) | {"slo_attainment", "server"} <= tried
    assert {f"slo_attainment.{id}" for id in SLO_IDS} <= set(NAMES)


@pytest.mark.slow
@every("name", [n for n in NAMES if n not in FREE])
def test_it_passes(name: str) -> None:
    found = judge(limited(name, "good"), of(name)).verdicts[0]
    assert (found.verdict, found.within, found.proven) == (Verdict.PASS, True, statistical(name))


@pytest.mark.slow
@every("name", [n for n in NAMES if n not in FREE])
def test_it_fails(name: str) -> None:
    judgement = judge(limited(name, "bad"), of(name))
    found = judgement.verdicts[0]
    assert (found.verdict, found.within, found.proven) == (Verdict.FAIL, False, statistical(name))
    assert judgement.verdict is Verdict.FAIL


@pytest.mark.slow
@every("name", NAMES)
def test_it_is_inconclusive(name: str) -> None:
    """At its very limit a statistical rule is undecided; an exact one is only where the run was cut short."""
    text = limited(name, "near")
    if statistical(name):
        found = judge(text, of(name)).verdicts[0]
        assert (found.verdict, found.proven) == (Verdict.INCONCLUSIVE, False)
        assert found.reason.values["why"]
        return
    rules = (text, "failed_ratio < 1")  # the implied ones would fail in their own right
    kept = judged(asked(*rules, goodput={}), of(name, slos=False), server=SERVER)
    cut = judged(asked(*rules, goodput={}), of(name, complete=False, slos=False), server=SERVER, complete=False)
    if parse_name(name) and "goodput" in parse_name(name).row.needs:  # type: ignore[union-attr]
        assert kept.verdicts[0].verdict is Verdict.FAIL  # no SLO, no data
        return
    assert kept.verdicts[0].verdict is Verdict.PASS
    assert cut.verdict is Verdict.INCONCLUSIVE


@pytest.mark.slow
@every("name", NAMES)
def test_it_is_invalid(name: str) -> None:
    """A client that was the bottleneck: the rule is judged and shown, and decides nothing."""
    busy = (facts(cpu_s=9.9),)
    judgement = judge(limited(name, "good"), of(name), facts=busy)
    assert judgement.verdict is Verdict.INVALID
    assert judgement.verdicts[0].observed is not None


@every("name", NAMES)
@every("op", ["<=", ">="])
def test_no_data_never_passes(name: str, op: str) -> None:
    judgement = judge(f"{name} {op} 0", (), server={})
    found = judgement.verdicts[0]
    assert judgement.verdict is Verdict.FAIL
    assert (found.verdict, found.observed, found.within) == (Verdict.FAIL, None, None)


# ------------------------------------------------------------------------------------ the gate of a search

SEARCH = Search(over="concurrency", at_least=8, max=64, runs=9, seconds=60)
SEEN = [
    (CapacityLevel(level=8, held=True, decided=True, proven=True, multiple=1), "found", Verdict.PASS),
    (CapacityLevel(level=8, held=False, decided=True, proven=True, multiple=1), "found", Verdict.FAIL),
    (CapacityLevel(level=8, held=True, decided=False, proven=False, multiple=8), "found", Verdict.INCONCLUSIVE),
    (CapacityLevel(level=4, held=True, decided=True, proven=True, multiple=1), "invalid", Verdict.INVALID),
    (CapacityLevel(level=4, held=True, decided=True, proven=True, multiple=1), "runs", Verdict.INCONCLUSIVE),
    (CapacityLevel(level=8, held=True, decided=True, proven=True, multiple=1), "gone", Verdict.FAIL),
]


@every(("seen", "stopped", "expected"), SEEN)
def test_the_gate_of_a_search(seen: CapacityLevel, stopped: Any, expected: Verdict) -> None:
    held, broken = (seen.level, None) if seen.held else (None, seen.level)
    answer = CapacityAnswer(held=held, broken=broken, levels=(seen,), stopped=stopped)
    one = scenario("p50_ttft_ms <= 100", search=SEARCH, cell=Cell(place="io8x8", search="capacity"))
    probe = probed(one, Probe(level=seen.level))
    result = answered(one, answer, [Result(scenario=probe, verdict=Verdict.PASS, complete=True, metrics={})])
    assert result.verdict is expected
    assert [v.rule.text for v in result.verdicts] == ["concurrency >= 8"]
    assert result.verdicts[0].proven == (seen.proven and expected in (Verdict.PASS, Verdict.FAIL) and stopped != "gone")


def test_a_probe_without_data_breaks_its_level() -> None:
    one = scenario("p50_ttft_ms <= 100", search=SEARCH, cell=Cell(place="io8x8", search="capacity"))
    made = judged(probed(one, Probe(level=8)), ())
    result = Result(scenario=probed(one, Probe(level=8)), verdict=made.verdict, complete=True, metrics={},
                    verdicts=made.verdicts)  # fmt: skip
    assert outcome(result).verdict is Verdict.FAIL
    assert outcome(result).proven is False
