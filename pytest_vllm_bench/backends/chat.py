"""OpenAI chat: ``/v1/chat/completions``, with reasoning, tool calls, images, audio and video."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_vllm_bench.backends import chunk
from pytest_vllm_bench.backends.payload import encode
from pytest_vllm_bench.model import Ask, Backend, Media, Prompt


def fields(ask: Ask) -> dict[str, Any]:
    return {
        "model": ask.model,
        "messages": messages(ask.prompt),
        "max_completion_tokens": ask.output_len,
        "ignore_eos": True if ask.force_length else None,
        **ask.sampling,
        "stream": ask.stream,
        "stream_options": {"include_usage": True} if ask.stream else None,
    }


def body(ask: Ask) -> bytes:
    return encode(fields(ask), ask.extra_body)


def body_vllm(ask: Ask) -> bytes:
    """Token ids of each chunk on request: 3 % of vLLM's token events have no text."""
    return encode({**fields(ask), "return_token_ids": ask.token_detail or None}, ask.extra_body)


def messages(prompt: Prompt) -> Sequence[Mapping[str, Any]]:
    """The prompt's own messages, or its text as one user message; media stand before the last message's text."""
    said = list(prompt.messages) if prompt.messages is not None else [{"role": "user", "content": prompt.text or ""}]
    if not prompt.media:
        return said
    last = said[-1]
    content = last["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [*said[:-1], {**last, "content": [*map(part, prompt.media), *parts]}]


def part(media: Media) -> Mapping[str, Any]:
    """One content part: image and video by URL (data: if we hold the bytes), audio as base64 with its format."""
    if media.kind == "audio" and not media.url:
        form = media.mime.partition("/")[2].removeprefix("x-") or "wav"
        data = base64.b64encode(media.data).decode("ascii")
        return {"type": "input_audio", "input_audio": {"data": data, "format": "mp3" if form == "mpeg" else form}}
    kind = f"{media.kind}_url"
    return {"type": kind, kind: {"url": media.url or data_url(media)}}


def data_url(media: Media) -> str:
    return f"data:{media.mime};base64,{base64.b64encode(media.data).decode('ascii')}"


OPENAI_CHAT = Backend(
    name="openai-chat",
    path="/v1/chat/completions",
    body=body,
    read=chunk.read,
    takes_messages=True,
    completions="openai",
    takes_media=frozenset({"image", "audio", "video"}),
)
VLLM_CHAT = replace(
    OPENAI_CHAT,
    name="vllm-chat",
    body=body_vllm,
    completions="vllm",
    token_detail=True,
)
