"""What it means: the events of an answer, and a request understood."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec

ErrorKind = Literal[
    "connect", "timeout", "http", "rejected", "in_stream", "truncated", "empty",
    "short", "protocol", "reset", "cancelled", "not_sent",
]  # fmt: skip
#: Requests that we stopped or never sent: no sample of the server.
OURS: frozenset[str] = frozenset({"cancelled", "not_sent"})
#: More tokens than any prompt or answer has: a larger number, or one below 0, is no count.
MOST_TOKENS = 10_000_000


class Delta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one stream event says, in every backend's words translated to one."""

    text: str = ""  # content
    reasoning: str = ""  # thinking
    tool: str = ""  # arguments of tool calls
    tokens: int | None = None  # tokens in this event, where the wire says (ids)
    total_tokens: int | None = None  # output tokens so far, where the wire says (usage in every event, meta_info)
    cumulative: bool = False  # ``text`` is everything so far
    whole: bool = False  # … and so is the rest; where the answer came in pieces, nothing of it is new
    choices: bool = True  # a chunk of the answer, even an empty one (``first_chunk``)
    prompt_tokens: int | None = None
    output_tokens: int | None = None  # final usage
    other_tokens: int | None = None  # what the same usage says by its sum, if that is not ``output_tokens``
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    finish_reason: str | None = None
    error: str | None = None  # the server's own words
    error_kind: ErrorKind | None = None  # of the closed set, where it is not ``in_stream``
    hint: bool = False  # it is an error only where nothing more of the answer comes
    terminal: bool = False  # the sign that the answer is whole
    sequences: int | None = None  # pooling: inputs that were answered
    server: Mapping[str, Any] | None = None  # the server's own timings


if TYPE_CHECKING:
    Times: TypeAlias = array[float]
    Counts: TypeAlias = array[int]
else:  # as msgspec reads it: before Python 3.12 the class takes no parameter
    Times = Counts = array
#: What a file may say of them: beyond, nothing can have lasted or been counted.
Seconds = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Record(msgspec.Struct, kw_only=True):
    """One request, understood.  Times are seconds since the start of the run; None = it did not happen."""

    index: Count
    chain: Count = 0
    turn: Count = 0
    repeat: Count = 1
    model: str = ""
    due: Seconds | None = None  # None in a closed loop's refill
    ready: Seconds | None = None
    sent: Seconds | None = None
    connect_s: Seconds | None = None
    reused: bool = False
    reconnected: bool = False
    status: Count | None = None
    first_chunk: Seconds | None = None
    first_token: Seconds | None = None
    first_output: Seconds | None = None
    last_token: Seconds | None = None
    done: Seconds | None = None
    arrival_times: Times = msgspec.field(default_factory=lambda: array("d"))  # one per token-bearing read
    arrival_events: Counts = msgspec.field(default_factory=lambda: array("i"))
    arrival_tokens: Counts = msgspec.field(default_factory=lambda: array("i"))
    asked_input: Count | None = None
    asked_output: Count | None = None
    shared_input: Count = 0
    prompt_tokens: Count | None = None
    output_tokens: Count | None = None
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    token_source: Literal["usage", "counter", "ids", "tokenizer", "events"] | None = None
    disputed: int | None = None  # another count of the same tokens by the server, where two differ
    tokens_per_event: Literal["exact", "estimated"] = "exact"
    finish_reason: str | None = None
    error: ErrorKind | None = None
    error_detail: str = ""  # the server's or the system's own words, capped
    timeout: Literal["connect", "first_token", "between_tokens", "total"] | None = None
    retry_after: Seconds | None = None  # seconds
    from_cache: bool = False  # a cache of answers gave it, by its own word
    audio_s: Seconds | None = None
    sequences: Count | None = None  # pooling: input sequences of the request, where known
    text: str | None = None  # kept only where somebody asked for it
    reads: Count = 0
    bytes_in: Count = 0
    server: Mapping[str, Any] | None = None
