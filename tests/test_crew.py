"""What a plan takes, against what those who will send it have."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest
from runs import scenario

from pytest_vllm_bench import crew, environment, load
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.load.limits import SPARE_FILES
from pytest_vllm_bench.machines import Machine
from pytest_vllm_bench.model import LoadFacts, MachineFacts, Search, Stage, WorkerFacts
from pytest_vllm_bench.text import say


def machine(name: str, **limits: float) -> Machine:
    return Machine(host=name, port=7001, token=b"", limits=load.SendingLimits(**limits))  # type: ignore[arg-type]


def test_who_may_not_have_enough_files_open_is_named_with_a_way_out() -> None:
    """Each process has its share; whoever is limited by nobody has room."""
    small, large, free = machine("small", files=1000 + SPARE_FILES), machine("large", files=9000), machine("free")
    crew.room([scenario(concurrency=3000)], [small, large, free])
    crew.room([scenario(concurrency=6002, workers=2)], [large, free])
    crew.room([scenario(concurrency=4000, workers=2)], [small, large])
    with pytest.raises(BenchError) as caught:
        crew.room([scenario(concurrency=10), scenario(concurrency=3001)], [large, free, small])
    assert say(caught.value.message).startswith("small:7001 takes no part: 1001 connections need 1065 open files")
    assert "`workers: 2`" in say(caught.value.message)


def test_what_a_load_may_have_open_at_once() -> None:
    stages = tuple(Stage(seconds=1, concurrency=n) for n in (5, 900, 20))
    search = Search(over="concurrency", at_least=None, max=64, runs=9, seconds=9)
    every = {
        900: scenario(concurrency=None, num_prompts=None, stages=stages),
        450: scenario(concurrency=None, num_prompts=None, stages=stages, workers=2),
        64: scenario(concurrency=None, search=search),
        33: scenario(concurrency=None, num_prompts=99, workers=3),
        8: scenario(concurrency=8, num_prompts=99),
        1: scenario(concurrency=None, num_prompts=None, duration=9.0),
        math.inf: scenario(concurrency=None, num_prompts=99, request_rate=5.0),
        7: scenario(concurrency=7, num_prompts=99, request_rate=5.0),
    }
    assert [crew.connections(one) for one in every.values()] == [*every]


def test_the_busiest_seconds_of_a_plan() -> None:
    ones, nan = np.ones(600), math.nan
    assert crew.busiest(np.arange(600) / 10, 50 * ones) == pytest.approx(500, rel=0.03)
    assert crew.busiest(np.concatenate([np.arange(300) / 5, 60 + np.arange(300) / 30]), ones) == pytest.approx(
        30, rel=0.03
    )
    assert crew.busiest(np.linspace(0, 0.2, 600), ones) == 600, "of a second at least"
    assert crew.busiest(np.array([0.0, nan, 10.0, nan]), np.ones(4)) == pytest.approx(0.4), "with later turns"
    assert crew.busiest(np.array([]), np.array([])) == 0


def test_the_weakest_of_the_senders_is_named() -> None:
    """Nobody else's strength helps it; processes that it has no cores for do not, either."""
    strong, weak = machine("strong", cores=8, event_cost_s=3e-6), machine("weak", cores=2, event_cost_s=6e-6)
    assert asyncio.run(crew.too_fast(400_000, None, [strong, weak])) is None
    word = asyncio.run(crew.too_fast(400_002, None, [strong, weak]))
    assert word is not None
    assert "asks weak:7001 for about 200,001 tokens a second, and weak:7001 takes about 200,000" in say(word)
    assert asyncio.run(crew.too_fast(400_002, 1, [strong, strong])) is not None
    assert asyncio.run(crew.too_fast(400_002, 99, [strong, weak])) is not None
    here = asyncio.run(crew.too_fast(1e9, None, []))
    assert here is not None
    assert "this machine" in say(here)


def test_the_busiest_of_the_machines_is_named_after_the_warm_up() -> None:
    """Though all of them together have room; more machines in the load than in the warm-up share it."""
    calm = WorkerFacts(
        worker=0, started=0.0, ended=9.0, cpu_s=1.0, reads=0, bytes_in=0, bytes_out=0, event_cost_s=5e-6, peak_cpu=0.1
    )
    busy = WorkerFacts(
        worker=1, started=0.0, ended=9.0, cpu_s=1.0, reads=0, bytes_in=0, bytes_out=0, event_cost_s=5e-6, peak_cpu=1.2
    )
    two = (MachineFacts(name="a:1"), MachineFacts(name="b:1"))
    warm = LoadFacts(started=0.0, ended=9.0, workers=(calm, busy), complete=True, machines=two)
    word = load.too_much(warm, 1, ["a:1", "b:1"])
    assert word is not None
    assert "measuring process(es) on b:1" in say(word)
    assert load.too_much(warm, 2, ["a:1", "b:1"]) is None
    assert load.too_much(warm, 1, ["a:1", "b:1", "c:1", "d:1"]) is None


def test_a_plan_that_takes_more_memory_than_there_is() -> None:
    assert crew.too_large(1000, 1e6) is None
    word = crew.too_large(10**10, 1e12)
    assert word is not None
    assert "10,000,000,000 requests takes about 34000.0 GB" in say(word)


def test_what_a_container_may_use(tmp_path: Path) -> None:
    """Of cores and memory: the least that anybody allows."""
    whole = environment.cores(tmp_path)
    assert environment.memory_available(tmp_path) is None
    group = tmp_path / "sys/fs/cgroup/pod"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 999 kB\nMemAvailable:     500 kB\n")
    assert environment.memory_available(tmp_path) == 512_000
    (group / "cpu.max").write_text("50000 100000\n")
    (group / "memory.max").write_text("600000\n")
    (group / "memory.current").write_text("200000\n")
    assert (environment.cores(tmp_path), environment.memory_available(tmp_path)) == (1, 400_000)
    (group / "memory.max").write_text("max\n")
    (group / "cpu.max").write_text("max 100000\n")
    assert (environment.cores(tmp_path), environment.memory_available(tmp_path)) == (whole, 512_000)
