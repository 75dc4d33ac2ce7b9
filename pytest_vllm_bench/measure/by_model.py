"""Records of requests to several models → the figures of each model (LoRA adapters share one server)."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_vllm_bench.measure.columns import MetricSettings
from pytest_vllm_bench.measure.metrics import Figures, metrics
from pytest_vllm_bench.model import Record


def by_model(records: Sequence[Record], settings: MetricSettings) -> dict[str, Figures]:
    """Name → figures over the whole run; empty where there is but one.

    There is no steady window here: the load of one model alone is nobody's plan.
    """
    names = sorted({record.model for record in records})
    if len(names) < 2:
        return {}
    figures = {n: metrics([record for record in records if record.model == n], settings=settings) for n in names}
    return {name: {k: v for k, v in of.items() if not k.startswith("steady_")} for name, of in figures.items()}
