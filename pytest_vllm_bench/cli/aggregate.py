"""``aggregate``: the CSV of a whole results folder, old results too, and its table."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from pytest_vllm_bench import environment, files
from pytest_vllm_bench.cli import headers, problems_shown, unrun_shown
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.report import csv, rebuild, terminal
from pytest_vllm_bench.store.folder import latest
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folder", nargs="?", default="results", type=files.path, help=say("cli.aggregate.folder", lang))
    parser.add_argument("--csv-lang", choices=("en", "zh", "both"), default=None, help=say("cli.csv_lang", lang))
    parser.add_argument("--repeats", action="store_true", help=say("cli.aggregate.repeats", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    folder, problems = args.folder, list[Problem]()
    results = latest(rebuild.gather([folder], problems, history=False))
    day = environment.stamp()[:10].replace("-", "")
    written = csv.write(results, folder, day=day, lang=headers(args), repeats=args.repeats)
    problems_shown(problems, lang)
    unrun_shown([folder], lang)
    print(terminal.summary(results, width=shutil.get_terminal_size().columns, lang=lang))
    print("\n".join(terminal.written(written, lang, base=Path.cwd())))
    return 0
