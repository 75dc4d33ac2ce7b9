"""A Hugging Face dataset, on the hub or in a folder → prompts, by columns that are named or found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Media, Message, Prompt
from pytest_vllm_bench.plan import given, media, talk
from pytest_vllm_bench.plan.dataset import Dataset, Wanted
from pytest_vllm_bench.plan.options import option
from pytest_vllm_bench.tokenizer import unreachable

CHAT = talk.COLUMNS
ASKED = ("prompt", "instruction", "question", "query", "problem", "input", "text")
ANSWERED = ("output", "answer", "response", "completion", "solution", "chosen")
MEDIA = {"image": ("image", "images"), "audio": ("audio",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class HFOptions:
    """``path``: a hub name, a folder that ``datasets`` saved, or a folder of data files.

    ``answer_column``: its text's length is what is asked for, unless ``input_output`` says.
    """

    path: str = option()
    subset: str | None = option(None)
    split: str = option("train")
    prompt_column: str | None = option(None)
    answer_column: str | None = option(None)
    image_column: str | None = option(None)
    audio_column: str | None = option(None)
    prompt: str | None = option(None)
    streaming: bool = option(True)
    shuffle: bool = option(False)
    oversample: bool = option(False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    chat: str = ""
    asked: str = ""
    more: str = ""  # the second half of an instruction
    answered: str = ""
    media: Mapping[str, str]  # kind → column


def prompts(wanted: Wanted) -> Iterator[Prompt]:
    """DataError: the hub cannot be reached, no such split or column, a broken image, too few rows."""
    options: HFOptions = wanted.options
    source = _opened(wanted, options)
    source = _undecoded(source)
    first = next(iter(source), None)
    if first is None:
        raise DataError("plan.file_empty", path=options.path)
    columns = _columns(first, options)
    for kind in columns.media:
        if kind not in wanted.backend.takes_media:
            raise DataError("plan.media_not_taken", backend=wanted.backend.name, kind=kind)
    return _made(wanted, source, columns, options)


def _opened(wanted: Wanted, options: HFOptions) -> Any:
    """The split, as an iterable of rows; nothing is held that need not be."""
    try:
        import datasets
    except ImportError as error:
        raise DataError("plan.extra_missing", extra="datasets", path=options.path) from error
    local = wanted.path(options.path)
    if not local.exists():
        _hub(options.path)
    try:
        if (local / "state.json").is_file() or (local / "dataset_dict.json").is_file():
            saved = datasets.load_from_disk(str(local))
            found = saved[options.split] if isinstance(saved, dict) else saved
        else:
            path = str(local) if local.exists() else options.path
            found = datasets.load_dataset(path, options.subset, split=options.split, streaming=options.streaming)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        values = {"path": options.path, "subset": options.subset or "–", "split": options.split, "error": told}
        raise DataError("plan.hf_failed", **values) from error
    if options.shuffle:
        seed = int(wanted.stream("order").randint(1 << 31))
        streamed = isinstance(found, datasets.IterableDataset)
        found = found.shuffle(seed=seed, buffer_size=10_000) if streamed else found.shuffle(seed=seed)
    return found


def _hub(path: str) -> None:
    from huggingface_hub import constants

    if path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise DataError("plan.file_absent", path=path)
    problem = "" if constants.HF_HUB_OFFLINE else unreachable(constants.ENDPOINT)
    if problem:
        raise DataError("plan.hub_unreachable", path=path, error=problem)


def _columns(row: Mapping[str, Any], options: HFOptions) -> Columns:
    """The columns that are named, else those that common datasets have."""
    for named in (options.prompt_column, options.answer_column, options.image_column, options.audio_column):
        if named is not None and named not in row:
            raise DataError("plan.column_missing", path=options.path, wanted=named, found=", ".join(row))
    pictured = {"image": options.image_column, "audio": options.audio_column}
    kinds = {kind: named or _first(row, MEDIA[kind]) for kind, named in pictured.items()}
    asked = options.prompt_column or _first(row, ASKED)
    chat = "" if options.prompt_column else _first(row, CHAT)
    if isinstance(row.get(asked), list):
        asked, chat = "", asked
    if not asked and not chat and not any(kinds.values()):
        raise DataError("plan.column_missing", path=options.path, wanted=" | ".join(CHAT + ASKED), found=", ".join(row))
    return Columns(
        chat=chat,
        asked=asked,
        more="input" if asked == "instruction" and "input" in row else "",
        answered=options.answer_column or _first(row, ANSWERED),
        media={kind: column for kind, column in kinds.items() if column},
    )


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in row), "")


def _undecoded(source: Any) -> Any:
    """Media as the files they were: what is sent is what was stored, and no codec is needed."""
    import datasets

    for column, feature in (source.features or {}).items():
        inner = getattr(feature, "feature", feature)  # a list of pictures
        if isinstance(inner, datasets.Image | datasets.Audio):
            plain = type(inner)(decode=False)
            source = source.cast_column(column, plain if inner is feature else datasets.List(plain))
    return source


def _made(wanted: Wanted, source: Any, columns: Columns, options: HFOptions) -> Iterator[Prompt]:
    salter = given.Salter(wanted)
    rows = iter(_numbered(wanted, source, options))
    while batch := list(islice(rows, 64)):
        wanted.count("", len(batch))
        read = [_read(row, columns, wanted, number) for number, row in batch]
        found = [(prompt, answer) for prompt, answer in read if prompt is not None]
        answers = _tokens(wanted, [answer for _, answer in found])
        for i, prompt in enumerate(salter.measured([prompt for prompt, _ in found])):
            output = wanted.output_len or (answers[i] if answers and answers[i] else None)
            yield salter.salted(replace(prompt, output_len=output))


def _numbered(wanted: Wanted, source: Iterable[Any], options: HFOptions) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for lap in count():
        seen = 0
        for seen, row in enumerate(source, 1):
            yield seen, row
        if not options.oversample or not seen:
            return
        if lap == 0:
            wanted.note(Message(key="plan.oversampled", values={"rows": seen, "n": wanted.n}))


def _tokens(wanted: Wanted, answers: list[str]) -> list[int] | None:
    if wanted.tokenizer is None or not wanted.tokenizer.takes_text:
        return None
    return wanted.tokenizer.count(answers)


def _read(row: Mapping[str, Any], columns: Columns, wanted: Wanted, number: int) -> tuple[Prompt | None, str]:
    """The row's prompt and what was answered; None where it has nothing to say."""
    options: HFOptions = wanted.options
    things = tuple(m for kind, column in columns.media.items() for m in _media(row[column], kind, options, number))
    system, answer = "", ""
    if columns.chat:
        said = talk.of(row, wanted, (columns.chat,))
        system = said.system
        text, answer = said.pairs[0] if said.pairs else (said.left, "")
    else:
        text = str(row.get(columns.asked) or "") if columns.asked else ""
        more = str(row.get(columns.more) or "") if columns.more else ""
        text = f"{text}\n\n{more}" if more else text
        value = row.get(columns.answered) if columns.answered else ""
        answer = str(value[0] if isinstance(value, list) and value else value or "")
    if things and options.prompt is not None:
        text = options.prompt
    if not text and not things:
        return None, ""
    return replace(given.opening(system, text, wanted), media=things, row=number), answer


def _media(value: Any, kind: str, options: HFOptions, number: int) -> Iterator[Media]:
    for one in value if isinstance(value, list) else [value]:
        name = f"{options.path} #{number}"
        if isinstance(one, Mapping) and one.get("bytes"):
            suffix = Path(str(one.get("path") or "")).suffix
            yield media.from_bytes(one["bytes"], kind, name=name + suffix)
        elif isinstance(one, Mapping) and one.get("path"):
            yield media.load(Path(one["path"]), kind)
        elif isinstance(one, str):
            yield Media(kind=kind, url=one)  # type: ignore[arg-type]
        else:
            raise DataError("plan.media_unnamed", row=number, kind=kind)


DATASET = Dataset(options=HFOptions, prompts=prompts)
