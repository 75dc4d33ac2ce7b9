"""DeepSpeed-MII: its REST gateway (whole answers only) and its streaming ``/generate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from pytest_vllm_bench.backends.complaints import capped
from pytest_vllm_bench.backends.lenient import reason
from pytest_vllm_bench.backends.payload import aside, encode, parse, reads
from pytest_vllm_bench.model import Ask, Backend, Delta

_SAMPLES = frozenset({"temperature", "top_p", "top_k", "stop", "min_tokens"})
_LONGEST = 32768  # prompt and answer together; without it the gateway stops at 1024


def body(ask: Ask) -> bytes:
    sampling = _sampling(ask.sampling)
    least = sampling.pop("min_tokens", None)
    greedy = sampling.get("top_k") == 1
    fields = {
        "prompts": [ask.prompt.text],
        "max_length": _LONGEST,
        "max_new_tokens": ask.output_len,
        "min_new_tokens": ask.output_len if ask.force_length else least,
        "ignore_eos": ask.force_length,
        "do_sample": not greedy,
        **sampling,
    }
    return encode(fields, ask.extra_body)


def body_generate(ask: Ask) -> bytes:
    """Its ``ignore_eos`` is pinned to false: a least number of tokens forces the length."""
    fields = {
        "prompt": ask.prompt.text,
        "max_length": _LONGEST,
        "max_tokens": ask.output_len,
        **_sampling(ask.sampling),
        **({"min_tokens": ask.output_len} if ask.force_length else {}),
        "stream": ask.stream,
    }
    return encode(fields, ask.extra_body)


def _sampling(asked: Mapping[str, Any]) -> dict[str, Any]:
    """It divides by the temperature: greedy is the best one token."""
    sampling = {key: value for key, value in asked.items() if key in _SAMPLES}
    if sampling.get("temperature") == 0:
        del sampling["temperature"]
        sampling["top_k"] = 1
    return sampling


class _Answer(msgspec.Struct, gc=False):
    generated_text: str | None = None
    generated_length: int | None = None
    prompt_length: int | None = None
    finish_reason: Any = None


_ANSWERS = msgspec.json.Decoder(list[_Answer])


def read(payload: bytes) -> Delta:
    """The gateway's array of answers, one a prompt."""
    answers = parse(_ANSWERS, payload)
    if type(answers) is not list:
        return cast(Delta, answers)
    said = [answer.generated_text for answer in answers if answer.generated_text is not None]
    if not said and answers:
        told = aside(payload)
        words = capped(payload.decode("utf-8", "replace"))
        return told if told.error is not None else Delta(choices=False, error=words, error_kind="protocol")
    return Delta(
        text="".join(said),
        prompt_tokens=sum(answer.prompt_length or 0 for answer in answers) or None,
        output_tokens=sum(answer.generated_length or 0 for answer in answers) or None,
        finish_reason=reason(answers[0].finish_reason) if answers else None,
        terminal=True,
    )


class _Piece(msgspec.Struct, gc=False):
    text: list[str] | None = None
    error: Any = None


@reads(_Piece, silent=lambda piece: piece.text is None)
def read_generate(piece: _Piece) -> Delta:
    return Delta(text=piece.text[0] if piece.text else "")


DEEPSPEED_MII = Backend(
    name="deepspeed-mii",
    path="/mii/{model}",
    body=body,
    read=read,
    framing="json",
    terminal="end",
    counts="counter",
    samples=_SAMPLES,
    names_model=False,
)
DEEPSPEED_MII_GENERATE = Backend(
    name="deepspeed-mii-generate",
    path="/generate",
    body=body_generate,
    read=read_generate,
    counts="none",
    samples=_SAMPLES,
    names_model=False,
)
