"""``report`` (and ``visualize``): every report again from folders of saved results."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pytest_vllm_bench import comparing, environment, files, regression
from pytest_vllm_bench.cli import headers, problems_shown, unrun_shown
from pytest_vllm_bench.model import Problem, Result
from pytest_vllm_bench.report import rebuild, terminal
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument(
        "folders", nargs="*", default=[Path("results")], type=files.path, help=say("cli.report.folders", lang)
    )
    parser.add_argument("--out", default=None, type=files.path, help=say("cli.report.out", lang))
    parser.add_argument(
        "--formats", nargs="+", choices=rebuild.FORMATS, default=rebuild.USUAL, help=say("cli.report.formats", lang)
    )
    parser.add_argument(
        "--baseline", default=None, type=files.path, metavar="FOLDER", help=say("cli.report.baseline", lang)
    )
    parser.add_argument("--csv-lang", choices=("en", "zh", "both"), default=None, help=say("cli.csv_lang", lang))


def beside(results: Sequence[Result]) -> list[Result]:
    """Results with what their rounds show of the targets, the first being the one that ran first."""
    ordered = sorted(results, key=lambda one: one.date)
    return regression.beside(results, regression.between_targets((one, {}) for one in ordered))


def run(args: argparse.Namespace, lang: str) -> int:
    against = None
    if args.baseline is not None:
        against = partial(comparing.side_by_side, rebuild.gather([args.baseline], history=False))
    asked = rebuild.ReportRequest(
        formats=args.formats,
        lang=lang,
        headers=headers(args),
        day=environment.stamp()[:10].replace("-", ""),
        beside=beside,
        against=against,
    )
    problems: list[Problem] = []
    first = args.folders[0]
    out = args.out or (first.parent if os.path.isfile(first) else first)  # a name may be longer than a path can ask
    written = rebuild.report(args.folders, out, asked, problems)
    problems_shown(problems, lang)
    unrun_shown(args.folders, lang)
    print("\n".join(terminal.written(written, lang, base=Path.cwd())))
    return 0
