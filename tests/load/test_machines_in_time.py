"""Several machines in virtual time: what they measure of one plan, by clocks of their own, is what one would have."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import facts, scenario
from virtual import START, World, index

from pytest_vllm_bench.judging import figures_of
from pytest_vllm_bench.machines.clock import Clock, Offset, offset, on_ours
from pytest_vllm_bench.measure.merge import merge
from pytest_vllm_bench.model import Measurement, Plan, Record

PLAN = Plan(scenario_id="x", folder=Path(), n=1, path="/", digest="d")
CONNECTED = START - 2.3  # when clocks were compared, before the start


class Crystal:
    """A clock that is ahead by ``ahead`` at ``CONNECTED`` and gains ``drift`` seconds a second."""

    def __init__(self, ahead: float, drift: float) -> None:
        self.ahead, self.drift = ahead, drift

    def at(self, time: float) -> float:
        return time + self.ahead + self.drift * (time - CONNECTED)

    def compared(self, time: float, ways: list[tuple[float, float]]) -> Offset:
        exchanges = []
        for there, back in ways:
            came = time + there
            exchanges.append((time, self.at(came), self.at(came + 1e-5), came + 1e-5 + back))
            time = came + back + 1e-4
        return offset(exchanges)


def records(world: World, start: float) -> list[Record]:
    """Four tokens of each answer, evenly."""
    found = []
    for one in world.went:
        sent, took = one.at - start, one.end - one.at
        tokens = [sent + took * part for part in (0.4, 0.6, 0.8, 1.0)]
        times: dict[str, Any] = {"due": None if math.isnan(one.due) else one.due - start, "ready": one.ready - start}
        times |= {"sent": sent, "first_token": tokens[0], "last_token": tokens[-1], "done": tokens[-1]}
        found.append(
            Record(
                index=one.row.number,
                chain=one.row.chain,
                arrival_times=array("d", tokens),
                arrival_events=array("i", [1] * 4),
                arrival_tokens=array("i", [1] * 4),
                output_tokens=4,
                token_source="usage",
                **times,
            )
        )
    return found


ways = st.lists(st.tuples(st.floats(2e-5, 2e-3), st.floats(2e-5, 2e-3)), min_size=3, max_size=8)
clocks = st.tuples(st.floats(-0.3, 0.3), st.floats(-100e-6, 100e-6))


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.001, 60), min_size=6, max_size=40).map(sorted),
    st.booleans(),
    st.integers(1, 4),
    st.integers(1, 2),
    st.data(),
)
def test_what_clocks_and_places_are_apart_vanishes(
    dues: list[float], closed: bool, machines: int, workers: int, data: st.DataObject
) -> None:
    """Offsets of up to 300 ms and drifts of 100 ppm: no time is off by more than is not known of the clocks, and what
    100 ppm make of a schedule; no latency by more than 100 ppm."""
    n, of = len(dues), machines * workers
    plan, cap = index([0.0] * n if closed else dues), of + 1 if closed else None
    service = data.draw(st.lists(st.floats(0.1, 3), min_size=n, max_size=n))
    asked = scenario(concurrency=cap, request_rate=math.inf if closed else 5.0)
    begun = Measurement(scenario=asked, plan=replace(PLAN, n=n))

    def sends(shard: int, rate: float, start: float) -> list[Record]:
        world = World(service=lambda row: service[row.number] * rate, now=start)
        return records(world.run(plan, cap=cap, shard=(shard, of), start=start), start)

    known = facts()
    whole = replace(begun, facts=known, records=[r for i in range(of) for r in sends(i, 1.0, START)])
    parts, doubt = [], 0.0
    for machine in range(machines):
        crystal = Crystal(*data.draw(clocks))
        before = crystal.compared(CONNECTED, data.draw(ways))
        told = START + before.ahead
        mine = [r for w in range(workers) for r in sends(machine + machines * w, 1 + crystal.drift, told)]
        after = crystal.compared(START + 70, data.draw(ways))
        its = Clock(before=before, after=after)
        theirs = replace(known, started=told, ended=told + 9)
        parts.append(replace(begun, facts=on_ours(mine, theirs, START, its), records=mine))
        doubt = max(doubt, its.error)
    made = merge(parts)
    assert made.facts is not None
    assert made.facts.started == START
    for one, same in zip(made.records, merge([whole]).records, strict=True):
        span = same.done or 0.0
        assert (one.index, one.chain) == (same.index, same.chain)
        assert one.sent == pytest.approx(same.sent, abs=3 * doubt + 110e-6 * (span + 3) + 2e-6)
        assert (one.done or 0.0) - (one.sent or 0.0) == pytest.approx(
            (same.done or 0.0) - (same.sent or 0.0), rel=110e-6, abs=3e-6 + 2 * doubt / 70
        )
    together, alone = figures_of(made, asked), figures_of(whole, asked)
    for name in ("mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p99_itl_ms", "mean_e2el_ms"):
        assert together[name] == pytest.approx(alone[name], rel=2e-4, abs=0.01 + 2e3 * doubt / 70)


def test_the_shortest_exchange_counts_and_its_half_bounds_the_error() -> None:
    crystal, rng = Crystal(0.3, 50e-6), np.random.default_rng(1)
    for _ in range(200):
        ways = [(float(a), float(b)) for a, b in rng.exponential(1e-3, size=(50, 2)) + 2e-5]
        found = crystal.compared(CONNECTED, ways)
        assert abs(found.ahead - 0.3) <= found.error + 50e-6 * 0.2
        assert found.error <= min(a + b for a, b in ways)


def test_no_crystal_drifts_so_much() -> None:
    """Unless the exchanges say no better."""
    before = Offset(at=0.0, ahead=0.1, error=1e-4)
    after = Offset(at=60.0, ahead=0.1 + 60 * 300e-6, error=1e-4)
    assert Clock(before=before, after=after).drifts
    assert not Clock(before=before, after=replace(after, error=0.02)).drifts
    assert not Clock(before=before, after=replace(after, ahead=0.1 + 60 * 90e-6)).drifts
    assert not Clock(before=before).drifts
