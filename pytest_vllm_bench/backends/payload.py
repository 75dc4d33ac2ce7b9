"""One event's payload → a typed struct, or what is wrong with it; and back: fields → a request's JSON body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from pytest_vllm_bench.backends.words import capped, complaint
from pytest_vllm_bench.model import Ask, Delta

T = TypeVar("T")

DONE = Delta(choices=False, terminal=True)  # data: [DONE]
NOTHING = Delta(choices=False)


def parse(decoder: msgspec.json.Decoder[T], payload: bytes) -> T | Delta:
    """The payload as the decoder's type; a Delta where it is not that: an error, or a sign that carries nothing.

    What strict JSON forbids but servers send (cut UTF-8, lone surrogates, NaN, control characters) is read leniently.
    """
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if payload.startswith(b"[DONE]"):
            return DONE
    try:
        answer = json.loads(payload.decode("utf-8", "replace"), strict=False)
        return msgspec.convert(answer, decoder.type)
    except msgspec.ValidationError:
        said = complaint(answer)
        if said is not None:
            return Delta(choices=False, error=said.words, error_kind=said.kind)
    except ValueError:
        pass
    return Delta(choices=False, error=capped(payload.decode("utf-8", "replace")), error_kind="protocol")


def aside(payload: bytes) -> Delta:
    """A JSON payload without anything of the answer in it: an error in one of many shapes, or nothing."""
    said = complaint(json.loads(payload.decode("utf-8", "replace"), strict=False))
    return NOTHING if said is None else Delta(choices=False, error=said.words, error_kind=said.kind)


def encode(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> bytes:
    """A request's body: ``fields`` without those that are None, and ``extra`` (the user's) laid over them.

    Objects are merged key by key, and a null takes a field away (JSON Merge Patch, RFC 7396): so a user can add what we
    do not know of and remove what a strict server refuses.
    """
    body = {key: value for key, value in fields.items() if value is not None}
    return msgspec.json.encode(merged(body, extra))


def only(ask: Ask, names: frozenset[str]) -> Ask:
    """The ask without sampling keys that the backend cannot be told (``notes`` says which they are)."""
    return replace(
        ask, sampling={key: value for key, value in ask.sampling.items() if key in names and value is not None}
    )


def merged(into: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(into)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result
