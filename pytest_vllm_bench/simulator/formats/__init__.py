"""A dialect's name → the formats it is spoken in, by path.

What has a path of its own is served whatever the dialect; the dialect decides the paths that several servers share.
To add a server that speaks OpenAI's language, write a line in ``dialects.DIALECTS``; one with a language of its own is
a file beside this one and a line below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.simulator.formats import (
    audio,
    llamacpp,
    messages,
    mii,
    ollama,
    openai,
    pooling,
    responses,
    sglang,
    tgi,
    triton,
)
from pytest_vllm_bench.simulator.formats.dialects import DIALECTS, Dialect
from pytest_vllm_bench.simulator.formats.shape import Format

Paths = Mapping[str, Sequence[Format]]  # where there are several, the body tells them apart (``Format.key``)

EVERYWHERE: Paths = {
    "/generate": (sglang.SGLANG, mii.SIMPLE, tgi.WHOLE),
    "/generate_stream": (tgi.STREAM,),
    "/": (tgi.STREAM,),
    "/v1/messages": (messages.MESSAGES,),
    "/completion": (llamacpp.NATIVE,),
    "/completions": (llamacpp.NATIVE,),
    "/mii/{deployment}": (mii.REST,),
    "/api/generate": (ollama.GENERATE,),
    "/api/chat": (ollama.CHAT,),
    **{path: (form,) for path, form in triton.PATHS.items()},
}
OF_DIALECT: Mapping[str, Paths] = {
    "lmdeploy": {"/generate": (sglang.LMDEPLOY,)},
    "sglang-deltas": {"/generate": (sglang.SGLANG_DELTAS,)},  # --incremental-streaming-output
}
SAME_AS = {"sglang-deltas": "sglang"}
NAMES = (*DIALECTS, *SAME_AS)


def habits(name: str) -> Dialect:
    """Raises BenchError for a dialect that nobody speaks."""
    try:
        return DIALECTS[SAME_AS.get(name, name)]
    except KeyError as error:
        raise BenchError("simulator.dialect", name=name, known=", ".join(NAMES)) from error


def routes(name: str) -> Paths:
    """Path (POST) → Formats, in a dialect."""
    dialect = habits(name)
    spoken = {
        "/v1/completions": openai.completions(dialect),
        "/v1/chat/completions": openai.chat(dialect),
        "/v1/responses": responses.responses(name, dialect),
        "/v1/audio/transcriptions": audio.audio(name, dialect),
        "/v1/audio/translations": audio.audio(name, dialect),
        **pooling.paths(dialect, llama=name == "llama.cpp"),
    }
    return {**EVERYWHERE, **{path: (form,) for path, form in spoken.items()}, **OF_DIALECT.get(name, {})}
