"""vLLM's sweep files (``--serve-params``, ``--bench-params``) → the keys of a config that runs the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.errors import BenchError

Params = Mapping[str, Any]
#: What a load is, by the names that ``vllm bench serve`` has for it: any data set's lengths count.
INPUT, OUTPUT, CAP = ("random-input-len", "input-len"), ("random-output-len", "output-len"), ("max-concurrency",)
PROMPTS, RATE = ("num-prompts",), ("request-rate",)
#: What it sends where nobody says how many.
USUAL = 1000
#: A name of a setting, and what is done here anyway.
ASIDE = {"_benchmark_name", "label", "dataset-name", "ignore-eos", "backend", "model", "tokenizer", "endpoint"}


def settings(path: Path) -> list[dict[str, Any]]:
    """A list of settings, or names of settings; BenchError where it is neither."""
    found = files.documents(path)[0]
    if isinstance(found, dict) and all(isinstance(one, dict) for one in found.values()):
        found = [{"label": name, **one} for name, one in found.items()]
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise BenchError("config.server_sweep", file=path.name)
    return found


def load(params: Iterable[Params]) -> tuple[dict[str, Any], list[str]]:
    """The keys of the load, and the names of what no key stands for; what the axes multiply beyond the list is
    skipped."""
    spelled = [{key.lstrip("-").replace("_", "-"): value for key, value in one.items()} for one in params]
    cells = {}
    for one in spelled:
        lengths = _first(one, INPUT, 256), _first(one, OUTPUT, 128)
        cells[lengths, (_first(one, CAP, None), _first(one, PROMPTS, USUAL)), _first(one, RATE, "inf")] = one
    axes = [list(dict.fromkeys(values)) for values in zip(*cells, strict=True)]
    spare = [cell for cell in itertools.product(*axes) if cell not in cells]
    made: dict[str, Any] = {
        "input_output": [list(pair) for pair in axes[0]],
        "concurrency_prompts": [list(pair) for pair in axes[1]],
        "request_rate": axes[2],
        "overrides": [{"match": _match(*cell), "skip": "not in the sweep"} for cell in spare],
    }
    known = {*INPUT, *OUTPUT, *CAP, *PROMPTS, *RATE} | {name.replace("_", "-") for name in ASIDE}
    lost = dict.fromkeys(key for one in spelled for key in one if key not in known)
    return {key: value for key, value in made.items() if value and value != ["inf"]}, list(lost)


def _first(one: Params, names: Iterable[str], usual: Any) -> Any:
    return next((one[name] for name in names if one.get(name) is not None), usual)


def _match(lengths: tuple[int, int], load: tuple[int | None, int], rate: float | str) -> str:
    """The ids of one cell, on whatever server."""
    cap = "" if load[0] is None else f"-mc{load[0]}"
    at = "" if rate == "inf" else f"-rr{float(rate):.12g}"
    return f"*io{lengths[0]}x{lengths[1]}{cap}{at}-np{load[1]}"
