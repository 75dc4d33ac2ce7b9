"""A JSON value of whatever shape → what a field was meant to hold: text, a number, a struct; else None."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

_DEEPEST = 20  # parts within parts
#: Keys of what is said, and whether it is thinking.
_SAID = {
    **dict.fromkeys(("content", "text", "output_text", "value", "refusal", "transcript", "parts", "audio"), False),
    **dict.fromkeys(
        ("reasoning", "reasoning_content", "reasoning_text", "thinking", "summary", "reasoning_details"), True
    ),
}
_THINKS = re.compile("think|reason|thought", re.I)

type_of = cache(inspect.type_info)


def said(value: Any, thought: bool = False, depth: int = 0) -> tuple[str, str]:
    """Text and thinking in a string, a message, a content part, or parts in whatever order and nesting."""
    if value.__class__ is str:
        return ("", value) if thought else (value, "")
    text = thinking = ""
    if depth > _DEEPEST:
        return text, thinking
    if value.__class__ is list:
        for part in value:
            more, thoughts = said(part, thought, depth + 1)
            text, thinking = text + more, thinking + thoughts
    elif value.__class__ is dict:
        if "type" in value or "thought" in value:
            thought = thought or value.get("thought") is True or _THINKS.search(str(value.get("type"))) is not None
        for key, item in value.items():
            thinks = _SAID.get(key) if item else None
            if thinks is False and not text:
                text, more = (item, "") if item.__class__ is str and not thought else said(item, thought, depth + 1)
                thinking += more
            elif thinks and not thinking:
                thinking = item if item.__class__ is str else "".join(said(item, True, depth + 1))
    return text, thinking


def words(value: Any) -> str:
    """All that is said, thinking first."""
    return "".join(reversed(said(value)))


def arguments(value: Any, depth: int = 0) -> str:
    """What calls of tools say, one or several: text, or an object that stands for its JSON."""
    if value.__class__ is list and depth < _DEEPEST:
        return "".join([arguments(call, depth + 1) for call in value])
    if value.__class__ is not dict or depth >= _DEEPEST:
        return ""
    told = value.get("arguments") or value.get("input")
    if told:
        return told if told.__class__ is str else msgspec.json.encode(told).decode()
    return arguments(value.get("function") or value.get("custom"), depth + 1)


def reason(value: Any) -> str | None:
    """A finish reason: text, the first of several, or an object that has one."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("type", "reason", "finish_reason", "value") if value.get(key)), None)
    return value if isinstance(value, str) and value not in ("", "None", "null") else None


def number(value: Any) -> int | None:
    """A count as 32, 32.0 or "32"."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if type(value) is int else None


def fitted(value: Any, kind: inspect.Type) -> Any:
    """``value`` as far as it can be read as ``kind``, each field by itself; None where it can not."""
    match kind:
        case inspect.UnionType(types=types):
            return next((found for each in types if (found := fitted(value, each)) is not None), None)
        case inspect.StructType():
            return _struct(value, kind)
        case inspect.ListType(item_type=item):
            if isinstance(value, Mapping) and value and all(key.isdecimal() for key in value):
                value = list(value.values())
            if not isinstance(value, (list, Mapping)) and isinstance(item, inspect.StructType):
                return None
            values = value if isinstance(value, list) else [value]  # one in place of a list of one
            return [found for each in values if (found := fitted(each, item)) is not None]
        case inspect.IntType():
            return number(value)
        case inspect.FloatType():
            return value if type(value) in (int, float) else None
        case inspect.StrType():
            return words(value) or None
        case inspect.BoolType():
            return value is True or value in (1, "true", "True")
        case inspect.DictType():
            while isinstance(value, list) and len(value) == 1:
                value = value[0]
            return value if isinstance(value, Mapping) else None
        case inspect.RawType():
            return msgspec.Raw(json.dumps(value).encode())
        case inspect.AnyType():
            return value
    return None


def _struct(value: Any, kind: inspect.StructType) -> Any:
    """An object; also a list that holds only it, or a text in place of the field that has it (the first)."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and value and isinstance(kind.fields[0].type, inspect.AnyType):
        value = {kind.fields[0].encode_name: value}
    if not isinstance(value, Mapping):
        return None
    found = {f.name: fitted(value[f.encode_name], f.type) for f in kind.fields if value.get(f.encode_name) is not None}
    return kind.cls(**{name: value for name, value in found.items() if value is not None})
