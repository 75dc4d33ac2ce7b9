"""Scenario → Plan: what is sent and when, decided before the first byte; pure, seeded, on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_vllm_bench.model import INDEX_ROW, Plan
from pytest_vllm_bench.plan.build import BuildContext, background, build, foresee, trial, warmup
from pytest_vllm_bench.plan.datasets import DATASETS, Dataset, Wanted, check

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "DATASETS",
    "BuildContext",
    "Dataset",
    "Wanted",
    "background",
    "build",
    "check",
    "foresee",
    "index",
    "trial",
    "warmup",
]


def index(plan: Plan) -> np.ndarray:
    """The plan's rows as a structured array, mapped and not read: fields as named at ``model.INDEX_ROW``."""
    import numpy as np

    names = (
        "offset",
        "length",
        "chain",
        "turn",
        "model",
        "due",
        "think",
        "input_len",
        "output_len",
        "shared_len",
        "audio_s",
    )
    kinds = {"Q": "u8", "I": "u4", "H": "u2", "d": "f8", "i": "i4", "f": "f4"}
    dtype = np.dtype([(name, "<" + kinds[code]) for name, code in zip(names, INDEX_ROW[1:], strict=True)])
    path = plan.folder / "index.bin"
    return np.memmap(path, dtype=dtype, mode="r") if plan.n else np.empty(0, dtype)
