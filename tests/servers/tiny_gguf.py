"""A folder → a llama model of half a megabyte with random weights, in GGUF.

Its vocabulary is the 256 bytes and some words, so that random answers are full of characters that no single token
makes whole: just what a reader of streams should be tried with.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 2048
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


def make(path: Path, *, thinks: bool = False) -> Path:
    """Write the model; ``thinks``: its template opens every answer with reasoning."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
    tokens += ["<|im_start|>", "<|im_end|>", "<think>", "</think>", *WORDS]
    types += [CONTROL, CONTROL, USER, USER] + [NORMAL] * len(WORDS)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * (len(tokens) - len(WORDS)) + [-float(i) for i in range(len(WORDS))])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template(THINKING if thinks else TURN + ASSISTANT)
    _weights(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _weights(writer: gguf.GGUFWriter, vocabulary: int) -> None:
    random = np.random.default_rng(0)

    def matrix(name: str, *shape: int) -> None:
        values = random.standard_normal(shape) * 0.6 / np.sqrt(shape[-1])
        writer.add_tensor(name, values.astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    matrix("token_embd.weight", vocabulary, WIDTH)
    ones("output_norm.weight")
    matrix("output.weight", vocabulary, WIDTH)
    for layer in (f"blk.{i}." for i in range(LAYERS)):
        ones(layer + "attn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{layer}{name}.weight", WIDTH, WIDTH)
        ones(layer + "ffn_norm.weight")
        matrix(layer + "ffn_gate.weight", INNER, WIDTH)
        matrix(layer + "ffn_up.weight", INNER, WIDTH)
        matrix(layer + "ffn_down.weight", WIDTH, INNER)
