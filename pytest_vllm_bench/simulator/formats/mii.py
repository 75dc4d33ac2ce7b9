"""DeepSpeed-MII's REST gateway (whole answers only) and its streaming ``/generate`` → Formats."""

from __future__ import annotations

from typing import Any

from pytest_vllm_bench.simulator.formats.shape import (
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
    never,
    positive,
    prompt_of,
    sse,
)


def _read_rest(call: Call) -> SimulatedRequest:
    prompts = call.body.get("prompts")
    texts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(texts, list) or len(texts) != 1 or not isinstance(texts[0], str):
        raise ErrorReply(500, "Internal Server Error")
    return SimulatedRequest(
        prompts=(texts[0],),
        max_tokens=positive(call.body, "max_new_tokens", 128),
        min_tokens=call.body.get("min_new_tokens") or 0,
        ignore_eos=call.body.get("ignore_eos") is True,
        call=call,
    )


def _whole_rest(answer: Reply) -> Any:
    said = {
        "finish_reason": answer.finish,
        "generated_length": len(answer.ids),
        "generated_text": answer.text,
        "prompt_length": answer.prompt_tokens,
    }
    return encode([said]) + b"\n"


def _refusal_rest(refused: ErrorReply) -> Refusal:
    said = "Internal Server Error" if refused.status == 500 else refused.message
    return Refusal(status=refused.status, body=encode({"message": said}) + b"\n")


def _read(call: Call) -> SimulatedRequest:
    """``ignore_eos`` is pinned to false: only a least number of tokens forces the length."""
    limit = positive(call.body, "max_tokens", 128) or 128
    least = call.body.get("min_tokens") or 0
    return SimulatedRequest(
        prompts=(prompt_of(call.body, "prompt"),),
        max_tokens=limit,
        min_tokens=least,
        ignore_eos=least >= limit,
        call=call,
    )


def _piece(answer: Reply, piece: ReplyPiece) -> Events:
    return [sse({"text": [piece.text]})]


def _whole(answer: Reply) -> Any:
    return {"text": [answer.text]}


def _refusal(refused: ErrorReply) -> Refusal:
    return Refusal(status=refused.status, body=encode({"error": refused.message}))


REST = Format(read=_read_rest, whole=_whole_rest, refusal=_refusal_rest, streams=never)
SIMPLE = Format(read=_read, whole=_whole, refusal=_refusal, piece=_piece, closing=done, key="prompt", cut_on_error=True)
