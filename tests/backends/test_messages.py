"""Chat's messages, tools and pictures under the names of Anthropic's interface, and what its requests carry besides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from exchange import ask, exchange

from pytest_vllm_bench import simulator
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Media, Prompt

MESSAGES = BACKENDS["anthropic-messages"]


def sent(prompt: Prompt, **asked: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(MESSAGES.body(ask(prompt=prompt, **asked)))
    return body


def test_what_the_system_says_stands_apart() -> None:
    talk: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "4."},
        {"role": "user", "content": "And 3 + 3?"},
    ]
    body = sent(Prompt(messages=talk))
    assert body["system"] == "Be brief.\n\nBe kind."
    assert body["messages"] == talk[2:]
    assert "system" not in sent(Prompt(text="x"))


def test_calls_of_tools_and_their_results_are_parts() -> None:
    function = {"name": "weather", "arguments": '{"city": "Rome"}'}
    talk: list[dict[str, Any]] = [
        {"role": "user", "content": "Is it warm in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "31 °C"},
    ]
    call, result = sent(Prompt(messages=talk))["messages"][1:]
    use = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}
    assert call == {"role": "assistant", "content": [use]}
    told = {"type": "tool_result", "tool_use_id": "c1", "content": "31 °C"}
    assert result == {"role": "user", "content": [told]}


def test_pictures_are_sources() -> None:
    here = Prompt(text="What is it?", media=(Media(kind="image", data=b"x", mime="image/png", url=""),))
    (message,) = sent(here)["messages"]
    source = {"type": "base64", "media_type": "image/png", "data": "eA=="}
    assert message["content"] == [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    part = {"type": "image_url", "image_url": {"url": "http://h/a.png"}}
    (message,) = sent(Prompt(messages=[{"role": "user", "content": [part]}]))["messages"]
    assert message["content"] == [{"type": "image", "source": {"type": "url", "url": "http://h/a.png"}}]


def test_a_limit_is_always_sent_and_only_what_the_interface_knows() -> None:
    body = sent(Prompt(text="x"), output_len=None, sampling={"temperature": 0, "min_p": 0.1, "top_k": None})
    assert body["max_tokens"] > 0
    assert set(body) == {"model", "messages", "max_tokens", "temperature", "stream"}


def test_without_the_version_a_request_is_refused_as_theirs_is() -> None:
    """The contract's requests, those of the load and the trial before it have it."""
    assert MESSAGES.headers == {"anthropic-version": "2023-06-01"}
    with simulator.start() as server:
        bare = exchange(server.base_url, replace(MESSAGES, headers={}), ask(model="simulator"))
        assert (bare.error, bare.status) == ("http", 400)
        assert "anthropic-version" in bare.error_detail
        assert exchange(server.base_url, MESSAGES, ask(model="simulator")).error is None
