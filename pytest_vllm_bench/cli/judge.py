"""``judge``: rules on saved results, ours and other tools', without a server."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pytest_vllm_bench import files, rejudge
from pytest_vllm_bench.cli import unrun_shown
from pytest_vllm_bench.cli.single import slo
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import purposeless
from pytest_vllm_bench.report.failure import failure
from pytest_vllm_bench.store.folder import KINDS
from pytest_vllm_bench.text import safe, say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("files", nargs="+", type=files.path, help=say("cli.judge.files", lang))
    parser.add_argument("--rule", "--sla", dest="rules", nargs="+", default=[], help=say("cli.judge.rule", lang))
    parser.add_argument("--goodput", nargs="+", default=[], metavar="NAME:MS", help=say("cli.single.goodput", lang))
    parser.add_argument("--mode", choices=("evidence", "exact"), help=say("cli.judge.mode", lang))
    parser.add_argument("--confidence", type=float, help=say("cli.judge.confidence", lang))
    parser.add_argument("--strict", action="store_true", help=say("cli.judge.strict", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    """Exit 0 when everything passes or leans that way, 1 when something fails, 2 when a file is no result."""
    if args.confidence is not None and not 0.5 <= args.confidence < 1:
        raise BenchError("config.confidence_range", got=f"{args.confidence:g}")
    settings = {"mode": args.mode, "confidence": args.confidence, "inconclusive": "fail" if args.strict else None}
    rules = rejudge.parsed(args.rules)
    for _, wrong in purposeless(rules):
        raise BenchError(wrong.key, **wrong.values)
    asked = rejudge.Criteria(
        rules=rules,
        goodput=dict(map(slo, args.goodput)),
        settings={key: value for key, value in settings.items() if value is not None},
    )
    bad = unread = False
    waiting: dict[tuple[Path, str], bool] = {}
    for path in result_files(args.files):
        try:
            found = list(rejudge.results(path, asked))
        except BenchError as error:
            print(f"{safe(str(path))}: {say(error.message, lang)}\n", file=sys.stderr, flush=True)
            unread = True
            continue
        for result in found:
            print(failure(result, lang), end="\n\n", flush=True)
            cell = path.parent, result.scenario.cell.key
            waiting[cell] = waiting.get(cell, True) and any(note.key == "judge.waits" for note in result.notes)
            may_break = result.scenario.probe_of or result.scenario.xfail  # some of a search's probes must
            if not may_break or path in args.files:
                bad |= result.outcome == "fail"
    never = [key for (_, key), waits in waiting.items() if waits]
    for key in never:
        print(say("cli.judge.never", lang, scenario=key), file=sys.stderr, flush=True)
    broken = unrun_shown([path for path in args.files if os.path.isdir(path)], lang)
    bad |= args.strict and (broken or bool(never))
    return 1 if bad else 2 * unread


def result_files(names: list[Path]) -> list[Path]:
    """Result files, those of a folder among them; BenchError for a folder without any."""
    found: list[Path] = []
    for path in names:
        if os.path.isdir(path):
            mine = [p for p in path.glob("bench_*.json") if ".pytorch" not in p.name]
            mine = mine or [p for kind in KINDS for p in path.glob(kind)]  # another tool's
        else:
            mine = [path]
        if not mine:
            raise BenchError("report.no_results", folder=str(path))
        found += sorted(mine)
    return found
