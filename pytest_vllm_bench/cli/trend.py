"""``trend``: since when figures of many nights are others, and whether that is a new worsening."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pytest_vllm_bench import files, trend
from pytest_vllm_bench.cli import problems_shown
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import TREND_METRICS, TWIN, parse_name, unknown
from pytest_vllm_bench.model import Problem, Result
from pytest_vllm_bench.report import pictures, rebuild
from pytest_vllm_bench.report.terminal import written
from pytest_vllm_bench.report.trend import charts, lines
from pytest_vllm_bench.store import history
from pytest_vllm_bench.store.row import plain
from pytest_vllm_bench.text import say

USUAL = trend.DriftSettings()


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folders", nargs="*", type=files.path, metavar="FOLDER", help=say("cli.trend.folders", lang))
    parser.add_argument("--history", metavar="FILE|URL", help=say("cli.trend.history", lang))
    parser.add_argument("--metrics", nargs="+", default=(*TREND_METRICS, *TWIN), help=say("cli.trend.metrics", lang))
    parser.add_argument("--min-change", type=_share, default=USUAL.min_change, help=say("cli.trend.min_change", lang))
    parser.add_argument("--p", type=float, default=USUAL.p, help=say("cli.trend.p", lang))
    parser.add_argument("--window", type=int, default=USUAL.window, help=say("cli.trend.window", lang))
    parser.add_argument("--fail-on", type=int, default=USUAL.fail_on, help=say("cli.trend.fail_on", lang))
    parser.add_argument(
        "--acknowledged", nargs="+", default=[], metavar="METRIC:AFTER:WHY", help=say("cli.trend.acknowledged", lang)
    )
    formats = ("text", "json", "otava-csv", "svg", "png")
    parser.add_argument("--format", choices=formats, default="text", help=say("cli.compare.format", lang))
    out = files.path("charts")
    parser.add_argument("--out", type=files.path, metavar="FOLDER", default=out, help=say("cli.trend.out", lang))


def _share(text: str) -> float:
    """ "3%" or 0.03."""
    number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= number < 1:
        raise ValueError(text)
    return number


def run(args: argparse.Namespace, lang: str) -> int:
    """Exit 1 where a figure has worsened within the newest sessions and nobody has acknowledged it, else 0."""
    for metric in args.metrics:
        if parse_name(metric) is None:
            raise BenchError(unknown(metric).key, **unknown(metric).values)
    found = _gathered(args.folders or ([] if args.history else [Path("results")]), args, lang)
    if args.format == "otava-csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows(trend.otava(found))
        return 0
    settings = trend.DriftSettings(
        p=args.p, min_change=args.min_change, window=max(2 * trend.SHORTEST, args.window), fail_on=args.fail_on
    )
    made = trend.looked(found, settings, [_acknowledged(text) for text in args.acknowledged])
    if args.format == "json":
        print(json.dumps([plain(asdict(one)) for one in made.drifts], ensure_ascii=False, indent=1))
    elif args.format in ("svg", "png"):
        paths = pictures.draw(charts(made), args.out, kind=args.format, lang=lang)
        print("\n".join(written(paths, lang)))
    else:
        print("\n".join(lines(made, lang)))
    return int(bool(made.failed))


def _gathered(folders: Sequence[Path], args: argparse.Namespace, lang: str) -> list[history.HistoryPoint]:
    """What the folders hold, put into the history where there is one, of which all is read."""
    problems: list[Problem] = []
    results = rebuild.gather(folders, problems) if folders else []
    problems_shown(problems, lang)
    unfit_shown(results, lang)
    found = history.points(results, args.metrics)
    if args.history:
        if folders:
            added(args.history, found, lang)
        found = history.read(args.history)
        if not found and not folders:
            raise BenchError("cli.trend.no_history", place=history.shown(args.history))
    return [one for one in found if one.metric in args.metrics]


def unfit_shown(results: Sequence[Result], lang: str) -> bool:
    """Say which results are not for a history, and why; whether there are any."""
    left_out = Counter(say(why, lang) for one in results if (why := history.unfit(one)))
    for reason, n in left_out.items():
        print(say("cli.trend.left_out", lang, why=reason, n=n), file=sys.stderr)
    return bool(left_out)


def added(named: str, found: Sequence[history.HistoryPoint], lang: str) -> None:
    """Put into a history what it has not, and say how much that was."""
    n = history.add(named, found)
    print(say("cli.trend.added", lang, n=n, place=history.shown(named)), file=sys.stderr)


def _acknowledged(text: str) -> trend.Acknowledgement:
    metric, _, rest = text.partition(":")
    after, _, why = rest.partition(":")
    if not metric or not after:
        raise BenchError("cli.trend.not_acknowledged", text=text)
    return trend.Acknowledgement(metric=metric, after=after, why=why)
