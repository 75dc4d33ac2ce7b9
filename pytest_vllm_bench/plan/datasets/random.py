"""Asked lengths → prompts of random words, every one of exactly its length and unlike any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Prompt
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.plan.spelling import BATCH_TOKENS, Draft, drawn, spell

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import RandomState

CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomOptions:
    """``range_ratio`` r: lengths uniform in [L(1−r), L(1+r)]; ``prefix_len`` tokens, the same in all, go in front.

    ``batch``: texts in one request, where the backend takes several (embeddings; documents to be ranked).
    """

    range_ratio: float = option(0.0, low=0.0, high=0.999)
    prefix_len: int = option(0, low=0)
    batch: int = option(1, low=1)


def prompts(wanted: Wanted) -> Iterator[Prompt]:
    """A prompt a request; of several texts where a batch is asked for, each of the asked length."""
    options: RandomOptions = wanted.options
    if options.batch > 1 and not wanted.backend.batch:
        raise DataError("plan.no_batches", backend=wanted.backend.name)
    if options.batch == 1:
        return spell(wanted, drafts(wanted, wanted.n))
    texts = options.batch + (wanted.backend.batch == "documents")
    return _batched(spell(wanted, drafts(wanted, wanted.n * texts)), texts, wanted.backend.batch)


def _batched(spelled: Iterator[Prompt], texts: int, kind: str) -> Iterator[Prompt]:
    """``texts`` prompts as one: all of them inputs, or the first the query and the rest documents."""
    while several := list(islice(spelled, texts)):
        words = [prompt.text or "" for prompt in several]
        query = words.pop(0) if kind == "documents" else None
        # How a reranker joins query and documents is its own affair: the length is unknown.
        total = sum(prompt.input_len or 0 for prompt in several) if kind == "inputs" else None
        yield Prompt(text=query, inputs=words, input_len=total)


def drafts(wanted: Wanted, n: int) -> Iterator[Draft]:
    """The letters of each prompt, behind those that all begin with."""
    options: RandomOptions = wanted.options
    common = options.prefix_len
    prefix = drawn(wanted.stream("prefix"), wanted.alphabet().size, common)
    for letters, out in chain.from_iterable(lots(wanted, options.range_ratio, chunks(n))):
        yield Draft(
            letters=prefix + letters if prefix else letters,
            family=0 if common else None,
            common=common,
            shared_len=common,
            output_len=out or None,
        )


def chunks(n: int) -> Iterator[int]:
    """How many are drawn at a time, until they are ``n``."""
    return (min(CHUNK, n - start) for start in range(0, n, CHUNK))


def lots(wanted: Wanted, ratio: float, sizes: Iterable[int]) -> Iterator[Iterator[tuple[list[int], int]]]:
    """The letters and the output length of each prompt, in lots of these sizes; what the server adds (chat template,
    BOS) is taken off the asked length."""
    size, text, lengths = wanted.alphabet().size, wanted.stream("prompts"), wanted.stream("lengths")
    for n in sizes:
        inputs = content_lengths(wanted, ranged(lengths, wanted.input_len or 0, ratio, n))
        outputs = ranged(lengths, wanted.output_len or 0, ratio, n)
        yield zip(pieces(text, size, inputs.tolist()), outputs.tolist(), strict=True)


def pieces(draw: RandomState, size: int, lengths: list[int]) -> Iterator[list[int]]:
    """Letters for each length, drawn for many of them at once."""
    at = 0
    while at < len(lengths):
        end, total = at, 0
        while end < len(lengths) and (end == at or total + lengths[end] <= BATCH_TOKENS):
            total, end = total + lengths[end], end + 1
        letters = drawn(draw, size, total)
        begin = 0
        for length in lengths[at:end]:
            yield letters[begin : begin + length]
            begin += length
        at = end


def ranged(draw: RandomState, length: int, ratio: float, n: int) -> np.ndarray:
    """``n`` lengths, uniform over the whole numbers of [L(1−r), L(1+r)], at least 1 where any is asked."""
    import numpy as np

    if not ratio or not length:
        return np.full(n, length)
    low, high = max(1, int(np.floor(length * (1 - ratio)))), int(np.ceil(length * (1 + ratio)))
    return draw.randint(low, high + 1, n)


def content_lengths(wanted: Wanted, asked: np.ndarray) -> np.ndarray:
    """The asked lengths less what the server puts around each prompt; DataError where nothing would be left."""
    added = 0 if wanted.alphabet().ids else wanted.added_tokens
    if asked.min(initial=added + 1) <= added:
        raise DataError("plan.shorter_than_template", length=int(asked.min()), added=added)
    return asked - added


DATASET = Dataset(options=RandomOptions, prompts=prompts, lengths="both")
