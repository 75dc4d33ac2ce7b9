"""The plugin as a user has it, against the real llama.cpp server: a matrix of lengths and loads."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from quiet import NOT_ASKED

TEST = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    result = await vllm_bench(scenario)
    assert result.completed == scenario.num_prompts
"""
CONFIG: dict[str, Any] = {
    "tokenizer": "simulator",  # the model's vocabulary
    "input_output": [[32, 8], [64, 16]],
    "concurrency_prompts": [[1, 4], [4, 16]],
    "validity": NOT_ASKED,
}


def run(pytester: pytest.Pytester, url: str, **config: Any) -> list[dict[str, Any]]:
    """The result files of a run that passed."""
    pytester.path.joinpath("config.yaml").write_text(yaml.safe_dump({**CONFIG, **config}), encoding="utf-8")
    pytester.makepyfile(test_cases=TEST)
    light = ("-p", "no:hypothesispytest")
    result = pytester.runpytest_subprocess(f"--vllm-url={url}", "--vllm-lang=en", *light, timeout=180)
    files = sorted((pytester.path / "results").glob("bench_*.json"))
    result.assert_outcomes(passed=len(files))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


@pytest.mark.parametrize("backend", ["llama.cpp", "llama.cpp-native"])
def test_a_matrix(counting_llama: str, pytester: pytest.Pytester, backend: str) -> None:
    rows = run(pytester, counting_llama, backend=backend)
    assert len(rows) == 4
    for row in rows:
        n, asked, length = row["num_prompts"], row["input_len"], row["output_len"]
        assert row["completed"] == n
        assert row["total_input_tokens"] == n * asked
        assert row["total_output_tokens"] == n * length
        assert 0 < row["mean_ttft_ms"] <= row["mean_e2el_ms"]


def test_the_servers_own_tokenizer(counting_llama: str, pytester: pytest.Pytester) -> None:
    one = {"input_output": [[48, 8]], "concurrency_prompts": [[2, 6]]}
    (row,) = run(pytester, counting_llama, backend="llama.cpp", tokenizer="server", **one)
    assert row["completed"] == 6
    assert row["total_input_tokens"] == 6 * 48


def test_chat_that_thinks(thinking_llama: str, pytester: pytest.Pytester) -> None:
    one: dict[str, Any] = {"input_output": [[256, 12]], "concurrency_prompts": [[2, 6]]}
    one["validity"] = {**CONFIG["validity"], "length": 1, "cache": 1}  # the template is long
    (row,) = run(pytester, thinking_llama, backend="openai-chat", **one)
    assert (row["completed"], row["total_output_tokens"]) == (6, 72)
    assert row["mean_ttft_ms"] > 0
    assert row["mean_ttfo_ms"] is None


def test_embeddings(embedding_llama: str, pytester: pytest.Pytester) -> None:
    one = {"input_output": [[32, 1]], "concurrency_prompts": [[2, 6]]}
    dataset = {"name": "random", "batch": 3}
    (row,) = run(pytester, embedding_llama, backend="openai-embeddings", dataset=dataset, **one)
    assert row["completed"] == 6
    assert row["mean_ttft_ms"] is None
    assert row["mean_e2el_ms"] > 0
