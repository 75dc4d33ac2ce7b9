"""The capacity search: exact on scripted outcomes, near enough on the latency model in virtual time."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from functools import cache

import pytest
from runs import judged, scenario

from pytest_vllm_bench.judge.before import enough
from pytest_vllm_bench.judge.capacity import Answer, Outcome, Probe, Seen, search
from pytest_vllm_bench.model import Judgement, Record, Search, Verdict
from pytest_vllm_bench.simulator.engine import Arrival, LatencyModel, Timeline, simulate

PASS, FAIL, INCONCLUSIVE, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID


def settings(**changed: object) -> Search:
    values: dict[str, object] = {"over": "concurrency", "at_least": None, "max": 512, "runs": 100, "seconds": 1e9}
    return Search(**{**values, **changed})  # type: ignore[arg-type]


def drive(asked: Search, probe: Callable[[Probe], Outcome], known: dict[float, Seen] | None = None
          ) -> tuple[Answer, list[Probe]]:  # fmt: skip
    """Run a search to its end; also the probes that it asked for."""
    steps, probes = search(asked, known), []
    try:
        wanted = next(steps)
        while True:
            probes.append(wanted)
            wanted = steps.send(probe(wanted))
    except StopIteration as end:
        return end.value, probes


def below(limit: float) -> Callable[[Probe], Outcome]:
    """A server that holds up to and with ``limit``."""
    return lambda p: Outcome(verdict=PASS if p.level <= limit else FAIL, within=p.level <= limit, seconds=1)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 16, 31, 100, 300, 511])
def test_the_answer_is_near_the_limit(limit: int) -> None:
    answer, _ = drive(settings(), below(limit))
    assert answer.held is not None
    assert answer.broken is not None
    assert answer.held <= limit < answer.broken
    assert answer.broken - answer.held <= max(1, 0.05 * answer.broken)
    assert (answer.held_proven, answer.broken_proven, answer.stopped) == (True, True, "found")


def test_doubling_then_bisection() -> None:
    _, probes = drive(settings(), below(11))
    assert [p.level for p in probes] == [1, 2, 4, 8, 16, 12, 10, 11]
    assert {p.multiple for p in probes} == {1}


def test_at_least_is_one_probe() -> None:
    answer, probes = drive(settings(at_least=32, runs=1), below(100))
    assert [p.level for p in probes] == [32]
    assert (answer.at_least(32), answer.at_least(33), answer.stopped) == (True, None, "runs")
    answer, probes = drive(settings(at_least=32, runs=1), below(20))
    assert (answer.at_least(32), answer.at_least(20), answer.held) == (False, None, None)


def test_halving_where_the_level_asked_for_breaks() -> None:
    answer, probes = drive(settings(at_least=32), below(5))
    assert [p.level for p in probes] == [32, 16, 8, 4, 6, 5]
    assert (answer.held, answer.broken) == (5, 6)


def test_nothing_holds() -> None:
    answer, probes = drive(settings(), below(0))
    assert (answer.held, answer.broken, answer.stopped) == (None, 1, "floor")
    assert len(probes) == 1


def test_everything_holds() -> None:
    answer, probes = drive(settings(max=100), below(1000))
    assert (answer.held, answer.broken, answer.stopped) == (100, None, "max")
    assert [p.level for p in probes] == [1, 2, 4, 8, 16, 32, 64, 100]


def test_rates_are_not_whole() -> None:
    answer, _ = drive(settings(over="request_rate", at_least=4.0), below(2.37))
    assert answer.held is not None
    assert answer.broken is not None
    assert answer.held <= 2.37 < answer.broken
    assert answer.broken - answer.held <= 0.05 * answer.broken
    nothing, _ = drive(settings(over="request_rate", at_least=4.0), below(0))
    assert nothing.stopped == "floor"


def test_an_undecided_probe_is_run_with_more_requests_then_the_observed_side_counts() -> None:
    def shy(p: Probe) -> Outcome:
        within = p.level <= 5
        if p.multiple < 4 or p.level in (5, 6):
            return Outcome(verdict=INCONCLUSIVE, within=within)
        return Outcome(verdict=PASS if within else FAIL, within=within)

    answer, probes = drive(settings(at_least=4), shy)
    assert [(p.level, p.multiple) for p in probes[:3]] == [(4, 1), (4, 2), (4, 4)]
    assert [p.multiple for p in probes if p.level == 5] == [1, 2, 4, 8]
    assert (answer.held, answer.broken, answer.held_proven, answer.broken_proven) == (5, 6, False, False)


def test_the_budget_ends_a_search() -> None:
    answer, probes = drive(settings(runs=4), below(100))
    assert (len(probes), answer.stopped, answer.held, answer.runs) == (4, "runs", 8, 4)
    answer, probes = drive(settings(seconds=3), below(100))
    assert (len(probes), answer.stopped, answer.seconds) == (3, "time", 3)


def test_the_budget_may_end_while_a_level_is_undecided() -> None:
    answer, _ = drive(settings(runs=2), lambda p: Outcome(verdict=INCONCLUSIVE, within=True))
    assert (answer.held, answer.held_proven, answer.stopped) == (1, False, "runs")


def test_an_invalid_probe_ends_the_search() -> None:
    answer, probes = drive(settings(), lambda p: below(9)(p) if p.level < 8 else Outcome(verdict=INVALID))
    assert (answer.held, answer.broken, answer.stopped) == (4, None, "invalid")
    assert len(probes) == 4


def test_tiers_share_probes() -> None:
    strict, _ = drive(settings(), below(11))
    known = {s.level: s for s in strict.levels if s.held}
    loose, probes = drive(settings(), below(40), known)
    assert not {p.level for p in probes} & known.keys()
    assert loose.held is not None
    assert 38 <= loose.held <= 40


def test_a_level_that_breaks_below_one_that_held_is_said() -> None:
    known = {8.0: Seen(level=8, held=False, proven=True, multiple=1)}
    answer, _ = drive(settings(at_least=16), below(20), known)
    assert [n.key for n in answer.notes] == ["judge.capacity_not_monotone"]
    assert (answer.held, answer.broken) == (None, 8)


# ---------------------------------------------------------------------- the latency model, in virtual time

MODEL = LatencyModel(step_s=0.005, decode_s=0.0012, prefill_tokens_per_s=40_000, jitter=0.1)
RULES = ("p90_ttft_ms <= 120", "p95_tpot_ms <= 30")


def recorded(timelines: list[Timeline]) -> list[Record]:
    """What a perfect client would have recorded."""
    made = []
    for i, line in enumerate(sorted(timelines, key=lambda t: t.sent)):
        first, last = line.tokens[0], line.tokens[-1]
        made.append(
            Record(index=i, chain=i, ready=line.sent, sent=line.sent,
                   first_chunk=first, first_token=first, first_output=first, last_token=last, done=last,
                   arrival_times=array("d", line.tokens), arrival_events=array("i", [1] * len(line.tokens)),
                   arrival_tokens=array("i", [1] * len(line.tokens)), output_tokens=len(line.tokens),
                   prompt_tokens=256, token_source="usage")
        )  # fmt: skip
    return made


def lengths(rng: random.Random) -> tuple[int, int]:
    return rng.randint(128, 384), rng.randint(4, 12)


def closed_probe(level: int, requests: int, seed: int) -> Judgement:
    rng = random.Random(f"{seed} {level} {requests}")
    arrivals = []
    for _ in range(requests):
        prompt, output = lengths(rng)
        arrivals.append(Arrival(prompt_len=prompt, output_len=output))
    lines = simulate(arrivals, model=MODEL, concurrency=level, seed=rng.randrange(2**31))
    return judged(scenario(*RULES, concurrency=level), recorded(lines))


def within(judgement: Judgement) -> bool:
    return all(v.within for v in judgement.verdicts)


def outcome(judgement: Judgement) -> Outcome:
    return Outcome(verdict=judgement.verdict, within=within(judgement), seconds=1)


@cache
def true_concurrency() -> int:
    """The largest concurrency that holds over very many requests."""
    low, high = 4, 64
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(closed_probe(middle, 3000, seed=-1)) else (low, middle)
    return low


def test_the_concurrency_found_is_the_true_one_in_nineteen_of_twenty_seeds() -> None:
    true, near, wanted = true_concurrency(), 0, enough(scenario(*RULES))
    for seed in range(20):

        def probe(p: Probe, seed: int = seed) -> Outcome:
            level = int(p.level)
            return outcome(closed_probe(level, max(10 * level, wanted) * p.multiple, seed))

        answer, _ = drive(settings(at_least=8, max=64), probe)
        near += answer.held is not None and abs(answer.held - true) <= max(1, 0.1 * true)
    assert near >= 19
