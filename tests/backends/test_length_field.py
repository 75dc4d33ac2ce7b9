"""The field that asks for the output length: which it is, how another takes its place, and when to try one."""

from __future__ import annotations

import json
from typing import Any

from every import every

from pytest_vllm_bench.backends import BACKENDS, another, asked_by, field_of, length_field
from pytest_vllm_bench.model import Ask, Cell, Prompt, Scenario, Target
from pytest_vllm_bench.plan.bodies import Asks

FIELDS = {
    "vllm-chat": "max_completion_tokens",
    "openai-chat": "max_completion_tokens",
    "openai-responses": "max_output_tokens",
    "sglang": "sampling_params.max_new_tokens",
    "tgi": "parameters.max_new_tokens",
    "tensorrt-llm-llmapi": "sampling_param_max_tokens",
    "deepspeed-mii": "max_new_tokens",
    "llama.cpp-native": "n_predict",
    "ollama": "options.num_predict",
}
NONE = {name for name, backend in BACKENDS.items() if not backend.generates or "json" not in backend.content_type}


def test_each_backend_has_the_field_of_its_server() -> None:
    found = {name: length_field(backend) for name, backend in BACKENDS.items()}
    assert found == {name: "" if name in NONE else FIELDS.get(name, "max_tokens") for name in BACKENDS}


def scenario(backend: str, field: str, **extra: object) -> Scenario:
    return Scenario(cell=Cell(place="s"), target=Target(), backend=backend, output_field=field, extra_body=extra)


def body(name: str, field: str, **extra: object) -> dict[str, Any]:
    asks = Asks.of(scenario(name, field, **extra), BACKENDS[name], ("m",), detail=None, salt="", template=None)
    (_, made), *_ = asks.turns(Prompt(text="hello", output_len=32), 0, 1)
    return dict(json.loads(made))


@every("name", sorted(set(BACKENDS) - NONE))
def test_another_field_takes_its_place_and_the_length_stays(name: str) -> None:
    sent: Any = body(name, "max_answer")
    assert sent.pop("max_answer") == 32
    before: Any = json.loads(
        BACKENDS[name].body(Ask(prompt=Prompt(text="hello"), model="m", output_len=32, force_length=True))
    )
    usual = length_field(BACKENDS[name]).split(".")
    for key in usual[:-1]:
        before, sent = before[key], sent[key]
    assert set(before) - set(sent) == {usual[-1]}
    assert body(name, length_field(BACKENDS[name])) == body(name, "")


def test_an_inner_field_and_what_the_user_lays_over_it() -> None:
    assert body("ollama", "options.limit")["options"]["limit"] == 32
    assert "num_predict" not in body("ollama", "options.limit")["options"]
    assert body("openai-chat", "max_tokens", max_tokens=7)["max_tokens"] == 7
    assert asked_by("max_tokens", "max_completion_tokens", None) == {}, "the server decides"


def test_the_field_that_is_sent_in_the_end() -> None:
    chat = BACKENDS["openai-chat"]
    assert field_of(chat, "", {}) == "max_completion_tokens"
    assert field_of(chat, "max_tokens", {}) == "max_tokens"
    assert field_of(chat, "", {"max_completion_tokens": None, "max_tokens": 32}) == "max_tokens"


@every(
    ("field", "words", "tried"),
    [
        ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported with this model. "
                       "Use 'max_completion_tokens' instead.", "max_completion_tokens"),
        ("max_completion_tokens", "Unrecognized request argument supplied: max_completion_tokens", "max_tokens"),
        ("max_completion_tokens", "body -> max_completion_tokens: Extra inputs are not permitted", "max_tokens"),
        ("max_completion_tokens", "unknown field `max_completion_tokens`, expected one of `max_tokens`", "max_tokens"),
        ("max_completion_tokens", "Additional properties are not allowed ('max_completion_tokens' was unexpected)",
         "max_tokens"),
        ("max_output_tokens", "max_output_tokens is not permitted; use max_new_tokens instead", "max_new_tokens"),
        ("max_completion_tokens", "不支持参数 max_completion_tokens", "max_tokens"),
        # its value is what they mind, or another field
        ("max_output_tokens", "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but "
                              "got 1 instead.", ""),
        ("max_tokens", "max_tokens must be at least 1, got 0", ""),
        ("max_tokens", "This model's maximum context length is 4096 tokens (max_tokens 5000)", ""),
        ("max_completion_tokens", "Unsupported parameter: 'temperature'", ""),
        ("options.num_predict", "unknown field num_predict", ""),
        ("max_tokens", "", ""),
    ],
)  # fmt: skip
def test_after_a_refusal_another_name_is_tried_only_where_the_name_was_refused(
    field: str, words: str, tried: str
) -> None:
    assert another(field, words) == tried
