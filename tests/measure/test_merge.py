"""Several machines that send one plan together come to one measurement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import closed, facts, opened, rule, scenario

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.measure.merge import merge, on_clock_of
from pytest_vllm_bench.model import (
    LoadFacts,
    MachineFacts,
    Measurement,
    Message,
    Observed,
    Plan,
    RuleVerdict,
    Track,
    Verdict,
)
from pytest_vllm_bench.text import say

PLAN = Plan(scenario_id="x", folder=Path(), n=60, path="/", digest="d")


def measurement(n: int, rated: bool, workers: int) -> Measurement:
    asked = scenario("p90_ttft_ms <= 200", "server.hits <= 5", "output_throughput >= 10")
    asked = replace(asked, request_rate=10.0, concurrency=None) if rated else asked
    some = [replace(facts(cpu_s=1.0 + i).workers[0], worker=i, started=7.0, ended=17.0) for i in range(workers)]
    values = [0.05 + 0.002 * (i * 7 % 13) for i in range(n)]
    power = tuple(Track(name="power_w", device=str(d), times=(7.0, 9.0), values=(1.0, d)) for d in range(2))
    seen = Observed(counters={"hits": 3.0}, tracks=power, environment={"gpu": "x"}, notes=(Message(key="a.note"),))
    return Measurement(
        scenario=asked,
        plan=PLAN,
        facts=LoadFacts(
            started=7.0,
            ended=17.0,
            workers=tuple(some),
            complete=True,
            steal=0.01,
            warnings=(Message(key="a.warning", values={"n": 3}),),
        ),
        observed=seen,
        records=opened(values) if rated else closed(values),
        environment={"client": {"cpus": 2}},
    )


@given(
    st.integers(1, 60), st.booleans(), st.integers(1, 6), st.integers(1, 5), st.integers(0, 1 << 30), st.floats(-9, 9)
)
def test_a_measurement_split_among_machines_is_itself_again(
    n: int, rated: bool, workers: int, machines: int, seed: int, late: float
) -> None:
    whole = measurement(n, rated, workers)
    assert whole.facts is not None
    rng = np.random.default_rng(seed)
    sent, ran = rng.integers(machines, size=n), rng.integers(machines, size=workers)
    parts = []
    for machine in range(machines):
        some = tuple(w for w, of in zip(whole.facts.workers, ran, strict=True) if of == machine)
        records = [r for r, of in zip(whole.records, sent, strict=True) if of == machine]
        parts.append(replace(whole, facts=replace(whole.facts, workers=some), records=records))
    made = merge(parts)
    assert made == whole
    assert judge(made.scenario, [made]) == judge(whole.scenario, [whole])
    other = shifted(parts[-1], round(late))
    assert merge([*parts[:-1], other]).facts == (whole.facts if machines > 1 else other.facts)


def shifted(one: Measurement, by: int) -> Measurement:
    """By another clock."""
    assert one.facts is not None
    workers = tuple(replace(w, started=w.started + by, ended=w.ended + by) for w in one.facts.workers)
    known = replace(one.facts, started=one.facts.started + by, ended=one.facts.ended + by, workers=workers)
    tracks = tuple(replace(t, times=tuple(x + by for x in t.times)) for t in one.observed.tracks)
    return replace(one, facts=known, observed=replace(one.observed, tracks=tracks))


def test_by_the_clock_of_the_first() -> None:
    one = measurement(4, False, 2)
    assert on_clock_of(one, shifted(one, 100)) == one
    assert on_clock_of(one, one) is one
    stranger = replace(one, facts=None)
    assert on_clock_of(stranger, one) is one


def test_workers_of_one_number_get_others() -> None:
    one = measurement(4, False, 2)
    made = merge([one, shifted(one, 100)])
    assert made.facts is not None
    assert [w.worker for w in made.facts.workers] == [0, 1, 2, 3]
    assert {w.started for w in made.facts.workers} == {7.0}
    assert [r.index for r in made.records] == [0, 0, 1, 1, 2, 2, 3, 3]


def other(one: Measurement) -> Measurement:
    """Of a machine whose clock is 100 s ahead: it saw a fault, more of the server and more of itself."""
    facts = one.facts
    assert facts is not None
    by_clock = shifted(one, 100)
    assert by_clock.facts is not None
    warned = (*facts.warnings, Message(key="another.warning"))
    seen = Observed(
        counters={"hits": 9.0, "misses": 1.0},
        fault=GONE,
        fault_at=112.5,
        tracks=(
            Track(name="power_w", device="1", times=(107.5,), values=(8.0,)),
            Track(name="power_w", device="2", times=(108.0, 109.0), values=(1.0, 2.0)),
        ),
        environment={"gpu": "y", "driver": "z"},
        notes=(Message(key="b.note"), Message(key="a.note")),
    )
    return replace(
        by_clock,
        facts=replace(by_clock.facts, ended=130.0, complete=False, stop_reason="asked", steal=0.25, warnings=warned,
                      machines=(MachineFacts(name="b"),)),
        observed=seen,
        environment={"client": {"cpus": 8}, "net": "n"},
        complete=False, interrupted=True, salvaged=True, resumed=True, gone=GONE, stopped_by=STOPPED,
    )  # fmt: skip


GONE = Message(key="server.gone")
STOPPED = RuleVerdict(rule=rule("failed == 0"), verdict=Verdict.FAIL, reason=GONE, observed=1.0)


def test_what_is_said_of_one_is_said_of_all() -> None:
    one = measurement(4, False, 1)
    assert one.facts is not None
    one = replace(one, facts=replace(one.facts, machines=(MachineFacts(name="a"),)))
    one.samples["kept"] = None  # type: ignore[assignment]
    made = merge([one, other(one)])
    assert made.samples == {}
    assert (made.complete, made.interrupted, made.salvaged, made.resumed) == (False, True, True, True)
    assert (made.gone, made.stopped_by) == (GONE, STOPPED)
    assert made.environment == {"client": {"cpus": 2}, "net": "n"}, "as the first says it"
    seen = made.observed
    assert seen.counters == {"hits": 3.0, "misses": 1.0}
    assert (seen.fault, seen.fault_at) == (GONE, 12.5)
    assert seen.environment == {"gpu": "x", "driver": "z"}
    assert [(t.device, t.times, t.values) for t in seen.tracks] == [
        ("0", (7.0, 9.0), (1.0, 0)), ("1", (7.0, 9.0), (1.0, 1)), ("2", (8.0, 9.0), (1.0, 2.0))]  # fmt: skip
    assert [note.key for note in seen.notes] == ["a.note", "b.note"]
    facts = made.facts
    assert facts is not None
    assert (facts.started, facts.ended, facts.complete, facts.stop_reason) == (7.0, 30.0, False, "asked")
    assert (facts.steal, [m.name for m in facts.machines]) == (0.25, ["a", "b"])
    assert [note.key for note in facts.warnings] == ["a.warning", "another.warning"]
    turned = merge([other(one), one])
    assert turned.facts is not None
    assert (turned.complete, turned.facts.complete, turned.facts.ended) == (False, False, 130.0)
    assert (turned.gone, turned.observed.fault_at) == (GONE, 112.5)


def test_measurements_of_which_less_is_known() -> None:
    """Of another tool's file; a fault that was seen at the end has no moment; one clock needs no telling."""
    one = measurement(4, False, 1)
    bare = replace(one, plan=None, facts=None)
    assert merge([bare, bare]).facts is None
    assert merge([bare, replace(one, plan=None)]).facts == one.facts
    known = replace(one, observed=Observed(fault=GONE))
    assert merge([one, shifted(known, 100)]).observed.fault_at is None
    assert one.facts is not None
    untold = replace(one, facts=replace(one.facts, steal=None))
    for parts, steal in (([one, untold], 0.01), ([untold, one], 0.01), ([untold, untold], None)):
        made = merge(parts).facts
        assert made is not None
        assert made.steal == steal


def test_what_was_not_one_plan_is_refused() -> None:
    one = measurement(4, False, 1)
    for plan, said in ((replace(PLAN, digest="e"), "these are of several: d, e"), (None, "these are of several: d, –")):
        with pytest.raises(BenchError) as refused:
            merge([one, replace(one, plan=plan)])
        assert said in say(refused.value.message)


def test_a_process_keeps_its_number_where_no_other_has_it() -> None:
    one = measurement(4, False, 3)
    assert one.facts is not None
    first, second, third = one.facts.workers
    parts = [replace(one, facts=replace(one.facts, workers=some)) for some in ((second, third), (first,))]
    made = merge(parts).facts
    assert made is not None
    assert [(w.worker, w.cpu_s) for w in made.workers] == [(0, 1.0), (1, 2.0), (2, 3.0)]
