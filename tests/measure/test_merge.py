"""Several machines that send one plan together come to one measurement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import closed, facts, opened, scenario

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judging import judge
from pytest_vllm_bench.measure.merge import merge
from pytest_vllm_bench.model import LoadFacts, Measurement, Message, Observed, Plan, Track

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


def test_workers_of_one_number_get_others() -> None:
    one = measurement(4, False, 2)
    made = merge([one, shifted(one, 100)])
    assert made.facts is not None
    assert [w.worker for w in made.facts.workers] == [0, 1, 2, 3]
    assert {w.started for w in made.facts.workers} == {7.0}
    assert [r.index for r in made.records] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_is_said_of_one_is_said_of_all() -> None:
    one = measurement(4, False, 1)
    gone = Message(key="server.gone")
    more: dict[str, Any] = {"complete": False, "interrupted": True, "gone": gone, "salvaged": True}
    made = merge([one, replace(one, **more, observed=Observed(fault=gone, counters={"hits": 9.0, "misses": 1.0}))])
    assert {key: getattr(made, key) for key in more} == more
    assert (made.observed.fault, made.observed.counters) == (gone, {"hits": 3.0, "misses": 1.0})
    with pytest.raises(BenchError):
        merge([one, replace(one, plan=replace(PLAN, digest="e"))])
