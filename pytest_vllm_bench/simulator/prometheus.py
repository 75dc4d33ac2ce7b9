"""What the server counts → the text of /metrics, under vLLM's names."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

TTFT = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
E2E = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0)


class Histogram:
    """Seconds, in buckets."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def lines(self, name: str, labels: str) -> list[str]:
        lines, total = [f"# TYPE {name} histogram"], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {total}')
        return [*lines, f"{name}_count{{{labels}}} {total}", f"{name}_sum{{{labels}}} {self.sum!r}"]


@dataclass(slots=True)
class Counts:
    """Everything counted since the start."""

    started: float  # monotonic: it need only differ between two processes
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[str, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "abort": 0})
    ttft: Histogram = field(default_factory=lambda: Histogram(TTFT))
    itl: Histogram = field(default_factory=lambda: Histogram(ITL))
    e2e: Histogram = field(default_factory=lambda: Histogram(E2E))
    queue: Histogram = field(default_factory=lambda: Histogram(E2E))
    prefill: Histogram = field(default_factory=lambda: Histogram(E2E))
    decode: Histogram = field(default_factory=lambda: Histogram(E2E))

    def end(self, reason: str | None, seconds: float | None) -> None:
        """One request is over; ``reason`` None: it broke off, ``seconds`` None: nobody waited for its end."""
        known = reason if reason in self.finished else "abort"
        self.finished[str(known)] += 1
        if seconds is not None:
            self.e2e.observe(seconds)


def text(counts: Counts, gauges: dict[str, float], counters: dict[str, int], model: str) -> str:
    """The page.  ``gauges`` and ``counters``: names without ``vllm:`` and ``_total``."""
    labels = f'engine="0",model_name="{model}"'
    lines = ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {counts.started!r}"]
    for name, value in gauges.items():
        lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{labels}}} {value}"]
    totals = {"prompt_tokens": counts.prompt_tokens, "generation_tokens": counts.generation_tokens, **counters}
    for name, value in totals.items():
        lines += [f"# TYPE vllm:{name}_total counter", f"vllm:{name}_total{{{labels}}} {value}"]
    lines.append("# TYPE vllm:request_success_total counter")
    for reason, value in counts.finished.items():
        lines.append(f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {value}')
    lines += counts.ttft.lines("vllm:time_to_first_token_seconds", labels)
    lines += counts.itl.lines("vllm:inter_token_latency_seconds", labels)
    lines += counts.e2e.lines("vllm:e2e_request_latency_seconds", labels)
    for stage in ("queue", "prefill", "decode"):
        lines += getattr(counts, stage).lines(f"vllm:request_{stage}_time_seconds", labels)
    return "\n".join(lines) + "\n"
