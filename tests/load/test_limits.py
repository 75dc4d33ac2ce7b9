"""What a load needs of this machine."""

from __future__ import annotations

import resource
from dataclasses import replace

import pytest

from pytest_vllm_bench import load
from pytest_vllm_bench.load.burst import event_cost
from pytest_vllm_bench.load.limits import SPARE_FILES, busy
from pytest_vllm_bench.model import LoadFacts, WorkerFacts
from pytest_vllm_bench.text import say

WORKER = WorkerFacts(
    worker=0, started=0.0, ended=10.0, cpu_s=1.0, reads=0, bytes_in=0, bytes_out=0,
    event_cost_s=5e-6, peak_reads_per_s=10_000.0, peak_cpu=0.1,
)  # fmt: skip


def facts(*workers: WorkerFacts) -> LoadFacts:
    return LoadFacts(started=0.0, ended=10.0, workers=workers, complete=True)


@pytest.fixture
def limits() -> object:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_soft_limit_is_raised(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, limits[1]))
    assert load.open_files_problem(200) is None
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 200 + SPARE_FILES
    assert load.open_files_problem(10) is None


def test_beyond_the_hard_limit_it_says_what_to_do(limits: tuple[int, int]) -> None:
    if limits[1] == resource.RLIM_INFINITY:
        pytest.skip("no hard limit here")
    problem = load.open_files_problem(limits[1])
    assert problem is not None
    assert f"ulimit -n {limits[1] + SPARE_FILES}" in say(problem)
    assert f"ulimit -n {limits[1] + SPARE_FILES}" in say(problem, "zh")


def test_one_worker_until_the_event_rate_says_otherwise() -> None:
    cores = 2
    light = facts(WORKER)
    assert load.workers_needed(light, 1024, closed=True, cores=cores) == 1
    assert load.too_much(light, 1) is None
    heavy = facts(replace(WORKER, peak_reads_per_s=300_000.0, peak_cpu=0.98))
    assert busy(heavy) == pytest.approx(1.5)
    assert load.workers_needed(heavy, 1024, closed=True, cores=cores) == min(3, cores)
    assert load.workers_needed(heavy, 16, closed=True, cores=cores) == min(2, cores)
    assert load.workers_needed(heavy, 4, closed=True, cores=cores) == 1
    assert load.workers_needed(heavy, None, closed=False, cores=cores) == min(3, cores)


def test_a_load_beyond_this_machine_is_said_before_it_is_measured() -> None:
    heavy = facts(replace(WORKER, peak_reads_per_s=300_000.0))
    problem = load.too_much(heavy, 1)
    assert problem is not None
    assert "workers: 3" in say(problem)
    assert "300,000" in say(problem)
    assert load.too_much(heavy, 3) is None


def test_proxies_are_ignored_aloud() -> None:
    assert load.proxies_ignored({"PATH": "/bin", "HTTP_PROXY": ""}) is None
    word = load.proxies_ignored({"https_proxy": "http://p:3128", "ALL_PROXY": "socks5://p"})
    assert word is not None
    assert "ALL_PROXY, https_proxy" in say(word)


@pytest.mark.asyncio
async def test_what_an_event_costs_here() -> None:
    assert 1e-7 < await event_cost() < 1e-2
