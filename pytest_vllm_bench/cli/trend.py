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
from typing import Any

from pytest_vllm_bench import files, trend
from pytest_vllm_bench.cli import problems_shown
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.metric_table import parse_name, unknown
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.report import rebuild, words
from pytest_vllm_bench.store import history
from pytest_vllm_bench.store.row import plain
from pytest_vllm_bench.text import say

USUAL = trend.DriftSettings()


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folders", nargs="*", type=files.path, metavar="FOLDER", help=say("cli.trend.folders", lang))
    parser.add_argument("--history", metavar="FILE|URL", help=say("cli.trend.history", lang))
    parser.add_argument("--metrics", nargs="+", default=trend.METRICS, help=say("cli.trend.metrics", lang))
    parser.add_argument("--min-change", type=_share, default=USUAL.min_change, help=say("cli.trend.min_change", lang))
    parser.add_argument("--p", type=float, default=USUAL.p, help=say("cli.trend.p", lang))
    parser.add_argument("--window", type=int, default=USUAL.window, help=say("cli.trend.window", lang))
    parser.add_argument("--fail-on", type=int, default=USUAL.fail_on, help=say("cli.trend.fail_on", lang))
    parser.add_argument(
        "--acknowledged", nargs="+", default=[], metavar="METRIC:AFTER:WHY", help=say("cli.trend.acknowledged", lang)
    )
    parser.add_argument(
        "--format", choices=("text", "json", "otava-csv"), default="text", help=say("cli.compare.format", lang)
    )


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
    drifts = trend.drifts(found, settings, [_acknowledged(text) for text in args.acknowledged])
    if args.format == "json":
        print(json.dumps([plain(asdict(one)) for one in drifts], ensure_ascii=False, indent=1))
    else:
        print("\n".join(lines(drifts, found, lang)))
    return int(any(one.fails for one in drifts))


def _gathered(folders: Sequence[Path], args: argparse.Namespace, lang: str) -> list[history.HistoryPoint]:
    """What the folders hold, put into the history where there is one, of which all is read."""
    problems: list[Problem] = []
    results = rebuild.gather(folders, problems) if folders else []
    problems_shown(problems, lang)
    left_out = Counter(say(why, lang) for one in results if (why := history.unfit(one)))
    for reason, n in left_out.items():
        print(say("cli.trend.left_out", lang, why=reason, n=n), file=sys.stderr)
    found = history.points(results, args.metrics)
    if args.history:
        if folders:
            added = history.add(args.history, found)
            print(say("cli.trend.added", lang, n=added, place=history.shown(args.history)), file=sys.stderr)
        found = history.read(args.history)
        if not found and not folders:
            raise BenchError("cli.trend.no_history", place=history.shown(args.history))
    return [one for one in found if one.metric in args.metrics]


def _acknowledged(text: str) -> trend.Acknowledgement:
    metric, _, rest = text.partition(":")
    after, _, why = rest.partition(":")
    if not metric or not after:
        raise BenchError("cli.trend.not_acknowledged", text=text)
    return trend.Acknowledgement(metric=metric, after=after, why=why)


def lines(drifts: Sequence[trend.Drift], found: Sequence[history.HistoryPoint], lang: str) -> list[str]:
    """A table of the changes, and what is known of each beside its figures."""
    series = trend.by_series(found)
    if not series:
        sessions = len({one.session for one in found})
        return [say("cli.trend.too_short", lang, n=sessions, least=trend.SHORTEST)]
    head = [say("cli.trend.series", lang, n=len(series), sessions=max(map(len, series.values())))]
    if not drifts:
        return [*head, say("cli.trend.none", lang)]
    names = ("scenario", "metric", "since", "commit", "before", "after", "change", "interval", "what")
    body = [[say(f"cli.trend.col.{name}", lang) for name in names]]
    notes = []
    for one in drifts:
        body.append(_cells(one, lang))
        notes += [f"  {one.scenario}, {one.metric}: {say(other, lang)}" for other in one.others]
        notes += [f"  {one.scenario}, {one.metric}: {one.accepted}"] if one.accepted else []
    return [*head, "", *words.aligned(body, right={4, 5, 6, 7}), *notes]


def _cells(one: trend.Drift, lang: str) -> list[Any]:
    kind = "failed" if one.fails else "accepted" if one.accepted is not None else "worse" if one.worse else "better"
    ends = " … ".join(f"{100 * end:+.1f}%" for end in one.point.interval)
    return [
        one.scenario,
        words.with_unit(one.metric, lang),
        one.first.date[:10],
        one.first.commit[:9] or "—",
        words.number(one.point.before),
        words.number(one.point.after),
        f"{100 * one.point.change:+.1f}%",
        ends,
        say(f"cli.trend.{kind}", lang),
    ]
