"""A ShareGPT file → first turns, or whole conversations, with the lengths of the answers that were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Prompt
from pytest_vllm_bench.plan import given, rows
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
    source = rows.read(wanted.path(options.path))
    rows.require(source, ("conversations", "conversation", "messages"))
    salter = given.Salter(wanted)
    return given.sampled(wanted, len(source), options, lambda numbers: _kept(wanted, source, salter, numbers))


def _kept(wanted: Wanted, source: rows.Rows, salter: given.Salter, numbers: Iterator[int]) -> Iterator[Prompt]:
    options: ShareGPTOptions = wanted.options
    most = 1 if not options.multi_turn else options.max_turns
    for batch in given.batches(numbers):
        found = [pairs[:most] for row in source.fetch(batch) if (pairs := exchanges(row))]
        kept = list(_fitting(wanted, options, found))
        sent = salter.count([asked for (asked, _), *_ in kept]) or []
        for talk, length in zip(kept, sent, strict=True):
            first, *later = [Prompt(text=asked, output_len=out) for asked, out in talk]
            turns = tuple(replace(turn, think_s=options.think) for turn in later)
            yield salter.salted(replace(first, input_len=length, turns=turns))


def _fitting(
    wanted: Wanted, options: ShareGPTOptions, talks: list[list[tuple[str, str]]]
) -> Iterator[list[tuple[str, int]]]:
    """(prompt, tokens to ask for) of each turn, of the conversations that stay within the limits in every turn."""
    assert wanted.tokenizer is not None
    flat = [pair for talk in talks for pair in talk]
    counts = iter(wanted.tokenizer.count([text for pair in flat for text in pair]))
    for talk in talks:
        total, fits, turns = 0, True, []
        for asked, _ in talk:
            prompt, answer = next(counts), next(counts)
            out = wanted.output_len or answer
            total += prompt + out
            fits = fits and options.min_prompt <= prompt <= options.max_prompt
            fits = fits and out >= options.min_output and total <= options.max_total
            turns.append((asked, out))
        if fits:
            yield turns


def exchanges(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(prompt, answer) of each turn; both common spellings, ``from``/``value`` and ``role``/``content``.

    A system message joins the first prompt; a last prompt without an answer is left out.
    """
    listed = row.get("conversations") or row.get("conversation") or row.get("messages") or []
    said = []
    for turn in listed if isinstance(listed, list) else []:
        if isinstance(turn, Mapping):
            who, what = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
            if isinstance(what, str):
                said.append((str(who), what))
    system = said[0][1] + "\n\n" if said and said[0][0] == "system" else ""
    texts = [what for _, what in said[bool(system) :]]
    pairs = list(zip(texts[::2], texts[1::2], strict=False))
    return [(system + pairs[0][0], pairs[0][1]), *pairs[1:]] if pairs else []


DATASET = Dataset(options=ShareGPTOptions, prompts=prompts)
