"""OpenAI audio: ``/v1/audio/transcriptions`` and ``/v1/audio/translations``, a multipart form answered as a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import msgspec

from pytest_vllm_bench.backends import chunk
from pytest_vllm_bench.backends.payload import NOTHING, merged, parse
from pytest_vllm_bench.backends.usage import Usage, counted
from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Ask, Backend, Delta, Media

#: Fixed, because the header is the same for every request; no audio holds it by chance.
BOUNDARY = "pytest-vllm-bench-5f2c8e1d9b7a4036"
_EXTENSIONS = {"audio/mpeg": "mp3", "audio/flac": "flac", "audio/ogg": "ogg", "audio/mp4": "m4a", "audio/webm": "webm"}


def body(ask: Ask) -> bytes:
    """The form; options of the stream are flat fields in it.  Raises DataError for a prompt without audio.

    The language is "en" unless ``extra_body`` says otherwise: without one, servers detect it first, which costs time.
    """
    clips = [media for media in ask.prompt.media if media.kind == "audio" and media.data]
    if not clips:
        raise DataError("backends.needs_audio")
    fields = {
        "model": ask.model,
        "language": "en",
        "prompt": ask.prompt.text or None,
        "response_format": "json",
        "max_completion_tokens": ask.output_len,
        **ask.sampling,
        "stream": ask.stream,
        "stream_include_usage": True if ask.stream else None,
    }
    return _form(merged({k: v for k, v in fields.items() if v is not None}, ask.extra_body), clips[0])


def _form(fields: Mapping[str, Any], clip: Media) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{_word(v)}\r\n' for k, v in fields.items()
    ]
    mime = clip.mime or "audio/wav"
    file = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="audio.{_EXTENSIONS.get(mime, "wav")}"'
    )
    head = "".join(parts) + f"{file}\r\nContent-Type: {mime}\r\n\r\n"
    return head.encode() + clip.data + f"\r\n--{BOUNDARY}--\r\n".encode()


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


class _Audio(msgspec.Struct, gc=False):
    """OpenAI's own events and the unstreamed answer; what has ``choices`` is a chunk as elsewhere."""

    type: str | None = None
    delta: str | None = None
    text: str | None = None
    choices: Any = None
    usage: Usage | None = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Audio)


def read(payload: bytes) -> Delta:
    event = parse(_DECODER, payload)
    if type(event) is not _Audio:
        return cast(Delta, event)
    if event.delta and event.choices is None:
        return Delta(text=event.delta)
    if event.text is None or event.choices is not None or event.error:
        return chunk.read(payload)
    if (event.type or "done").rpartition(".")[2] != "done":
        return NOTHING  # a segment, which repeats its deltas
    said = counted(event.usage or Usage())
    return msgspec.structs.replace(
        said, text=event.text, choices=event.type is None, finish_reason="stop", terminal=True,
        cumulative=True, whole=True,  # transcript.text.done repeats what was streamed
    )  # fmt: skip


OPENAI_AUDIO = Backend(
    name="openai-audio",
    path="/v1/audio/transcriptions",
    body=body,
    read=read,
    content_type=f"multipart/form-data; boundary={BOUNDARY}",
    forces_length=False,
    drops=frozenset({"min_tokens", "ignore_eos"}),
    takes_media=frozenset({"audio"}),
)
OPENAI_AUDIO_TRANSLATIONS = replace(
    OPENAI_AUDIO,
    name="openai-audio-translations",
    path="/v1/audio/translations",
)
