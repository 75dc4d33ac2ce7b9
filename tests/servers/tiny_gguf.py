"""A folder → a llama model with random weights, in GGUF.

Its vocabulary is the 256 bytes and some words, so that random answers are full of characters that no single token
makes whole: just what a reader of streams should be tried with.  Or it is a given tokenizer's, where both sides are to
count alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np

HEADS, CONTEXT = 4, 2048
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6  # token types of GGUF
WORDS = ["▁the", "▁a", "▁of", "▁and", "▁to", "ing", "▁café", "你好", "▁😀", "e", "t", "a", "o", "▁"]
TURN = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
ASSISTANT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' and m['reasoning_content'] %}"
    "<think>\n{{ m['reasoning_content'] }}\n</think>\n\n{% endif %}{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}"
)


class Size(NamedTuple):
    width: int
    layers: int
    inner: int


#: Steps of a fraction of a millisecond; steps of some milliseconds, which a client on the same machine can tell apart.
TINY, SLOW = Size(64, 2, 128), Size(256, 12, 704)


@dataclass(kw_only=True)
class Vocabulary:
    kind: str
    tokens: list[str]
    types: list[int]
    begin: int
    end: int
    scores: list[float] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)


def pieces() -> Vocabulary:
    """Bytes and some words, as llama's own."""
    words = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", *WORDS]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *words]
    return Vocabulary(
        kind="llama",
        tokens=tokens,
        types=[UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [CONTROL, CONTROL, USER, USER] + [NORMAL] * len(WORDS),
        begin=1,
        end=2,
        scores=[0.0] * (len(tokens) - len(WORDS)) + [-float(i) for i in range(len(WORDS))],
    )


def byte_pairs(tokenizer: Path) -> Vocabulary:
    """That of a tokenizer.json whose first two tokens begin and end a text."""
    model = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    types = [CONTROL, CONTROL] + [NORMAL] * (len(tokens) - 2)
    return Vocabulary(kind="gpt2", tokens=tokens, types=types, begin=0, end=1, merges=merges)


def make(path: Path, *, thinks: bool = False, tokenizer: Path | None = None, size: Size = TINY) -> Path:
    """Write the model; ``thinks``: its template opens every answer with reasoning.  A slow one answers in ASCII alone,
    of which each token is sent at once."""
    words = pieces() if tokenizer is None else byte_pairs(tokenizer)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(size.width)
    writer.add_block_count(size.layers)
    writer.add_feed_forward_length(size.inner)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(size.width // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words.tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _vocabulary(writer, words)
    writer.add_chat_template(THINKING if thinks else TURN + ASSISTANT)
    _weights(writer, [size is TINY or word.isascii() for word in words.tokens], size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary(writer: gguf.GGUFWriter, words: Vocabulary) -> None:
    writer.add_tokenizer_model(words.kind)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    writer.add_bos_token_id(words.begin)
    writer.add_eos_token_id(words.end)
    if words.merges:
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges(words.merges)
        writer.add_add_bos_token(False)
    else:
        writer.add_token_scores(words.scores)
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(True)


def _weights(writer: gguf.GGUFWriter, said: Sequence[bool], size: Size) -> None:
    """``said``: of each token, whether it may come in an answer."""
    width, layers, inner = size
    random = np.random.default_rng(0)

    def matrix(name: str, *shape: int, rows: Sequence[bool] | None = None) -> None:
        values = random.standard_normal(shape) * 0.6 / np.sqrt(shape[-1])
        values *= 1 if rows is None else np.array(rows)[:, None]
        writer.add_tensor(name, values.astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(width, np.float32))

    matrix("token_embd.weight", len(said), width)
    ones("output_norm.weight")
    matrix("output.weight", len(said), width, rows=said)
    for layer in (f"blk.{i}." for i in range(layers)):
        ones(layer + "attn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{layer}{name}.weight", width, width)
        ones(layer + "ffn_norm.weight")
        matrix(layer + "ffn_gate.weight", inner, width)
        matrix(layer + "ffn_up.weight", inner, width)
        matrix(layer + "ffn_down.weight", width, inner)
