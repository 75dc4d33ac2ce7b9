"""A server's /tokenize and /detokenize → functions over lists of texts, for those who have no tokenizer at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Target
from pytest_vllm_bench.observe.pages import asked, parsed, read, refusal, url, web, words
from pytest_vllm_bench.observe.ready import ASIDE
from pytest_vllm_bench.tokenizer import ServerTokenizer

#: Requests under way at once: enough to hide the round trip, too few to disturb the server.
AT_ONCE = 16
#: Bytes of one answer at most.
MOST_BYTES = 64 << 20
#: A template of more tokens is none.
TEMPLATE = 100_000


def tokenizer_of(target: Target, model: str) -> ServerTokenizer:
    """The two functions; each blocks until all texts are through, so call them off the event loop.

    Each text goes under vLLM's name and under llama.cpp's: both ignore what they do not know.
    """

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        bare = {"model": model, "add_special_tokens": False, "add_special": False}
        bodies = [{**bare, "prompt": text, "content": text} for text in texts]
        return [_said(target, "/tokenize", answer, list) for answer in _all(target, "/tokenize", bodies)]

    def detokenize(ids: Sequence[Sequence[int]]) -> list[str]:
        bodies = [{"model": model, "tokens": list(row)} for row in ids]
        answers = _all(target, "/detokenize", bodies)
        found = [_said(target, "/detokenize", answer, str) for answer in answers]
        return [text.encode(errors="replace").decode() for text in found]  # JSON can spell half a character

    return ServerTokenizer(tokenize=tokenize, detokenize=detokenize)


async def template_tokens(target: Target, model: str) -> int | None:
    """Tokens that the chat template adds to a one-message prompt; None where the server does not tell, for whatever
    reason: its answers count them too.

    Two texts of different length are compared, so that a template that trims or joins is noticed (None).
    """
    overheads = set()
    try:
        async with asyncio.timeout(ASIDE), web(target) as session:
            for text in ("hello", "hello hello hello"):
                chat = {"model": model, "messages": [{"role": "user", "content": text}], "add_generation_prompt": True}
                bare = {"model": model, "prompt": text, "add_special_tokens": False}
                full, alone = [await _one(session, target, "/tokenize", body) for body in (chat, bare)]
                overheads.add(int(full["count"]) - int(alone["count"]))  # llama.cpp: no messages, no count
    except (ServerError, TimeoutError, LookupError, TypeError, ValueError, OverflowError):
        return None
    return overheads.pop() if len(overheads) == 1 and 0 <= min(overheads) <= TEMPLATE else None


def _said(target: Target, path: str, answer: dict[str, Any], kind: type) -> Any:
    """The ids or the text of an answer, under either server's name."""
    found = next((answer[key] for key in ("tokens", "prompt", "content") if isinstance(answer.get(key), kind)), None)
    if found is None or (kind is list and not all(type(number) is int for number in found)):
        raise ServerError("server.odd_tokenize", url=url(target, path), said=words(target, repr(answer).encode()))
    return found


def _all(target: Target, path: str, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    async def go() -> list[dict[str, Any]]:
        gate = asyncio.Semaphore(AT_ONCE)
        async with web(target, timeout=300) as session:

            async def one(body: dict[str, Any]) -> dict[str, Any]:
                async with gate:
                    return await _one(session, target, path, body)

            return list(await asyncio.gather(*map(one, bodies)))

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(go())


async def _one(session: aiohttp.ClientSession, target: Target, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call; ServerError where the server has no such path, or does not answer as it should."""
    async with asked(session, target, path, json=body) as response:
        answer = await read(response, MOST_BYTES)
    if answer.status in (404, 405, 501):
        raise ServerError("server.no_tokenize", url=url(target, path))
    if answer.status != 200:
        raise refusal(target, path, answer)
    found = parsed(answer.body)
    if not isinstance(found, dict):
        raise ServerError("server.odd_tokenize", url=url(target, path), said=words(target, answer.body) or "–")
    return found
