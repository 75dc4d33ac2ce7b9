"""The shipped example against a healthy server: PASS in every session, so that ``--vllm-strict`` passes it too."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from pathlib import Path

import pytest
from long import times
from runs import judged
from test_capacity import recorded

from pytest_vllm_bench.config import matrix, read
from pytest_vllm_bench.config.nouns import Overrides
from pytest_vllm_bench.model import Scenario, Verdict
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.simulator.engine import Arrival, LatencyModel, Timeline, simulate

CONFIG = Path(__file__).parent.parent.parent / "bench_cases" / "config.yaml"


def sent(scenario: Scenario, rng: random.Random, jitter: float, stall: float) -> list[Timeline]:
    """The scenario's load in virtual time; ``stall``: seconds for which the machine once stood still."""
    assert scenario.input_len
    assert scenario.output_len
    lengths = [
        [rng.randint(round(0.7 * mean), round(1.3 * mean)) for mean in (scenario.input_len, scenario.output_len)]
        for _ in range(scenario.num_prompts or 0)
    ]
    arrivals = [Arrival(prompt_len=prompt, output_len=output) for prompt, output in lengths]
    model = LatencyModel(jitter=jitter)
    lines = simulate(arrivals, model=model, concurrency=scenario.concurrency, seed=rng.randrange(2**31))
    at = rng.uniform(0, lines[-1].tokens[-1])

    def later(when: float) -> float:
        return when + stall if when > at else when

    return [
        Timeline(due=0.0, sent=later(line.sent), tokens=array("d", map(later, line.tokens)), cached=0) for line in lines
    ]


def undecided(sessions: int, jitter: float, stall: float) -> Counter[str]:
    """Scenarios that were anything but PASS, and ``sessions`` in which one was."""
    scenarios = matrix(read(CONFIG, Overrides(), builtin()))
    assert len(scenarios) == 4
    found: Counter[str] = Counter()
    for session in range(sessions):
        rng = random.Random(session)
        bad = [s.id for s in scenarios if judged(s, recorded(sent(s, rng, jitter, stall))).verdict is not Verdict.PASS]
        found.update([*bad, *(["sessions"] if bad else [])])
    return found


@pytest.mark.parametrize(("jitter", "stall"), [(0.02, 0.0), (0.2, 0.1)])
def test_a_healthy_server_passes(jitter: float, stall: float) -> None:
    assert not undecided(4, jitter, stall)


@pytest.mark.slow
@pytest.mark.parametrize(("jitter", "stall"), [(0.02, 0.0), (0.2, 0.0), (0.1, 0.1)])
def test_a_healthy_server_passes_in_ninety_nine_sessions_of_a_hundred(jitter: float, stall: float) -> None:
    sessions = times(50, 200)
    assert undecided(sessions, jitter, stall)["sessions"] <= max(1, sessions // 100)
