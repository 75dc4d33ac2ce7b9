"""Result → the PyTorch OSS benchmark database's records, one a metric."""

from __future__ import annotations

from typing import Any

from pytest_vllm_bench.model import Result
from pytest_vllm_bench.store.row import flat

SUFFIX = ".pytorch.json"

#: Facts about a run, not figures of it.
_NO_METRIC = frozenset(
    {"schema_version", "input_len", "output_len", "repeat", "num_prompts", "burstiness", "max_concurrency"}
)
_ARGS = (
    "backend", "dataset", "input_len", "output_len", "num_prompts", "max_concurrency", "request_rate", "burstiness",
)  # fmt: skip


def pytorch(result: Result) -> list[dict[str, Any]]:
    """``[{benchmark, model, metric}]`` for each finite figure of a result."""
    row = flat(result) | {"taints": list(result.taints)}
    extra = {
        "args": {key: row[key] for key in _ARGS},
        **{key: row[key] for key in ("scenario_id", "verdict", "outcome", "taints", "simulated")},
    }
    return [
        {
            "benchmark": {"name": "pytest-vllm-bench serving", "extra_info": extra},
            "model": {"name": result.model},
            "metric": {"name": key, "benchmark_values": [value], "extra_info": {"window": window(key)}},
        }
        for key, value in row.items()
        if key not in _NO_METRIC and isinstance(value, int | float) and not isinstance(value, bool)
    ]


def window(key: str) -> str:
    return "steady" if key.startswith("steady_") else "whole"
