"""What msgspec says of the first value that does not fit → the same in JSON's words: what is there, and what belongs.

``[...]`` in its paths is some key of an object: which, is found by trying.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import msgspec
from msgspec import inspect

from pytest_vllm_bench.errors import BenchError

#: Characters shown of a value that is wrong.
SHOWN = 40
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")
#: What JSON calls it.
_WORDS: dict[type[inspect.Type], str] = {
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.StructType: "object",
    inspect.DataclassType: "object",
    inspect.DictType: "object",
    inspect.VarTupleType: "array",
    inspect.ListType: "array",
    inspect.NoneType: "null",
}


def misfit(data: Any, said: str, kind: Any = Any, within: str = "") -> BenchError:
    """``within``: what ``data`` is a part of."""
    what, _, path = said.partition(" - at `$")
    whole, name, there = data, within, inspect.type_info(kind)
    for key, index in _STEP.findall(path.rstrip("`")):
        if index == "...":  # it does not say which
            key = next((one for one in data if _blamed(whole, data, one, kind)), "...")
        name += f"[{index}]" if index and not key else f".{key}"
        data = data[int(index)] if index and not key else data.get(key)
        there = _inside(there, key or int(index))
    name = name.lstrip(".")
    if lacks := re.search(r"missing required field `(\w+)`", what):
        return BenchError("report.lacks", name=f"{name}.{lacks[1]}".lstrip("."))
    found = json.dumps(data, ensure_ascii=False, default=str)
    shown = found if len(found) <= SHOWN else found[:SHOWN] + "…"
    return BenchError("report.misfit", name=name, found=shown, expected=" | ".join(_belongs(there)) or what)


def _blamed(whole: Any, part: dict[str, Any], key: str, kind: Any) -> bool:
    """Whether ``whole`` would not fit with this key alone in that part of it."""
    alone = copy.deepcopy(whole, {id(part): {key: part[key]}})
    try:
        msgspec.convert(alone, kind, strict=False)
    except msgspec.ValidationError:
        return True
    return False


def _members(there: inspect.Type) -> tuple[inspect.Type, ...]:
    return there.types if isinstance(there, inspect.UnionType) else (there,)


def _inside(there: inspect.Type, key: str | int) -> inspect.Type:
    """What belongs where ``key`` is."""
    for one in _members(there):
        match one:
            case inspect.StructType() | inspect.DataclassType():
                return next((part.type for part in one.fields if part.encode_name == key), inspect.AnyType())
            case inspect.DictType():
                return one.value_type
            case inspect.VarTupleType() | inspect.ListType():
                return one.item_type
            case inspect.TupleType():
                return one.item_types[int(key)]
    return inspect.AnyType()


def _belongs(there: inspect.Type) -> dict[str, None]:
    """What may stand there, in JSON's words."""
    found: dict[str, None] = {}
    for one in _members(there):
        match one:
            case inspect.LiteralType():
                found |= dict.fromkeys(map(json.dumps, one.values))
            case inspect.EnumType():
                found |= dict.fromkeys(json.dumps(value) for value in one.cls)
            case inspect.TupleType():
                found[f"array of {len(one.item_types)}"] = None
            case _ if type(one) in _WORDS:
                found[_WORDS[type(one)]] = None
    if "number" in found:
        found.pop("integer", None)
    return found
