"""OpenAI Responses: ``/v1/responses``, streamed as named events that end without ``[DONE]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from pytest_vllm_bench.backends.chat import messages
from pytest_vllm_bench.backends.payload import NOTHING, aside, encode, parse
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


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Why(msgspec.Struct, gc=False):
    reason: str | None = None


class _Content(msgspec.Struct, gc=False):
    text: str | None = None


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    content: list[_Content] | None = None
    arguments: str | None = None


class _Response(msgspec.Struct, gc=False):
    status: str | None = None
    incomplete_details: _Why | None = None
    usage: _Usage | None = None
    error: Any = None
    output: list[_Item] = []


class _Event(_Response, gc=False):
    """An event, or the whole response where nothing is streamed."""

    type: str = ""
    object: str = ""
    delta: Any = None
    response: _Response | None = None
    timings: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Event)
_CONTENT = ("response.output_text.delta", "response.refusal.delta")
_REASONING = ("response.reasoning_text.delta", "response.reasoning_summary_text.delta")
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def read(payload: bytes) -> Delta:
    event = parse(_DECODER, payload)
    if type(event) is not _Event:
        return cast(Delta, event)
    if isinstance(event.delta, str):
        return _said_by(event.type, event.delta)
    if event.type in _ENDS and event.response is not None:
        return _ended(event.response, payload, event.timings)
    if event.object == "response":
        return _ended(event, payload, event.timings)
    return aside(payload) if event.error is not None or event.type in ("", "error") else NOTHING


def _said_by(kind: str, delta: str) -> Delta:
    if kind in _CONTENT:
        return Delta(text=delta)
    if kind in _REASONING:
        return Delta(reasoning=delta)
    return Delta(tool=delta) if kind == "response.function_call_arguments.delta" else NOTHING


def _ended(response: _Response, payload: bytes, timings: Mapping[str, Any] | None) -> Delta:
    """The last event's counts; the text too if nothing was streamed, which the decoder then takes as a whole."""
    if response.status == "failed" or response.error is not None:
        said = aside(msgspec.json.encode({"error": response.error or "failed"}))
        return msgspec.structs.replace(said, terminal=True)
    usage = response.usage or _Usage()
    prompt, output = usage.input_tokens_details, usage.output_tokens_details
    reason = response.incomplete_details.reason if response.incomplete_details is not None else None
    whole = response if type(response) is _Event else None
    return Delta(
        choices=False,
        text="" if whole is None else _said(whole, "message"),
        reasoning="" if whole is None else _said(whole, "reasoning"),
        tool="" if whole is None else "".join(item.arguments or "" for item in whole.output),
        prompt_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=None if prompt is None else prompt.cached_tokens,
        reasoning_tokens=None if output is None else output.reasoning_tokens,
        finish_reason="length" if reason == "max_output_tokens" else reason or "stop",
        terminal=True,
        server=timings,
    )


def _said(response: _Response, kind: str) -> str:
    return "".join(c.text or "" for item in response.output if item.type == kind for c in item.content or ())


OPENAI_RESPONSES = Backend(
    name="openai-responses",
    path="/v1/responses",
    body=body,
    read=read,
    takes_messages=True,
    takes_media=frozenset({"image"}),
    drops=frozenset({"min_tokens"}),
    sign=b'"response"',
    about="backends.about.openai-responses",
)
