"""A result read from a file → the first value in it that is not what ``result.schema.json`` says, if there is one.

What keys a result has is left open: files of older versions and of other tools lack some and have others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from types import NoneType
from typing import Any

from pytest_vllm_bench.model import Message

#: JSON's names → what Python's reader makes of them.
TYPES = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": NoneType,
    "array": list,
    "object": dict,
}
#: Characters shown of a value that is wrong.
SHOWN = 40

#: Path, the value there, what belongs there ("": it is missing).
Wrong = tuple[str, Any, str]


def misfit(row: Mapping[str, Any]) -> Message | None:
    """What is wrong, where, and what belongs there; None for a row that every reader can take."""
    wrong = _wrong(row, {**_schema(), "required": ()}, "")
    if wrong is None:
        return None
    name, value, expected = wrong
    if not expected:
        return Message(key="report.lacks", values={"name": name})
    found = json.dumps(value, ensure_ascii=False)
    shown = found if len(found) <= SHOWN else found[:SHOWN] + "…"
    return Message(key="report.misfit", values={"name": name, "found": shown, "expected": expected})


@cache
def _schema() -> Mapping[str, Any]:
    schema: Mapping[str, Any] = json.loads(resources.files(__package__).joinpath("result.schema.json").read_bytes())
    return schema


def _wrong(value: Any, schema: Mapping[str, Any], where: str) -> Wrong | None:
    """Of the schema's keywords those that say what a value is: how large it is, or how spelt, hurts no reader."""
    if "$ref" in schema:
        return _wrong(value, _schema()["$defs"][schema["$ref"].rpartition("/")[2]], where)
    if "oneOf" in schema:
        found = [_wrong(value, choice, where) for choice in schema["oneOf"]]
        if None in found:
            return None
        deeper = [wrong for wrong in found if wrong and wrong[0] != where]  # of the right type, wrong within
        return deeper[0] if deeper else (where, value, " | ".join(wrong[2] for wrong in found if wrong))
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if allowed is not None and value not in allowed:
        return where, value, " | ".join(map(json.dumps, allowed))
    types = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type")
    if types and not any(_is(value, name) for name in types):
        return where, value, " | ".join(types)
    if isinstance(value, dict) and (lacking := [key for key in schema.get("required", ()) if key not in value]):
        return f"{where}.{lacking[0]}".lstrip("."), None, ""
    inner = (_wrong(part, its, path) for part, its, path in _parts(value, schema, where))
    return next((wrong for wrong in inner if wrong), None)


def _is(value: Any, name: str) -> bool:
    """8 is a number too, and 8.0 an integer; true is neither."""
    return type(value) is TYPES[name] or (
        (name == "number" and type(value) is int) or (name == "integer" and type(value) is float and value.is_integer())
    )


def _parts(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[tuple[Any, Mapping[str, Any], str]]:
    """What lies within a value: each part, its schema, its path."""
    if isinstance(value, list) and "items" in schema:
        yield from ((part, schema["items"], f"{where}[{at}]") for at, part in enumerate(value))
    elif isinstance(value, dict):
        known = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        for key, part in value.items():
            if "propertyNames" in schema:
                yield key, schema["propertyNames"], where
            inner = known.get(key) or next((s for p, s in patterns.items() if re.search(p, key)), None)
            inner = inner if inner is not None else schema.get("additionalProperties")
            if inner:
                yield part, inner, f"{where}.{key}".lstrip(".")
