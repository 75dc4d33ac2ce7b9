"""The hooks that this plugin offers to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_vllm_bench.model import Result
    from pytest_vllm_bench.registry import Registry


def pytest_vllm_bench_register(registry: Registry) -> None:
    """Add backends or datasets: ``registry.backends["name"] = Backend(...)``.  Called once, before a config is read."""


def pytest_vllm_bench_result(result: Result) -> None:
    """A scenario has ended and been judged; called in the process that ran it, before its test passes or fails."""
