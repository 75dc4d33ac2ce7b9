"""JSON dict → the PyTorch OSS benchmark database's records, one a metric."""

from __future__ import annotations

from typing import Any

from pytest_vllm_bench.report.artifacts import Row

SUFFIX = ".pytorch.json"

#: Facts about a run, not figures of it.
_NO_METRIC = frozenset(
    {"schema_version", "input_len", "output_len", "repeat", "num_prompts", "burstiness", "max_concurrency"}
)


def pytorch(row: Row) -> list[dict[str, Any]]:
    """``[{benchmark, model, metric}]`` for each finite figure of a result."""
    args = {
        key: row.get(key)
        for key in (
            "backend",
            "dataset",
            "input_len",
            "output_len",
            "num_prompts",
            "max_concurrency",
            "request_rate",
            "burstiness",
        )
    }
    extra = {
        "args": args,
        "scenario_id": row.get("scenario_id"),
        **{key: row.get(key) for key in ("verdict", "outcome", "taints", "simulated")},
    }
    return [
        {
            "benchmark": {"name": "pytest-vllm-bench serving", "extra_info": extra},
            "model": {"name": row.get("model_id")},
            "metric": {"name": key, "benchmark_values": [value], "extra_info": {"window": window(key)}},
        }
        for key, value in row.items()
        if key not in _NO_METRIC and isinstance(value, int | float) and not isinstance(value, bool)
    ]


def window(key: str) -> str:
    return "steady" if key.startswith("steady_") else "whole"
