"""Lines of a poem → prompts with a common beginning and lines of their own, up to the asked length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Prompt
from pytest_vllm_bench.plan import given
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.plan.source import plain, regular
from pytest_vllm_bench.plan.tables import ROW

POEM = Path(__file__).parents[1] / "data" / "poem.txt"
INSTRUCTION = "Continue the poem below in the same metre. These are its lines so far:\n"
INPUT, OUTPUT = 550, 150


@dataclass(frozen=True, slots=True, kw_only=True)
class SonnetOptions:
    """``prefix_len``: tokens of the common beginning, instruction included, to the nearest line below."""

    path: str | None = option(None)
    prefix_len: int = option(200, low=0)


def prompts(wanted: Wanted) -> Iterator[Prompt]:
    """As many whole lines as fit; DataError where not one of the prompt's own does."""
    if wanted.tokenizer is None or not wanted.tokenizer.takes_text:
        raise DataError("plan.needs_tokenizer", dataset="sonnet")
    options: SonnetOptions = wanted.options
    path = wanted.path(options.path) if options.path else POEM
    source = plain(path, wanted.reading)
    if regular(source.plain) > ROW:
        raise DataError("plan.poem_endless", path=str(path), most=ROW >> 20)
    try:
        lines = [line for line in source.plain.read_text("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:  # Parquet
        raise DataError("plan.encoding_line", path=str(path), line=1, error=str(error)) from error
    if not lines:
        raise DataError("plan.file_empty", path=str(path))
    return _made(wanted, options.prefix_len, lines)


def _made(wanted: Wanted, prefix_len: int, lines: list[str]) -> Iterator[Prompt]:
    assert wanted.tokenizer is not None
    salter = given.Salter(wanted)
    draw = wanted.stream("prompts")
    costs = wanted.tokenizer.count([line + "\n" for line in lines])
    shared, shared_len = INSTRUCTION, (salter.count([INSTRUCTION]) or [0])[0]
    at = 0
    while shared_len + costs[at % len(lines)] <= prefix_len:
        shared, shared_len, at = shared + lines[at % len(lines)] + "\n", shared_len + costs[at % len(lines)], at + 1
    room = (wanted.input_len or INPUT) - shared_len
    if room < min(costs):
        raise DataError("plan.sonnet_too_short", length=wanted.input_len or INPUT, prefix=shared_len)
    for _ in range(0, wanted.n, 256):
        texts = []
        for _ in range(256):
            own, left = [], room
            for number in draw.randint(0, len(lines), room):
                if costs[number] <= left:
                    own.append(lines[number])
                    left -= costs[number]
                elif left < min(costs):
                    break
            texts.append(shared + "\n".join(own))
        for text, length in zip(texts, salter.count(texts) or [], strict=True):
            made = Prompt(
                text=text, input_len=length, output_len=wanted.output_len or OUTPUT, shared_len=shared_len, group="poem"
            )
            yield salter.salted(made)


DATASET = Dataset(options=SonnetOptions, prompts=prompts, lengths="optional")
