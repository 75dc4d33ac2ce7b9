"""What is another server than before: told both times, and not the same."""

from __future__ import annotations

from typing import Any

from every import every

from pytest_vllm_bench.model import Target
from pytest_vllm_bench.observe.ready import Server, changed
from pytest_vllm_bench.text import say

WAS: dict[str, Any] = {
    "models": ("m", "lora"), "roots": {"m": "org/m"}, "max_model_len": {"m": 4096}, "version": "0.32.0",
}  # fmt: skip


@every(
    ("after", "said"),
    [
        ({"models": ("n",), "roots": {}, "max_model_len": {}}, "m, lora before, n after"),
        ({"roots": {"m": "org/m-awq"}}, "org/m-awq after"),
        ({"max_model_len": {"m": 8192}}, "max_model_len 4096 before"),
        ({"version": "0.33.0"}, "version 0.32.0 before, version 0.33.0 after"),
        ({}, ""),
        ({"models": ("m",)}, ""),  # a model that nobody asked for
        ({"models": ("lora", "m", "more")}, ""),
        ({"models": (), "roots": {}, "max_model_len": {}, "version": ""}, ""),  # it does not tell any more
    ],
)
def test_what_is_another_one(after: dict[str, Any], said: str) -> None:
    before, now = (Server(target=Target(), **given) for given in (WAS, {**WAS, **after}))
    found = changed(before, now, ["m"])
    assert (found is None) == (not said)
    if found is not None:
        assert said in say(found, "en")
        assert say(found, "zh") != say(found, "en")
