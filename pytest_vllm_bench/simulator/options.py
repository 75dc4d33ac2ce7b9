"""What can be chosen about the built-in server → SimulatorOptions, as nouns and as a command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from pytest_vllm_bench.simulator.engine import LatencyModel
from pytest_vllm_bench.text import say


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


def parse(args: Sequence[str] | None = None, lang: str = "en") -> tuple[SimulatorOptions, bool]:
    """A command line → the options, and whether to end when stdin is closed."""
    from pytest_vllm_bench.simulator import formats

    parser = argparse.ArgumentParser(
        prog="python -m pytest_vllm_bench.simulator",
        description=say("simulator.help", lang),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--with-parent", action="store_true", help=say("simulator.help.with_parent", lang))
    for kind in (SimulatorOptions, LatencyModel):
        group = parser.add_argument_group(say(f"simulator.help.{kind.__name__}", lang))
        for f in fields(kind):
            if f.name != "latency":
                _option(
                    group, f.name, f.default, say(f"simulator.help.{f.name}", lang, dialects=", ".join(formats.NAMES))
                )
    given = vars(parser.parse_args(args))
    if not 0 <= given["port"] < 2**16:  # the system would take the rest of a division
        parser.error(say("simulator.port", lang, port=given["port"]))
    with_parent = given.pop("with_parent")
    latency = LatencyModel(**{f.name: given.pop(f.name) for f in fields(LatencyModel)})
    return SimulatorOptions(**{**given, "models": tuple(given["models"]), "latency": latency}), with_parent


def _option(group: argparse._ArgumentGroup, name: str, default: Any, words: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(default, tuple):
        group.add_argument(flag, nargs="+", default=default, metavar="NAME", help=words)
    elif isinstance(default, bool):
        group.add_argument(flag, type=lambda text: text.lower() == "true", default=default, metavar="BOOL", help=words)
    else:
        group.add_argument(flag, type=type(default), default=default, metavar=type(default).__name__, help=words)
