"""A file of the user's own prompts (JSONL, JSON, CSV, Parquet) → those prompts, in order or shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Message, Prompt
from pytest_vllm_bench.plan import given, tables, talk
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomOptions:
    """A row is ``{prompt, output_tokens?}`` or ``{messages, output_tokens?}``; other names are given here."""

    path: str = option()
    prompt_column: str | None = option(None)
    output_column: str = option("output_tokens")
    shuffle: bool = option(False)
    oversample: bool = option(False)


def prompts(wanted: Wanted) -> Iterator[Prompt]:
    """DataError where rows have no prompt: all of them at once, each with its line."""
    options: CustomOptions = wanted.options
    source = tables.read(wanted.path(options.path), wanted.reading)
    names = (options.prompt_column,) if options.prompt_column else ("prompt", "messages")
    tables.require(source, names)
    salter = given.Salter(wanted)
    return given.sampled(wanted, len(source), options, lambda numbers: _rows(wanted, source, names, salter, numbers))


def _rows(
    wanted: Wanted, source: tables.Rows, names: tuple[str, ...], salter: given.Salter, numbers: Iterator[int]
) -> Iterator[Prompt]:
    options: CustomOptions = wanted.options
    problems: list[Message] = []
    for batch in given.batches(numbers):
        wanted.count("", len(batch))
        found: list[Prompt] = []
        for number, row in zip(batch, source.fetch(batch), strict=True):
            prompt, problem = _prompt(row, names, options.output_column, wanted)
            if prompt is not None:
                given.beside(row, wanted)
                found.append(replace(prompt, row=source.number(number)))
            else:
                problems.append(
                    Message(key="plan.row_problem", values={"where": source.where(number), "what": problem})
                )
        tables.fail(source.path, problems)
        for prompt in salter.measured(found):
            yield salter.salted(prompt)


def _prompt(
    row: Mapping[str, Any], names: tuple[str, ...], output_column: str, wanted: Wanted
) -> tuple[Prompt | None, Message]:
    """The row's prompt, or None and what is wrong with it."""
    fine = Message(key="plan.row_fine")
    called = (tables.column(row, (n,)) for n in names)
    name = next((n for n in called if row.get(n) not in (None, "")), None)
    if name is None:
        found = ", ".join(map(str, row)) or "–"
        return None, Message(key="plan.row_no_prompt", values={"wanted": " | ".join(names), "found": found})
    try:
        output = given.asked_length(row, output_column, wanted)
    except ValueError as error:
        return None, Message(key="plan.row_bad_length", values={"column": output_column, "value": str(error)})
    value = talk.parsed(row[name]) if isinstance(row[name], str) else row[name]
    if isinstance(value, str) or (isinstance(row[name], str) and not _is_messages(value)):
        return Prompt(text=row[name], output_len=output), fine
    if not _is_messages(value):
        spoken = isinstance(value, list) and all(isinstance(turn, Mapping) for turn in value)
        said = talk.of(row, wanted, (name,)) if spoken else talk.Talk()
        value = talk.messages(said) or None
    elif talk.role(value[-1]["role"]) == "assistant":
        wanted.count("plan.row_answered")
    if value is None:
        kind = type(row[name]).__name__
        return None, Message(key="plan.row_bad_prompt", values={"column": name, "kind": kind})
    if not wanted.backend.takes_messages:
        raise DataError("plan.needs_chat", backend=wanted.backend.name)
    return Prompt(messages=value, output_len=output), fine


def _is_messages(value: Any) -> bool:
    """As chat servers take them, and as they are sent."""
    return isinstance(value, list) and bool(value) and all(isinstance(m, Mapping) and "role" in m for m in value)


DATASET = Dataset(options=CustomOptions, prompts=prompts)
