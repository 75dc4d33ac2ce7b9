"""How one kind of server is spoken to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pytest_vllm_bench.model.plan import Ask
from pytest_vllm_bench.model.record import Delta


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
    headers: Mapping[str, str] = field(default_factory=dict)  # that the interface wants of every request
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
