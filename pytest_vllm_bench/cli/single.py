"""``single``: one scenario from the flags of ``vllm bench serve``, the same as a config of one cell."""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.cli.batch import pytest_on
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import SLO_IDS
from pytest_vllm_bench.text import say

PASSES_ON = True


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    add = parser.add_argument
    add("--backend", default="vllm", help=say("cli.single.backend", lang))
    add("--base-url", dest="url", default=None, help=say("cli.base_url", lang))
    add("--host", default=None, help=say("cli.single.host", lang))
    add("--port", type=int, default=8000, help=say("cli.single.port", lang))
    add("--endpoint", default=None, help=say("cli.single.endpoint", lang))
    add("--model", default=None, help=say("cli.single.model", lang))
    add("--tokenizer", default=None, help=say("cli.single.tokenizer", lang))
    add("--dataset-name", default="random", help=say("cli.single.dataset_name", lang))
    add("--dataset-path", default=None, type=files.path, help=say("cli.single.dataset_path", lang))
    add("--random-input-len", type=int, default=1024, metavar="TOKENS", help=say("cli.single.input_len", lang))
    add("--random-output-len", type=int, default=128, metavar="TOKENS", help=say("cli.single.output_len", lang))
    add("--random-range-ratio", type=float, default=0.0, metavar="R", help=say("cli.single.range_ratio", lang))
    add("--random-prefix-len", type=int, default=0, metavar="TOKENS", help=say("cli.single.prefix_len", lang))
    add("--num-prompts", type=int, default=1000, metavar="N", help=say("cli.single.num_prompts", lang))
    add("--max-concurrency", type=int, default=None, metavar="C", help=say("cli.single.max_concurrency", lang))
    add("--request-rate", type=float, default=math.inf, metavar="R", help=say("cli.single.request_rate", lang))
    add("--burstiness", type=float, default=1.0, help=say("cli.single.burstiness", lang))
    add("--goodput", nargs="*", default=[], metavar="NAME:MS", help=say("cli.single.goodput", lang))
    add("--sla", nargs="*", default=[], metavar="RULE", help=say("cli.single.sla", lang))
    add("--seed", type=int, default=0, help=say("cli.single.seed", lang))
    add("--ignore-eos", action="store_true", default=None, help=say("cli.single.ignore_eos", lang))
    add("--num-warmups", type=int, default=None, metavar="N", help=say("cli.single.num_warmups", lang))
    add("--result-dir", dest="results", default="results", type=files.path, help=say("cli.result_dir", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    import yaml

    with tempfile.TemporaryDirectory(prefix="vllm-bench-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(yaml.safe_dump(as_config(args), allow_unicode=True), encoding="utf-8")
        args.url = None  # it stands in the config
        return pytest_on(config, args, lang)


def as_config(args: argparse.Namespace) -> dict[str, Any]:
    """The flags as the content of a config.yaml of one cell; flags left at their default say nothing."""
    dataset: dict[str, Any] = {"name": args.dataset_name}
    if args.dataset_path:
        dataset["path"] = str(args.dataset_path.resolve())
    if args.dataset_name == "random":
        dataset |= {"range_ratio": args.random_range_ratio} if args.random_range_ratio else {}
        dataset |= {"prefix_len": args.random_prefix_len} if args.random_prefix_len else {}
    said = {
        "base_url": args.url or f"http://{args.host or 'localhost'}:{args.port}",
        "backend": args.backend,
        "endpoint": args.endpoint,
        "model": args.model,
        "tokenizer": args.tokenizer,
        "dataset": dataset,
        "input_output": [[args.random_input_len, args.random_output_len]] if args.dataset_name == "random" else None,
        "concurrency_prompts": [[args.max_concurrency, args.num_prompts]],
        "request_rate": None if math.isinf(args.request_rate) else args.request_rate,
        "burstiness": args.burstiness if args.burstiness != 1 else None,
        "goodput": dict(map(slo, args.goodput)) or None,
        "sla": args.sla or None,
        "seed": args.seed,
        "ignore_eos": args.ignore_eos,
        "warmup": args.num_warmups,
    }
    return {key: value for key, value in said.items() if value is not None}


def slo(text: str) -> tuple[str, float]:
    """ "ttft:200" → ("ttft", 200.0)."""
    name, colon, limit = text.partition(":")
    try:
        found = name, float(limit)
    except ValueError:
        raise BenchError("cli.single.bad_goodput", text=text if colon else f"{text} (no colon)") from None
    if name not in SLO_IDS or not 0 < found[1] < math.inf:
        raise BenchError("cli.single.goodput_of", text=text, names=", ".join(SLO_IDS))
    return found
