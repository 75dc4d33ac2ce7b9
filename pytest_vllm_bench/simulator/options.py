"""What can be chosen about the built-in server → SimulatorOptions, and the command line that says them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pytest_vllm_bench.simulator.engine import LatencyModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """The server's face; ``latency`` is its engine.  Each field is also an option of the command line."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    models: tuple[str, ...] = ("simulator",)  # the first is the default, the others are LoRA adapters
    max_model_len: int = 131_072
    api_key: str = ""  # empty: everybody is let in
    dialect: str = "vllm"  # of the paths that several servers share
    tokenizer: str = ""  # path of a tokenizer.json; empty: the small one that ships with the simulator
    faults: str = ""  # path of a fault script
    reasoning: float = 0.0  # share of a chat answer that is thinking, 0..1
    eos_mean: float = 200.0  # tokens until EOS where it is not ignored, on average
    odd_share: float = 0.03  # share of words that take several tokens, or are not ASCII
    stream_interval: int = 1  # tokens an event (the first event has one)
    keep_alive: float = 0.0  # seconds between keep-alive comments while nothing else is sent; 0: none
    ready_after: float = 0.0  # seconds during which everything is answered with 503
    wake_s: float = 0.0  # seconds to wake after /sleep (vLLM's ``--enable-sleep-mode``); 0: it cannot sleep
    profiler_config: str = ""  # vLLM's ``--profiler-config``; empty: in vLLM's dialect there is no profiler
    request_metrics: bool = False  # vLLM's ``--enable-per-request-metrics``
    seed: int = 0
    latency: LatencyModel = LatencyModel()


def arguments(options: SimulatorOptions) -> list[str]:
    """The command line that says ``options``."""
    default = SimulatorOptions()
    plain = [(f.name, getattr(options, f.name), getattr(default, f.name)) for f in fields(options)]
    speed = [(f.name, getattr(options.latency, f.name), f.default) for f in fields(LatencyModel)]
    args: list[str] = []
    for name, value, usual in plain + speed:
        if name == "latency" or value == usual:
            continue
        values = value if isinstance(value, tuple) else (value,)
        args += [f"--{name.replace('_', '-')}", *(str(v) for v in values)]
    return args
