"""The latency model in virtual time: what it promises in its docstring, exactly and at once."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vllm_bench.simulator.engine import Arrival, Engine, Fleet, Job, LatencyModel, Timeline, simulate

EXACT = LatencyModel(jitter=0.0, step_s=0.01, decode_s=0.001, prefill_tokens_per_s=10_000.0, max_batched_tokens=1000)
FAR = replace(EXACT, front_s=0.02)


def stepped(arrivals: Sequence[Arrival], model: LatencyModel, concurrency: int, seed: int) -> list[list[float]]:
    """``simulate`` without its fast path: one step at a time, everything due at 0."""
    engine, now, left = Engine(model, seed), 0.0, list(arrivals)
    jobs: dict[int, tuple[Job, list[float]]] = {}
    flying = 0
    while left or engine.busy:
        while left and flying < concurrency:
            a = left.pop(0)
            job = Job(prompt_len=a.prompt_len, output_len=a.output_len, hashes=a.hashes)
            engine.submit(job)
            jobs[len(jobs)] = (job, [])
            flying += 1
        step = engine.step()
        now += step.seconds
        for job, times in jobs.values():
            if job in step.made:
                times.append(now)
                flying -= job.done
        assert 0.0 <= engine.kv_usage <= 1.0
    assert engine.kv_usage == 0.0
    return [times for _, times in jobs.values()]


def alone(prompt_len: int, output_len: int, model: LatencyModel = EXACT) -> Timeline:
    return simulate([Arrival(prompt_len=prompt_len, output_len=output_len)], model=model)[0]


def test_one_request_takes_its_prefill_then_a_step_a_token() -> None:
    line = alone(500, 3)
    assert list(line.tokens) == pytest.approx([0.06, 0.071, 0.082])
    assert line.ttft == pytest.approx(0.06)


def test_a_long_prompt_is_prefilled_in_chunks() -> None:
    assert alone(2500, 1).ttft == pytest.approx(3 * 0.01 + 0.25)


def test_a_prefill_slows_the_others_down_without_stopping_them() -> None:
    first, second = simulate(
        [Arrival(prompt_len=10, output_len=10), Arrival(due=0.0125, prompt_len=1999, output_len=1)], model=EXACT
    )
    gaps = [b - a for a, b in pairwise(first.tokens)]
    assert gaps[0] == pytest.approx(0.011)
    assert gaps[1] == pytest.approx(0.011 + 0.0999)  # 999 of the step's 1000 tokens belong to the prefill
    assert gaps[2] == pytest.approx(0.011 + 0.0999)
    assert gaps[4] == pytest.approx(0.011)
    assert second.tokens[0] == pytest.approx(first.tokens[4])


def test_more_than_max_num_seqs_wait_their_turn() -> None:
    model = LatencyModel(jitter=0.0, max_num_seqs=2)
    lines = simulate([Arrival(prompt_len=10, output_len=5 + i) for i in range(4)], model=model)
    assert lines[2].tokens[0] > lines[0].tokens[-1]
    assert lines[3].tokens[0] > lines[1].tokens[-1]


def test_a_bigger_batch_makes_slower_steps_and_more_tokens() -> None:
    def last(n: int) -> float:
        return max(line.tokens[-1] for line in simulate([Arrival(prompt_len=8, output_len=50)] * n, model=EXACT))

    assert last(1) < last(32) < 32 * last(1)


def test_a_closed_loop_sends_the_next_the_moment_one_ends() -> None:
    lines = simulate([Arrival(prompt_len=10, output_len=5)] * 6, model=EXACT, concurrency=2)
    assert [line.sent for line in lines[:2]] == [0.0, 0.0]
    assert [line.sent for line in lines[2:4]] == [lines[0].tokens[-1], lines[1].tokens[-1]]


def test_an_idle_engine_waits_for_the_next_arrival() -> None:
    lines = simulate([Arrival(due=d, prompt_len=100, output_len=2) for d in (0.0, 5.0)], model=EXACT)
    assert lines[1].sent == 5.0
    assert lines[1].ttft == pytest.approx(lines[0].ttft)


def test_equal_leading_blocks_are_prefilled_once() -> None:
    hashes = tuple(range(1, 51))
    arrivals = [Arrival(due=d, prompt_len=800, output_len=2, hashes=hashes) for d in (0.0, 1.0)]
    first, second = simulate(arrivals, model=EXACT)
    assert (first.cached, second.cached) == (0, 784)  # the last token is always computed: 49 blocks of 16
    assert second.ttft == pytest.approx(0.01 + 16 / 10_000)
    cold = LatencyModel(**{f: getattr(EXACT, f) for f in EXACT.__slots__ if f != "prefix_cache"}, prefix_cache=False)
    assert [line.cached for line in simulate(arrivals, model=cold)] == [0, 0]


def test_a_prefix_is_shared_with_what_comes_into_the_same_step() -> None:
    """As a real vLLM has it: of 96 requests with 384 common tokens 95 found them, eight of which came together."""
    arrivals = [Arrival(prompt_len=512, output_len=2, hashes=[*range(24), *range(100 * n, 100 * n + 8)])
                for n in range(1, 9)]  # fmt: skip
    lines = simulate(arrivals, model=EXACT)
    assert [line.cached for line in lines] == [0, *[384] * 7]


def test_blocks_for_four_prompts_and_no_answers_preempt_as_a_real_vllm_did() -> None:
    """64 requests of 512 → 128 tokens, 16 at once, in 19 blocks of 128 (of 20, one is vLLM's own): 21 preemptions."""
    engine = Engine(LatencyModel(kv_tokens=19 * 128, block=128, max_num_seqs=16))
    jobs = [Job(prompt_len=512, output_len=128) for _ in range(64)]
    for job in jobs[:16]:
        engine.submit(job)
    left = jobs[16:]
    while engine.busy:
        for job in engine.step().made:
            if job.done and left:
                engine.submit(left.pop(0))
    assert engine.preemptions == 21


def test_several_engines_share_a_load() -> None:
    """In turn, or whoever has the fewest; a cap is on all of them together."""
    load = [Arrival(due=i / 10, prompt_len=10, output_len=50 if i % 2 == 0 else 2) for i in range(12)]
    alone = simulate(load[::2], model=EXACT)
    in_turn = simulate(load, model=EXACT, fleet=Fleet(replicas=2))
    assert [list(line.tokens) for line in in_turn[::2]] == [pytest.approx(list(line.tokens)) for line in alone]
    balanced = simulate(load, model=EXACT, fleet=Fleet(replicas=2, route="least_loaded"))
    assert balanced[-2].tokens[-1] < in_turn[-2].tokens[-1]
    closed = simulate([Arrival(prompt_len=10, output_len=5)] * 8, model=EXACT, concurrency=2, fleet=Fleet(replicas=2))
    assert closed[2].sent == closed[0].tokens[-1]
    assert max(line.tokens[-1] for line in closed) == pytest.approx(4 * closed[0].tokens[-1])


def test_the_way_in_is_no_part_of_a_step() -> None:
    plain, far = (simulate([Arrival(prompt_len=500, output_len=3)], model=m)[0] for m in (EXACT, FAR))
    assert [late - soon for late, soon in zip(far.tokens, plain.tokens, strict=True)] == pytest.approx([0.02] * 3)


def test_a_way_in_that_takes_one_after_another_lets_an_idle_engine_begin_with_the_first() -> None:
    two, model = [Arrival(prompt_len=100, output_len=2)] * 2, replace(EXACT, front_s=0.01)
    together = simulate(two, model=model)
    assert together[0].ttft == pytest.approx(together[1].ttft)
    first, second = simulate(two, model=replace(model, serial=0.1))
    assert first.ttft == pytest.approx(0.01 + alone(100, 2).ttft)
    assert second.ttft > first.ttft + alone(100, 2).ttft


def test_what_is_sent_is_sent_when_it_is_due_whatever_the_engine_does() -> None:
    lines = simulate([Arrival(prompt_len=500, output_len=9), Arrival(due=0.013, prompt_len=10, output_len=1)])
    assert lines[1].sent == 0.013


def test_nothing_is_sent_after_the_end_and_a_later_turn_waits_for_its_answer() -> None:
    load = [Arrival(prompt_len=10, output_len=5), Arrival(due=2.0, prompt_len=10, output_len=5, after=0),
            Arrival(due=9.0, prompt_len=10, output_len=5)]  # fmt: skip
    lines = simulate(load, model=EXACT, until=5.0)
    assert [line.number for line in lines] == [0, 1]
    assert lines[1].sent == pytest.approx(lines[0].tokens[-1] + 2.0)


def test_a_cached_prefix_is_forgotten_when_the_room_is_needed() -> None:
    model = LatencyModel(jitter=0.0, kv_tokens=1024)
    mine, other = tuple(range(1, 41)), tuple(range(101, 161))
    arrivals = [
        Arrival(due=0.0, prompt_len=640, output_len=1, hashes=mine),
        Arrival(due=1.0, prompt_len=960, output_len=1, hashes=other),
        Arrival(due=2.0, prompt_len=640, output_len=1, hashes=mine),
    ]
    assert simulate(arrivals, model=model)[2].cached < 640 - 16


def test_a_full_cache_preempts_the_youngest_and_finishes_everybody() -> None:
    engine = Engine(LatencyModel(jitter=0.0, kv_tokens=320))
    jobs = [Job(prompt_len=64, output_len=100) for _ in range(4)]
    for job in jobs:
        engine.submit(job)
    while engine.busy:
        engine.step()
        assert 0.0 <= engine.kv_usage <= 1.0
    assert all(job.generated == 100 for job in jobs)
    assert engine.preemptions == sum(job.preemptions for job in jobs) > 0
    assert jobs[0].preemptions == 0
    assert engine.kv_usage == 0.0


def test_what_can_never_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot run"):
        Engine(LatencyModel(kv_tokens=160)).submit(Job(prompt_len=100, output_len=61))


def test_a_cancelled_job_gives_its_room_back() -> None:
    engine = Engine(LatencyModel())
    running, waiting = Job(prompt_len=100, output_len=10), Job(prompt_len=100, output_len=10)
    engine.submit(running)
    engine.step()
    engine.submit(waiting)
    engine.cancel(running)
    engine.cancel(waiting)
    assert not engine.busy
    assert engine.kv_usage == 0.0


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 60), st.integers(0, 3)), min_size=1, max_size=12),
    concurrency=st.integers(1, 6),
    kv_blocks=st.integers(30, 80),
    seqs=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_many_steps_at_once_are_the_same_steps(
    lengths: list[tuple[int, int, int]], concurrency: int, kv_blocks: int, seqs: int, seed: int
) -> None:
    model = LatencyModel(kv_tokens=16 * kv_blocks, max_num_seqs=seqs, max_batched_tokens=128, context_s=1e-6)
    arrivals = [
        Arrival(prompt_len=p, output_len=o, hashes=[1000 * group + b for b in range((p + o) // 16)] if group else ())
        for p, o, group in lengths
    ]
    fast = simulate(arrivals, model=model, concurrency=concurrency, seed=seed)
    slow = stepped(arrivals, model, concurrency, seed)
    assert [len(line.tokens) for line in fast] == [a.output_len for a in arrivals]
    for line, times in zip(fast, slow, strict=True):
        assert list(line.tokens) == pytest.approx(times, rel=1e-12)
        assert all(b > a for a, b in pairwise(line.tokens))


def test_the_seed_decides_everything() -> None:
    load = [Arrival(due=i / 10, prompt_len=100, output_len=20) for i in range(20)]
    assert simulate(load, seed=1) == simulate(load, seed=1) != simulate(load, seed=2)


def test_the_start_burst_of_a_closed_loop_is_slower_than_its_steady_part() -> None:
    lines = simulate([Arrival(prompt_len=1000, output_len=100)] * 64, concurrency=16)
    start = max(line.ttft for line in lines[:16])
    steady = sorted(line.ttft for line in lines[16:])[24]
    assert start > 2 * steady
    assert not math.isclose(start, steady)
