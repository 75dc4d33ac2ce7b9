"""A ShareGPT file → first turns as prompts, with the length of the answer that was given as the length to ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Prompt
from pytest_vllm_bench.plan import given, rows
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareGPTOptions:
    """Limits are in tokens of the text itself, without what a template or the salt adds."""

    path: str = option()
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
    return given.enough(wanted, _kept(wanted, source, options), source)


def _kept(wanted: Wanted, source: rows.Rows, options: ShareGPTOptions) -> Iterator[Prompt]:
    assert wanted.tokenizer is not None
    salter = given.Salter(wanted)
    numbers = given.order(wanted, source, shuffle=options.shuffle, oversample=options.oversample)
    for batch in given.batches(numbers):
        pairs = [pair for number in batch if (pair := first_turns(source.get(number)))]
        asked, answered = [p for p, _ in pairs], [a for _, a in pairs]
        bare, outputs = wanted.tokenizer.count(asked), wanted.tokenizer.count(answered)
        kept = [
            (text, wanted.output_len or out)
            for text, n, out in zip(asked, bare, outputs, strict=True)
            if fits(options, n, wanted.output_len or out)
        ]
        sent = salter.count([text for text, _ in kept]) or []
        for (text, out), length in zip(kept, sent, strict=True):
            yield salter.salted(Prompt(text=text, input_len=length, output_len=out))


def fits(options: ShareGPTOptions, prompt: int, output: int) -> bool:
    return (
        options.min_prompt <= prompt <= options.max_prompt
        and output >= options.min_output
        and prompt + output <= options.max_total
    )


def turns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(who, what) of each turn; both common spellings, ``from``/``value`` and ``role``/``content``."""
    listed = row.get("conversations") or row.get("conversation") or row.get("messages") or []
    said = []
    for turn in listed if isinstance(listed, list) else []:
        if isinstance(turn, Mapping):
            who, what = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
            if isinstance(what, str):
                said.append((str(who), what))
    return said


def first_turns(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first prompt and its answer, where the conversation has both."""
    said = turns(row)
    return (said[0][1], said[1][1]) if len(said) >= 2 else None


DATASET = Dataset(options=ShareGPTOptions, prompts=prompts, salts=True)
