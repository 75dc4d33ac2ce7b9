"""One plan, sent by several machines: docs/adr/0012 tells the story, ``sending.send`` is it."""

from pytest_vllm_bench.machines.line import Machine
from pytest_vllm_bench.machines.sending import WARM_LEAD_S, Order, addresses, meet, send, trusting, unfit

__all__ = ["WARM_LEAD_S", "Machine", "Order", "addresses", "meet", "send", "trusting", "unfit"]
