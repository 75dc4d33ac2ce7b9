"""Built-in backends and datasets, and what third parties add → the names a config may use.

Third parties come in through the hook ``pytest_vllm_bench_register(registry)``, by the same door as our own:

    def pytest_vllm_bench_register(registry):
        registry.backends["mine"] = Backend(name="mine", path="/generate", body=body, read=read)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Backend, Beside, Scenario
from pytest_vllm_bench.observe import BESIDES
from pytest_vllm_bench.plan.datasets import DATASETS, Dataset


@dataclass(frozen=True, slots=True)
class Registry:
    """Name → what it stands for; plain dicts, to be added to."""

    backends: dict[str, Backend]
    datasets: dict[str, Dataset]
    besides: dict[str, Callable[[Scenario], Beside | None]]  # what is done beside each load of a scenario


def builtin() -> Registry:
    """A fresh registry of what ships with the plugin."""
    return Registry(backends=dict(BACKENDS), datasets=dict(DATASETS), besides=dict(BESIDES))
