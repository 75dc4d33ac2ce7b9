"""A folder, or a file that lists paths → prompts with the images, clips or films in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Media, Message, Prompt
from pytest_vllm_bench.plan import given, known, media, tables, talk
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """``path``: a folder of files, or JSONL/JSON/CSV/Parquet whose rows name them (relative to that file).

    ``prompt``: the text beside each, where its row has none.
    """

    path: str = option()
    prompt: str | None = option(None)
    prompt_column: str = option("prompt")
    output_column: str = option("output_tokens")
    shuffle: bool = option(False)
    oversample: bool = option(False)


ASKED = {"image": "Describe this image.", "audio": "", "video": "Describe what happens in this video."}


def reader(kind: str) -> Callable[[Wanted], Iterator[Prompt]]:
    """The prompts function for files of a kind."""

    def prompts(wanted: Wanted) -> Iterator[Prompt]:
        if kind not in wanted.backend.takes_media:
            raise DataError("plan.media_not_taken", backend=wanted.backend.name, kind=kind)
        options: FileOptions = wanted.options
        path = wanted.path(options.path)
        count, fetch = _folder(path, kind) if path.is_dir() else _listed(path, kind, wanted)
        salter = given.Salter(wanted)
        return given.sampled(wanted, count, options, lambda numbers: _made(wanted, kind, fetch, salter, numbers))

    return prompts


#: Row numbers → the prompts of those rows, without their media's share of the length.
Fetch = Callable[[list[int]], list[Prompt]]


def _folder(path: Path, kind: str) -> tuple[int, Fetch]:
    files = media.listed(path, kind)
    return len(files), lambda numbers: [
        Prompt(text="", media=(media.load(files[i], kind),), row=i + 1) for i in numbers
    ]


def _listed(path: Path, kind: str, wanted: Wanted) -> tuple[int, Fetch]:
    source = tables.read(path, wanted.reading)
    column = tables.require(source, (kind, f"{kind}s", f"{kind}_path", f"{kind}_files", "file", "path"))

    def fetch(numbers: list[int]) -> list[Prompt]:
        return [
            _prompt(row, kind, column, path.parent, wanted, source.number(i))
            for i, row in zip(numbers, source.fetch(numbers), strict=True)
        ]

    return len(source), fetch


def _prompt(row: Mapping[str, Any], kind: str, column: str, folder: Path, wanted: Wanted, number: int) -> Prompt:
    value = row.get(column)
    names = value if isinstance(value, list) else [value]
    options: FileOptions = wanted.options
    try:
        output = given.asked_length(row, options.output_column, wanted)
    except ValueError as error:
        what = Message(key="plan.row_bad_length", values={"column": options.output_column, "value": str(error)})
        raise DataError("plan.media_row", path=str(folder), row=number, what=what) from error
    text = talk.text(row.get(options.prompt_column))
    its = known.columns(tuple(row))
    if not text and kind != "audio" and (unsaid := its.chat or "".join(its.asked[:1])):
        wanted.count("plan.not_sent", what=unsaid)
    return Prompt(
        text=text,
        media=tuple(_one(name, kind, folder, number) for name in names),
        output_len=output,
        row=number,
    )


def _one(value: Any, kind: str, folder: Path, number: int) -> Media:
    """A path, a URL as it is, or the bytes that Parquet files of images hold."""
    if isinstance(value, Mapping) and isinstance(value.get("bytes"), bytes):
        return media.from_bytes(value["bytes"], kind, name=str(value.get("path") or f"#{number}"))
    if isinstance(value, str) and value.startswith(("http://", "https://", "data:")):
        return Media(kind=kind, url=value)  # type: ignore[arg-type]
    if not isinstance(value, str) or not value:
        raise DataError("plan.media_unnamed", row=number, kind=kind)
    return media.load(folder / value, kind)


def _made(wanted: Wanted, kind: str, fetch: Fetch, salter: given.Salter, numbers: Iterator[int]) -> Iterator[Prompt]:
    options: FileOptions = wanted.options
    asked = ASKED[kind] if options.prompt is None else options.prompt
    for batch in given.batches(numbers, 16):
        wanted.count("", len(batch))
        for prompt in fetch(batch):
            output = wanted.output_len or prompt.output_len
            # How many tokens a medium becomes is the model's affair: the length is unknown here.
            whole = replace(prompt, text=prompt.text or asked, output_len=output)
            # A transcription's prompt is a hint about spelling; words of ours would end up in the transcript.
            yield salter.salted(whole) if wanted.backend.takes_messages else whole


def _dataset(kind: str) -> Dataset:
    return Dataset(options=FileOptions, prompts=reader(kind))


DATASETS = {kind: _dataset(kind) for kind in ("image", "audio", "video")}
