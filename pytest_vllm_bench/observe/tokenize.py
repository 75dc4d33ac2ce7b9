"""A server's /tokenize and /detokenize → functions over lists of texts, for those who have no tokenizer at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Target
from pytest_vllm_bench.observe.ready import shown, url, web, words
from pytest_vllm_bench.tokenizer import ServerTokenizer

#: Requests under way at once: enough to hide the round trip, too few to disturb the server.
AT_ONCE = 16


def tokenizer_of(target: Target, model: str) -> ServerTokenizer:
    """The two functions; each blocks until all texts are through, so call them off the event loop.

    Each text goes under vLLM's name and under llama.cpp's: both ignore what they do not know.
    """

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        bare = {"model": model, "add_special_tokens": False, "add_special": False}
        bodies = [{**bare, "prompt": text, "content": text} for text in texts]
        return [answer["tokens"] for answer in _all(target, "/tokenize", bodies)]

    def detokenize(ids: Sequence[Sequence[int]]) -> list[str]:
        bodies = [{"model": model, "tokens": list(row)} for row in ids]
        answers = _all(target, "/detokenize", bodies)
        return [answer["prompt"] if "prompt" in answer else answer["content"] for answer in answers]

    return ServerTokenizer(tokenize=tokenize, detokenize=detokenize)


async def template_tokens(target: Target, model: str) -> int | None:
    """Tokens that the chat template adds to a one-message prompt; None where the server does not tell.

    Two texts of different length are compared, so that a template that trims or joins is noticed (None).
    """
    overheads = set()
    async with web(target) as session:
        for text in ("hello", "hello hello hello"):
            bare = await _one(
                session, target, "/tokenize", {"model": model, "prompt": text, "add_special_tokens": False}
            )
            chat = {"model": model, "messages": [{"role": "user", "content": text}], "add_generation_prompt": True}
            full = await _one(session, target, "/tokenize", chat)
            if bare is None or full is None or "count" not in full:  # llama.cpp: no messages
                return None
            overheads.add(int(full["count"]) - int(bare["count"]))
    return overheads.pop() if len(overheads) == 1 else None


def _all(target: Target, path: str, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    async def go() -> list[dict[str, Any]]:
        gate = asyncio.Semaphore(AT_ONCE)
        async with web(target, timeout=300) as session:

            async def one(body: dict[str, Any]) -> dict[str, Any]:
                async with gate:
                    answer = await _one(session, target, path, body)
                if answer is None:
                    raise ServerError("server.no_tokenize", url=url(target, path))
                return answer

            return list(await asyncio.gather(*map(one, bodies)))

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(go())


async def _one(
    session: aiohttp.ClientSession, target: Target, path: str, body: dict[str, Any]
) -> dict[str, Any] | None:
    """One call; None where the server has no such path."""
    try:
        async with session.post(url(target, path), json=body) as response:
            if response.status in (404, 405, 501):
                return None
            if response.status != 200:
                said = shown(target.discreet(words(await response.read())))
                raise ServerError("server.status", url=url(target, path), status=response.status, said=said)
            answer: dict[str, Any] = await response.json()
            return answer
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ServerError("server.dropped", url=url(target, path), said=str(error)) from None
