"""What a server answers instead of tokens → its own words, and what kind of failure they tell of."""

from __future__ import annotations

import json
import re
from typing import Any, Literal, NamedTuple

from pytest_vllm_bench.backends.lenient import number

#: Characters kept of a server's words: enough for any message, too little for a prompt sent back.
LIMIT = 1000
#: What moves a terminal's cursor, changes its colours or its title.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_DATA = re.compile(r"(?m)^data:(.*)$")
_OVERLOAD_CODES = (429, 503, 529, "429", "503", "529")
_OVERLOAD = re.compile(
    r"overload|rate.?limit|too.?many.?requests|throttl|resource.?exhausted|insufficient.?system", re.I
)
#: Keys that hold an error, unless their value says that there is none; others say a code, a state, and words.
_ERRORS = re.compile(
    r"(errors?|err|exception|failure|fault)([_-]?(msg|message|code|type|info|details?|description|text|reason))?", re.I
)
_CODES = ("code", "status_code", "statusCode", "http_status_code", "status", "ret", "retcode")
_STATES = ("object", "type", "status", "state", "event", "code", "result")
_WORDS = (
    "message", "detail", "msg", "error_message", "error_msg", "errorMessage", "errormsg", "errmsg", "err_msg",
    "status_msg", "description", "error_description", "reason", "details", "title",
)  # fmt: skip
#: Where else an error stands, in an answer that has nothing else in it.
_AROUND = ("response", "data", "result", "output", "header", "base_resp", "body", "choices", "message", "delta")
_FINE = ("", "0", "200", "ok", "success", "succeeded", "none", "null", "false", "no error", "no_error")
_WRONG = re.compile(
    r"\b_?error|error\b|exception|fail|fatal|abort|cancel|invalid|denied|forbidden|unauthori|not.?found|unavailable|exceed"
    r"|time.?d?.?out|exhaust|quota|reject|expired|crash",
    re.I,
)
_FAILED = re.compile(r"(\w*[._ -])?(error|exception|failed|failure|aborted|cancell?ed)", re.I)
_BROKEN_OFF = re.compile(r"error|exception|fail|fatal|abort|cancel|unavailable|time.?d?.?out|reject|crash", re.I)


class Complaint(NamedTuple):
    """A server's error: its words and its kind, ``rejected`` (it shed load) or ``in_stream``."""

    words: str
    kind: Literal["rejected", "in_stream"]
    sure: bool = True  # False: a code or a state hints at it, as in some servers' events of progress


def complaint(answer: Any, *, failed: bool = False) -> Complaint | None:
    """The error that a decoded JSON answer reports, in any of the shapes that servers use; None if it is none.

    ``failed``: the status says so already.  Else ``message`` or ``detail`` is an error only where it stands alone: some
    servers report their progress in events that have one too.
    """
    if isinstance(answer, list):
        return next((found for one in answer[:9] if (found := complaint(one, failed=failed)) is not None), None)
    if not isinstance(answer, dict):
        return Complaint(capped(answer), "in_stream") if failed and isinstance(answer, str) and answer else None
    told = {key: value for key, value in answer.items() if _ERRORS.fullmatch(key) and not _fine(value)}
    if told or _tells(answer):
        return _inner(_best(told) or answer, answer)._replace(sure=bool(told) or _tells(answer, surely=True))
    for key in ("detail", "message", "msg"):
        if answer.get(key) and (failed or len(answer) == 1):
            return _inner(answer[key], answer)._replace(sure=failed)
    inner = (answer[key] for key in _AROUND if isinstance(answer.get(key), (dict, list)))
    return next((found for value in inner if (found := complaint(value)) is not None), None)


def _best(told: dict[str, Any]) -> Any:
    """The one that has words: an object, or text that is neither a code nor a type; None: they stand elsewhere."""
    objects = [value for value in told.values() if isinstance(value, (dict, list))]
    texts = [v for key, v in told.items() if isinstance(v, str) and not key.lower().endswith(("code", "type"))]
    return next(iter([*objects, *texts]), None)


def _fine(value: Any) -> bool:
    """It says that there is no error, in all its parts."""
    if isinstance(value, (dict, list)):
        return all(map(_fine, value.values() if isinstance(value, dict) else value))
    return not value or value == 200 or (isinstance(value, str) and value.strip().lower() in _FINE)


def _tells(answer: dict[str, Any], *, surely: bool = False) -> bool:
    """A state or a code of the answer's own is one of failure; ``surely``: it can mean nothing else."""
    said = next((answer[key] for key in _WORDS if answer.get(key)), None)
    if isinstance(said, str) and _fine(said):
        return False
    if answer.get("success") in (False, "false") or answer.get("ok") is False:
        return True
    codes = [number(answer.get(key)) for key in _CODES]
    if any(code is not None and (400 <= code < 600 or not (surely or 0 <= code < 600)) for code in codes):
        return True
    wrong = _FAILED.fullmatch if surely else _WRONG.search
    return any(isinstance(state := answer.get(key), str) and wrong(state) for key in _STATES)


def _inner(error: Any, around: dict[str, Any]) -> Complaint:
    """``error`` is an object or text; codes and types stand in it or beside it."""
    while isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    fields = {**around, **error} if isinstance(error, dict) else around
    codes = [fields.get(key) for key in (*_CODES, "error_code")]
    names = [fields.get(key) for key in ("type", "error_type", "code", "status", "error_code")]
    overload = any(map(shed, codes)) or any(isinstance(name, str) and _OVERLOAD.search(name) for name in names)
    return Complaint(capped(_said(error)), "rejected" if overload else "in_stream")


def _said(error: Any) -> Any:
    """The words of an error."""
    if not isinstance(error, dict):
        return error
    told = (error.get(key) for key in (*_WORDS, "error", "type"))
    return next((words for words in told if words and words is not True and words != "error"), error)


def failing(reason: str | None) -> Literal["rejected", "in_stream"] | None:
    """The kind of failure that a finish reason tells of, in any server's words; None: the answer is whole."""
    if reason is None:
        return None
    if _OVERLOAD.search(reason):
        return "rejected"
    return "in_stream" if _BROKEN_OFF.search(reason) else None


def shed(code: Any) -> bool:
    """The server's code says that it shed load."""
    return code in _OVERLOAD_CODES


def capped(words: Any) -> str:
    """As text that can be written to a file (JSON can spell half a character) and shown, of ``LIMIT`` characters."""
    try:
        text = words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    except RecursionError:
        text = "…"
    text = CONTROL.sub("�", text.replace("\r\n", "\n").encode("utf-8", "replace").decode())
    return text if len(text) <= LIMIT else text[: LIMIT - 1] + "…"


def of_body(body: bytes) -> str:
    """The words of an HTTP error's body: the message of a JSON object (SSE framing or not), else the text itself."""
    text = body.decode("utf-8", "replace").strip()
    for candidate in (text, *_DATA.findall(text)):
        try:
            said = complaint(json.loads(candidate, strict=False), failed=True)
        except (ValueError, RecursionError):
            continue
        if said is not None:
            return said.words
    return capped(text)
