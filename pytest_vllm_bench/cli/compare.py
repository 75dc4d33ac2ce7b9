"""``compare``: results of two or more folders side by side, the first being what the others are held against."""

from __future__ import annotations

import argparse
import json

from pytest_vllm_bench import files
from pytest_vllm_bench.cli import problems_shown
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.report import compare as comparing
from pytest_vllm_bench.report import rebuild
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folders", nargs="+", type=files.path, metavar="FOLDER", help=say("cli.compare.folders", lang))
    parser.add_argument(
        "--format", choices=("text", "markdown", "json"), default="text", help=say("cli.compare.format", lang)
    )


def run(args: argparse.Namespace, lang: str) -> int:
    if len(args.folders) < 2:
        raise BenchError("cli.compare.one_folder", folder=str(args.folders[0]))
    problems: list[Problem] = []
    first, *others = [rebuild.gather([folder], problems, history=False) for folder in args.folders]
    found = [
        comparing.compare(first, other, (str(args.folders[0]), str(name)))
        for other, name in zip(others, args.folders[1:], strict=True)
    ]
    problems_shown(problems, lang)
    if args.format == "json":
        print(json.dumps([comparing.to_json(comparison) for comparison in found], ensure_ascii=False, indent=1))
    else:
        form = comparing.text if args.format == "text" else comparing.markdown
        print("\n\n".join(form(comparison, lang) for comparison in found))
    return 0
