"""OpenAI's completions and chat, in the dialect of the server that is imitated → two Formats."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pytest_vllm_bench.simulator.formats.dialects import Dialect
from pytest_vllm_bench.simulator.formats.shape import (
    DONE,
    EVENT_STREAM,
    JSON,
    Answer,
    Asked,
    Body,
    Call,
    Events,
    Format,
    Piece,
    Refused,
    encode,
    positive,
    sse,
    text_of,
)

CREATED = 1700000000  # the field is there; what it says means nothing
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
    return Format(
        read=partial(_read, dialect, chat),
        whole=partial(_whole, dialect, chat),
        refusal=partial(refusal, dialect.refusal),
        opening=partial(_opening, dialect, chat),
        piece=partial(_piece, dialect, chat),
        closing=partial(_closing, dialect, chat),
        broken=partial(_broken, dialect),
        terminal=DONE if dialect.done else b"",
        late_headers=dialect.late_headers,
        cut_on_error=dialect.error == "cut",
        refusal_type=EVENT_STREAM if dialect.error == "naked" else JSON,
    )


# ---------------------------------------------------------------------------------------- the request


def _read(dialect: Dialect, chat: bool, call: Call) -> Asked:
    body = call.body
    if dialect.strict:
        _no_unknown(dialect, body, KNOWN[chat] | (TRTLLM_FIELDS if dialect.strict == 400 else set()))
    stream = body.get("stream") is True
    options = body.get("stream_options")
    if options and not stream:
        raise Refused(
            400,
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
            param="stream_options",
        )
    options = options or {}
    limit = positive(body, "max_tokens", dialect.default_max_chat if chat else dialect.default_max)
    if chat:
        limit = positive(body, "max_completion_tokens", limit)
    least = body.get("min_tokens") or 0
    if limit is not None and least > limit:
        raise Refused(
            400, f"min_tokens must be less than or equal to max_tokens={limit}, got {least}.", param="min_tokens"
        )
    return Asked(
        prompts=(text_of(_messages(body)),) if chat else _prompts(dialect, body),
        model=body.get("model"),
        max_tokens=limit,
        min_tokens=least,
        ignore_eos=dialect.ignores_eos and body.get("ignore_eos") is True,
        stream=stream,
        usage=bool(options.get("include_usage", dialect.default_usage and "stream_options" in body)),
        running_usage=options.get("continuous_usage_stats") is True,
        token_ids=dialect.token_ids and body.get("return_token_ids") is True,
        thinks=chat,
        extra_tokens=_media(body) if chat else 0,
        call=call,
    )


def _no_unknown(dialect: Dialect, body: Body, known: set[str]) -> None:
    unknown = [key for key in body if key not in known]
    if not unknown:
        return
    if dialect.strict == 422:
        raise Refused(422, f"Unexpected fields in the request: {set(unknown)}")
    listed = "; ".join(f"{key}: Extra inputs are not permitted" for key in unknown)
    raise Refused(400, f"[{listed}]", kind="BadRequestError")


def _messages(body: Body) -> Sequence[Body]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "1 validation error:\n  messages: Field required", param="messages")
    return messages


def _prompts(dialect: Dialect, body: Body) -> tuple[str | tuple[int, ...]]:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return (prompt,)
    if isinstance(prompt, list) and prompt and all(isinstance(i, int) and i >= 0 for i in prompt):
        if dialect.text_prompts_only:
            raise Refused(422, "Input should be a valid string", kind="string_type", param="prompt")
        return (tuple(prompt),)
    raise Refused(
        400, "Either prompt or prompt_embeds must be provided and non-empty; one prompt a request.", param="prompt"
    )


def _media(body: Body) -> int:
    """Prompt tokens of images and audio: a flat 256 each, as a vision encoder with a fixed grid would have."""
    parts = [p for m in body["messages"] if isinstance(m.get("content"), list) for p in m["content"]]
    return 256 * sum(isinstance(p, dict) and p.get("type") not in (None, "text") for p in parts)


# ----------------------------------------------------------------------------------------- the stream


def _chunk(dialect: Dialect, chat: bool, answer: Answer, choices: list[Any], **more: Any) -> dict[str, Any]:
    kind = "chat.completion.chunk" if chat else "text_completion"
    chunk = {"id": answer.id, "object": kind, "created": CREATED, "model": answer.model, "choices": choices, **more}
    for key in dialect.bare:
        if chat or key != "object":
            chunk.pop(key, None)
    return chunk


def _choice(dialect: Dialect, chat: bool, content: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, **content}
    if not chat and "logprobs" not in dialect.bare:
        choice["logprobs"] = None
    if finish is not None or dialect.unfinished == "null" or (dialect.unfinished == "empty" and chat):
        choice["finish_reason"] = finish
    elif dialect.unfinished == "empty":
        choice["finish_reason"] = ""
    return choice


def _role(dialect: Dialect, answer: Answer) -> Events:
    delta: dict[str, Any] = {"role": "assistant"}
    if dialect.role in ("empty", "null"):
        delta["content"] = "" if dialect.role == "empty" else None
    chunk = _chunk(dialect, True, answer, [_choice(dialect, True, {"delta": delta}, None)])
    return [b"data: %s%s\n\n" % (encode(chunk), dialect.role_padding)]


def _opening(dialect: Dialect, chat: bool, answer: Answer) -> Events:
    return _role(dialect, answer) if chat and dialect.role == "before" else ()


def _piece(dialect: Dialect, chat: bool, answer: Answer, piece: Piece) -> Events:
    events: list[bytes] = []
    if chat and piece.first and dialect.role in ("empty", "absent", "null"):
        events += _role(dialect, answer)
    finish = answer.finish if piece.last and not dialect.finish_apart else None
    for content in _contents(dialect, chat, piece):
        choice = _choice(dialect, chat, content, finish)
        if answer.asked.token_ids:
            choice["token_ids"] = piece.ids
        events.append(sse(_with_usage(dialect, chat, answer, choice, finish)))
    if piece.last and dialect.finish_apart:
        empty: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
        choice = _choice(dialect, chat, empty, answer.finish)
        events.append(sse(_with_usage(dialect, chat, answer, choice, answer.finish)))
    return events


def _contents(dialect: Dialect, chat: bool, piece: Piece) -> list[dict[str, Any]]:
    """What the chunks of one piece say; a token without text is a chunk only where the server sends one."""
    if not chat:
        said = piece.reasoning + piece.text
        needed = dialect.empty_text or said or (piece.last and not dialect.finish_apart)
        return [{"text": said}] if needed else []
    role = {"role": "assistant"} if dialect.role == "every" else {}
    contents = []
    if piece.reasoning:
        contents.append({"delta": {**role, dialect.reasoning: piece.reasoning}})
    if piece.text or (not contents and (dialect.empty_text or (piece.last and not dialect.finish_apart))):
        contents.append({"delta": {**role, "content": piece.text}})
    return contents


def _with_usage(dialect: Dialect, chat: bool, answer: Answer, choice: Any, finish: str | None) -> dict[str, Any]:
    chunk = _chunk(dialect, chat, answer, [choice])
    in_finish = dialect.usage == "finish" or (dialect.usage == "last_text" and not chat)
    if answer.asked.running_usage or (finish is not None and in_finish):
        chunk["usage"] = usage(answer)
    return chunk


def usage(answer: Answer) -> dict[str, Any]:
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


def _closing(dialect: Dialect, chat: bool, answer: Answer) -> Events:
    apart = dialect.usage == "asked" or (dialect.usage == "last_text" and chat)
    events = []
    if answer.asked.usage and apart:
        events.append(sse(_chunk(dialect, chat, answer, [], usage=usage(answer))))
    return [*events, *[DONE] * dialect.done]


# ---------------------------------------------------------------------------------- the whole, errors


def _whole(dialect: Dialect, chat: bool, answer: Answer) -> Any:
    if chat:
        said = {"role": "assistant", "content": answer.text or None, dialect.reasoning: answer.reasoning or None}
        choice: dict[str, Any] = {"index": 0, "message": said, "finish_reason": answer.finish}
    else:
        choice = {"index": 0, "text": answer.reasoning + answer.text, "logprobs": None, "finish_reason": answer.finish}
    if answer.asked.token_ids:
        choice["token_ids"] = answer.ids
    kind = "chat.completion" if chat else "text_completion"
    whole = {"id": answer.id, "object": kind, "created": CREATED, "model": answer.model, "choices": [choice]}
    return {**whole, "usage": usage(answer)}


def refusal(shape: str, refused: Refused) -> Any:
    """The body of an answer with a status, in one of the three shapes that OpenAI-like servers have."""
    if shape == "detail":
        return {"detail": refused.message}
    error = {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.status}
    return {"object": "error", **error} if shape == "flat" else {"error": error}


def _broken(dialect: Dialect, answer: Answer, refused: Refused) -> Events:
    error = {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.status}
    event = {
        "object": [sse({"error": error})],
        "flat": [sse({"object": "error", **error})],
        "text": [sse({"error": refused.message})],
        "naked": [encode({"error": {"message": refused.message, "code": refused.status}})],
        "empty": [],
        "cut": [],
    }[dialect.error]
    return [*event, *[DONE] * dialect.done_after_error]
