"""What a client says of a load, and what it cost: the noun that clients hand to the rounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A client's own figures, in ms; None: it does not say."""

    ttft_mean: float
    ttft_p99: float
    itl_p50: float | None = None
    itl_p99: float | None = None
    throughput: float  # tokens a second
    cpu_us: float | None = None  # of the process that receives, for one event
    decode_us: float | None = None  # for one event
    metrics_us: float | None = None  # for one request
    memory_mb: float | None = None
    lag_p99_ms: float | None = None  # of the sentinel
    beyond_s: float | None = None  # wall time of the whole command beyond the load itself
