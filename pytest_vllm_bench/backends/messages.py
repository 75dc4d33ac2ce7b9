"""Anthropic Messages: ``/v1/messages``, streamed as named events that end with ``message_stop``."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from pytest_vllm_bench.backends.lenient import arguments, reason, said
from pytest_vllm_bench.backends.payload import NOTHING, encode, loads, only, reads
from pytest_vllm_bench.backends.usage import Usage, counted
from pytest_vllm_bench.model import Ask, Backend, Delta, Media, Prompt

#: Tokens asked for where nobody says how many: the interface takes no request without a limit.
MOST = 4096
SAMPLES = frozenset({"temperature", "top_p", "top_k", "stop_sequences"})
#: Why an answer ended, in everybody's words.
_ENDS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
         "model_context_window_exceeded": "length"}  # fmt: skip


def body(ask: Ask) -> bytes:
    """What the system says stands apart; a length cannot be forced."""
    ask = only(ask, SAMPLES)
    system, turns = _talk(ask.prompt)
    fields = {
        "model": ask.model,
        "system": system or None,
        "messages": turns,
        "max_tokens": ask.output_len or MOST,
        **ask.sampling,
        "stream": ask.stream,
    }
    return encode(fields, ask.extra_body)


def _talk(prompt: Prompt) -> tuple[str, Sequence[Mapping[str, Any]]]:
    if prompt.messages is None and not prompt.media:
        return "", [{"role": "user", "content": prompt.text or ""}]
    messages = prompt.messages if prompt.messages is not None else [{"role": "user", "content": prompt.text or ""}]
    system = [said(one.get("content"))[0] for one in messages if one["role"] in ("system", "developer")]
    turns = [_turn(one) for one in messages if one["role"] not in ("system", "developer")]
    if prompt.media and turns:  # before the last message's text
        last = turns[-1]
        turns[-1] = {**last, "content": [*map(_media, prompt.media), *_parts(last["content"])]}
    return "\n\n".join(system), turns


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of chat's under the names of this interface: calls and results of tools are parts of the content."""
    role, content = message["role"], message.get("content")
    if role == "tool":
        part = {"type": "tool_result", "tool_use_id": message.get("tool_call_id", ""), "content": content}
        return {"role": "user", "content": [part]}
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    if not calls and isinstance(content, str):
        return {"role": role, "content": content}
    return {"role": role, "content": [*_parts(content), *calls]}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function", {})
    given = function.get("arguments") or {}
    told = given
    if isinstance(given, str):
        with contextlib.suppress(ValueError, RecursionError):
            told = loads(given.encode())
    if not isinstance(told, Mapping):  # what is no object is handed over under a name
        told = {"arguments": told}
    return {"type": "tool_use", "id": call.get("id", ""), "name": function.get("name", ""), "input": told}


def _parts(content: Any) -> list[Any]:
    if not isinstance(content, list):
        return [{"type": "text", "text": content}] if content else []
    return [
        _picture(part["image_url"]["url"]) if isinstance(part, Mapping) and part.get("type") == "image_url" else part
        for part in content
    ]


def _picture(url: str) -> dict[str, Any]:
    if url.startswith("data:"):
        mime, _, data = url.removeprefix("data:").partition(";base64,")
        return {"type": "image", "source": {"type": "base64", "media_type": mime, "data": data}}
    return {"type": "image", "source": {"type": "url", "url": url}}


def _media(media: Media) -> dict[str, Any]:
    return _picture(media.url or f"data:{media.mime};base64,{base64.b64encode(media.data).decode('ascii')}")


class _Message(msgspec.Struct, gc=False):
    content: Any = None
    stop_reason: Any = None
    usage: Usage | None = None


class _Event(_Message, gc=False):
    """An event, or the whole message where nothing is streamed."""

    type: str = ""
    message: _Message | None = None
    delta: Any = None
    content_block: Any = None
    error: Any = None


@reads(_Event, silent=lambda event: event.type in ("", "error"))
def read(event: _Event) -> Delta:
    kind, delta = event.type, event.delta
    if kind == "content_block_delta" and delta.__class__ is dict:
        return _said_by(delta)
    if kind in ("content_block_start", "content_block_delta"):
        return _together(event.content_block if delta is None else delta)
    if kind == "message_start":  # comes before the prefill, and its count of the output is no count yet
        return replace(_counts(event.message), output_tokens=None) if event.message else NOTHING
    if kind == "message_delta":
        ended = delta.get("stop_reason") if isinstance(delta, Mapping) else None
        return replace(_counts(event), finish_reason=_finish(ended))
    if kind == "message":
        return replace(_whole(event), choices=True)
    return replace(NOTHING, terminal=True) if kind == "message_stop" else NOTHING


def _blocks(content: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, list):
        for one in content:
            yield from _blocks(one)
    else:
        yield content if isinstance(content, Mapping) else {"type": "text_delta", "text": said(content)[0]}


def _said_by(delta: Mapping[str, Any]) -> Delta:
    text = delta.get("text")
    if text.__class__ is str and delta.get("type") == "text_delta":  # nearly always
        return Delta(text=text)
    if told := delta.get("partial_json") or delta.get("input"):
        return Delta(tool=said(told)[0] or arguments({"arguments": told}))
    text, thinking = said(delta)
    return Delta(text=text, reasoning=thinking) if text or thinking else NOTHING


def _together(content: Any) -> Delta:
    spoken = [_said_by(block) for block in _blocks(content)]
    text, thinking, tool = ("".join(getattr(one, of) for one in spoken) for of in ("text", "reasoning", "tool"))
    return Delta(text=text, reasoning=thinking, tool=tool) if text or thinking or tool else NOTHING


def _whole(message: _Event) -> Delta:
    spoken = _together(message.content)
    return replace(
        _counts(message),
        text=spoken.text,
        reasoning=spoken.reasoning,
        tool=spoken.tool,
        finish_reason=_finish(message.stop_reason),
        terminal=True,
        cumulative=True,
        whole=True,
    )


def _counts(message: _Message) -> Delta:
    """What was found in the cache, and what was put there, is not in the tokens of the input here."""
    usage = message.usage or Usage()
    found = counted(usage)
    if usage.input_tokens is None:
        return found
    read, made = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return replace(found, prompt_tokens=usage.input_tokens + read + made, cached_tokens=usage.cache_read_input_tokens)


def _finish(told: Any) -> str | None:
    why = reason(told)
    return _ENDS.get(why, why) if why else None


ANTHROPIC_MESSAGES = Backend(
    name="anthropic-messages",
    path="/v1/messages",
    body=body,
    read=read,
    headers={"anthropic-version": "2023-06-01"},
    sign=b"message_stop",
    forces_length=False,
    takes_messages=True,
    takes_media=frozenset({"image"}),
    samples=SAMPLES,
)
