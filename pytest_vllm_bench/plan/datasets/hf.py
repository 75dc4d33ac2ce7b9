"""A Hugging Face dataset, on the hub or in a folder → prompts, by columns that are named or found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Message, Prompt
from pytest_vllm_bench.plan import given, known, tables, talk
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.plan.source import PACKED_NAMES, plain
from pytest_vllm_bench.plan.tables import Rows
from pytest_vllm_bench.tokenizer import unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class HFOptions:
    """``path``: a hub name, a folder that ``datasets`` saved, a folder of data files, or one of them.

    ``answer_column``: its text's length is what is asked for, unless ``input_output`` says.  ``where``: only rows whose
    column is this, or one of these.
    """

    path: str = option()
    subset: str | None = option(None)
    split: str = option("train")
    prompt_column: str | None = option(None)
    answer_column: str | None = option(None)
    image_column: str | None = option(None)
    audio_column: str | None = option(None)
    prompt: str | None = option(None)
    where: Mapping[str, Any] | None = option(None)
    streaming: bool = option(True)
    shuffle: bool = option(False)
    oversample: bool = option(False)


def prompts(wanted: Wanted) -> Iterator[Prompt]:
    """DataError: the hub cannot be reached, no such split or column, a broken image, too few rows."""
    options: HFOptions = wanted.options
    file = wanted.path(options.path)
    source = _file(wanted, file) if os.path.isfile(file) else _undecoded(_opened(wanted, options))
    first = next(_each(source, options), None)
    if first is None:
        raise DataError("plan.file_empty", path=options.path)
    its = _columns(first, options)
    for kind, _ in its.media:
        if kind not in wanted.backend.takes_media:
            raise DataError("plan.media_not_taken", backend=wanted.backend.name, kind=kind)
    return _made(wanted, source, options)


def _file(wanted: Wanted, path: Path) -> Rows:
    """One file of a data set, read as any of the user's."""
    found = tables.read(path, wanted.reading)
    if not wanted.options.shuffle:
        return found
    order = wanted.stream("order").permutation(found.count).tolist()
    return replace(found, fetch=lambda numbers: found.fetch([order[i] for i in numbers]))


def _opened(wanted: Wanted, options: HFOptions) -> Any:
    """The split, as an iterable of rows; nothing is held that need not be."""
    try:
        import datasets
    except ImportError as error:
        raise DataError("plan.extra_missing", extra="datasets", path=options.path) from error
    local = wanted.path(options.path)
    if not os.path.exists(local):
        _hub(options.path)
    for packed in filter(lambda p: p.suffix in PACKED_NAMES, local.rglob("*")):
        plain(packed, wanted.reading)  # what grows without measure is refused before anybody unpacks it into memory
    try:
        if (local / "state.json").is_file() or (local / "dataset_dict.json").is_file():
            saved = datasets.load_from_disk(str(local))
            found = saved[options.split] if isinstance(saved, dict) else saved
        else:
            path = str(local) if local.exists() else options.path
            found = datasets.load_dataset(path, options.subset, split=options.split, streaming=options.streaming)
    except Exception as error:  # whatever its readers and the hub's client stumble on
        raise _failed(options, error) from error
    if options.shuffle:
        seed = int(wanted.stream("order").randint(1 << 31))
        streamed = isinstance(found, datasets.IterableDataset)
        found = found.shuffle(seed=seed, buffer_size=10_000) if streamed else found.shuffle(seed=seed)
    return found


def _failed(options: HFOptions, error: Exception) -> DataError:
    told = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
    values = {"path": options.path, "subset": options.subset or "–", "split": options.split, "error": told}
    return DataError("plan.hf_failed", **values)


def _each(source: Iterable[Any], options: HFOptions) -> Iterator[Mapping[str, Any]]:
    """The rows; what a streamed file's reader stumbles on shows itself only here."""
    rows = iter(source)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except DataError:
            raise
        except Exception as error:
            raise _failed(options, error) from error
        yield row


def _hub(path: str) -> None:
    from huggingface_hub import constants

    if path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise DataError("plan.file_absent", path=path)
    problem = "" if constants.HF_HUB_OFFLINE else unreachable(constants.ENDPOINT)
    if problem:
        raise DataError("plan.hub_unreachable", path=path, error=problem)


def _columns(row: Mapping[str, Any], options: HFOptions) -> known.DatasetColumns:
    """The columns that are named, else those that common datasets have; a medium named "" is not sent."""
    named = (options.prompt_column, options.answer_column, options.image_column, options.audio_column)
    for name in filter(None, named):
        if name not in row:
            raise DataError("plan.column_missing", path=options.path, wanted=name, found=", ".join(row))
    its = known.columns(tuple(row))
    chosen = {"image": options.image_column, "audio": options.audio_column}
    shown = [(kind, name) for kind, name in its.media if chosen.get(kind) is None]
    shown += [(kind, name) for kind, name in chosen.items() if name]
    its = replace(its, media=tuple(shown), answered=options.answer_column or its.answered)
    if options.prompt_column:
        its = replace(its, chat="", asked=(options.prompt_column,))
    if not its.asked and not its.chat and not its.media:
        names = " | ".join((*talk.COLUMNS, *(" + ".join(names) for names in known.ASKED)))
        raise DataError("plan.column_missing", path=options.path, wanted=names, found=", ".join(row))
    return its


def _undecoded(source: Any) -> Any:
    """Media as the files they were: what is sent is what was stored, and no codec is needed."""
    import datasets

    for column, feature in (source.features or {}).items():
        inner = getattr(feature, "feature", feature)  # a list of pictures
        if isinstance(inner, datasets.Image | datasets.Audio):
            plain = type(inner)(decode=False)
            source = source.cast_column(column, plain if inner is feature else datasets.List(plain))
    return source


def _made(wanted: Wanted, source: Any, options: HFOptions) -> Iterator[Prompt]:
    salter = given.Salter(wanted)
    local = wanted.path(options.path)
    folder = local if local.is_dir() else local.parent
    numbered = iter(_numbered(wanted, source, options))
    while batch := list(islice(numbered, 64)):
        wanted.count("", len(batch))
        read = [known.read(row, _columns(row, options), wanted, folder, number) for number, row in batch]
        found = [(prompt, answer) for prompt, answer in read if prompt is not None]
        answers = _tokens(wanted, [answer for _, answer in found])
        for i, prompt in enumerate(salter.measured([prompt for prompt, _ in found])):
            if prompt.media and options.prompt is not None:
                prompt = replace(prompt, text=options.prompt, messages=None)
            output = wanted.output_len or (answers[i] if answers and answers[i] else None)
            yield salter.salted(replace(prompt, output_len=output))


def _numbered(wanted: Wanted, source: Iterable[Any], options: HFOptions) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for lap in count():
        rows = 0
        for number, row in enumerate(_each(source, options), 1):
            if not chosen(row, options):
                wanted.count("plan.row_not_chosen", what=", ".join(options.where or ()))
                continue
            rows += 1
            yield number, row
        if not rows and options.where:
            raise DataError("plan.none_chosen", path=options.path, where=spelled(options.where))
        if not options.oversample or not rows:
            return
        if lap == 0:
            wanted.note(Message(key="plan.oversampled", values={"rows": rows, "n": wanted.n}))


def chosen(row: Mapping[str, Any], options: HFOptions) -> bool:
    """Whether a row is what ``where`` says; DataError where it lacks such a column."""
    for name, value in (options.where or {}).items():
        if name not in row:
            raise DataError("plan.column_missing", path=options.path, wanted=name, found=", ".join(row))
        if str(row[name]) not in map(str, value if isinstance(value, list | tuple) else [value]):
            return False
    return True


def spelled(where: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in where.items())


def _tokens(wanted: Wanted, answers: list[str]) -> list[int] | None:
    if wanted.tokenizer is None or not wanted.tokenizer.takes_text:
        return None
    return wanted.tokenizer.count(answers)


DATASET = Dataset(options=HFOptions, prompts=prompts)
