"""An event of an answer → the same in another shape that is legal, and that some server or gateway has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

_TEXTS = ("content", "text", "text_output", "response")
_NOUGHTS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
#: Bytes that come before each event, and carry nothing.
STRANGE = b'data: null\n\ndata: {"type":"weather","degrees":[21.5]}\n\n'


def altered(event: bytes, shape: str) -> bytes:
    """An event of SSE or a line of JSON, unless it holds no object."""
    lead, brace, rest = event.partition(b"{")
    change = SHAPES.get(shape)
    if not brace or change is None:
        return event
    said = json.loads(brace + rest)
    change(said)
    return lead + json.dumps(said).encode() + b"\n" * (len(rest) - len(rest.rstrip(b"\n")))


def _parts(said: Any) -> None:
    """Text as a list of parts, thinking among them."""
    for value in said.values() if isinstance(said, dict) else said:
        if isinstance(value, (dict, list)):
            _parts(value)
    for key in [key for key in ("reasoning", "reasoning_content") if isinstance(said, dict) and said.get(key)]:
        said["content"] = [{"type": "thinking", "thinking": [{"type": "text", "text": said.pop(key)}]}]
    for key in _TEXTS if isinstance(said, dict) else ():
        if said.get(key) and isinstance(said[key], str):
            said[key] = [{"type": "text", "text": said[key]}]


def _noughts(said: Any) -> None:
    if said.get("choices"):
        said["usage"] = said.get("usage") or _NOUGHTS


def _apart(said: Any) -> None:
    """What was thought is left out of the output tokens, and so is told only by the sum."""
    usage = said.get("usage") or {}
    usage["completion_tokens"] = usage.get("completion_tokens", 0) - _thought(usage)


def _thought(usage: Any) -> int:
    return int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0))


def _spelled(said: Any) -> None:
    for key in ("usage", "meta_info", "details"):
        counts = said.get(key) or {}
        for name in [name for name, count in counts.items() if type(count) is int]:
            counts[name] = str(counts[name]) if name.startswith("prompt") else float(counts[name])


SHAPES: Mapping[str, Callable[[Any], None]] = {
    "parts": _parts,
    "noughts": _noughts,
    "apart": _apart,
    "spelled": _spelled,
}
#: How an error may be worded, whatever the format's own way is.
ERRORS: Mapping[str, Callable[[str], Any]] = {
    "flat": lambda said: {"choices": None, "error_type": "server_error", "error_message": said},
    "code": lambda said: {"code": 500, "msg": said},
    "nested": lambda said: {"response": {"error": {"error": {"message": said}}}},
    "list": lambda said: [{"error": {"code": 500, "message": said}}],
}


def error(shape: str, message: str, *, sse: bool) -> list[bytes] | None:
    """The event that says so; None: the format's own."""
    if shape == "named" and sse:
        return [b"event: error\ndata: %s\n\n" % message.encode()]
    if shape not in ERRORS:
        return None
    said = json.dumps(ERRORS[shape](message)).encode()
    return [b"data: %s\n\n" % said if sse else b"%s\n" % said]
