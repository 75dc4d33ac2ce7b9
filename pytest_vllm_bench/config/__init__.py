"""config.yaml → Config → Scenarios: ``read`` finds every problem at once, ``matrix`` multiplies the axes."""

from __future__ import annotations

from pathlib import Path

from pytest_vllm_bench.config.matrix import matrix
from pytest_vllm_bench.config.nouns import Config, Overrides
from pytest_vllm_bench.config.read import read
from pytest_vllm_bench.config.starter import write_starter

__all__ = ["SCHEMA_FILE", "Config", "Overrides", "matrix", "read", "write_starter"]

#: The JSON schema of config.yaml, for editors.
SCHEMA_FILE = Path(__file__).parent / "config.schema.json"
