"""What the tests of configs share: a complete config to put lines after."""

from __future__ import annotations

from collections.abc import Callable

from pytest_vllm_bench.config import Config
from pytest_vllm_bench.model import Problem

#: A complete config; tests put lines after it.
SHORT = "base_url: http://localhost:8000\ninput_output: [[256, 32]]\nconcurrency_prompts: [[16, 160]]\n"

Read = Callable[..., Config]
Wrong = Callable[..., list[Problem]]
