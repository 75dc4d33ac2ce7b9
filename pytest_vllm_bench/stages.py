"""What a server says of one request's time, in its own words → seconds in its queue, of prefill and of decoding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_vllm_bench.model import Record

Floats = NDArray[np.float64]

#: Stage → what it is called, and its unit in seconds: vLLM's ``metrics``, llama.cpp's timings, Ollama's durations,
#: SGLang's ``meta_info``, TGI's headers.  vLLM's time to the first token counts from when it was scheduled.
STAGES: Mapping[str, Mapping[str, float]] = {
    "server_queue": {"queue_time_ms": 1e-3, "queue_time": 1.0, "x-queue-time": 1e-3},
    "server_prefill": {"time_to_first_token_ms": 1e-3, "prompt_ms": 1e-3, "prompt_eval_duration_ns": 1e-9},
    "server_decode": {"generation_time_ms": 1e-3, "predicted_ms": 1e-3, "eval_duration_ns": 1e-9},
}


def stages(rows: Sequence[Record], ttft: Floats, decoding: Floats) -> dict[str, Floats]:
    """Columns of each stage that the server tells of, and of what was outside of it: what is left of ``ttft`` before
    the first token, and of ``decoding`` afterwards."""
    if not any(row.server for row in rows):
        return {}
    found = {name: np.array([told(row, name) for row in rows]) for name in STAGES}
    found = {name: column for name, column in found.items() if np.isfinite(column).any()}
    if found.keys() >= {"server_queue", "server_prefill"}:
        found["outside_first"] = ttft - found["server_queue"] - found["server_prefill"]
    if "server_decode" in found:
        found["outside_stream"] = decoding - found["server_decode"]
    return found


def told(row: Record, stage: str) -> float:
    """Seconds; NaN where nobody says."""
    if row.error is not None or not row.server:
        return math.nan
    values = (_number(row.server[word]) * unit for word, unit in STAGES[stage].items() if word in row.server)
    return next((value for value in values if math.isfinite(value)), math.nan)


def _number(said: Any) -> float:
    try:
        value = float(said)
    except (TypeError, ValueError):
        return math.nan
    return value if value >= 0 and not isinstance(said, bool) else math.nan
