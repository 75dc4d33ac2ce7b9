"""How each kind of server is spoken to: one small file a backend, all of them in one visible dict.

A backend is its path, the body of a request, and how to read one stream event: no clock, no HTTP, no loop.  To add one,
write a file like ``completions.py`` and a line below; the contract tests run over this dict.
"""

from __future__ import annotations

from pytest_vllm_bench.backends import (
    audio,
    chat,
    completions,
    llamacpp,
    messages,
    mii,
    ollama,
    pooling,
    responses,
    sglang,
    tgi,
    triton,
)
from pytest_vllm_bench.backends.length import another, asked_by, field_of, length_field
from pytest_vllm_bench.backends.notes import knows, notes
from pytest_vllm_bench.model import Backend

BACKENDS: dict[str, Backend] = {
    "vllm": completions.VLLM,
    "vllm-chat": chat.VLLM_CHAT,
    "vllm-pooling": pooling.VLLM_POOLING,
    "vllm-rerank": pooling.VLLM_RERANK,
    "openai": completions.OPENAI,
    "openai-chat": chat.OPENAI_CHAT,
    "openai-responses": responses.OPENAI_RESPONSES,
    "anthropic-messages": messages.ANTHROPIC_MESSAGES,
    "openai-audio": audio.OPENAI_AUDIO,
    "openai-audio-translations": audio.OPENAI_AUDIO_TRANSLATIONS,
    "openai-embeddings": pooling.OPENAI_EMBEDDINGS,
    "infinity": pooling.INFINITY,
    "sglang": sglang.SGLANG,
    "sglang-oai": completions.SGLANG_OAI,
    "lmdeploy": completions.LMDEPLOY,
    "scalellm": completions.SCALELLM,
    "tgi": tgi.TGI,
    "tensorrt-llm": triton.TENSORRT_LLM,
    "tensorrt-llm-llmapi": triton.TENSORRT_LLM_LLMAPI,
    "trtllm-serve": completions.TRTLLM_SERVE,
    "deepspeed-mii": mii.DEEPSPEED_MII,
    "deepspeed-mii-generate": mii.DEEPSPEED_MII_GENERATE,
    "deepspeed-mii-openai": completions.DEEPSPEED_MII_OPENAI,
    "llama.cpp": completions.LLAMA_CPP,
    "llama.cpp-native": llamacpp.LLAMA_CPP_NATIVE,
    "ollama": ollama.OLLAMA,
}

__all__ = ["BACKENDS", "another", "asked_by", "field_of", "knows", "length_field", "notes"]
