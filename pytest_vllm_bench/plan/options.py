"""A dataset's options as written in the config → its frozen options object, or every problem with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from pytest_vllm_bench.model import MOST_TOKENS, Message, Problem
from pytest_vllm_bench.suggest import suggestion


def option(
    default: Any = dataclasses.MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    one_of: tuple[str, ...] = (),
) -> Any:
    """A field of an options class: its default (none: it must be given) and what it may be."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "one_of": one_of})


T = TypeVar("T")


def parse(kind: type[T], written: Mapping[str, Any], *, dataset: str) -> tuple[T | None, list[Problem]]:
    """The options object, or None and all that is wrong with what was written."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for name, value in written.items():
        if name not in fields:
            problems.append(_unknown(name, list(fields), dataset))
            continue
        value, message = _checked(fields[name], value, dataset)
        if message is not None:
            problems.append(Problem(message=message, path=name))
        values[name] = value
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in written:
            problems.append(
                Problem(message=Message(key="plan.option_missing", values={"dataset": dataset, "name": name}))
            )
    return (None, problems) if problems else (kind(**values), [])


def _unknown(name: str, known: list[str], dataset: str) -> Problem:
    values = {"dataset": dataset, "name": name, "hint": suggestion(name, known)}
    return Problem(message=Message(key="plan.option_unknown", values=values), path=name)


def _checked(field: dataclasses.Field[Any], value: Any, dataset: str) -> tuple[Any, Message | None]:
    """The value in the field's own type, and what is wrong with it."""
    expected = str(field.type)
    converted = _converted(expected, value)
    told = {"dataset": dataset, "name": field.name, "value": value, "expected": expected.replace(" | None", "")}
    if converted is _WRONG:
        return value, Message(key="plan.option_type", values=told)
    low, high, one_of = (field.metadata.get(k) for k in ("low", "high", "one_of"))
    if one_of and converted is not None and converted not in one_of:
        return value, Message(key="plan.option_choice", values={**told, "expected": " | ".join(one_of)})
    numbers = converted if isinstance(converted, tuple) else (converted,)
    for number in numbers:
        if isinstance(number, int | float) and not isinstance(number, bool):
            if low is not None and number < low:
                return value, Message(key="plan.option_low", values={**told, "limit": low})
            most = MOST_TOKENS if high is None else high  # no count of anything is larger
            if number > most:
                return value, Message(key="plan.option_high", values={**told, "limit": most})
    return converted, None


_WRONG = object()


def _converted(expected: str, value: Any) -> Any:
    """``value`` as the annotated type says, or ``_WRONG``; a list of numbers becomes a tuple."""
    if value is None:
        return None if expected.endswith("| None") else _WRONG
    kind = expected.removesuffix(" | None")
    if kind == "bool":
        return value if isinstance(value, bool) else _WRONG
    if kind == "int":
        return value if isinstance(value, int) and not isinstance(value, bool) else _WRONG
    if kind == "float":
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else _WRONG
    if kind == "str":
        return value if isinstance(value, str) else _WRONG
    if kind == "tuple[int, ...]":
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(items) if all(isinstance(i, int) and not isinstance(i, bool) for i in items) else _WRONG
    if kind == "tuple[str, ...]":
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(items) if all(isinstance(i, str) for i in items) else _WRONG
    if kind == "Mapping[str, Any]":
        return value if isinstance(value, Mapping) else _WRONG
    raise TypeError(f"an options field cannot be {expected}")
