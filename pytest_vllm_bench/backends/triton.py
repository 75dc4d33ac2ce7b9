"""TensorRT-LLM on Triton: ``generate_stream`` of the ensemble (deltas) or of the llmapi model (all the text so far)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pytest_vllm_bench.backends.lenient import reason
from pytest_vllm_bench.backends.payload import encode, reads
from pytest_vllm_bench.model import Ask, Backend, Delta


def _words(stop: str | Sequence[str]) -> list[str]:
    return [stop] if isinstance(stop, str) else list(stop)


#: Sampling key → the model's input, and its type: Triton takes no integer for a float.
_ENSEMBLE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "temperature": ("temperature", float),
    "top_p": ("top_p", float),
    "top_k": ("top_k", int),
    "repetition_penalty": ("repetition_penalty", float),
    "presence_penalty": ("presence_penalty", float),
    "frequency_penalty": ("frequency_penalty", float),
    "seed": ("seed", int),
    "stop": ("stop_words", _words),
    "min_tokens": ("min_tokens", int),
}
_LLMAPI: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "temperature": ("sampling_param_temperature", float),
    "top_p": ("sampling_param_top_p", float),
    "top_k": ("sampling_param_top_k", int),
    "seed": ("sampling_param_seed", int),
    "stop": ("sampling_param_stop", _words),
}


def body(ask: Ask) -> bytes:
    """The length is forced by a least number of tokens: what is often copied (``min_length``) is no input here."""
    fields = {
        "text_input": ask.prompt.text,
        "max_tokens": ask.output_len,
        "stream": ask.stream,
        **_inputs(ask.sampling, _ENSEMBLE),
        **({"min_tokens": ask.output_len} if ask.force_length else {}),
    }
    return encode(fields, ask.extra_body)


def body_llmapi(ask: Ask) -> bytes:
    fields = {
        "text_input": ask.prompt.text,
        "streaming": ask.stream,
        "sampling_param_max_tokens": ask.output_len,
        "sampling_param_exclude_input_from_output": True,
        "return_finish_reason": True,
        **_inputs(ask.sampling, _LLMAPI),
    }
    return encode(fields, ask.extra_body)


def _inputs(sampling: Mapping[str, Any], names: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> dict[str, Any]:
    """Greedy is the best one token: a temperature of 0 is an error in some versions."""
    known = {key: value for key, value in sampling.items() if key in names and value is not None}
    if known.get("temperature") == 0:
        del known["temperature"]
        known["top_k"] = 1
    return {names[key][0]: names[key][1](value) for key, value in known.items()}


class _Event(msgspec.Struct, gc=False):
    text_output: str | list[str] | None = None
    finish_reason: Any = None
    error: Any = None


@reads(_Event, silent=lambda event: event.text_output is None)
def read(event: _Event) -> Delta:
    """No counts, no end sign: the end of the body is the end.  Several beams: the first."""
    return Delta(
        text=_first(event.text_output), finish_reason=reason(event.finish_reason) if event.finish_reason else None
    )


def read_cumulative(payload: bytes) -> Delta:
    return msgspec.structs.replace(read(payload), cumulative=True)


def _first(value: str | list[str] | None) -> str:
    if isinstance(value, list):
        return value[0] if value else ""
    return value or ""


TENSORRT_LLM = Backend(
    name="tensorrt-llm",
    path="/v2/models/ensemble/generate_stream",
    body=body,
    read=read,
    terminal="end",
    counts="none",
    samples=frozenset(_ENSEMBLE),
    names_model=False,
)
TENSORRT_LLM_LLMAPI = replace(
    TENSORRT_LLM,
    name="tensorrt-llm-llmapi",
    path="/v2/models/tensorrt_llm/generate_stream",
    body=body_llmapi,
    read=read_cumulative,
    forces_length=False,
    samples=frozenset(_LLMAPI),
)
