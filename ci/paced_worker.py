"""A worker of vLLM's CPU build whose steps last as long as they are told to: its scheduler and all before it are real.

``--worker-cls paced_worker.PacedWorker``; this folder is on the server's path.
"""

from __future__ import annotations

import time
from typing import Any

from vllm.v1.worker.cpu_worker import CPUWorker

#: Seconds of a step, and of each sequence that decodes, token of its context, and prompt token in it.
STEP, DECODE, CONTEXT, PREFILL = 0.050, 0.001, 2e-6, 1e-4


class PacedWorker(CPUWorker):  # type: ignore[misc]
    ends = 0.0

    def execute_model(self, scheduler_output: Any) -> Any:
        began = time.perf_counter()
        if tokens := dict(scheduler_output.num_scheduled_tokens):
            self.ends = began + lasting(tokens, scheduler_output.scheduled_cached_reqs)
        return super().execute_model(scheduler_output)

    def sample_tokens(self, grammar_output: Any) -> Any:
        made = super().sample_tokens(grammar_output)
        time.sleep(max(0.0, self.ends - time.perf_counter()))
        return made


def lasting(tokens: dict[str, int], later: Any) -> float:
    """How long a step is to last in which each request has so many tokens; ``later``: those that have been in one."""
    computed: dict[str, int] = dict(zip(later.req_ids, later.num_computed_tokens, strict=True))
    decoding = [computed[one] for one, n in tokens.items() if n == 1 and one in computed]
    prefilled = sum(tokens.values()) - len(decoding)
    return STEP + DECODE * len(decoding) + CONTEXT * sum(decoding) + PREFILL * prefilled
