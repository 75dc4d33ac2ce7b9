"""A ShareGPT file → first turns, or whole conversations, with the lengths of the answers that were given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Prompt
from pytest_vllm_bench.plan import given, tables, talk
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareGPTOptions:
    """Limits are in tokens of the text itself, without what a template or the salt adds; ``think`` is in seconds."""

    path: str = option()
    multi_turn: bool = option(False)
    max_turns: int | None = option(None, low=1)
    think: float = option(0.0, low=0.0)
    shuffle: bool = option(True)
    oversample: bool = option(False)
    min_prompt: int = option(4, low=1)
    min_output: int = option(4, low=1)
    max_prompt: int = option(1024, low=1)
    max_total: int = option(2048, low=2)


def prompts(wanted: Wanted) -> Iterator[Prompt]:
    """DataError where the file has no conversations, or too few within the limits."""
    if wanted.tokenizer is None or not wanted.tokenizer.takes_text:
        raise DataError("plan.needs_tokenizer", dataset="sharegpt")
    options: ShareGPTOptions = wanted.options
    source = tables.read(wanted.path(options.path), wanted.reading)
    tables.require(source, talk.COLUMNS + talk.MAYBE)
    salter = given.Salter(wanted)
    return given.sampled(wanted, len(source), options, lambda numbers: _kept(wanted, source, salter, numbers))


def _kept(wanted: Wanted, source: tables.Rows, salter: given.Salter, numbers: Iterator[int]) -> Iterator[Prompt]:
    options: ShareGPTOptions = wanted.options
    most = 1 if not options.multi_turn else options.max_turns
    for batch in given.batches(numbers):
        found = [(talk.of(row, wanted), row) for row in source.fetch(batch)]
        wanted.count("", len(batch))
        wanted.count("plan.talk_no_answer", sum(bool(t.left and not t.pairs) for t, _ in found))
        kept = list(_fitting(wanted, options, [(replace(t, pairs=t.pairs[:most]), row) for t, row in found if t.pairs]))
        firsts = [given.opening(t.system, t.pairs[0][0], wanted) for t, _ in kept]
        for first, (t, outputs) in zip(salter.measured(firsts), kept, strict=True):
            later = zip(t.pairs[1:], outputs[1:], strict=True)
            turns = tuple(Prompt(text=asked, output_len=out, think_s=options.think) for (asked, _), out in later)
            yield salter.salted(replace(first, output_len=outputs[0], turns=turns))


def _fitting(
    wanted: Wanted, options: ShareGPTOptions, talks: list[tuple[talk.Talk, tables.Row]]
) -> Iterator[tuple[talk.Talk, list[int]]]:
    """The conversations that stay within the limits in every turn, with the tokens to ask for in each."""
    assert wanted.tokenizer is not None
    # A system prompt counts with the first question, whichever way it is sent.
    asked = [f"{t.system}\n\n{a}" if t.system and not i else a for t, _ in talks for i, (a, _) in enumerate(t.pairs)]
    prompts = iter(wanted.tokenizer.count(asked))
    answers = iter(wanted.tokenizer.count([answer for t, _ in talks for _, answer in t.pairs]))
    for t, row in talks:
        total, fits, outputs = 0, True, []
        for prompt, answer in [(next(prompts), next(answers)) for _ in t.pairs]:
            out = wanted.output_len or answer
            total += prompt + out
            fits = fits and options.min_prompt <= prompt <= options.max_prompt
            fits = fits and out >= options.min_output and total <= options.max_total
            outputs.append(out)
        if fits:
            given.beside(row, wanted)
            yield t, outputs
        else:
            wanted.count("plan.talk_outside")


DATASET = Dataset(options=ShareGPTOptions, prompts=prompts)
