"""A row of a data set that people use → what it asks, what was answered, and its media, by what its columns mean."""

from __future__ import annotations

import ast
import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Media, Prompt
from pytest_vllm_bench.plan import given, media, tables, talk
from pytest_vllm_bench.plan.dataset import Wanted

#: What is asked: the first of these that a row has, all its columns in this order.
ASKED = (
    *(("prompt",), ("code", "change_request"), ("events", "input")),  # Blazedit, zeta
    *(("instruction", "input"), ("instruction", "context"), ("instruction",)),  # Alpaca and InstructCoder, Dolly
    *(("context", "question"), ("passage", "question"), ("question",), ("problem",), ("context", "input")),
    *(("question_content",), ("problem_statement",), ("query",), ("user_prompt",), ("user",), ("turn",), ("goal",)),
    *(("input",), ("article",), ("document",), ("text",), ("content",)),
)
ANSWERED = (
    *("output", "solution", "canonical_solution", "response", "response_a", "completion", "chosen", "best_answer"),
    *("answer", "answers", "reference_answer", "target", "highlights", "summary", "code", "query", "reference"),
)
#: Where there is sound, the words are what was said.
SPOKEN = ("text", "sentence", "transcript", "transcription", "normalized_text", "raw_text")
SYSTEM = ("system_prompt", "system", "system_message")
CHOICES = ("options", "choices")
MEDIA = {"image": ("image", "images", "img", "picture"), "audio": ("audio", "speech"), "video": ("video", "videos")}
_PLACES = re.compile(r"\s*<(image|audio|video)>\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetColumns:
    chat: str = ""
    asked: tuple[str, ...] = ()
    system: str = ""
    choices: str = ""
    answered: str = ""
    media: tuple[tuple[str, str], ...] = ()  # kind and column


@lru_cache(maxsize=512)
def columns(has: tuple[str, ...]) -> DatasetColumns:
    """What a row's columns mean, going by their names."""
    row = dict.fromkeys(has)

    def first(names: tuple[str, ...]) -> str:
        return tables.column(row, names)

    shown = [(kind, name) for kind, names in MEDIA.items() if (name := first(names))]
    shown += [("image", name) for name in has if re.fullmatch(r"image_\d+", str(name))]  # MMMU
    heard = any(kind == "audio" for kind, _ in shown)
    asking = [names for names in ASKED if not (heard and names[0] in SPOKEN)]
    asked = next((got for names in asking if all(got := tuple(first((name,)) for name in names))), ())
    chat = first(talk.COLUMNS) or ("" if asked else first(talk.MAYBE))
    answers = tuple(name for name in (*ANSWERED, *(SPOKEN if heard else ())) if first((name,)) not in asked)
    choices = first(CHOICES)
    # The answer to a choice is a letter, which says nothing about the length of what a model will write.
    answered = "" if choices else first(answers)
    return DatasetColumns(
        chat=chat, asked=asked, system=first(SYSTEM), choices=choices, answered=answered, media=tuple(shown)
    )


def read(
    row: Mapping[str, Any], its: DatasetColumns, wanted: Wanted, folder: Path, number: int
) -> tuple[Prompt | None, str]:
    """The row's prompt and what was answered; None, counted, where it asks nothing or its media are not there."""
    system, answer = words(row.get(its.system)), ""
    if its.chat or (its.asked and _turns(row.get(its.asked[0]))):
        said = talk.of(row, wanted, (its.chat or its.asked[0],))
        text, answer = said.pairs[0] if said.pairs else (said.left, "")
        system = said.system or system
    else:
        text = "\n\n".join(filter(None, (talk.text(row.get(name)) for name in its.asked)))
        if text and its.choices:
            text = "\n".join([text, *_choices(row.get(its.choices))])
    answer = answer or words(row.get(its.answered))
    try:
        things = tuple(m for kind, name in its.media for m in _media(row.get(name), kind, folder, number))
    except DataError as error:
        if error.message.key != "plan.file_absent":
            raise
        wanted.count("plan.media_absent")
        return None, ""
    given.beside(row, wanted, [name for _, name in its.media])
    text = _PLACES.sub("\n", text).strip() if things else text
    if not text and not things:
        if not its.chat:
            wanted.count("plan.row_nothing")
        return None, ""
    return replace(given.opening(system, text, wanted), media=things, row=number), answer


def words(value: Any) -> str:
    """An answer, or the first of several; of a conversation what was said last."""
    if isinstance(value, str) and value.startswith("["):
        value = talk.parsed(value)
    if isinstance(value, list):
        return words(value[-1 if isinstance(value[0], Mapping) else 0]) if value else ""
    if isinstance(value, Mapping):
        told = [key for key in ("content", "text", "value") if key in value]
        return words(value[told[0]]) if told else json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None or isinstance(value, bool) else str(value)


def _turns(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and isinstance(talk.parsed(value), list))


def _choices(value: Any) -> Iterator[str]:
    """A line a choice; lists stand in some tables as Python writes them."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            value = ast.literal_eval(value)
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = dict(zip(value.get("label") or (), value["text"], strict=False))
    if isinstance(value, list):
        value = {chr(ord("A") + i): choice for i, choice in enumerate(value[:26])}
    if isinstance(value, Mapping):
        yield from (f"{name}. {choice}" for name, choice in value.items() if choice not in (None, ""))


def _media(value: Any, kind: str, folder: Path, number: int) -> Iterator[Media]:
    for one in value if isinstance(value, list) else [value]:
        name = f"{folder} #{number}"
        if isinstance(one, Mapping) and one.get("bytes"):
            one, name = one["bytes"], name + Path(str(one.get("path") or "")).suffix
        elif isinstance(one, Mapping):
            one = one.get("path") or one.get("url") or one.get("src") or one
        if isinstance(one, str) and len(one) > 256 and not one.startswith(("http", "data:")):
            with contextlib.suppress(binascii.Error):
                one = base64.b64decode(one, validate=True)
        if isinstance(one, bytes):
            yield media.from_bytes(one, kind, name=name)
        elif isinstance(one, str) and one.startswith(("http://", "https://", "data:")):
            yield Media(kind=kind, url=one)  # type: ignore[arg-type]
        elif isinstance(one, str) and one:
            yield media.load(folder / one, kind)
        elif one not in (None, ""):
            raise DataError("plan.media_unnamed", row=number, kind=kind)
