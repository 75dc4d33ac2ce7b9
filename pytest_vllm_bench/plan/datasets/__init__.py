"""Name → dataset; a new one is a file here and a line in ``DATASETS``."""

from __future__ import annotations

from collections.abc import Mapping

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
from pytest_vllm_bench.suggest import suggestion

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
        values = {"name": choice.name, "hint": suggestion(choice.name, datasets)}
        return [Problem(message=Message(key="plan.dataset_unknown", values=values), path="name")]
    dataset = datasets[choice.name]
    options, problems = parse(dataset.options, choice.options, dataset=choice.name)
    if options is not None and dataset.extra is not None:
        problems = [Problem(message=message) for message in dataset.extra(options)]
    return problems
