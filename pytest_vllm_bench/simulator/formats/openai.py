"""OpenAI's completions and chat, in the dialect of the server that is imitated → two Formats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from pytest_vllm_bench.simulator.formats.dialects import Dialect
from pytest_vllm_bench.simulator.formats.shape import (
    CREATED,
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
    encode,
    media_tokens,
    positive,
    prompt_of,
    sse,
    text_of,
)

COMMON = {
    *("model", "max_tokens", "temperature", "top_p", "seed", "stop", "n", "stream", "stream_options"),
    *("frequency_penalty", "presence_penalty", "logprobs", "user"),
}
KNOWN = {
    True: COMMON | {"messages", "max_completion_tokens", "tools", "tool_choice", "top_logprobs", "response_format"},
    False: COMMON | {"prompt", "echo", "suffix", "best_of"},
}
TRTLLM_FIELDS = {"ignore_eos", "min_tokens", "top_k", "min_p", "add_special_tokens", "reasoning_effort"}


def completions(dialect: Dialect) -> Format:
    """/v1/completions."""
    return _format(dialect, chat=False)


def chat(dialect: Dialect) -> Format:
    """/v1/chat/completions."""
    return _format(dialect, chat=True)


def _format(dialect: Dialect, *, chat: bool) -> Format:
    odd = dialect.error in ("naked", "empty", "tgi")
    return Format(
        read=partial(_read, dialect, chat),
        whole=partial(_whole, dialect, chat),
        refusal=partial(refusal, dialect),
        refused_stream=partial(_refused_stream, dialect) if odd else None,
        opening=partial(_opening, dialect, chat),
        piece=partial(_piece, dialect, chat),
        closing=partial(_closing, dialect, chat),
        broken=partial(broken, dialect),
        terminal=DONE if dialect.done else b"",
        late_headers=dialect.late_headers,
        cut_on_error=dialect.error == "cut",
    )


# ---------------------------------------------------------------------------------------- the request


def _read(dialect: Dialect, chat: bool, call: Call) -> SimulatedRequest:
    body = call.body
    if dialect.strict:
        _no_unknown(dialect, body, KNOWN[chat] | (TRTLLM_FIELDS if dialect.strict == 400 else set()))
    stream = body.get("stream") is True
    options = stream_options(body, stream)
    limit = positive(body, "max_tokens", dialect.default_max_chat if chat else dialect.default_max)
    if chat:
        limit = positive(body, "max_completion_tokens", limit)
    least = body.get("min_tokens") or 0
    if limit is not None and least > limit:
        said = f"min_tokens must be less than or equal to max_tokens={limit}, got {least}."
        raise ErrorReply(400, said, param="min_tokens")
    return SimulatedRequest(
        prompts=(text_of(messages(body)) if chat else _prompt(dialect, body),),
        model=body.get("model"),
        max_tokens=limit,
        min_tokens=least,
        ignore_eos=dialect.ignores_eos and body.get("ignore_eos") is True,
        usage=bool(options.get("include_usage", dialect.default_usage and "stream_options" in body)),
        running_usage=options.get("continuous_usage_stats") is True,
        token_ids=dialect.token_ids and body.get("return_token_ids") is True,
        thinks=chat,
        extra_tokens=media_tokens(messages(body)) if chat else 0,
        call=call,
    )


def stream_options(body: Body, stream: bool) -> Body:
    """Options of the stream; without a stream they are refused."""
    options = body.get("stream_options") or {}
    if options and not stream:
        said = "Stream options can only be defined when `stream=True`. (parameter=stream_options)"
        raise ErrorReply(400, said, param="stream_options")
    return dict(options)


def _no_unknown(dialect: Dialect, body: Body, known: set[str]) -> None:
    unknown = [key for key in body if key not in known]
    if not unknown:
        return
    if dialect.strict == 422:
        raise ErrorReply(422, f"Unexpected fields in the request: {set(unknown)}")
    raise ErrorReply(400, "; ".join(f"{key}: Extra inputs are not permitted" for key in unknown))


def messages(body: Body) -> Sequence[Body]:
    """The conversation.  Raises Refused without one."""
    said = body.get("messages")
    if not isinstance(said, list) or not said:
        raise ErrorReply(400, "1 validation error:\n  messages: Field required", param="messages")
    return said


def _prompt(dialect: Dialect, body: Body) -> str | tuple[int, ...]:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        body = {**body, "prompt": prompt[0]}
    try:
        found = prompt_of(body, "prompt")
    except ErrorReply as refused:
        said = "Either prompt or prompt_embeds must be provided and non-empty; one prompt a request."
        raise ErrorReply(400, said, param="prompt") from refused
    if dialect.text_only and not isinstance(found, str):
        raise ErrorReply(422, "Input should be a valid string", kind="string_type", param="prompt", early=True)
    return found


# ----------------------------------------------------------------------------------------- the stream


def _event(dialect: Dialect, chunk: Any) -> bytes:
    if dialect.escapes:
        return b"data: %s\n\n" % json.dumps(chunk).encode()
    return sse(chunk)


def _chunk(dialect: Dialect, chat: bool, answer: Reply, choices: list[Any], **more: Any) -> dict[str, Any]:
    kind = "chat.completion.chunk" if chat else "text_completion"
    chunk = {"id": answer.id, "object": kind, "created": CREATED, "model": answer.model, "choices": choices, **more}
    for key in dialect.bare:
        if chat or key != "object":
            chunk.pop(key, None)
    if dialect.null_usage and answer.asked.usage:
        chunk.setdefault("usage", None)
    return chunk


def _choice(dialect: Dialect, chat: bool, content: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, **content}
    if not chat:
        choice["logprobs"] = None
    if finish is not None or dialect.unfinished == "null" or (dialect.unfinished == "empty" and chat):
        choice["finish_reason"] = finish
    elif dialect.unfinished == "empty":
        choice["finish_reason"] = ""
    return choice


def _role(dialect: Dialect, answer: Reply) -> Events:
    delta: dict[str, Any] = {"role": "assistant"}
    if dialect.role in ("empty", "null"):
        delta["content"] = "" if dialect.role == "empty" else None
    chunk = _chunk(dialect, True, answer, [_choice(dialect, True, {"delta": delta}, None)])
    return [b"data: %s%s\n\n" % (encode(chunk), dialect.role_padding)]


def _opening(dialect: Dialect, chat: bool, answer: Reply) -> Events:
    return _role(dialect, answer) if chat and dialect.role == "before" else ()


def _piece(dialect: Dialect, chat: bool, answer: Reply, piece: ReplyPiece) -> Events:
    events: list[bytes] = []
    if chat and piece.first and dialect.role in ("empty", "absent", "null"):
        events += _role(dialect, answer)
    finish = answer.finish if piece.last and not dialect.finish_apart else None
    for content in _contents(dialect, chat, piece):
        choice = _choice(dialect, chat, content, finish)
        if answer.asked.token_ids:
            choice["token_ids"] = piece.ids
        events.append(_event(dialect, _with_usage(dialect, chat, answer, choice, finish)))
    if piece.last and dialect.finish_apart:
        empty: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        choice = _choice(dialect, chat, empty, answer.finish)
        events.append(_event(dialect, _with_usage(dialect, chat, answer, choice, answer.finish)))
    return events


def _contents(dialect: Dialect, chat: bool, piece: ReplyPiece) -> list[dict[str, Any]]:
    """What the chunks of one piece say; a token without text is a chunk only where the server sends one."""
    needed = dialect.empty_text or (piece.last and not dialect.finish_apart)
    if not chat:
        said = piece.reasoning + piece.text
        return [{"text": said}] if needed or said else []
    role = {"role": "assistant"} if dialect.role == "every" else {}
    contents: list[dict[str, Any]] = []
    if piece.reasoning:
        contents.append({"delta": {**role, dialect.reasoning: piece.reasoning}})
    if piece.text or (needed and not contents):
        contents.append({"delta": {**role, "content": piece.text}})
    return contents


def _with_usage(dialect: Dialect, chat: bool, answer: Reply, choice: Any, finish: str | None) -> dict[str, Any]:
    in_finish = dialect.usage == "finish" or (dialect.usage == "last_text" and not chat)
    if answer.asked.running_usage or (finish is not None and in_finish):
        return _chunk(dialect, chat, answer, [choice], usage=usage(answer))
    return _chunk(dialect, chat, answer, [choice])


def usage(answer: Reply) -> dict[str, Any]:
    """Token counts, as OpenAI's object."""
    made = len(answer.ids)
    counts: dict[str, Any] = {
        "prompt_tokens": answer.prompt_tokens,
        "total_tokens": answer.prompt_tokens + made,
        "completion_tokens": made,
    }
    if answer.cached:
        counts["prompt_tokens_details"] = {"cached_tokens": answer.cached}
    if answer.reasoning_tokens:
        counts["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
    return counts


def metrics(answer: Reply) -> dict[str, Any]:
    """vLLM's times of one request, where it was started to tell them."""
    if not answer.tells:
        return {}
    (queue, prefill, decode), made = answer.stages, len(answer.ids)
    return {
        "metrics": {
            "time_to_first_token_ms": prefill * 1e3,
            "generation_time_ms": decode * 1e3,
            "queue_time_ms": queue * 1e3,
            "mean_itl_ms": decode / max(1, made - 1) * 1e3,
            "tokens_per_second": made / (prefill + decode) if prefill + decode else None,
        }
    }


def _closing(dialect: Dialect, chat: bool, answer: Reply) -> Events:
    apart = dialect.usage == "asked" or (dialect.usage == "last_text" and chat)
    events = []
    if answer.asked.usage and apart:
        told = metrics(answer)
        events.append(_event(dialect, _chunk(dialect, chat, answer, [], usage=usage(answer), **told)))
    return [*events, *[DONE] * dialect.done]


# ---------------------------------------------------------------------------------- the whole, errors


def _whole(dialect: Dialect, chat: bool, answer: Reply) -> Any:
    if chat:
        said = {"role": "assistant", "content": answer.text or None, dialect.reasoning: answer.reasoning or None}
        choice: dict[str, Any] = {"index": 0, "message": said, "finish_reason": answer.finish}
    else:
        choice = {"index": 0, "text": answer.reasoning + answer.text, "logprobs": None, "finish_reason": answer.finish}
    if answer.asked.token_ids:
        choice["token_ids"] = answer.ids
    counts = usage(answer)
    if dialect.miscounts:
        counts["completion_tokens"] *= 2
    kind = "chat.completion" if chat else "text_completion"
    whole = {"id": answer.id, "object": kind, "created": CREATED, "model": answer.model, "choices": [choice]}
    return {**whole, "usage": counts, **metrics(answer)}


def refusal(dialect: Dialect, refused: ErrorReply) -> Refusal:
    """An answer with a status, in one of the three shapes that OpenAI-like servers have."""
    refused = dialect.words(refused)
    if dialect.refusal == "detail":
        return Refusal(status=refused.status, body=encode({"detail": refused.message}))
    error = _error(refused)
    said = {"object": "error", **error} if dialect.refusal == "flat" else {"error": error}
    return Refusal(status=refused.status, body=encode(said))


def _error(refused: ErrorReply) -> dict[str, Any]:
    code = 40301 if refused.param == "model" and refused.status == 400 else refused.status
    return {"message": refused.message, "type": refused.kind, "param": refused.param, "code": code}


def _refused_stream(dialect: Dialect, refused: ErrorReply) -> Refusal:
    """Naked JSON under the type of a stream; nothing at all; or an event with status 200."""
    said = {"error": {"message": refused.message, "code": refused.status}}
    if dialect.error == "naked":
        return Refusal(status=400, body=encode(said), content_type=EVENT_STREAM)
    body = b"" if dialect.error == "empty" else b"".join(_in_stream(dialect, refused))
    return Refusal(status=200, body=body, content_type=EVENT_STREAM)


def broken(dialect: Dialect, answer: Reply, refused: ErrorReply) -> Events:
    """An error inside a stream."""
    return _in_stream(dialect, refused)


def _in_stream(dialect: Dialect, refused: ErrorReply) -> Events:
    error = _error(refused)
    event = {
        "object": [sse({"error": error})],
        "flat": [sse({"error": {"object": "error", **error}})],
        "tgi": [sse({"error": {"message": refused.message, "http_status_code": 422}})],
        "text": [sse({"error": refused.message})],
        "naked": [encode({"error": {"message": refused.message, "code": refused.status}})],
        "empty": [],
        "cut": [],
    }[dialect.error]
    return [*event, *[DONE] * dialect.done_after_error]
