"""LLM-serving benchmarks as parametrized pytest tests, with verdicts that can be trusted.

The names below are public: what a test, a conftest or a script of one's own may import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_vllm_bench.model import (
        Ask,
        Backend,
        Beside,
        Delta,
        Measurement,
        Message,
        Observed,
        Prompt,
        Record,
        Result,
        Rule,
        Scenario,
        Target,
        Verdict,
    )
    from pytest_vllm_bench.plan.dataset import Dataset, Wanted
    from pytest_vllm_bench.plugin.fixture import Runner
    from pytest_vllm_bench.registry import Registry

__version__ = "0.1.0"

#: Where each public name lives; imported when it is asked for, as the plugin loads in everybody's pytest runs.
_HOMES = {
    "pytest_vllm_bench.model": (
        "Ask", "Backend", "Beside", "Delta", "Measurement", "Message", "Observed", "Prompt", "Record", "Result",
        "Rule", "Scenario", "Target", "Verdict",
    ),
    "pytest_vllm_bench.plan.dataset": ("Dataset", "Wanted"),
    "pytest_vllm_bench.plugin.fixture": ("Runner",),
    "pytest_vllm_bench.registry": ("Registry",),
}  # fmt: skip

__all__ = [
    "Ask", "Backend", "Beside", "Dataset", "Delta", "Measurement", "Message", "Observed", "Prompt", "Record",
    "Registry", "Result", "Rule", "Runner", "Scenario", "Target", "Verdict", "Wanted", "__version__",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
