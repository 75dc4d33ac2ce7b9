"""What pydantic found wrong → problems in plain words, with YAML path and line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from pydantic import BaseModel, ValidationError

from pytest_vllm_bench.config.lines import join, line_of
from pytest_vllm_bench.config.values import show
from pytest_vllm_bench.model import Message, Problem
from pytest_vllm_bench.suggest import meant, near, suggestion

_PLAIN = {
    "missing": "missing_key",
    "tuple_type": "want_pair",
    "list_type": "want_list",
    "dict_type": "want_mapping",
    "model_type": "want_mapping",
    "too_long": "pair_too_long",
}


def keys_of(model: type[BaseModel], parts: Iterable[str | int]) -> list[str]:
    """The keys that may stand at this place of the file."""
    here: type[BaseModel] | None = model
    for part in parts:
        if (
            isinstance(part, str)
            and isinstance(here, type)
            and issubclass(here, BaseModel)
            and part in here.model_fields
        ):
            here = model_inside(here.model_fields[part].annotation)
    return [name.rstrip("_") for name in here.model_fields] if here is not None else []


def model_inside(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``list[X]``, ``dict[str, X]``, ``X | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (model_inside(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


def translated(
    error: ValidationError, model: type[BaseModel], lines: Mapping[str, int], prefix: tuple[str | int, ...] = ()
) -> Iterator[Problem]:
    """One problem an error; ``prefix``: where the validated value stands in the file."""
    for item in error.errors(include_url=False):
        inner = tuple(part.rstrip("_") if isinstance(part, str) else part for part in item["loc"] if part != "[key]")
        parts = (*prefix, *inner)
        message = _message(item, model, inner)
        yield Problem(message=message, path=join(parts), line=line_of(lines, parts))


def either(words: Sequence[str]) -> Message | str:
    """One of them, as people say it."""
    *others, last = words
    several: list[Message | str] = [*others]
    listed = reduce(lambda a, b: Message(key="config.listed", values={"first": a, "then": b}), several or [""])
    return Message(key="config.either", values={"first": listed, "then": last}) if others else last


def _message(item: Any, model: type[BaseModel], parts: tuple[str | int, ...]) -> Message:
    kind, context = item["type"], item.get("ctx", {})
    if parts and parts[-1] == "api_key_env" and kind != "config.empty_text":
        return Message(key="config.key_pasted")
    if kind == "extra_forbidden" and "proxy" in str(parts[-1]).lower():
        return Message(key="config.proxy", values={"key": str(parts[-1])})
    if kind == "extra_forbidden":
        values: dict[str, Any] = {"key": str(parts[-1]), "hint": suggestion(str(parts[-1]), keys_of(model, parts[:-1]))}
        return Message(key="config.unknown_key", values=values)
    if kind == "config.want_one_of":
        close = near(context["word"], map(str, context["known"]))  # what there is, is said already
        hint = Message(key="config.and_hint", values={"hint": meant(close)}) if close else ""
        return Message(key=kind, values={"got": context["got"], "known": either(context["known"]), "hint": hint})
    if kind.startswith("config."):
        return Message(key=kind, values=context)
    if kind == "missing" and isinstance(parts[-1], int):
        return Message(key="config.pair_too_short")
    if kind in _PLAIN:
        name = str(parts[-1]) if parts else ""
        return Message(key=f"config.{_PLAIN[kind]}", values={"key": name, "got": show(item["input"])})
    return Message(key="config.invalid", values={"got": show(item["input"]), "words": item["msg"]})
