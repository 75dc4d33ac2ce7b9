"""How each kind of server is spoken to: one small file a backend, all of them in one visible dict.

A backend is its path, the body of a request, and how to read one stream event: no clock, no HTTP, no loop.  To add one,
write a file like ``completions.py`` and a line below; the contract tests run over this dict.
"""

from __future__ import annotations

from pytest_vllm_bench.backends import chat, completions
from pytest_vllm_bench.model import Backend

BACKENDS: dict[str, Backend] = {
    "vllm": completions.VLLM,
    "openai": completions.OPENAI,
    "openai-chat": chat.OPENAI_CHAT,
    "vllm-chat": chat.VLLM_CHAT,
}
