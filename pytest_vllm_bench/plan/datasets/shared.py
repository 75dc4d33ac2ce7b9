"""Groups of prompts that begin alike → what a prefix cache is for: system prompts, few-shot examples, documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from pytest_vllm_bench.model import Prompt
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.datasets.random import CHUNK, chunks, lots
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.plan.seeds import stream
from pytest_vllm_bench.plan.spelling import Draft, drawn, spell


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionOptions:
    """``prefixes`` beginnings of ``prefix_len`` tokens, each for as many requests as any other, or one fewer."""

    prefixes: int = option(10, low=1)
    prefix_len: int = option(256, low=1)
    range_ratio: float = option(0.0, low=0.0, high=0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOptions:
    """``groups`` system prompts of ``prefix_len`` tokens; ``zipf`` s: group k is asked for as often as 1/k^s."""

    groups: int = option(8, low=1)
    prefix_len: int = option(1024, low=1)
    zipf: float = option(0.0, low=0.0)
    range_ratio: float = option(0.0, low=0.0, high=0.999)


def repetition(wanted: Wanted) -> Iterator[Prompt]:
    options: RepetitionOptions = wanted.options
    return spell(wanted, _drafts(wanted, options, _in_turn(wanted, options.prefixes)))


def shared(wanted: Wanted) -> Iterator[Prompt]:
    options: SharedOptions = wanted.options
    picks = _popular(wanted, options) if options.zipf else _in_turn(wanted, options.groups)
    return spell(wanted, _drafts(wanted, options, picks))


def _in_turn(wanted: Wanted, groups: int) -> Iterator[int]:
    """Every group as often as any other, in shuffled order; shuffled a lap at a time, so that any part is even too."""
    import numpy as np

    draw = wanted.stream("order")
    for _ in range(0, wanted.n, groups):
        yield from draw.permutation(np.arange(groups)).tolist()


def _popular(wanted: Wanted, options: SharedOptions) -> Iterator[int]:
    import numpy as np

    draw = wanted.stream("order")
    weights = 1 / np.arange(1, options.groups + 1) ** options.zipf
    edges = np.cumsum(weights / weights.sum())
    for _ in range(0, wanted.n, CHUNK):
        # The last edge may be a hair below 1.
        yield from np.minimum(np.searchsorted(edges, draw.random_sample(CHUNK)), options.groups - 1).tolist()


def _drafts(wanted: Wanted, options: RepetitionOptions | SharedOptions, picks: Iterator[int]) -> Iterator[Draft]:
    """A group's beginning, then letters of the prompt's own; ``input_len`` tokens of those."""
    size, common = wanted.alphabet().size, options.prefix_len
    beginnings: dict[int, list[int]] = {}
    own = chain.from_iterable(lots(wanted, options.range_ratio, chunks(wanted.n)))
    for (letters, out), group in zip(own, picks, strict=False):
        if group not in beginnings:
            beginnings[group] = drawn(stream(*wanted.seed, "prefix", group), size, common)
        yield Draft(
            letters=beginnings[group] + letters,
            family=group,
            common=common,
            shared_len=common,
            output_len=out or None,
            group=str(group),
        )


PREFIX_REPETITION = Dataset(options=RepetitionOptions, prompts=repetition, lengths="both")
GENERATED_SHARED_PREFIX = Dataset(options=SharedOptions, prompts=shared, lengths="both")
