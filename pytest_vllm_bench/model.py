"""The nouns that the stages hand to one another; this module imports nothing of ours.

Config → Scenario → Plan → (tape) Entry → Record → metrics → Verdict → Result.  Times are seconds on
the monotonic clock; inside a Record they count from the start of the run.  Units appear in every name
that leaves the process (``p99_ttft_ms``).
"""

from __future__ import annotations

import base64
import html
import ipaddress
import json
import math
import re
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, TypeAlias
from urllib.parse import quote, quote_plus, urlsplit

import msgspec

# ---------------------------------------------------------------------------------- what people read


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something a person will read, as a key and its values; ``text.say`` turns it into words."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """What was read from a file is what was written there: messages within messages, tuples."""
        object.__setattr__(self, "values", {key: _said(value) for key, value in self.values.items()})


def _said(value: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(value.get("key"), str) and isinstance(value.get("values"), Mapping):
        return Message(key=value["key"], values=value["values"])
    return tuple(map(_said, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with the user's input: what, where, and (inside the message) what to write instead."""

    message: Message
    file: str = ""
    path: str = ""  # YAML path, "concurrency_prompts[1][0]"
    line: int | None = None  # 1-based


# ---------------------------------------------------------------------------- what is asked (Scenario)


#: Characters; shorter header values and users are names, which stand in many a sentence, and are not looked for in what
#: servers say; shorter passwords and keys would be found in every word.
SHORTEST_SECRET, SHORTEST_KEY = 8, 4
#: What a header's parts are worth that have names: those of a cookie, of a digest.
_VALUE = re.compile(r'=\s*"?([^\s;,"]+)')


@cache
def _spellings(headers: tuple[str, ...], hidden: tuple[str, ...]) -> tuple[str, ...]:
    """Every form in which a secret may come back, the longest first: whole and in parts, escaped and encoded."""
    said = {part for value in headers for part in (value, value.partition(" ")[2], *_VALUE.findall(value))}
    found = {part for part in said if len(part) >= SHORTEST_SECRET}
    found |= {key for key in hidden if len(key) >= SHORTEST_KEY}
    for value in headers:
        if value.lower().startswith("basic "):
            pair = base64.b64decode(value[6:] + "==").decode("utf-8", "replace")
            user, _, password = pair.partition(":")
            found |= {pair, *([user] if len(user) >= SHORTEST_SECRET else [])}
            found |= {password} if len(password) >= SHORTEST_KEY else set()
    quoted = {form for part in found for form in (quote(part), quote(part, safe=""), quote_plus(part))}
    quoted |= {re.sub("%..", lambda code: code[0].lower(), form) for form in quoted}
    escaped = {form for part in found for form in (json.dumps(part)[1:-1], html.escape(part), repr(part)[1:-1])}
    packed = {base64.b64encode(part.encode()).decode() for part in found}
    packed |= {form.translate({43: "-", 47: "_"}) for form in packed} | {form.rstrip("=") for form in packed}
    return tuple(sorted({form for form in found | quoted | escaped | packed if form}, key=len, reverse=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server.  ``headers`` may hold secrets: they are not shown, stored or logged."""

    name: str = ""  # the key under ``targets:``; "" where there is only one
    base_url: str = ""  # scheme://host[:port][/prefix], without /v1, credentials or a final slash; unix:///path too
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True  # TLS: True, False (said loudly), or the path of a CA bundle
    simulated: bool = False  # the built-in server

    hidden: tuple[str, ...] = field(default=(), repr=False)  # other secrets: keys in the endpoint's query, in bodies

    @property
    def here(self) -> bool:
        """Whether it is on this machine, as its address says: what this machine can tell is told of it too."""
        host = ""
        try:
            host = urlsplit(self.base_url).hostname or ""
            address = ipaddress.ip_address(host)
        except ValueError:
            return self.base_url.startswith("unix:") or host == "localhost" or host.endswith(".localhost")
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or address.is_unspecified

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody is to read, in all its forms, the longest first."""
        return _spellings(tuple(self.headers.values()), self.hidden)

    def discreet(self, words: str) -> str:
        """A server's words without the secrets that it may have sent back."""
        for secret in self.secrets:
            words = words.replace(secret, "***")
        return words

    def covered(self, value: Any) -> Any:
        """The same of all words in JSON builtins and our nouns."""
        if isinstance(value, str) and not isinstance(value, StrEnum):
            return self.discreet(value)
        if isinstance(value, Mapping):
            return {self.discreet(str(key)): self.covered(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(self.covered, value))
        if isinstance(value, Message):
            return replace(value, values={key: self.covered(inner) for key, inner in value.values.items()})
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{part.name: self.covered(getattr(value, part.name)) for part in fields(value)})
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds; ``first_token``: from ``sent`` to the first byte of the body; ``between_tokens``: between reads."""

    connect: float = 10.0
    first_token: float = 300.0
    between_tokens: float = 60.0
    total: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetChoice:
    """Which dataset, with its options as written in the config (validated by the dataset)."""

    name: str = "random"
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""  # what stands in the id where several choices share a name


@dataclass(frozen=True, slots=True, kw_only=True)
class RampUp:
    """The rate rises from (nearly) nothing to ``request_rate`` over ``over`` seconds."""

    over: float
    shape: Literal["linear", "exponential"] = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a staged load: a rate (requests/s) or a concurrency, held for ``seconds``."""

    seconds: float
    rate: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """Requests sent before the measured ones: a number, a multiple of the concurrency, or seconds; all None = none."""

    requests: int | None = None
    multiple: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """``metric op limit``, e.g. ``p99_ttft_ms <= 500``; ``implied`` rules were not written by the user."""

    text: str
    metric: str  # without whole_/steady_ prefix
    op: Literal["<=", "<", ">=", ">", "==", "!="]
    limit: Decimal
    window: Literal["auto", "whole", "steady"] = "auto"
    implied: bool = False
    line: int | None = None  # in config.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    mode: Literal["evidence", "exact"] = "evidence"
    confidence: Annotated[float, msgspec.Meta(ge=0.5, lt=1)] = 0.95  # checked where it is read from a file
    inconclusive: Literal["lean", "fail", "pass", "skip"] = "lean"
    strict: bool = False  # ``--vllm-strict``: what is unproven or simulated fails


@dataclass(frozen=True, slots=True, kw_only=True)
class ValiditySettings:
    """Thresholds of the validity table in metrics; shares are 0..1, ``lag_ms`` None = from the rules ("auto")."""

    lag_ms: float | None = None
    rate: float = 0.98
    concurrency: float = 0.95
    cpu: float = 0.9
    steal: float = 0.05
    reconnected: float = 0.05
    length: float = 0.01
    cache: float = 0.02


#: Rounds (repeats) that a comparison of two targets takes.
FEWEST_ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    min: int = 1
    max: int = 1
    until: float | None = None  # relative half-width of the interval, 0..1


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    over: Literal["concurrency", "request_rate"]
    at_least: float | None
    max: float
    runs: int
    seconds: float
    tier: str = ""  # whose rules these are, where several tiers share the probes
    line: int | None = None  # of the gate, in config.yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One cell of the matrix: what is sent, how, and what is asked of the answer.  Everything in it is effective."""

    id: str  # io1024x256-mc16-np160[-r2]
    key: str  # the id without np/d/r: what baselines are matched on
    target: Target
    backend: str
    endpoint: str | None = field(default=None, repr=False)  # None: the backend's own
    chat_template: Literal["server", "client"] = "server"  # who makes text of messages
    models: tuple[str, ...] = ()  # empty: the server's only one; several: LoRA names, chosen per request
    model_choice: Literal["random", "round_robin"] | tuple[float, ...] = "round_robin"
    tokenizer: str | None = None  # None: the model's
    dataset: DatasetChoice = DatasetChoice()
    input_len: int | None = None  # None: the dataset decides
    output_len: int | None = None
    concurrency: int | None = None  # None: no cap
    request_rate: float = math.inf  # requests/s; inf: closed loop (or everything at once without a cap)
    burstiness: float = 1.0
    ramp_up: RampUp | None = None
    stages: tuple[Stage, ...] = ()
    num_prompts: int | None = None  # None: bounded by ``duration``, ``stages`` or the trace
    duration: float | None = None  # seconds
    warmup: Warmup = Warmup(multiple=1)
    seed: int = 0
    cache: Literal["cold", "warm"] = "cold"
    ignore_eos: bool | None = None  # None: true where the dataset asks for a length and the backend can
    output_field: str = ""  # of the body, for ``output_len``; "": the backend's own
    sampling: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0})
    extra_body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeouts: Timeouts = Timeouts()
    keep_alive: bool = True  # False: a fresh connection for each request
    workers: int | None = None  # measuring processes; None: auto
    worker_cpus: tuple[int, ...] = ()  # processors that they are pinned to, in turn; (): the system decides
    goodput: Mapping[str, float] = field(default_factory=dict)  # ms per request: ttft, ttfo, tpot, e2el, max_gap
    rules: tuple[Rule, ...] = ()
    judge: JudgeSettings = JudgeSettings()
    validity: ValiditySettings = ValiditySettings()
    token_detail: Literal["auto", "on", "off"] = "auto"
    accelerators: Literal["auto", "off", "nvidia"] = "auto"  # what watches them
    repeat: int = 1  # 1-based
    repeats: Repeats = Repeats()
    search: Search | None = None  # a capacity item: probes over ``search.over`` instead of one load
    probe_of: str = ""  # one probe of this search (its id without a tier): no gate of its own
    percentiles: tuple[float, ...] = (50, 90, 95, 99)
    tape: Literal["keep", "compress", "drop"] = "drop"
    xfail: str = ""
    skip: str = ""

    @property
    def cell(self) -> str:
        """The id without the repeat: what its repeats have in common, and no other scenario has."""
        return self.id.removesuffix(f"-r{self.repeat}")

    @property
    def watches_accelerators(self) -> bool:
        """Whether this machine's accelerators are looked at, being the server's."""
        if self.accelerators == "auto":
            return self.target.here and not self.target.simulated
        return self.accelerators != "off"

    @property
    def open_loop(self) -> bool:
        """Requests come when they are due, whether or not the server has kept up."""
        return math.isfinite(self.request_rate) or any(s.rate is not None for s in self.stages)


# ------------------------------------------------------------------------------- what is sent (Plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """An image, audio clip or video frame beside the prompt's text."""

    kind: Literal["image", "audio", "video"]
    data: bytes = field(repr=False, default=b"")
    mime: str = ""
    url: str = ""  # a data: or http(s): URL, instead of ``data``
    seconds: float | None = None  # audio and video


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a dataset yields: one request's content, before a backend makes a body of it.

    Exactly one of ``text``, ``token_ids``, ``messages``, ``inputs`` is set.  ``turns`` are the later user turns of
    a conversation; each is due ``think_s`` after the answer before it.
    """

    text: str | None = None
    token_ids: Sequence[int] | None = None
    messages: Sequence[Mapping[str, Any]] | None = None
    inputs: Sequence[str] | None = None  # embeddings: a batch; rerank: the documents, ``text`` being the query
    media: tuple[Media, ...] = ()
    input_len: int | None = None  # tokens, as far as the dataset knows
    output_len: int | None = None  # tokens asked for
    due: float | None = None  # seconds from the start, where the dataset is a trace
    turns: tuple[Prompt, ...] = ()
    think_s: float = 0.0
    shared_len: int = 0  # leading tokens that other prompts have too, on purpose
    group: str = ""  # session or prefix group, for the sticky header
    row: int | None = None  # 1-based row or line of the file it came from


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """All that a backend's ``body`` may use."""

    prompt: Prompt
    model: str
    output_len: int | None  # None: the server decides
    force_length: bool  # ignore EOS, where the backend can
    stream: bool = True
    token_detail: bool = False  # ask for token ids or running counts
    sampling: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    templated: bool = False  # the text has its special tokens already: a chat template was applied here


#: One row of ``index.bin``: little-endian, packed.  ``due`` is NaN for a later turn of a conversation.
#: offset (u64) and length (u32) of the body in ``bodies.bin``; chain (u32), turn (u16), model (u16, position in
#: ``Plan.models``); due, think (f64, seconds); input_len, output_len (i32, −1 unknown); shared_len (i32);
#: audio_s (f32, NaN unknown).
INDEX_ROW = "<QIIHHddiiif"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that will be sent, decided beforehand: a folder with ``bodies.bin`` and ``index.bin``.

    Rows are sorted by ``due``; a chain is one request, or the turns of one conversation.  ``digest`` covers rows and
    parameters but no prompt text, so that it is the same in every session.
    """

    scenario_id: str
    folder: Path
    n: int
    path: str = field(repr=False)  # of the URL, /v1/completions
    content_type: str = "application/json"
    models: tuple[str, ...] = ()
    max_in_flight: int | None = None
    steps: tuple[tuple[float, int], ...] = ()  # stages over concurrency: (seconds from the start, new cap)
    duration: float | None = None  # nothing is sent after this many seconds
    chains: int = 0
    seed: int = 0
    salt: str = ""
    digest: str = ""
    force_length: bool = False
    streamed: bool = True
    template_tokens: int = 0  # tokens the chat template adds to each prompt, where known
    output_field: str = ""  # the body's field that asks for so many output tokens
    notes: tuple[Message, ...] = ()  # what the reader should know ("the backend cannot force the length")


# --------------------------------------------------------------------------------- what came (Entry)


class EntryKind:
    """The kinds of tape entry (one byte on disk)."""

    SENT = 1  # time = sent; data = struct SENT_FIELDS
    READ = 2  # time = when the read returned; data = the bytes, as they came from the socket (after TLS)
    END = 3  # time = when the end was noticed; data = one byte Ending, then UTF-8 words of the system or library


#: SENT: ready (f64), due (f64, absolute, NaN in a closed loop's refill), connect_s (f64, NaN if not connected for this
#: request), connection (u32), flags (u32: 1 reused, 2 reconnected).
SENT_FIELDS = "<dddII"


class Ending:
    """How a response ended, as the wire saw it (the first byte of an END entry's data)."""

    COMPLETE = 0  # HTTP says the message is whole
    EOF = 1  # the server closed; HTTP decides in decoding whether that was a legal end
    RESET = 2
    CONNECT = 3  # no connection
    TIMEOUT_CONNECT = 4
    TIMEOUT_FIRST = 5
    TIMEOUT_BETWEEN = 6
    TIMEOUT_TOTAL = 7
    CANCELLED = 8  # the run was stopped
    NOT_SENT = 9  # the run's own end came first
    PROTOCOL = 10  # not HTTP, or without an end
    CONTENT = 11  # the content says that the message is whole; HTTP does not yet


class Entry(NamedTuple):
    """One entry of a tape."""

    kind: int
    request: int  # the plan's row
    time: float  # absolute, seconds on the monotonic clock
    data: bytes


# ------------------------------------------------------------------------------ what it means (Record)


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


# ------------------------------------------------------------------------- what it comes to (Sample)

#: A numpy array of one axis (numpy is not imported here).
Column = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run's records as columns of one length (its requests, sorted by index), in seconds; NaN = it did not happen.

    The formulas of the metrics are applied here, once; the judge and the summary only select and count.
    """

    repeat: int = 1
    open_loop: bool = False
    complete: bool = True
    sent: Column  # float
    due: Column
    ready: Column
    done: Column
    tried: Column  # sent; where no connection was had, when that was given up; never sent: due
    chain: Column  # int
    ok: Column  # bool: answered without an error
    counted: Column  # bool: a sample of the server, so neither stopped by us nor left unsent by us
    reconnected: Column  # bool: sent again, as its open connection was dead at once
    steady: tuple[float, float] | None = None  # the steady window
    in_steady: Column = None  # bool: counted and sent in the steady window (or waiting for the cap when it closed)
    values: Mapping[str, Column] = field(default_factory=dict)  # metric id → value per request
    one_token: Column = None  # bool: an answer of one token, which has no gaps
    met: Mapping[str, Column] = field(default_factory=dict)  # goodput SLO → bool
    good: Column = None  # bool: met every SLO; None where there is no ``goodput:``
    gaps: Mapping[str, tuple[Column, Column]] = field(default_factory=dict)  # itl, itl_token → (when it ended, gap)
    tallies: Mapping[str, tuple[Column, Column]] = field(default_factory=dict)  # throughput → (when, how much)
    errors: Mapping[str, int] = field(default_factory=dict)  # kind of error → how many
    tokens: Mapping[str, Column] = field(
        default_factory=dict
    )  # prompt, asked_input, output, asked_output, cached, shared
    odd: Mapping[str, Column] = field(default_factory=dict)  # what is unlike what was asked (``measure.oddities``)
    token_sources: Mapping[str, int] = field(default_factory=dict)  # token_source → requests that were answered
    begin: float | None = None  # first sent
    end: float | None = None  # last done
    tracks: Sequence[Track] = ()  # what was watched meanwhile, on the same clock


# ----------------------------------------------------------------------------- the client about itself


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """What one measuring process saw of itself between the first and the last measured request."""

    worker: int
    started: float  # absolute monotonic time of the run's start (due = 0)
    ended: float
    cpu_s: float  # user + system CPU of the process in that span
    reads: int
    bytes_in: int
    bytes_out: int
    sentinel_lags: tuple[float, ...] = ()  # seconds: read − written, one a 10 ms tick
    tape_stalls: tuple[float, ...] = ()  # seconds: tape writes that held the loop for over 0.1 ms
    tape_writes: int = 0  # all of them
    gc_collections: int = 0
    voluntary_switches: int = 0
    involuntary_switches: int = 0
    peak_memory_bytes: int = 0
    event_cost_s: float = 0.0  # CPU for one event, as a burst within the process showed before the run
    peak_reads_per_s: float = 0.0  # in the busiest half second
    peak_cpu: float = 0.0  # share of a core in the busiest half second
    nice: int = 0
    cpu: int | None = None  # the one that it was pinned to
    loop: str = ""  # "uvloop 0.22.1" or "asyncio"
    died: str = ""  # why, if it did not end by itself
    disk_full: bool = False  # that is why; ``died`` says where


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFacts:
    """What the client saw of itself during one load."""

    started: float  # absolute; Record times count from here
    ended: float
    workers: tuple[WorkerFacts, ...]
    complete: bool  # everything planned was sent and answered or given up; False after a stop
    stop_reason: str = ""
    steal: float | None = None  # share of CPU time taken by the hypervisor; None = unknown here
    warnings: tuple[Message, ...] = ()


# ------------------------------------------------------------------------------------ what it is worth


class Verdict(StrEnum):
    PASS = "PASS"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"
    INVALID = "INVALID"

    @property
    def rank(self) -> int:
        """INVALID > FAIL > INCONCLUSIVE > PASS."""
        return list(Verdict).index(self)

    @staticmethod
    def worst(verdicts: Iterable[Verdict]) -> Verdict:
        return max(verdicts, key=lambda v: v.rank, default=Verdict.PASS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """One rule, judged.  ``observed`` is a number, None (no data) or "inf" (the order statistic is a failure)."""

    rule: Rule
    verdict: Verdict
    reason: Message
    observed: float | Literal["inf"] | None
    within: bool | None = None  # the observed side; None = no data
    proven: bool = False  # statistically, not only observed
    window: Literal["whole", "steady"] = "whole"
    other: float | None = None  # the same figure in the other window
    n: int = 0
    misses: int | None = None
    n_eff: float | None = None
    misses_eff: float | None = None
    tau: float | None = None
    interval: tuple[float, float] | None = None
    more: int | None = None  # how many more requests would decide; None = not applicable or too close to decide


#: What a reader must know of where figures come from, in the order in which it is said.
Taint = Literal["simulated", "interrupted", "salvaged", "resumed"]
#: What pytest makes of a verdict.
TestOutcome = Literal["pass", "fail", "skip"]


def outcome_of(
    verdict: Verdict, sides: Iterable[bool | None], asked: JudgeSettings, taints: Collection[str]
) -> tuple[TestOutcome, Message | None]:
    """What becomes of the test, and why where the verdict does not say; ``sides``: on which undecided rules stood."""
    if verdict in (Verdict.FAIL, Verdict.INVALID):
        return "fail", None
    if asked.strict and "simulated" in taints:
        return "fail", Message(key="judge.outcome.strict_simulated")
    if verdict is Verdict.PASS:
        return "pass", None
    if asked.strict:
        return "fail", Message(key="judge.outcome.strict")
    if asked.inconclusive == "lean":
        over = False in sides
        return "fail" if over else "pass", Message(key="judge.outcome.lean_over" if over else "judge.outcome.lean")
    return asked.inconclusive, Message(key=f"judge.outcome.{asked.inconclusive}")


# ------------------------------------------------------------------------- what happened (Measurement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One thing that was watched while load ran, of one device: values over time."""

    name: str  # power_w, energy_j (a counter), ...
    device: str = ""
    every: float = 0.0  # seconds from one value to the next, as asked for
    times: tuple[float, ...] = ()  # absolute, on the measuring clock
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was seen of the server beside the load."""

    counters: Mapping[str, float] = field(default_factory=dict)  # ``server.*``: what it counted itself meanwhile
    fault: Message | None = None  # it restarted or changed its model meanwhile: the figures are not of one server
    tracks: tuple[Track, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)  # what it runs on: joins the measurement's
    notes: tuple[Message, ...] = ()


class Beside(Protocol):
    """Something that is done beside the load, by nobody's leave but the story's; one is made for each load."""

    async def begin(self, target: Target) -> None:
        """Before the first request."""

    async def end(self, interrupted: bool) -> Observed:
        """After the last answer; after an interruption without any delay, and where ``begin`` was not over."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What happened when one plan was sent; saved beside its result, and loaded back equal.

    ``records`` may lie on disk.  ``samples`` keeps the columns that were made of them, by goodput limits.
    """

    scenario: Scenario  # effective; of its target's headers the names alone
    plan: Plan | None = None  # None, as the facts: of a file that does not hold them
    facts: LoadFacts | None = None
    observed: Observed = Observed()
    records: Sequence[Record] = field(default=(), repr=False)
    complete: bool = True  # everything planned was sent and answered or given up
    interrupted: bool = False
    stopped_by: RuleVerdict | None = None  # a rule that was proven broken whatever would still come
    gone: Message | None = None  # the server went away
    salvaged: bool = False  # read from what a killed session had left
    resumed: bool = False  # of a session that was taken up again
    environment: Mapping[str, Any] = field(default_factory=dict)
    round_trip_ms: float | None = None  # of a small request before any load
    date: str = ""  # UTC, ISO 8601
    session: str = ""
    samples: dict[Any, Sample] = field(default_factory=dict, repr=False, compare=False)

    @property
    def taints(self) -> tuple[Taint, ...]:
        there: dict[Taint, bool] = {
            "simulated": self.scenario.target.simulated,
            "interrupted": self.interrupted,
            "salvaged": self.salvaged,
            "resumed": self.resumed,
        }
        return tuple(taint for taint, holds in there.items() if holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the validity table: was the load what was asked for, and the client up to it?"""

    #: send_lag, sentinel_lag, rate, concurrency, cpu, steal, worker, reconnected, length, output_length, cache,
    #: token_source
    id: str
    ok: bool
    observed: float | None
    limit: float | None
    message: Message  # what was seen and, if not ok, the one thing to change


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a scenario is worth: the worst of its rules, its checks and its ``faults`` (what no rule stands for)."""

    verdict: Verdict
    verdicts: tuple[RuleVerdict, ...] = ()
    checks: tuple[Check, ...] = ()
    faults: tuple[Message, ...] = ()  # the server restarted; the run was interrupted
    notes: tuple[Message, ...] = ()


Metrics = Mapping[str, float | int | None]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one scenario came to.  Metrics are attributes too: ``result.p99_ttft_ms``, ``result.completed``."""

    scenario: Scenario
    verdict: Verdict
    complete: bool
    metrics: Mapping[str, float | int | None]
    verdicts: tuple[RuleVerdict, ...] = ()
    checks: tuple[Check, ...] = ()
    records: Sequence[Record] = field(default=(), repr=False)
    plan: Plan | None = None
    facts: LoadFacts | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, float] = field(default_factory=dict)  # deltas of the server's own counters
    per_repeat: Sequence[Metrics] = ()  # of each repeat that the verdict pools, where there are several
    pooled: Metrics = field(default_factory=dict)  # over all of those; ``metrics`` is this run's own
    by_model: Mapping[str, Metrics] = field(default_factory=dict)  # where several share the run (LoRA)
    by_turn: Mapping[str, Metrics] = field(default_factory=dict)  # of conversations; "conversation" are whole ones
    baseline: str = ""  # the reference that it was held against
    baseline_notes: tuple[Message, ...] = ()  # why nothing was compared, or what else differs
    baseline_refused: bool = False  # what is gated was not compared, which fails
    comparisons: Sequence[Any] = ()  # judge's Comparison, a metric each
    capacity: Any = None  # judge's Answer, of a scenario that searches
    date: str = ""  # UTC, ISO 8601
    session: str = ""
    error: Message | None = None  # why there are no figures
    notes: tuple[Message, ...] = ()
    taints: tuple[Taint, ...] = ()
    path: Path | None = None  # the JSON file

    @property
    def outcome(self) -> TestOutcome:
        """What pytest makes of the verdict; an assert of the test's own, later, is the test's."""
        return self._outcome[0]

    @property
    def outcome_reason(self) -> Message | None:
        """Why, where the verdict alone does not say."""
        return self._outcome[1]

    @property
    def _outcome(self) -> tuple[TestOutcome, Message | None]:
        sides = [v.within for v in self.verdicts if v.verdict is Verdict.INCONCLUSIVE]
        return outcome_of(self.verdict, sides, self.scenario.judge, self.taints)

    def __getattr__(self, name: str) -> float | int | None:
        metrics: Mapping[str, float | int | None] = object.__getattribute__(self, "metrics")
        if name in metrics:
            return metrics[name]
        raise AttributeError(f"{name!r} is neither a field nor a metric of this result")


# ------------------------------------------------------------------------------- what plug-ins may add


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """How one kind of server is spoken to: its path, a request's body, and how one event is read.

    No clock, no HTTP, no loop.  A dialect is ``dataclasses.replace`` of the backend it differs from.
    """

    name: str
    path: str  # POST; may hold {model}
    body: Callable[[Ask], bytes]
    read: Callable[[bytes], Delta]  # one event's payload (SSE data, an NDJSON line, or the whole JSON body)
    framing: Literal["sse", "ndjson", "json"] = "sse"
    content_type: str = "application/json"
    terminal: Literal["sign", "finish", "end"] = "sign"  # whole when: the sign, a finish reason, the body's end came
    sign: bytes = b"[DONE]"  # stands in the event that is the sign, and in few others
    forces_length: bool = True
    takes_token_ids: bool = False
    takes_messages: bool = False
    completions: str = ""  # the backend that takes text of the same server: what a chat template applied here goes to
    bare_text: bool = False  # can be told to add no BOS to a text that has one (``Ask.templated``)
    takes_media: frozenset[str] = frozenset()
    generates: bool = True  # False: pooling (embeddings, rerank): no output tokens, no TTFT
    token_detail: bool = False  # can say ids or counts an event
    counts: Literal["usage", "counter", "none"] = "usage"  # its own token totals, as in ``token_source``; none: none
    samples: frozenset[str] | None = None  # the sampling keys that it can be told; None: whatever is written
    drops: frozenset[str] = frozenset()  # keys that its server would take and ignore in silence
    names_model: bool = True  # a request says which model (LoRA) it wants
    batch: Literal["", "inputs", "documents"] = ""  # ``Prompt.inputs``: a batch of texts, or documents for one query
    about: str = ""  # message key: known quirks, for the docs' table and --collect-only -v
