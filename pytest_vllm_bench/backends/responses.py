"""OpenAI Responses: ``/v1/responses``, streamed as named events that end without ``[DONE]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from pytest_vllm_bench.backends.chat import messages
from pytest_vllm_bench.backends.complaints import failing
from pytest_vllm_bench.backends.lenient import arguments, reason, said
from pytest_vllm_bench.backends.payload import NOTHING, aside, encode, parse
from pytest_vllm_bench.backends.usage import Usage, counted, of_request
from pytest_vllm_bench.model import Ask, Backend, Delta, Prompt


def body(ask: Ask) -> bytes:
    """``store`` is false: the server keeps answers otherwise."""
    fields = {
        "model": ask.model,
        "input": _input(ask.prompt),
        "max_output_tokens": ask.output_len,
        "ignore_eos": True if ask.force_length else None,
        **ask.sampling,
        "store": False,
        "stream": ask.stream,
    }
    return encode(fields, ask.extra_body)


def _input(prompt: Prompt) -> str | Sequence[Mapping[str, Any]]:
    if prompt.messages is None and not prompt.media:
        return prompt.text or ""
    return [{**message, "content": _content(message["content"])} for message in messages(prompt)]


def _content(content: Any) -> Any:
    """Chat's content parts under the names of this interface."""
    if isinstance(content, str):
        return content
    renamed = []
    for part in content:
        if part["type"] == "text":
            renamed.append({"type": "input_text", "text": part["text"]})
        elif part["type"] == "image_url":
            renamed.append({"type": "input_image", "image_url": part["image_url"]["url"]})
        else:
            renamed.append(part)
    return renamed


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    content: Any = None
    summary: Any = None
    arguments: Any = None
    input: Any = None


class _Response(msgspec.Struct, gc=False):
    status: str | None = None
    incomplete_details: Any = None
    usage: Usage | None = None
    error: Any = None
    output: list[_Item] | None = None
    metrics: Any = None


class _Event(_Response, gc=False):
    """An event, or the whole response where nothing is streamed."""

    type: str = ""
    object: str = ""
    delta: Any = None
    response: _Response | None = None
    timings: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Event)
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done")
_THOUGHT = ("reasoning", "thinking")
_TOOL = ("arguments", "input", "code")  # of calls, under many names


def read(payload: bytes) -> Delta:
    event = parse(_DECODER, payload)
    if type(event) is not _Event:
        return cast(Delta, event)
    if event.delta:
        return _said_by(event.type, event.delta)
    if event.type in _ENDS and event.response is not None:
        return _ended(event.response, event.timings)
    if event.object == "response":
        return replace(_ended(event, event.timings), choices=True)
    return aside(payload) if event.error or event.type in ("", "error") else NOTHING


def _said_by(kind: str, delta: Any) -> Delta:
    if kind == "response.output_text.delta" and isinstance(delta, str):  # nearly always
        return Delta(text=delta)
    text, reasoning = said(delta, thought=any(word in kind for word in _THOUGHT))
    if any(word in kind for word in _TOOL):
        return Delta(tool=text or arguments(delta))
    return NOTHING if "audio.delta" in kind else Delta(text=text, reasoning=reasoning)


def _ended(response: _Response, timings: Mapping[str, Any] | None) -> Delta:
    """The last event's counts, and the text once more: where nothing was streamed, it is the answer."""
    wrong = NOTHING
    if response.error:
        wrong = aside(msgspec.json.encode({"error": response.error}))
    if wrong.error is None and response.status is not None and failing(response.status):
        wrong = aside(msgspec.json.encode({"error": response.status}))
    if wrong.error is not None:
        return replace(wrong, terminal=True)
    items = response.output or []
    spoken = [said(item.content or item.summary, thought=item.type in _THOUGHT) for item in items]
    why = reason(response.incomplete_details)
    return replace(
        counted(response.usage or Usage(), timings or of_request(response.metrics)),
        text="".join(text for text, _ in spoken),
        reasoning="".join(thinking for _, thinking in spoken),
        tool="".join(arguments({"arguments": item.arguments or item.input}) for item in items),
        finish_reason="length" if why == "max_output_tokens" else why or "stop",
        terminal=True,
        cumulative=True,
        whole=True,
    )


OPENAI_RESPONSES = Backend(
    name="openai-responses",
    path="/v1/responses",
    body=body,
    read=read,
    takes_messages=True,
    takes_media=frozenset({"image"}),
    drops=frozenset({"min_tokens"}),
    sign=b'"response"',
)
