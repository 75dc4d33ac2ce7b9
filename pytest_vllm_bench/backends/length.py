"""The field of a request's body that asks for so many output tokens: which it is, and another name for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pytest_vllm_bench.backends.payload import merged
from pytest_vllm_bench.model import Ask, Backend, Prompt

#: A length that stands nowhere else in a body.
_MARK = 9_182_736
#: What servers call it, where they differ although they speak alike; the first that is not refused is tried.
NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "n_predict")
#: How servers say that they do not take a field, as opposed to its value.
_UNKNOWN = re.compile(
    r"un(known|recogni[sz]ed|expected)|unsupported(?! value)|not (supported|permitted|allowed|recogni[sz]ed)"
    r"|(extra|additional|invalid|no such) (inputs?|fields?|param|propert)|not a valid (field|param)|deprecated"
    r"|\buse\b.{0,40}\binstead|不支持|未知|不允许|无法识别|多余",
    re.IGNORECASE,
)


def length_field(backend: Backend) -> str:
    """The field that a backend's bodies use, inner ones with dots (``options.num_predict``); "" where there is none."""
    if not backend.generates or backend.content_type != "application/json":
        return ""
    prompt = Prompt(text="x", messages=None)
    body = backend.body(Ask(prompt=prompt, model="m", output_len=_MARK, force_length=False))
    return next(_paths(json.loads(body)), "")


def _paths(value: Any, path: str = "") -> Any:
    if value == _MARK:
        yield path
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths(inner, f"{path}.{key}" if path else key)


def field_of(backend: Backend, chosen: str, extra_body: Mapping[str, Any]) -> str:
    """The field that is sent in the end: what the user lays over a body counts."""
    return next((name for name in NAMES if extra_body.get(name) is not None), chosen or length_field(backend))


def asked_by(field: str, usual: str, tokens: int | None) -> dict[str, Any]:
    """What is laid over a body so that it asks by ``field`` for so many tokens, and not as usual."""
    if field in ("", usual) or tokens is None:
        return {}
    return merged(_nested(usual, None) if usual else {}, _nested(field, tokens))


def _nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return dict(value)


def another(field: str, words: str) -> str:
    """The name to try after a refusal in these words: the one that they name instead, else the one that is common
    beside it; "" where it is not the field that was refused."""
    named = [name for name in NAMES if re.search(rf"\b{name}\b", words)]
    if field not in named or not _UNKNOWN.search(words):
        return ""
    return next((name for name in named if name != field), next(name for name in NAMES if name != field))
