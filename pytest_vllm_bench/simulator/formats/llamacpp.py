"""llama.cpp's own ``/completion`` → Format: a running count in every event, no event without text, no ``[DONE]``."""

from __future__ import annotations

from typing import Any

from pytest_vllm_bench.simulator.formats.dialects import llama_words
from pytest_vllm_bench.simulator.formats.shape import (
    Call,
    ErrorReply,
    Events,
    Format,
    Refusal,
    Reply,
    ReplyPiece,
    SimulatedRequest,
    encode,
    prompt_of,
    sse,
    whole_number,
)

SETTINGS = {
    "samplers": ["penalties", "dry", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"],
    "filler": "-" * 900,
}


def _read(call: Call) -> SimulatedRequest:
    """``n_predict`` below 0 is as much as the context holds."""
    body = call.body
    asked = [whole_number(body, key) for key in ("n_predict", "max_tokens", "max_completion_tokens")]
    limit = next((number for number in asked if number is not None), -1)
    return SimulatedRequest(
        prompts=(prompt_of(body, "prompt"),),
        max_tokens=limit if limit > 0 else None,
        ignore_eos=body.get("ignore_eos") is True,
        call=call,
    )


def _piece(answer: Reply, piece: ReplyPiece) -> Events:
    """A character that is not whole is held back, so the count may jump."""
    if not piece.text:
        return []
    return [
        sse(
            {
                "index": 0,
                "content": piece.text,
                "tokens": piece.ids[-1:],
                "stop": False,
                "id_slot": -1,
                "tokens_predicted": len(answer.ids),
                "tokens_evaluated": answer.prompt_tokens,
            }
        )
    ]


def _last(answer: Reply, content: str) -> dict[str, Any]:
    _, prefill, decode = answer.stages
    return {
        "index": 0,
        "content": content,
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": answer.model,
        "tokens_predicted": len(answer.ids),
        "tokens_evaluated": answer.prompt_tokens,
        "generation_settings": SETTINGS,
        "truncated": False,
        "stop_type": "eos" if answer.finish == "stop" else "limit",
        "stopping_word": "",
        "timings": {
            "cache_n": answer.cached,
            "prompt_n": answer.prompt_tokens - answer.cached,
            "prompt_ms": round(prefill * 1e3, 3),
            "predicted_n": len(answer.ids),
            "predicted_ms": round(decode * 1e3, 3),
        },
    }


def _closing(answer: Reply) -> Events:
    return [sse(_last(answer, ""))]


def _whole(answer: Reply) -> Any:
    return _last(answer, answer.text)


def _error(refused: ErrorReply) -> dict[str, Any]:
    kind = "exceed_context_size_error" if refused.param == "input_tokens" else "invalid_request_error"
    return {"error": {"code": refused.status, "message": refused.message, "type": kind}}


def _refusal(refused: ErrorReply) -> Refusal:
    return Refusal(status=refused.status, body=encode(_error(llama_words(refused))))


def _broken(answer: Reply, refused: ErrorReply) -> Events:
    return [sse(_error(refused))]


NATIVE = Format(
    read=_read,
    whole=_whole,
    refusal=_refusal,
    piece=_piece,
    closing=_closing,
    broken=_broken,
    terminal=b"",
    late_headers=True,
)
