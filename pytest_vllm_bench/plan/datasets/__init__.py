"""Name → dataset; a new one is a file here and a line in ``DATASETS``."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from pytest_vllm_bench.model import DatasetChoice, Message, Problem
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.datasets import (
    conversation,
    custom,
    files,
    hf,
    random,
    random_mm,
    shared,
    sharegpt,
    sonnet,
    trace,
)
from pytest_vllm_bench.plan.options import parse

DATASETS: dict[str, Dataset] = {
    "random": random.DATASET,
    "sharegpt": sharegpt.DATASET,
    "sonnet": sonnet.DATASET,
    "custom": custom.DATASET,
    "hf": hf.DATASET,
    "random_mm": random_mm.DATASET,
    **files.DATASETS,
    "prefix_repetition": shared.PREFIX_REPETITION,
    "generated_shared_prefix": shared.GENERATED_SHARED_PREFIX,
    **trace.DATASETS,
    "conversation": conversation.DATASET,
}

__all__ = ["DATASETS", "Dataset", "Wanted", "check"]


def check(choice: DatasetChoice, datasets: Mapping[str, Dataset] = DATASETS) -> list[Problem]:
    """All that is wrong with a dataset choice, without opening a file; ``path`` is relative to the choice."""
    if choice.name not in datasets:
        near = get_close_matches(choice.name, list(datasets), n=1)
        key = "plan.dataset_unknown_near" if near else "plan.dataset_unknown"
        values = {"name": choice.name, "near": near[0] if near else "", "known": ", ".join(datasets)}
        return [Problem(message=Message(key=key, values=values), path="name")]
    dataset = datasets[choice.name]
    options, problems = parse(dataset.options, choice.options, dataset=choice.name)
    if options is not None and dataset.extra is not None:
        problems = [Problem(message=message) for message in dataset.extra(options)]
    return problems
