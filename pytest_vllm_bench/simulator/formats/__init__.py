"""A dialect's name → the formats it is spoken in, by path.

One line a server in ``SPOKEN``; what has a path of its own is served whatever the dialect.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_vllm_bench.simulator.formats import openai
from pytest_vllm_bench.simulator.formats.dialects import DIALECTS
from pytest_vllm_bench.simulator.formats.shape import Format


def routes(dialect: str) -> Mapping[str, Format]:
    """Path (POST) → Format.  An unknown dialect is a KeyError."""
    habits = DIALECTS[dialect]
    return {
        "/v1/completions": openai.completions(habits),
        "/v1/chat/completions": openai.chat(habits),
    }
