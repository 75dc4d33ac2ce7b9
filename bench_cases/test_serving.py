"""Benchmarks the server of config.yaml: one test a scenario.  Run it with ``pytest bench_cases --vllm-url=http://...``."""

import pytest


@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    result = await vllm_bench(scenario)
    assert result.complete
