"""Backends of every kind through the whole plugin: one pytest run, a folder each, against one simulator."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
import yaml
from quiet import NOT_ASKED

from pytest_vllm_bench import simulator

TEST = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    result = await vllm_bench(scenario)
    assert result.completed == 6
"""
CONFIG: dict[str, Any] = {
    "model": "tiny",
    "tokenizer": "simulator",
    "input_output": [[32, 12]],
    "concurrency_prompts": [[2, 6]],
    "warmup": 0,
    "validity": NOT_ASKED,
}
BATCH = {"dataset": {"name": "random", "batch": 3}}
CASES: dict[str, dict[str, Any]] = {
    "openai-responses": {},
    "anthropic-messages": {},
    "openai-audio": {"dataset": {"name": "audio", "path": "clips"}, "input_output": [[None, 12]]},
    "vllm-pooling": BATCH,
    "vllm-rerank": BATCH,
    "tgi": {},
    "tensorrt-llm": {},
    "deepspeed-mii": {},
    "sglang": {},
    "ollama": {},
    "vllm-chat": {"model": ["tiny", "adapter"], "model_choice": "round_robin"},
}


def clips(folder: Path) -> None:
    folder.mkdir()
    for seconds in range(1, 7):
        with wave.open(str(folder / f"{seconds}.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(16_000 * seconds))


@pytest.mark.slow
def test_backends_of_every_kind(pytester: pytest.Pytester) -> None:
    for number, (name, more) in enumerate(CASES.items()):
        folder = pytester.mkdir(name)
        config = {**CONFIG, "backend": name, "results_dir": f"{name}/results", **more}
        (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        (folder / f"test_{number}.py").write_text(TEST, encoding="utf-8")
    clips(pytester.path / "openai-audio" / "clips")
    with simulator.start(simulator.SimulatorOptions(models=("tiny", "adapter"))) as running:
        light = ("-p", "no:hypothesispytest")
        result = pytester.runpytest_subprocess(f"--vllm-url={running.base_url}", "--vllm-lang=en", *light, timeout=240)
    result.assert_outcomes(passed=len(CASES))
    rows = {}
    for name in CASES:
        (file,) = (pytester.path / name / "results").glob("bench_*.json")
        rows[name] = json.loads(file.read_text(encoding="utf-8"))
    for name, row in rows.items():
        assert row["completed"] == 6
        assert row["mean_e2el_ms"] > 0
        assert (row["mean_ttft_ms"] is None) == (name in ("vllm-pooling", "vllm-rerank", "deepspeed-mii"))
    assert rows["openai-audio"]["rtfx"] > 0
    assert rows["vllm-pooling"]["total_input_tokens"] == 6 * 3 * 32
    assert rows["tensorrt-llm"]["token_source"] == "tokenizer"
    for name in ("tgi", "ollama"):
        assert "backends.cannot_force" in [note["key"] for note in rows[name]["notes"]]
    assert "backends.no_stream" in [note["key"] for note in rows["deepspeed-mii"]["notes"]]
    assert rows["sglang"]["token_source"] == rows["ollama"]["token_source"] == "counter"
    assert {name: of["completed"] for name, of in rows["vllm-chat"]["by_model"].items()} == {"tiny": 3, "adapter": 3}
    assert rows["openai-responses"]["total_output_tokens"] == rows["sglang"]["total_output_tokens"] == 72
