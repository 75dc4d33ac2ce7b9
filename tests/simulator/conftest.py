"""A running simulator."""

from collections.abc import Iterator
from typing import Any

import pytest
from asking import Post, Reply, ask

from pytest_vllm_bench import simulator

QUICK = simulator.LatencyModel(step_s=0.0005, jitter=0.0)


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    options = simulator.SimulatorOptions(latency=QUICK, models=("m", "m-lora"), max_model_len=2048)
    with simulator.start(options) as running:
        yield running.base_url


@pytest.fixture(scope="session")
def post(url: str) -> Post:
    def to(path: str, body: Any = None, fault: str = "", **headers: str) -> Reply:
        return ask(url, path, body, fault, **headers)

    return to
