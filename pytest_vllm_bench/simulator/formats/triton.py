"""TensorRT-LLM on Triton → Formats: deltas of the ensemble, all the text so far from llmapi; no end sign, no counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pytest_vllm_bench.simulator.formats.shape import (
    EVENT_STREAM,
    Call,
    ErrorReply,
    Events,
    Format,
    Refusal,
    Reply,
    ReplyPiece,
    SimulatedRequest,
    encode,
    sse,
)

#: Inputs of a model: name → (Triton's type, needed).
Inputs = Mapping[str, tuple[str, bool]]
ENSEMBLE: Inputs = {
    "text_input": ("BYTES", True),
    "max_tokens": ("INT32", True),
    "stream": ("BOOL", False),
    "min_tokens": ("INT32", False),
    "end_id": ("INT32", False),
    "temperature": ("FP32", False),
    "top_p": ("FP32", False),
    "top_k": ("INT32", False),
    "seed": ("UINT64", False),
    "repetition_penalty": ("FP32", False),
    "return_log_probs": ("BOOL", False),
}
LLMAPI: Inputs = {
    "text_input": ("BYTES", True),
    "streaming": ("BOOL", False),
    "sampling_param_max_tokens": ("INT32", False),
    "sampling_param_temperature": ("FP32", False),
    "sampling_param_top_p": ("FP32", False),
    "sampling_param_top_k": ("INT32", False),
    "sampling_param_seed": ("UINT64", False),
    "sampling_param_exclude_input_from_output": ("BOOL", False),
    "return_finish_reason": ("BOOL", False),
}
MODELS: Mapping[str, Inputs] = {"ensemble": ENSEMBLE, "tensorrt_llm_bls": ENSEMBLE, "tensorrt_llm": LLMAPI}
TYPES: Mapping[str, tuple[type, ...]] = {"BYTES": (str,), "BOOL": (bool,), "FP32": (float, int)}


def _checked(call: Call, model: str) -> None:
    """Inputs by name and type; a key that is no input is a parameter, and accepted if it is a scalar."""
    inputs = MODELS[model]
    for key, value in call.body.items():
        if key not in inputs and key not in ("id", "parameters") and not isinstance(value, str | int | float):
            said = f"parameter '{key}' has invalid type. It should be either 'int', 'bool', or 'string'."
            raise ErrorReply(400, said, early=True)
        kind = inputs.get(key, ("", False))[0]
        if kind and not isinstance(value, TYPES.get(kind, (int,))):
            raise ErrorReply(500, f"Unable to parse 'data': attempt to access JSON non-{kind} as {kind}", early=True)
    missing = [name for name, (_, needed) in inputs.items() if needed and name not in call.body]
    if missing:
        given = sum(key in inputs for key in call.body)
        needs = sum(needed for _, needed in inputs.values())
        said = (
            f"expected number of inputs between {needs} and {len(inputs)} but got {given} inputs for model '{model}'."
        )
        raise ErrorReply(400, f"[request id: <id_unknown>] {said} missing required input(s) {missing}.", early=True)


def _read_ensemble(model: str, call: Call) -> SimulatedRequest:
    """``end_id`` out of the vocabulary means that the answer never ends by itself."""
    _checked(call, model)
    body = call.body
    return SimulatedRequest(
        prompts=(body["text_input"],),
        max_tokens=body["max_tokens"],
        min_tokens=body.get("min_tokens", 0),
        ignore_eos=body.get("min_tokens", 0) >= body["max_tokens"] or body.get("end_id", 0) > 1_000_000,
        call=call,
    )


def _read_llmapi(model: str, call: Call) -> SimulatedRequest:
    _checked(call, model)
    return SimulatedRequest(
        prompts=(call.body["text_input"],),
        max_tokens=call.body.get("sampling_param_max_tokens", 32),
        call=call,
    )


def _streams(call: Call) -> bool:
    return call.path.endswith("/generate_stream")


def _said(model: str, text: str, answer: Reply) -> dict[str, Any]:
    said: dict[str, Any] = {"model_name": model, "model_version": "1", "text_output": text}
    if "id" in answer.asked.call.body:
        said["id"] = answer.asked.call.body["id"]
    if model != "tensorrt_llm":
        said |= {"batch_index": 0, "cum_log_probs": 0.0, "output_log_probs": 0.0, "sequence_index": 0}
    elif answer.asked.call.body.get("return_finish_reason"):
        said["finish_reason"] = answer.finish or "None"
    return dict(sorted(said.items()))


def _prompt(answer: Reply) -> str:
    """The llmapi model's text begins with the prompt unless told otherwise."""
    body = answer.asked.call.body
    return "" if body.get("sampling_param_exclude_input_from_output") else str(body["text_input"])


def _piece(model: str, answer: Reply, piece: ReplyPiece) -> Events:
    """``stream: false`` on the streaming path: everything in one event."""
    cumulative = model == "tensorrt_llm"
    streaming = answer.asked.call.body.get("streaming" if cumulative else "stream") is True
    if not streaming:
        return [sse(_said(model, _all(model, answer), answer))] if piece.last else []
    return [sse(_said(model, _all(model, answer) if cumulative else piece.text, answer))]


def _all(model: str, answer: Reply) -> str:
    return (_prompt(answer) if model == "tensorrt_llm" else "") + answer.text


def _whole(model: str, answer: Reply) -> Any:
    return _said(model, _all(model, answer), answer)


def _refusal(refused: ErrorReply) -> Refusal:
    return Refusal(status=refused.status, body=encode({"error": refused.message}))


def _refused_stream(refused: ErrorReply) -> Refusal:
    """The first response was an error: a status, and the framing of a stream all the same."""
    return Refusal(status=400, body=sse({"error": refused.message}), content_type=EVENT_STREAM)


def _broken(answer: Reply, refused: ErrorReply) -> Events:
    return [sse({"error": refused.message})]


def _unreadable(words: str) -> ErrorReply:
    return ErrorReply(500, f"failed to parse the request JSON buffer: {words}", early=True)


def _unknown(call: Call) -> SimulatedRequest:
    raise ErrorReply(404, f"Request for unknown model: '{call.parts['model']}' is not found", early=True)


def _format(model: str) -> Format:
    return Format(
        read=partial(_read_llmapi if model == "tensorrt_llm" else _read_ensemble, model),
        whole=partial(_whole, model),
        refusal=_refusal,
        refused_stream=_refused_stream,
        streams=_streams,
        piece=partial(_piece, model),
        broken=_broken,
        unreadable=_unreadable,
        terminal=b"",
        json_only=False,
        late_headers=True,
    )


UNKNOWN = replace(_format("ensemble"), read=_unknown)
PATHS: Mapping[str, Format] = {
    **{f"/v2/models/{model}/{way}": _format(model) for model in MODELS for way in ("generate_stream", "generate")},
    "/v2/models/{model}/generate_stream": UNKNOWN,
    "/v2/models/{model}/generate": UNKNOWN,
}


def metadata(model: str) -> dict[str, Any] | None:
    """What ``GET /v2/models/<model>`` says, by which the two flavours are told apart; None: no such model."""
    if model not in MODELS:
        return None
    inputs = [{"name": name, "datatype": kind, "shape": [-1, 1]} for name, (kind, _) in MODELS[model].items()]
    return {"name": model, "versions": ["1"], "platform": "python", "inputs": inputs, "outputs": []}
