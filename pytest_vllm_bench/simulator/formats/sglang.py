"""SGLang's and LMDeploy's own ``/generate`` → Formats: one shape, cumulative text in the one, deltas in the other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from pytest_vllm_bench.simulator.formats.shape import (
    DONE,
    EVENT_STREAM,
    Body,
    Call,
    ErrorReply,
    Events,
    Format,
    Refusal,
    Reply,
    ReplyPiece,
    SimulatedRequest,
    done,
    encode,
    positive,
    prompt_of,
    sse,
)

SAMPLING = {
    *("max_new_tokens", "min_new_tokens", "ignore_eos", "temperature", "top_p", "top_k", "min_p", "stop", "n"),
    *("stop_token_ids", "frequency_penalty", "presence_penalty", "repetition_penalty", "skip_special_tokens"),
    *("sampling_seed", "stream_interval", "spaces_between_special_tokens", "no_stop_trim", "regex", "json_schema"),
}


def _read(call: Call) -> SimulatedRequest:
    sampling = call.body.get("sampling_params") or {}
    unknown = sorted(set(sampling) - SAMPLING)
    if unknown:
        raise ErrorReply(400, f"Unexpected keyword argument '{unknown[0]}'")
    return _asked(call, sampling, "max_new_tokens", "min_new_tokens")


def _read_lmdeploy(call: Call) -> SimulatedRequest:
    return _asked(call, call.body, "max_tokens", "min_new_tokens")


def _asked(call: Call, sampling: Body, most: str, least: str) -> SimulatedRequest:
    return SimulatedRequest(
        prompts=(prompt_of(call.body, "text", "input_ids", "prompt"),),
        max_tokens=positive(sampling, most, 128),
        min_tokens=sampling.get(least) or 0,
        ignore_eos=sampling.get("ignore_eos") is True,
        call=call,
    )


def _finish(answer: Reply) -> dict[str, Any] | None:
    if answer.finish is None:
        return None
    return {"type": "length", "length": len(answer.ids)} if answer.finish == "length" else {"type": "stop"}


def _said(answer: Reply, text: str, ids: list[int]) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "id": answer.id,
        "finish_reason": _finish(answer),
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": len(answer.ids),
        "cached_tokens": answer.cached,
    }
    if answer.finish:
        meta["e2e_latency"] = round(answer.elapsed, 6)
        meta["queue_time"] = answer.stages[0]
    return {"text": text, "output_ids": ids, "meta_info": meta}


def _piece(deltas: bool, answer: Reply, piece: ReplyPiece) -> Events:
    if deltas:
        return [sse(_said(answer, piece.text, piece.ids))]
    return [sse(_said(answer, answer.text, answer.ids))]


def _whole(answer: Reply) -> Any:
    return _said(answer, answer.text, answer.ids)


def _refusal(refused: ErrorReply) -> Refusal:
    if refused.early:
        said: Any = {"object": "error", "message": refused.message, "type": "Bad Request", "code": refused.status}
    else:
        said = {"error": {"message": refused.message}}
    return Refusal(status=refused.status, body=encode(said))


def _in_stream(refused: ErrorReply) -> Events:
    kind = "invalid_request_error" if refused.status < 500 else "internal_error"
    error = {"message": refused.message, "type": kind, "code": refused.status, "retryable": False}
    return [sse({"error": error}), DONE]


def _refused_stream(refused: ErrorReply) -> Refusal:
    """Status 200 even for what is plainly a wrong request; overload is an event that says abort."""
    overloaded = refused.status in (429, 503)
    events = [sse(_aborted(refused)), DONE] if overloaded else _in_stream(refused)
    return Refusal(status=200, body=b"".join(events), content_type=EVENT_STREAM)


def _aborted(refused: ErrorReply) -> dict[str, Any]:
    reason = {"type": "abort", "message": refused.message, "status_code": refused.status, "err_type": refused.kind}
    counts = {"prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
    return {"text": "", "output_ids": [], "meta_info": {"id": "", "finish_reason": reason, **counts}}


def _broken(answer: Reply, refused: ErrorReply) -> Events:
    return _in_stream(refused)


def _unreadable(words: str) -> ErrorReply:
    return ErrorReply(400, words, early=True)


SGLANG = Format(
    read=_read,
    whole=_whole,
    refusal=_refusal,
    refused_stream=_refused_stream,
    piece=partial(_piece, False),
    closing=done,
    broken=_broken,
    unreadable=_unreadable,
    key="sampling_params",
    collapses=True,
)
SGLANG_DELTAS = replace(SGLANG, piece=partial(_piece, True))
LMDEPLOY = replace(SGLANG_DELTAS, read=_read_lmdeploy, refused_stream=None, collapses=False, key="")
