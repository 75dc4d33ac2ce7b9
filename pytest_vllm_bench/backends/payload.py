"""One event's payload → a typed struct, or what is wrong with it; and back: fields → a request's JSON body."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, Protocol, TypeVar

import msgspec

from pytest_vllm_bench.backends.complaints import capped, complaint
from pytest_vllm_bench.backends.lenient import fitted, type_of
from pytest_vllm_bench.model import Ask, Delta

T = TypeVar("T")

DONE = Delta(choices=False, terminal=True)  # data: [DONE]
NOTHING = Delta(choices=False)
_DIGITS = 30  # of a number that is one


def parse(decoder: msgspec.json.Decoder[T], payload: bytes) -> T | Delta:
    """The payload as the decoder's type; a Delta where it is not that: an error, or a sign that carries nothing.

    What strict JSON forbids but servers send (cut UTF-8, lone surrogates, NaN, control characters) is read leniently,
    and a field of an unknown type loses itself, not the event.
    """
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if payload.strip(b' "').startswith(b"[DONE]"):
        return DONE
    try:
        answer = loads(payload)
    except (ValueError, RecursionError):
        return Delta(choices=False, error=capped(payload.decode("utf-8", "replace")), error_kind="protocol")
    found: T | None = fitted(answer, type_of(decoder.type))  # type: ignore[arg-type]
    return _aside(answer) if found is None else found


def loads(payload: bytes) -> Any:
    """Any JSON that servers send, half characters and endless numbers too.  Raises ValueError, RecursionError."""
    answer = json.loads(payload.decode("utf-8-sig", "replace"), strict=False, parse_int=_whole)
    if b"\\ud" in payload.lower():  # perhaps half a character, which cannot be written anywhere
        answer = json.loads(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))
    if isinstance(answer, str) and answer.startswith("{"):  # JSON in JSON
        return loads(answer.encode())
    return answer


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < _DIGITS else float(digits)


def aside(payload: bytes) -> Delta:
    """A JSON payload without anything of the answer in it: an error in one of many shapes, or nothing."""
    return _aside(loads(payload))


def troubled(payload: bytes, silent: bool) -> Delta | None:
    """The complaint of an event that may have one, or that is ``silent``: nothing of the answer is in it; else None."""
    told = aside(payload)
    return told if silent or told.error is not None else None


class _MayFail(Protocol):
    error: Any


E = TypeVar("E", bound=_MayFail)


def reads(kind: type[E], *, silent: Callable[[E], bool]) -> Callable[[Callable[[E], Delta]], Callable[[bytes], Delta]]:
    """Makes a backend's reader of what understands one type of event: complaints and signs are no such event, nor is
    one that is ``silent``, with nothing of the answer in it."""
    decoder = msgspec.json.Decoder(kind)

    def reader(understood: Callable[[E], Delta]) -> Callable[[bytes], Delta]:
        @wraps(understood)
        def read(payload: bytes) -> Delta:
            event = parse(decoder, payload)
            if isinstance(event, Delta):
                return event
            quiet = silent(event)
            trouble = troubled(payload, quiet) if quiet or event.error else None
            return understood(event) if trouble is None else trouble

        return read

    return reader


def _aside(answer: Any) -> Delta:
    try:
        said = complaint(answer)
    except RecursionError:
        said = None
    if said is None:
        return NOTHING
    return Delta(choices=False, error=said.words, error_kind=said.kind, hint=not said.sure)


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
