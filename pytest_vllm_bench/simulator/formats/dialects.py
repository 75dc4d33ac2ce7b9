"""How the servers that speak OpenAI's language differ: name → Dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One server's habits on /v1/completions and /v1/chat/completions; the defaults are vLLM's."""

    role: Literal["empty", "absent", "null", "every", "before", "none"] = (
        "empty"  # content beside the role; "before" prefill
    )
    role_padding: bytes = b""  # between the JSON of the role chunk and the line's end
    unfinished: Literal["null", "empty", "absent"] = "null"  # finish_reason until the end
    finish_apart: bool = False  # the finish reason comes in a chunk without text
    usage: Literal["asked", "never", "finish", "last_text"] = "asked"
    default_usage: bool = False  # include_usage inside a ``stream_options`` that does not say
    strict: Literal[0, 400, 422] = 0  # status for a field the server does not know
    reasoning: str = "reasoning"
    done: int = 1  # how often [DONE] comes
    done_after_error: int = 1
    error: Literal["object", "naked", "cut", "empty", "text", "flat"] = "object"
    refusal: Literal["openai", "flat", "detail"] = "openai"
    late_headers: bool = False
    default_max: int | None = 16  # completions
    default_max_chat: int | None = None
    ignores_eos: bool = True  # it knows ``ignore_eos``
    empty_text: bool = True  # a token without text is a chunk
    token_ids: bool = False  # ``return_token_ids`` is understood
    bare: frozenset[str] = frozenset()  # keys that its chunks lack
    one_event: bool = False  # all text in the last chunk
    text_prompts_only: bool = False


DIALECTS: dict[str, Dialect] = {
    "vllm": Dialect(token_ids=True),
    "trtllm": Dialect(
        role="absent",
        role_padding=b" ",
        default_usage=True,
        strict=400,
        reasoning="reasoning_content",
        done=1,
        done_after_error=2,
        refusal="flat",
        default_max=None,
    ),
    "sglang": Dialect(reasoning="reasoning_content", finish_apart=True, refusal="flat", error="object"),
    "lmdeploy": Dialect(role="none", reasoning="reasoning_content", unfinished="absent", refusal="flat"),
    "scalellm": Dialect(
        finish_apart=True,
        error="naked",
        empty_text=False,
        default_max_chat=16,
        done_after_error=0,
        text_prompts_only=True,
    ),
    "mii": Dialect(
        role="before",
        usage="never",
        ignores_eos=False,
        error="cut",
        refusal="flat",
        default_max=128,
        default_max_chat=128,
        bare=frozenset({"object", "created"}),
    ),
    "tgi": Dialect(
        role="every", unfinished="empty", usage="last_text", ignores_eos=False, default_max=None, empty_text=True
    ),
    "llama.cpp": Dialect(
        role="null",
        finish_apart=True,
        usage="last_text",
        reasoning="reasoning_content",
        done_after_error=0,
        late_headers=True,
        default_max=None,
        empty_text=False,
    ),
    "llama-cpp-python": Dialect(
        role="absent", finish_apart=True, usage="never", ignores_eos=False, error="empty", done_after_error=0
    ),
    "transformers": Dialect(
        role="absent",
        finish_apart=True,
        unfinished="absent",
        usage="finish",
        strict=422,
        done=0,
        done_after_error=0,
        error="text",
        refusal="detail",
        ignores_eos=False,
        default_max=None,
    ),
}
