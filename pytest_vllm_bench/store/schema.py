"""The types of a result's file → its JSON schema, for those who read results with other tools."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_vllm_bench.metric_table import ROWS, SAMPLED
from pytest_vllm_bench.store.row import Figure, Row

DESCRIPTION = (
    "A superset of `vllm bench serve --save-result`; a figure without samples is null, infinities are the string inf."
)


def schema() -> dict[str, Any]:
    """What ``result.schema.json`` holds."""
    (made,), parts = msgspec.json.schema_components([Row], ref_template="#/$defs/{name}")
    row = parts.pop(made["$ref"].rpartition("/")[2])
    figure = msgspec.json.schema(Figure)
    runs = "|".join(sorted(id for id, metric in ROWS.items() if id not in SAMPLED))
    sampled = f"(mean|median|std|min|max|p\\d+(\\.\\d+)?)_({'|'.join(sorted(SAMPLED))})(_ms)?"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **row,
        "title": "One result of pytest-vllm-bench",
        "description": DESCRIPTION,
        "properties": row["properties"] | {key: {"type": "integer", "minimum": 0} for key in ("completed", "failed")},
        "patternProperties": {f"^(steady_)?({sampled}|({runs})(_ms)?(\\..+)?)$": figure},
        "$defs": _as_written(parts),
    }


def _as_written(part: Any) -> Any:
    """Every number may be one that JSON has not."""
    if part == {"type": "number"}:
        return {"anyOf": [part, {"enum": ["-inf", "inf"]}]}
    if isinstance(part, dict):
        return {key: _as_written(inner) for key, inner in part.items()}
    return [_as_written(inner) for inner in part] if isinstance(part, list) else part
