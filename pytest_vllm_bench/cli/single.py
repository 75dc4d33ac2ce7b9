"""``single``: one scenario from the flags of ``vllm bench serve``, the same as a config of one cell."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench import environment, files
from pytest_vllm_bench.cli import vllm_result
from pytest_vllm_bench.cli.batch import pytest_on
from pytest_vllm_bench.cli.flags import (
    BACKENDS,
    DATASETS,
    FLAGS,
    SPLITS,
    UNITS,
    dashed,
    full_names,
    meant,
    names,
    own,
    pair,
    problem_of,
    shown,
)
from pytest_vllm_bench.config import Overrides, matrix, read
from pytest_vllm_bench.config.urls import address
from pytest_vllm_bench.config.values import MOST_PROMPTS
from pytest_vllm_bench.errors import BenchError, ConfigError
from pytest_vllm_bench.metric_table import SAMPLED, SLO_IDS
from pytest_vllm_bench.model import Message, Problem
from pytest_vllm_bench.plan import tables
from pytest_vllm_bench.plan.datasets import hf
from pytest_vllm_bench.plan.source import FileReading
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.suggest import suggestion
from pytest_vllm_bench.text import say

PASSES_ON = True
NARGS = {"header": "*", "metadata": "*"}


def spelled(argv: Sequence[str]) -> list[str]:
    """The command line with each flag under its full name, and with what ``--config FILE`` says in front."""
    argv = list(argv)
    for at, word in enumerate(argv):
        name, equals, path = word.partition("=")
        if name == "--config":
            path = path if equals else "".join(argv[at + 1 : at + 2])
            begin = argv.index("single") + 1
            rest = argv[begin:at] + argv[at + (1 if equals else 2) :]
            argv = [*argv[:begin], *_from_file(path), *rest]
            break
    return full_names(argv)


def _from_file(path: str) -> list[str]:
    """The flags of a YAML file, as ``vllm bench serve --config`` reads it."""
    import yaml

    try:
        found = yaml.safe_load(files.path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BenchError(
            "cli.single.config_file", path=path, why=getattr(error, "strerror", None) or str(error)
        ) from None
    if not isinstance(found, dict):
        raise BenchError("cli.single.config_file", path=path, why=type(found).__name__)
    words: list[str] = []
    for key, value in found.items():
        if isinstance(value, bool):
            words += [f"--{key}"] if value else []
        elif value is not None:
            several = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, dict) else value]
            words += [f"--{key}", *map(str, several)]
    return words


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.usage = say("cli.single.usage", lang)
    parser.allow_abbrev = False  # pytest's own options follow, which an abbreviation may be meant for
    for name, flag in FLAGS.items():
        text, dest = shown(name, lang, meaning=True).replace("%", "%%"), name.replace("-", "_")
        more: dict[str, Any]
        if flag.kind in ("on", "off"):
            more = {"action": f"store_{str(flag.kind == 'on').lower()}", "default": None}
            dest = dest if flag.place != "dataset.times" else "self_timed"
        elif flag.kind == "list":
            more = {"nargs": NARGS.get(name, "+")}
        else:
            more = {"type": flag.kind, "metavar": "X"}
        parser.add_argument(f"--{name}", dest=dest, help=text, **more)
    for key in own():
        parser.add_argument(
            f"--{dashed(key)}", dest=key, nargs="+", metavar="X", help=meant(key, lang).replace("%", "%%")
        )


def run(args: argparse.Namespace, lang: str) -> int:
    import yaml

    told: list[Message] = []
    asked = as_config(args, told)
    args.results, args.url = files.path(asked.pop("results_dir", "results")), None  # the URL stands in the config
    _explicit(args)
    if args.ready_check_timeout_sec:
        args.rest = [f"--vllm-ready-timeout={args.ready_check_timeout_sec}", *args.rest]
    for line in dict.fromkeys(say(message, lang) for message in told):
        print(line, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="vllm-bench-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(yaml.safe_dump(asked, allow_unicode=True, sort_keys=False), encoding="utf-8")
        began = environment.stamp()
        code = pytest_on(config, args, lang, plugins=[FlagErrors(config, args.dataset_name or "random", lang)])
    for written in vllm_result.save(args, began):
        print(say("cli.single.wrote", lang, path=str(written)))
    return code


def _explicit(args: argparse.Namespace) -> None:
    """A flag that is given outweighs the environment, which outweighs a config."""
    for name, given in (
        ("URL", args.base_url or args.host or args.port),
        ("MODEL", args.model or args.served_model_name or args.lora_modules),
        ("TOKENIZER", args.tokenizer),
    ):
        if given:
            os.environ.pop(f"PYTEST_VLLM_{name}", None)


class FlagErrors:
    """A pytest plugin that words what is wrong with the command line by its flags, before anything else does."""

    def __init__(self, config: Path, dataset: str, lang: str) -> None:
        self.file, self.dataset, self.lang = config, dataset, lang

    def pytest_load_initial_conftests(self, parser: pytest.Parser, args: list[str]) -> None:
        """What is no flag of ours is pytest's; what is no option of pytest's either is a slip."""
        _, unknown = parser.parse_known_and_unknown_args(args)
        for word in unknown:
            if word.startswith("--"):
                name = word[2:].partition("=")[0]
                hint = suggestion(f"--{dashed(name)}", [f"--{flag}" for flag in ("help", *names())])
                raise pytest.UsageError(say("cli.single.unknown", self.lang, name=f"--{name}", hint=hint))

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.vllm_flags = True
        registry = builtin()
        config.hook.pytest_vllm_bench_register(registry=registry)
        try:
            matrix(read(self.file, Overrides(), registry))
        except ConfigError as error:
            raise pytest.UsageError("\n".join(dict.fromkeys(map(self.line, error.problems)))) from None

    def line(self, problem: Problem) -> str:
        """A problem under the flag that it is of."""
        place = problem.path
        if problem.message.key == "plan.option_missing":
            place = f"{place}.{problem.message.values['name']}"
        words = say(problem.message, self.lang)
        return f"{problem_of(place, self.dataset)}: {words}" if place else words


# -------------------------------------------------------------------------------------- flags → config.yaml


def as_config(args: argparse.Namespace, told: list[Message]) -> dict[str, Any]:
    """The flags as the content of a config.yaml of one cell; ``told`` gathers what is not as they would have it."""
    dataset = args.dataset_name or "random"
    made: dict[str, Any] = {}
    for name, flag in FLAGS.items():
        value = given(args, name)
        if value is not None and not flag.counts(dataset):
            told.append(_said("not_of", name=name, dataset=dataset))
        elif value is not None and flag.aloud:
            told.append(_said("aloud", name=name, what=Message(key=f"cli.single.{flag.note}")))
        if flag.place and flag.counts(dataset) and (value := flag.default if value is None else value) is not None:
            put(made, flag.place, value)
    for key in own():
        if (words := getattr(args, key)) is not None:
            made[key] = _yaml(words)
    for step in (_server, _model, _dataset, _load, _answers):
        step(args, made, told)
    return {key: value for key, value in made.items() if value is not None}


def given(args: argparse.Namespace, name: str) -> Any:
    """What a flag was given; None where it was not."""
    if FLAGS[name].place == "dataset.times":
        value = args.self_timed
        return value if value is (name == "self-timed") else None
    return getattr(args, name.replace("-", "_"))


def _said(key: str, **values: Any) -> Message:
    return Message(key=f"cli.single.{key}", values=values)


def put(made: dict[str, Any], place: str, value: Any) -> None:
    """Write at a place of config.yaml, e.g. ``dataset.path`` or ``input_output[0][1]``."""
    if pair := re.fullmatch(r"(\w+)\[0\]\[([01])\]", place):
        made.setdefault(pair[1], [[None, None]])[0][int(pair[2])] = value
        return
    *folders, last = place.split(".")
    for folder in folders:
        made = made.setdefault(folder, {})
    if isinstance(value, dict):
        value = {**made.get(last, {}), **value}
    made[last] = value


def _yaml(words: Sequence[str]) -> Any:
    """``lag_ms=20 rate=0.9`` as a mapping, several words as a list, anything else as YAML has it."""
    import yaml

    def read(text: str) -> Any:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text

    if all(re.match(r"\w+=", word) for word in words):
        return {key: read(value) for key, _, value in (word.partition("=") for word in words)}
    return read(words[0]) if len(words) == 1 else [read(word) for word in words]


def _server(args: argparse.Namespace, made: dict[str, Any], told: list[Message]) -> None:
    host = args.host or "127.0.0.1"
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    made["base_url"] = args.base_url or f"http://{host}:{args.port or 8000}"
    if address(made["base_url"]).twin:  # the config that is made of this lies elsewhere
        made["base_url"] = str(Path.cwd() / files.path(made["base_url"]))
    made["headers"] = dict(pair(text, "header") for text in args.header or ()) or None
    signed = "api_key_env" in made or "authorization" in map(str.lower, made["headers"] or ())
    if os.environ.get("OPENAI_API_KEY") and not signed:
        made["api_key_env"] = "OPENAI_API_KEY"
    if (backend := made["backend"]) in BACKENDS:
        made["backend"] = BACKENDS[backend]
        told.append(_said("renamed", name="backend", there=backend, here=BACKENDS[backend]))
    if args.dataset_name == "random-rerank":
        made["backend"] = "vllm-rerank"


def _model(args: argparse.Namespace, made: dict[str, Any], told: list[Message]) -> None:
    """The name that the server knows; ``--model`` is then where the tokenizer is."""
    named = args.lora_modules or args.served_model_name
    if named:
        made["model"] = named
        made["tokenizer"] = args.tokenizer or args.model
    if args.lora_modules:
        made["model_choice"] = dashed(args.lora_assignment or "random").replace("-", "_")
    else:
        made.pop("model_choice", None)
    if args.skip_tokenizer_init and not args.tokenizer:
        made["tokenizer"] = "server"
    local = made.get("tokenizer") or args.model
    if local and os.path.exists(here := files.path(local)):
        made["tokenizer"] = str(here.absolute())  # the config made of this lies elsewhere


def _dataset(args: argparse.Namespace, made: dict[str, Any], told: list[Message]) -> None:
    chosen: dict[str, Any] = made["dataset"]
    theirs = chosen["name"]
    chosen["name"] = DATASETS.get(theirs, theirs)
    if args.hf_name and not os.path.exists(chosen.get("path", "")):
        chosen["path"] = args.hf_name
    if path := chosen.get("path"):
        local = files.path(path)
        hub = theirs == "hf" and not os.path.exists(local)
        chosen["path"] = path if hub else str(local.absolute())
        if not hub and not local.exists():
            raise BenchError("cli.single.no_file", path=path)
        _rows(made, local if not hub else None, told)
        if theirs == "hf" and path in SPLITS:
            chosen.setdefault("split", SPLITS[path])
    if isinstance(both := chosen.get("range_ratio"), dict):
        chosen["range_ratio"] = both.get("input", both.get("output", 0.0))
        told.extend([_said("one_ratio", ratio=chosen["range_ratio"])] if len({*both.values()}) > 1 else [])
    if args.random_mm_bucket_config and chosen["name"] == "random_mm":
        chosen |= _bucket(args.random_mm_bucket_config, told)
    if theirs == "burstgpt":
        chosen.setdefault("times", False)
    if theirs == "timed_trace":
        scale = args.timed_trace_sec_multiplier or 1.0
        unit = UNITS.get(scale)
        chosen |= {"unit": unit} if unit else {"unit": "s", "speed": 1 / scale}
    if theirs in ("custom", "speed_bench") and not args.skip_chat_template and "chat_template" not in made:
        told.append(_said("no_template", dataset=theirs))
    if (pair := made.get("input_output")) and pair[0] == [None, None]:
        del made["input_output"]


def _rows(made: dict[str, Any], file: Path | None, told: list[Message]) -> None:
    """-1 is all rows, and where none is taken twice no more than there are."""
    (cell,) = made["concurrency_prompts"]
    once = made["dataset"].get("oversample") is False
    if cell[1] != -1 and not once:
        return
    if file is None or not file.is_file():
        if cell[1] == -1 or cell[1] > MOST_PROMPTS:
            raise BenchError("cli.single.all_rows", asked=cell[1])
        return
    where = hf.HFOptions(path=str(file), where=made["dataset"].get("where"))
    n = sum(hf.chosen(row, where) for row in tables.read(file, FileReading(note=told.append)))
    if cell[1] == -1 or cell[1] > n:
        told.append(_said("rows_there", asked=cell[1], n=n))
        cell[1] = n


def _bucket(text: str, told: list[Message]) -> dict[str, int]:
    """The pictures' size: of several the likeliest."""
    import ast

    try:
        sizes = {key: float(share) for key, share in ast.literal_eval(text).items()}
        sizes = {ast.literal_eval(key) if isinstance(key, str) else key: share for key, share in sizes.items()}
        height, width, _ = max((size for size in sizes if size[2] == 1), key=lambda size: sizes[size])
    except (ValueError, SyntaxError, AttributeError, TypeError, IndexError):
        raise BenchError("cli.single.bad_bucket", text=text) from None
    told.extend([_said("one_size", width=width, height=height)] if len(sizes) > 1 else [])
    return {"width": int(width), "height": int(height)}


def _load(args: argparse.Namespace, made: dict[str, Any], told: list[Message]) -> None:
    (cell,) = made["concurrency_prompts"]
    cap, prompts = cell
    if cap is not None and 0 < prompts < cap:
        told.append(_said("capped", cap=cap, prompts=prompts))
        cell[0] = prompts
    if "stages" in made or "search" in made or "duration" in made:
        cell[1] = args.num_prompts  # theirs is only the default
    if args.ramp_up_strategy is None:
        if args.ramp_up is None:
            made.pop("ramp_up", None)
        made["request_rate"] = args.request_rate
    elif args.ramp_up_start_rps is None or args.ramp_up_end_rps is None:
        raise BenchError("cli.single.ramp_up")
    elif args.request_rate is not None and math.isfinite(args.request_rate):
        raise BenchError("cli.single.ramp_up_and_rate")
    else:
        made["ramp_up"]["over"] = "requests"
    if made.get("request_rate") is not None and math.isinf(made["request_rate"]):
        del made["request_rate"]
    if made.get("request_rate") is None and made.pop("burstiness", 1.0) != 1.0:
        told.append(_said("even_at_once"))


def _answers(args: argparse.Namespace, made: dict[str, Any], told: list[Message]) -> None:
    for text in args.metadata or ():
        pair(text, "metadata")
    sampling = made.setdefault("sampling", {})
    sampling.setdefault("temperature", None)  # the server's own, as there
    if args.logprobs is not None:
        chat = "chat" in made["backend"]
        asked = {"logprobs": True, "top_logprobs": args.logprobs} if chat else {"logprobs": args.logprobs}
        made["extra_body"] = {**asked, **made.get("extra_body", {})}
    if args.goodput:
        made["goodput"] = dict(map(slo, args.goodput))
    for name in vllm_result.unknown(args.percentile_metrics) if args.percentile_metrics else ():
        hint = suggestion(name, (*SAMPLED, *vllm_result.THEIRS))
        told.append(_said("no_metric", name=name, hint=hint))
    if args.metric_percentiles:
        asked_for = vllm_result.percents(args.metric_percentiles)
        made["percentiles"] = sorted({50.0, 90.0, 95.0, 99.0, *(p for p in asked_for if 0 < p < 100)})


def slo(text: str) -> tuple[str, float]:
    """ "ttft:200" → ("ttft", 200.0)."""
    name, _, limit = text.partition(":")
    try:
        found = name, float(limit)
    except ValueError:
        raise BenchError("cli.single.bad_goodput", text=text) from None
    if name not in SLO_IDS or not 0 < found[1] < math.inf:
        raise BenchError("cli.single.goodput_of", text=text, names=", ".join(SLO_IDS))
    return found
