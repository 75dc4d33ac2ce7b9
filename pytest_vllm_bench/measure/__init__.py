"""UNDERSTAND what came: tape entries → Records → metrics; pure."""

from pytest_vllm_bench.measure.decode import Decoder

__all__ = ["Decoder"]
