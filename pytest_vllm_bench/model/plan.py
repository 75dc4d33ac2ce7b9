"""What is sent: a dataset's Prompt, what a backend's body is made of, and the Plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytest_vllm_bench.model.message import Message


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
    streamed: bool = True  # answers come piece by piece: the backend has streams, and nobody asked for none
    template_tokens: int = 0  # tokens the chat template adds to each prompt, where known
    output_field: str = ""  # the body's field that asks for so many output tokens
    notes: tuple[Message, ...] = ()  # what the reader should know ("the backend cannot force the length")
