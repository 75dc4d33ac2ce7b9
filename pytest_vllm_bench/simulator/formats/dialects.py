"""How the servers that speak OpenAI's language differ: name → Dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pytest_vllm_bench.simulator.formats.shape import ErrorReply


def same(refused: ErrorReply) -> ErrorReply:
    return refused


def mii_words(refused: ErrorReply) -> ErrorReply:
    if refused.param == "model":
        return ErrorReply(400, f"Model {refused.message.split('`')[1]} not found.", kind="NotFoundError", param="model")
    return refused


def llama_words(refused: ErrorReply) -> ErrorReply:
    if refused.param != "input_tokens":
        return ErrorReply(refused.status, refused.message, kind="invalid_request_error")
    said = "the request exceeds the available context size, try increasing it"
    return ErrorReply(400, said, kind="exceed_context_size_error")


def transformers_words(refused: ErrorReply) -> ErrorReply:
    if refused.param == "model":
        return ErrorReply(400, f"Server is pinned to another model; requested '{refused.message.split('`')[1]}'.")
    return refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One server's habits on /v1/completions and /v1/chat/completions; the defaults are vLLM's."""

    role: Literal["empty", "absent", "null", "every", "before", "none"] = "empty"  # content beside it; "before" prefill
    role_padding: bytes = b""  # between the JSON of the role chunk and the line's end
    unfinished: Literal["null", "empty", "absent"] = "null"  # finish_reason until the end
    finish_apart: bool = False  # the finish reason comes in a chunk without text
    empty_text: bool = True  # a token without text is a chunk
    reasoning: str = "reasoning"
    usage: Literal["asked", "never", "finish", "last_text"] = "asked"
    default_usage: bool = False  # include_usage inside a ``stream_options`` that does not say
    null_usage: bool = False  # chunks have ``usage: null``
    miscounts: bool = False  # the usage of a whole answer is a re-tokenization, and wrong
    bare: frozenset[str] = frozenset()  # keys that its chunks lack
    escapes: bool = False  # JSON in ASCII
    done: int = 1  # how often [DONE] comes
    done_after_error: int = 1
    strict: Literal[0, 400, 422] = 0  # status for a field that it does not know
    error: Literal["object", "flat", "tgi", "naked", "cut", "empty", "text"] = "object"
    refusal: Literal["openai", "flat", "detail"] = "openai"
    words: Callable[[ErrorReply], ErrorReply] = same
    late_headers: bool = False
    default_max: int | None = 16  # completions
    default_max_chat: int | None = None
    ignores_eos: bool = True  # it knows ``ignore_eos``
    token_ids: bool = False  # ``return_token_ids`` is understood
    text_only: bool = False  # no token ids as a prompt


DIALECTS: dict[str, Dialect] = {
    "vllm": Dialect(token_ids=True),
    "openai": Dialect(ignores_eos=False),
    "trtllm": Dialect(
        role="absent",
        role_padding=b" ",
        default_usage=True,
        strict=400,
        reasoning="reasoning_content",
        done_after_error=2,
        refusal="flat",
        default_max=None,
    ),
    "sglang": Dialect(finish_apart=True, reasoning="reasoning_content", refusal="flat", error="flat"),
    "lmdeploy": Dialect(
        role="none",
        unfinished="absent",
        reasoning="reasoning_content",
        null_usage=True,
        escapes=True,
        refusal="flat",
        error="flat",
    ),
    "scalellm": Dialect(
        finish_apart=True,
        empty_text=False,
        null_usage=True,
        error="naked",
        done_after_error=0,
        default_max_chat=16,
        late_headers=True,
        text_only=True,
    ),
    "mii": Dialect(
        role="before",
        usage="never",
        miscounts=True,
        bare=frozenset({"object", "created"}),
        error="cut",
        refusal="flat",
        words=mii_words,
        default_max=128,
        default_max_chat=128,
        ignores_eos=False,
    ),
    "tgi": Dialect(
        role="every", unfinished="empty", usage="last_text", error="tgi", default_max=None, ignores_eos=False
    ),
    "llama.cpp": Dialect(
        role="null",
        finish_apart=True,
        empty_text=False,
        reasoning="reasoning_content",
        usage="last_text",
        done_after_error=0,
        words=llama_words,
        late_headers=True,
        default_max=None,
    ),
    "llama-cpp-python": Dialect(
        role="absent",
        finish_apart=True,
        usage="never",
        escapes=True,
        error="empty",
        done_after_error=0,
        ignores_eos=False,
    ),
    "transformers": Dialect(
        role="absent",
        unfinished="absent",
        finish_apart=True,
        usage="finish",
        done=0,
        done_after_error=0,
        strict=422,
        error="text",
        refusal="detail",
        words=transformers_words,
        default_max=None,
        ignores_eos=False,
    ),
}
