"""The backends → the table of docs/*/backends.md: ``python docs/backends.py``."""

from __future__ import annotations

import json
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Ask, Backend, Media, Prompt
from pytest_vllm_bench.text import say

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- backends: made by docs/backends.py -->\n", "<!-- backends: end -->"
HEADS = {
    "en": ("Backend", "Path", "Measured", "Tokens counted by", "Length forced by", "Tried against", "To know"),
    "zh": ("后端", "路径", "测量内容", "token 计数来源", "强制长度的方式", "验证对象", "说明"),
}
MEASURED = {
    "stream": ("TTFT, TPOT, ITL, E2EL", "TTFT、TPOT、ITL、E2EL"),
    "whole": ("E2EL, tokens/s", "E2EL、token/s"),
    "pooling": ("E2EL, inputs/s, tokens/s", "E2EL、输入数/s、token/s"),
}
COUNTED = {
    "usage": ("the server (usage)", "服务端（usage）"),
    "counter": ("the server's own counters", "服务端自身的计数"),
    "none": ("the tokenizer", "tokenizer"),
}
IMPOSSIBLE = ("not possible", "无法强制")
SIMULATOR = ("the simulator", "模拟器")
#: Backend → the real servers that the project's own tests put before it.
REAL = {
    "vllm": "vLLM",
    "vllm-chat": "vLLM",
    "vllm-pooling": "vLLM",
    "vllm-rerank": "vLLM, llama.cpp",
    "openai": "vLLM, llama.cpp",
    "openai-chat": "vLLM, llama.cpp, transformers serve",
    "openai-responses": "vLLM, llama.cpp, transformers serve",
    "anthropic-messages": "vLLM",
    "openai-audio": "vLLM",
    "openai-audio-translations": "vLLM",
    "openai-embeddings": "vLLM, llama.cpp",
    "tensorrt-llm": "Triton",
    "tensorrt-llm-llmapi": "Triton",
    "llama.cpp": "llama.cpp",
    "llama.cpp-native": "llama.cpp",
}


def page(text: str, lang: str) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    assert found, "the page has no place for the table"
    return f"{before}{BEGIN}{table(lang)}\n{END}{after}"


def table(lang: str) -> str:
    rows = [HEADS[lang], ["---"] * len(HEADS[lang]), *(row(backend, lang) for backend in BACKENDS.values())]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def row(backend: Backend, lang: str) -> list[str]:
    at = ("en", "zh").index(lang)
    kind = "pooling" if not backend.generates else "whole" if backend.framing == "json" else "stream"
    counted = COUNTED[backend.counts][at]
    forced = ", ".join(f"`{key}`" for key in forcing(backend)) or IMPOSSIBLE[at]
    return [
        f"`{backend.name}`",
        f"`{backend.path}`",
        MEASURED[kind][at],
        counted,
        forced if backend.generates else "–",
        REAL.get(backend.name) or SIMULATOR[at],
        say(f"backends.about.{backend.name}", lang),
    ]


def forcing(backend: Backend) -> list[str]:
    """The fields of the body that change when the length is forced."""
    with_, without = (_fields(backend, force) for force in (True, False))
    return [key for key, value in with_.items() if without.get(key) != value]


def _fields(backend: Backend, force: bool) -> dict[str, Any]:
    clip = (Media(kind="audio", data=b"x", mime="audio/wav"),) if backend.takes_media == {"audio"} else ()
    body = backend.body(Ask(prompt=Prompt(text="x", media=clip), model="m", output_len=1, force_length=force))
    if backend.content_type != "application/json":
        form = BytesParser().parsebytes(f"content-type: {backend.content_type}\r\n\r\n".encode() + body)
        return {str(i): part.get_payload() for i, part in enumerate(form.walk()) if not part.is_multipart()}
    return flat(json.loads(body))


def flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under names joined by dots."""
    found: dict[str, Any] = {}
    for key, value in fields.items():
        found.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return found


def main() -> None:
    for lang in HEADS:
        path = ROOT / "docs" / lang / "backends.md"
        path.write_text(page(path.read_text(encoding="utf-8"), lang), encoding="utf-8")


if __name__ == "__main__":
    main()
