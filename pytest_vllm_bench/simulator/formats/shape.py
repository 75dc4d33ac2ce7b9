"""The nouns every format is made of: a request's body → SimulatedRequest, a Reply in the making → bytes on the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Body = Mapping[str, Any]
Events = Sequence[bytes]  # one element an event, framing included
Finish = str  # "stop" or "length", unless a fault says otherwise
EVENT_STREAM = "text/event-stream; charset=utf-8"
JSON = "application/json"
NDJSON = "application/x-ndjson"
DONE = b"data: [DONE]\n\n"
CREATED = 1700000000  # the field is there; what it says means nothing
encode = msgspec.json.Encoder().encode


def sse(value: Any, event: str = "") -> bytes:
    """One server-sent event, as JSON in raw UTF-8."""
    name = f"event: {event}\n".encode() if event else b""
    return b"%sdata: %s\n\n" % (name, encode(value))


class ErrorReply(Exception):
    """A request that gets an error instead of an answer, in the words of the server that is imitated.

    ``early``: noticed before the server knew that a stream was wanted, so it is a plain answer with a status.
    """

    def __init__(
        self, status: int, message: str, *, kind: str = "BadRequestError", param: str | None = None, early: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.early = early


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, read.  ``parts``: pieces of the path; multipart bodies have their files as bytes."""

    path: str
    body: Body
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRequest:
    """What a request asks for, in no server's words.  ``prompts``: text or token ids, one unless it is a batch."""

    prompts: tuple[str | tuple[int, ...], ...]
    model: str | None = None
    kind: Literal["generate", "pool"] = "generate"
    max_tokens: int | None = None  # None: the rest of the context
    min_tokens: int = 0
    ignore_eos: bool = False
    usage: bool = False
    running_usage: bool = False
    token_ids: bool = False
    thinks: bool = False  # the first part of the answer is reasoning, where the server has that
    extra_tokens: int = 0  # of the prompt, from images and audio
    call: Call


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyPiece:
    """The tokens that one event carries; their text may be empty while a character is incomplete."""

    ids: list[int]
    text: str
    reasoning: str
    first: bool
    last: bool


@dataclass(slots=True, kw_only=True)
class Reply:
    """An answer in the making: what has been sent so far, the current piece included."""

    id: str
    asked: SimulatedRequest
    model: str
    prompt_lens: Sequence[int]
    cached: int = 0
    ids: list[int] = field(default_factory=list)
    text: str = ""
    reasoning: str = ""
    reasoning_tokens: int = 0
    finish: Finish | None = None
    state: dict[str, Any] = field(default_factory=dict)  # what a format remembers between events
    elapsed: float = 0.0  # seconds since the request came
    times: Sequence[float] = ()  # when it came, began, and made its first and its last token
    tells: bool = False  # of its times, as vLLM does where it is asked to

    @property
    def stages(self) -> tuple[float, float, float]:
        """Seconds in the queue, of prefill, of decoding."""
        if len(self.times) < 4:
            return 0.0, 0.0, 0.0
        came, began, first, last = self.times
        return began - came, first - began, last - first

    @property
    def prompt_tokens(self) -> int:
        return sum(self.prompt_lens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error as an HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON


def nothing(answer: Reply) -> Events:
    return ()


def asks_stream(call: Call) -> bool:
    return call.body.get("stream") is True


def never(call: Call) -> bool:
    return False


def done(answer: Reply) -> Events:
    return (DONE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One server's language on one path: functions from nouns to bytes.

    ``opening`` is sent with the headers, ``piece`` at each step that made tokens, ``closing`` after the last one.
    An error is a ``refusal`` (an answer with a status), ``refused_stream`` where that differs for a request that
    wants a stream, and ``broken`` inside a stream.  ``terminal`` is the event that faults leave out.
    """

    read: Callable[[Call], SimulatedRequest]
    whole: Callable[[Reply], Any]
    refusal: Callable[[ErrorReply], Refusal]
    refused_stream: Callable[[ErrorReply], Refusal] | None = None
    streams: Callable[[Call], bool] = asks_stream
    piece: Callable[[Reply, ReplyPiece], Events] = lambda answer, piece: ()
    opening: Callable[[Reply], Events] = nothing
    closing: Callable[[Reply], Events] = nothing
    broken: Callable[[Reply, ErrorReply], Events] = lambda answer, refused: ()
    unreadable: Callable[[str], ErrorReply] = lambda words: ErrorReply(400, f"1 validation error:\n  body: {words}")
    key: str = ""  # where several formats share a path, the body's key that tells this one
    content_type: str = EVENT_STREAM
    terminal: bytes = DONE
    json_only: bool = True  # the request's content type must say JSON
    header: str = ""  # without which a request is refused
    late_headers: bool = False  # the status line comes with the first token
    collapses: bool = False  # tokens that wait to be sent become one event
    cut_on_error: bool = False  # an error mid-stream breaks the connection


def text_of(messages: Sequence[Body]) -> str:
    """The template of the simulated model: a line a message, and the assistant's turn opened."""
    lines = [f"<|{m.get('role', 'user')}|>{content_text(m.get('content'))}\n" for m in messages]
    return "".join(lines) + "<|assistant|>"


def content_text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return str(content or "")


def media_tokens(messages: Sequence[Body]) -> int:
    """Prompt tokens of images and audio: a flat 256 each, as an encoder with a fixed grid would have."""
    parts = [p for m in messages if isinstance(m.get("content"), list) for p in m["content"]]
    return 256 * sum(isinstance(p, dict) and p.get("type") not in (None, "text", "input_text") for p in parts)


def positive(body: Body, key: str, default: int | None = None) -> int | None:
    """A whole number ≥ 1 of ``body``; absent or null: ``default``.  Raises Refused."""
    value = whole_number(body, key)
    if value is None:
        return default
    if value < 1:
        raise ErrorReply(400, f"{key} must be at least 1, got {value}.", param=key)
    return value


def whole_number(body: Body, key: str) -> int | None:
    """None where it is absent or null.  Raises Refused."""
    value = body.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ErrorReply(400, f"1 validation error:\n  {key}: Input should be a valid integer", param=key)
    return value


def prompt_of(body: Body, *keys: str) -> str | tuple[int, ...]:
    """The prompt under the first of ``keys`` that is there: text, or token ids.  Raises Refused."""
    for key in keys:
        value = body.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value and all(isinstance(i, int) and i >= 0 for i in value):
            return tuple(value)
    raise ErrorReply(400, f"{keys[0]} must be a text that is not empty", param=keys[0])
