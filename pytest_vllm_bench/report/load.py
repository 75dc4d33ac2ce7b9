"""JSON dicts → lines of rising load."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.folder import order


def rate(row: Row) -> float | None:
    value = row.get("request_rate")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def concurrency(row: Row) -> float | None:
    """The cap of a closed loop; without a cap and a rate everything came at once."""
    if rate(row) is not None:
        return None
    cap = row.get("max_concurrency")
    return cap if cap is not None else row.get("max_concurrent_requests")


LOADS: dict[str, Callable[[Row], float | None]] = {"concurrency": concurrency, "rate": rate}


def shape(row: Row) -> str:
    """What rows of one line share: target, dataset, lengths."""
    parts = [str(row[key]) for key in ("target", "dataset") if row.get(key) not in (None, "", "random")]
    if row.get("input_len") is not None or row.get("output_len") is not None:
        parts.append(f"{_length(row.get('input_len'))}→{_length(row.get('output_len'))}")
    return " ".join(parts) or str(row.get("scenario_key") or row["scenario_id"])


def _length(value: Any) -> str:
    return "?" if value is None else str(value)


def by_shape(rows: Iterable[Row], load: Callable[[Row], float | None]) -> dict[str, list[Row]]:
    """Rows that have this kind of load, in lines of rising load; a search's answer repeats one of its probes."""
    lines: dict[str, list[Row]] = {}
    for row in sorted(rows, key=order):
        if not row.get("capacity") and load(row) is not None:
            lines.setdefault(shape(row), []).append(row)
    return {name: sorted(line, key=lambda row: load(row) or 0) for name, line in lines.items()}
