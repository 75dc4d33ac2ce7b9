"""What a server answers instead of tokens → its own words, and what kind of failure they tell of."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NamedTuple

#: Characters kept of a server's words: enough for any message, too little for a prompt sent back.
LIMIT = 1000
#: What moves a terminal's cursor, changes its colours or its title.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_OVERLOAD_CODES = (429, 503, "429", "503")
_OVERLOAD_TYPES = ("overloaded", "overloaded_error", "rate_limit_error", "rate_limit_exceeded", "TooManyRequestsError")


class Complaint(NamedTuple):
    """A server's error: its words and its kind, ``rejected`` (it shed load) or ``in_stream``."""

    words: str
    kind: Literal["rejected", "in_stream"]


def complaint(answer: Any, *, failed: bool = False) -> Complaint | None:
    """The error that a decoded JSON answer reports, in any of the shapes that servers use; None if it is none.

    ``failed``: the status says so already.  Else ``message`` or ``detail`` is an error only where it stands alone: some
    servers report their progress in events that have one too.
    """
    if not isinstance(answer, dict):
        return None
    error = answer.get("error")
    if error:
        return _inner(error, answer)
    if answer.get("object") == "error" or answer.get("type") == "error":
        return _inner(answer, answer)
    for key in ("detail", "message"):
        if answer.get(key) and (failed or len(answer) == 1):
            return _inner(answer[key], answer)
    return None


def _inner(error: Any, around: dict[str, Any]) -> Complaint:
    """``error`` is an object or text; codes and types stand in it or beside it."""
    fields = {**around, **error} if isinstance(error, dict) else around
    words = error
    if isinstance(error, dict):
        words = error.get("message") or error.get("detail") or error.get("type") or error
    codes = (fields.get("code"), fields.get("http_status_code"), fields.get("status_code"))
    types = (fields.get("type"), fields.get("error_type"))
    overload = any(map(shed, codes)) or any(name in _OVERLOAD_TYPES for name in types)
    return Complaint(capped(words), "rejected" if overload else "in_stream")


def shed(code: Any) -> bool:
    """The server's code says that it shed load."""
    return code in _OVERLOAD_CODES


def capped(words: Any) -> str:
    """As text that can be written to a file (JSON can spell half a character) and shown, of ``LIMIT`` characters."""
    text = words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    text = CONTROL.sub("�", text.replace("\r\n", "\n").encode("utf-8", "replace").decode())
    return text if len(text) <= LIMIT else text[: LIMIT - 1] + "…"


def of_body(body: bytes) -> str:
    """The words of an HTTP error's body: the message of a JSON object (SSE framing or not), else the text itself."""
    text = body.decode("utf-8", "replace").strip()
    for candidate in (text, text.removeprefix("data:").partition("\n")[0]):
        try:
            said = complaint(json.loads(candidate, strict=False), failed=True)
        except ValueError:
            continue
        if said is not None:
            return said.words
    return capped(text)
