"""``compare``: results of two or more folders side by side, the first being what the others are held against."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from pytest_vllm_bench import comparing, files
from pytest_vllm_bench.cli import problems_shown
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.report import compare, rebuild
from pytest_vllm_bench.report.compare import Condition, SideBySide
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folders", nargs="+", type=files.path, metavar="FOLDER", help=say("cli.compare.folders", lang))
    parser.add_argument(
        "--format", choices=("text", "markdown", "csv", "json"), default="text", help=say("cli.compare.format", lang)
    )
    parser.add_argument(
        "--fail-if", action="append", default=[], metavar="CHANGE", help=say("cli.compare.fail_if", lang)
    )
    parser.add_argument("--strict", action="store_true", help=say("cli.compare.strict", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    """Exit 1 where a change that ``--fail-if`` names is proven (under ``--strict``: is not ruled out), else 0."""
    if len(args.folders) < 2:
        raise BenchError("cli.compare.one_folder", folder=str(args.folders[0]))
    conditions = [comparing.condition(text) for text in args.fail_if]
    problems: list[Problem] = []
    first, *others = [rebuild.gather([folder], problems, history=False) for folder in args.folders]
    found = [
        comparing.side_by_side(first, other, (str(args.folders[0]), str(name)), conditions)
        for other, name in zip(others, args.folders[1:], strict=True)
    ]
    problems_shown(problems, lang)
    if args.format == "json":
        print(json.dumps([compare.to_json(made) for made in found], ensure_ascii=False, indent=1))
    elif args.format == "csv":
        print(compare.to_csv(found))
    else:
        form = compare.text if args.format == "text" else compare.markdown
        print("\n\n".join(form(made, lang) for made in found))
    return _code(found, conditions, lang, strict=args.strict)


def _code(found: Sequence[SideBySide], conditions: Sequence[Condition], lang: str, *, strict: bool) -> int:
    """2 where a condition has no figure to go by: no data is no green gate."""
    changes = [change for made in found for change in made.changes]
    with_figures = {c.condition for c in changes if None not in (c.before, c.after)}
    blind = [one for one in conditions if one.text not in with_figures]
    for one in blind:
        print(say("report.compare.nothing", lang, condition=one.text), file=sys.stderr)
    bad = {"beyond", "undecided", "untested"} if strict else {"beyond"}
    return 1 if conditions and any(c.finding in bad for c in changes) else 2 * bool(blind)
