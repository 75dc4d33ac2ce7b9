"""``whatif``: what a twin says of loads that nobody has measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from pytest_vllm_bench import files, rejudge
from pytest_vllm_bench import twin as twins
from pytest_vllm_bench.cli.calibrate import assumed
from pytest_vllm_bench.cli.single import slo
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import prediction
from pytest_vllm_bench.metric_table import purposeless
from pytest_vllm_bench.model import CapacityAnswer, Deployment, Result
from pytest_vllm_bench.report import words
from pytest_vllm_bench.store.row import plain
from pytest_vllm_bench.text import say

SHOWN = ("request_throughput", "output_throughput", "median_ttft_ms", "p99_ttft_ms", "median_tpot_ms")
COST = "cost_per_million_output_tokens"


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("twin", type=files.path, metavar="TWIN", help=say("cli.whatif.twin", lang))
    numbers: list[tuple[str, type, dict[str, Any]]] = [
        ("rate", float, {"nargs": "+", "default": []}),
        ("concurrency", int, {"nargs": "+", "default": []}),
        ("input-len", int, {}),
        ("output-len", int, {}),
        ("requests", int, {"default": 1000}),
        ("replicas", int, {"default": 1}),
        ("price-per-hour", float, {}),
        ("accelerators", int, {}),
        ("seed", int, {"default": 0}),
    ]
    for name, kind, how in numbers:
        kind_of = kind if name == "seed" else _positive(kind)
        help = say(f"cli.whatif.{name.replace('-', '_')}", lang)
        parser.add_argument(f"--{name}", type=kind_of, metavar="N", help=help, **how)
    parser.add_argument("--route", choices=("round_robin", "least_loaded"), default="round_robin",
                        help=say("cli.whatif.route", lang))  # fmt: skip
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=NUMBER", dest="settings", help=say("cli.whatif.set", lang)
    )
    parser.add_argument("--rule", "--sla", dest="rules", nargs="+", default=[], help=say("cli.whatif.rule", lang))
    parser.add_argument("--goodput", nargs="+", default=[], metavar="NAME:MS", help=say("cli.single.goodput", lang))
    parser.add_argument("--capacity", nargs="?", const="request_rate", choices=("request_rate", "concurrency"),
                        help=say("cli.whatif.capacity", lang))  # fmt: skip
    parser.add_argument("--next", action="store_true", help=say("cli.whatif.next", lang))
    parser.add_argument("--format", choices=("text", "json"), default="text", help=say("cli.whatif.format", lang))


def _positive(kind: type) -> Any:
    def number(text: str) -> Any:
        if not 0 < (value := kind(text)) < 1e7:
            raise ValueError(text)
        return value

    number.__name__ = kind.__name__
    return number


def run(args: argparse.Namespace, lang: str) -> int:
    """Exit 0 with an answer, whatever it is: what nobody has measured passes nothing and fails nothing."""
    from pytest_vllm_bench.twin import advice, whatif

    twin = whatif.changed(twins.read(args.twin), args.settings)
    if not (args.rate or args.concurrency or args.capacity or args.next):
        raise BenchError("twin.no_load")
    if args.capacity and not args.rules:
        raise BenchError("twin.no_rules")
    question = _question(args)
    results = [whatif.foretell(twin, question, "request_rate", level) for level in args.rate]
    results += [whatif.foretell(twin, question, "concurrency", level) for level in args.concurrency]
    answer = None
    if args.capacity:
        answer, curve = whatif.capacity(twin, question, args.capacity)
        results += curve
    loads = advice.next_loads(twin) if args.next else []
    if args.format == "json":
        told: dict[str, Any] = {"verdict": "PREDICTED", "model": twin.model, "assumed": list(twin.assumed)}
        told |= {"loads": [_load(one) for one in results], "next": [plain(_fields(one)) for one in loads]}
        told |= {"capacity": {"over": args.capacity, "held": answer.held, "broken": answer.broken}} if answer else {}
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return 0
    lines = [say("twin.title", lang, model=twin.model or "?", loads=len(twin.lessons)), *assumed(twin, lang)]
    if args.replicas > 1:
        route = say(f"twin.fleet.{args.route}", lang)
        lines.append(say("twin.fleet", lang, replicas=args.replicas, route=route))
    lines += ["", *table(results, lang), *_dashes(twin, results, lang)] if results else []
    lines += [said(answer, args.capacity, lang)] if answer else []
    lines += [say("twin.next", lang), *(_next(one, lang) for one in loads)] if loads else []
    print("\n".join(lines))
    return 0


def _question(args: argparse.Namespace) -> Any:
    from pytest_vllm_bench.simulator.engine import Fleet
    from pytest_vllm_bench.twin import whatif

    rules = rejudge.parsed(args.rules)
    for _, wrong in purposeless(rules):
        raise BenchError(wrong.key, **wrong.values)
    return whatif.Question(
        input_len=args.input_len,
        output_len=args.output_len,
        requests=args.requests,
        fleet=Fleet(replicas=args.replicas, route=args.route),
        rules=rules,
        goodput=dict(map(slo, args.goodput)),
        deployment=Deployment(accelerators=args.accelerators, price_per_hour=args.price_per_hour),
        seed=args.seed,
    )


def table(results: Sequence[Result], lang: str) -> list[str]:
    """A load a line; what is far from all that was measured is said below."""
    shown = [*SHOWN, *([COST] if results[0].scenario.deployment.price_per_hour else [])]
    over = [name for name in ("request_rate", "concurrency") if any(getattr(r, name) for r in map(_asked, results))]
    ruled = [say("twin.col.rules", lang)] if results[0].scenario.rules else []
    body = [[*(say(f"twin.col.{name}", lang) for name in over), *(words.with_unit(k, lang) for k in shown), *ruled]]
    for result in results:
        asked = _asked(result)
        loads = [f"{value:g}" if (value := getattr(asked, name)) else "—" for name in over]
        figures = [words.shown(result.metrics, key) for key in shown]
        body.append([*loads, *figures, *([verdict(result, lang)] if ruled else [])])
    lines = words.aligned(body, right=set(range(len(body[0]) - len(ruled))))
    notes = [note for r in results for note in r.notes if note.key.startswith("twin.")]
    return [*lines, *dict.fromkeys(say(note, lang) for note in notes[-4:])]


def _dashes(twin: twins.Twin, results: Sequence[Result], lang: str) -> list[str]:
    """Why a figure is not told of any load."""
    shown = [key for key in SHOWN if all(one.metrics.get(key) is None for one in results)]
    off = {key: error for key in shown if (error := prediction.error(key, twin.errors)) and error > prediction.MOST}
    names = ", ".join(f"{words.with_unit(key, lang)} {error:.1%}" for key, error in off.items())
    return [say("twin.dash", lang, most=f"{prediction.MOST:.0%}", names=names)] if off else []


def _asked(result: Result) -> Any:
    asked = result.scenario
    return argparse.Namespace(request_rate=result.request_rate, concurrency=asked.concurrency)


def verdict(result: Result, lang: str) -> str:
    """On which side its rules would be."""
    by: dict[str, list[str]] = {}
    for one in result.verdicts:
        by.setdefault(one.reason.key.rpartition(".")[2], []).append(one.rule.metric)
    found = [say("twin.overload", lang)] if {"queue_grows", "rate_without_window"} & by.keys() else []
    bad = [word for word in ("breaks", "close", "untold") if word in by]
    found += [say(f"twin.{word}", lang, rules=", ".join(by[word])) for word in bad]
    return "; ".join(found) or say("twin.holds", lang)


def said(answer: CapacityAnswer, over: str, lang: str) -> str:
    if answer.stopped == "invalid":
        return say("twin.capacity.untold", lang)
    if answer.held is None:
        return say("twin.capacity.none", lang)
    broken = say("twin.capacity.broken", lang, broken=f"{answer.broken:g}") if answer.broken is not None else ""
    return say(f"twin.capacity.{over}", lang, held=f"{answer.held:g}", broken=broken)


def _next(one: Any, lang: str) -> str:
    return "  " + say("twin.next.load", lang, **{**_fields(one), "gain": f"{one.gain:.2f}"})


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _load(result: Result) -> dict[str, Any]:
    asked = result.scenario
    return {
        "scenario_id": result.id,
        "verdict": str(result.verdict),
        "request_rate": result.request_rate,
        "concurrency": asked.concurrency,
        "metrics": {key: value for key, value in plain(dict(result.metrics)).items() if value is not None},
        "rules": [
            {"rule": one.rule.text, "verdict": str(one.verdict), "would": one.reason.key.rpartition(".")[2],
             "observed": plain(one.observed), "interval": one.interval and [plain(end) for end in one.interval]}
            for one in result.verdicts
        ],
        "notes": [say(note, "en") for note in result.notes],
    }  # fmt: skip
