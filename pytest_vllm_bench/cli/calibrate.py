"""``calibrate``: measured loads → a twin's file, with what it is worth."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench import environment, files, judging
from pytest_vllm_bench import twin as twins
from pytest_vllm_bench.cli.trend import added, unfit_shown
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge import prediction
from pytest_vllm_bench.model import Measurement, Result
from pytest_vllm_bench.report import words
from pytest_vllm_bench.store import history, measurement
from pytest_vllm_bench.text import say

#: What is shown of the errors.
SHOWN = ("median_ttft_ms", "p90_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms", "output_throughput")
UNITS = {"step_s": (1e3, "ms"), "front_s": (1e3, "ms")}


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument(
        "folders", nargs="+", type=files.path, metavar="FOLDER", help=say("cli.calibrate.folders", lang)
    )
    parser.add_argument("--out", type=files.path, default=Path("twin.json"), help=say("cli.calibrate.out", lang))
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=NUMBER", dest="settings", help=say("cli.calibrate.set", lang)
    )
    parser.add_argument("--against", type=files.path, metavar="FILE", help=say("cli.calibrate.against", lang))
    parser.add_argument("--history", metavar="FILE|URL", help=say("cli.calibrate.history", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    """Exit 0 with a twin written; what differs from another twin fails nothing."""
    from pytest_vllm_bench.twin import fit, whatif

    before = twins.read(args.against) if args.against else None
    given = whatif.settings_of(args.settings, fit.LIMITS)
    if args.history:
        history.reachable(args.history)
    loads = measured(args.folders)
    made = fit.calibrate(loads, given, environment.stamp())
    try:
        twins.write(made, args.out)
    except OSError as error:
        raise BenchError("files.not_written", path=str(args.out), why=error.strerror or "") from None
    lines = [*learnt(made, lang), "", *worth(made, lang), *assumed(made, lang)]
    lines += ["", *differences(before, made, lang)] if before else []
    print("\n".join([*lines, say("twin.written", lang, path=str(args.out))]))
    if args.history:
        results = [judging.judge(one.scenario, [one]) for one in loads]
        if not unfit_shown(results, lang):
            added(args.history, night(made, results), lang)
    return 0


def night(made: twins.Twin, results: Sequence[Result]) -> list[history.HistoryPoint]:
    """The parameters that can be told, as figures of the session that measured the loads; only sessions of the same
    loads are compared."""
    newest = max(history.points(results, ["mean_e2el_ms"]), key=lambda one: one.date, default=None)
    plan = hashlib.sha256("\n".join(sorted(one.scenario for one in made.lessons)).encode()).hexdigest()[:12]
    return [
        replace(newest, scenario="twin", metric=f"twin.{name}", value=value, plan=plan)
        for name, value in made.parameters.items()
        if newest and value > 0 and told(made, name)
    ]


def measured(places: Sequence[Path]) -> list[Measurement]:
    """The measurements of folders, or single files of them; BenchError where there are none."""
    found: list[Measurement] = []
    for place in places:
        paths = sorted(place.glob(f"bench_*{measurement.SUFFIX}")) if os.path.isdir(place) else [place]
        ours = [
            one for one in map(measurement.load, filter(os.path.exists, paths)) if one.complete and len(one.records)
        ]
        if not ours:
            raise BenchError("twin.nothing", folder=str(place))
        found += ours
    return found


def learnt(made: twins.Twin, lang: str) -> list[str]:
    """The parameters, each with how far it depends on which loads were learnt from."""
    head = [say(f"twin.col.{name}", lang) for name in ("parameter", "value", "spread")]
    body = [
        [name, _value(name, value), f"±{made.spread[name]:.0%}" if told(made, name) else "?"]
        for name, value in made.parameters.items()
    ]
    body += [[name, f"{getattr(made.engine, name):.3g}", ""] for name in ("serial", "jitter")]
    title = say("twin.learnt", lang, loads=len(made.lessons), model=made.model or "?", server=made.server)
    return [title, "", *words.aligned([head, *body], right={1, 2})]


def told(made: twins.Twin, name: str) -> bool:
    """Whether the loads say enough of this parameter."""
    return made.spread.get(name, 1.0) < 1


def _value(name: str, seconds: float) -> str:
    factor, unit = UNITS.get(name, (1e6, "µs"))
    return f"{seconds * factor:.4g} {unit}"


def worth(made: twins.Twin, lang: str) -> list[str]:
    """By how much each load that was kept from it was predicted wrongly, and what is therefore not told."""
    head = [say("twin.col.load", lang), *(words.with_unit(key, lang) for key in SHOWN)]
    body = [[one.scenario, *(_share(one.off.get(key)) for key in SHOWN)] for one in made.lessons]
    body.append([say("twin.worst", lang), *(_share(made.errors.get(key)) for key in SHOWN)])
    lost = [key for key in SHOWN if made.errors.get(key, 1.0) > prediction.MOST]
    names = ", ".join(words.with_unit(key, lang) for key in lost)
    refused = say("twin.refused", lang, most=f"{prediction.MOST:.0%}", names=names) if lost else None
    return [*words.aligned([head, *body], right=set(range(1, len(head)))), refused or say("twin.none_refused", lang)]


def _share(off: float | None) -> str:
    return "—" if off is None else f"{off:.1%}"


def assumed(made: twins.Twin, lang: str) -> list[str]:
    names = [name for name in made.assumed if name != "front_s"]
    said = [say("twin.assumed", lang, names=", ".join(names))] if names else []
    return [*said, *([say("twin.assumed.front_s", lang)] if "front_s" in made.assumed else [])]


def differences(old: twins.Twin, new: twins.Twin, lang: str) -> list[str]:
    """A regression in the engine's terms."""
    from pytest_vllm_bench.twin import advice

    head = [say(f"twin.col.{name}", lang) for name in ("parameter", "change", "what")]
    body: list[list[Any]] = []
    for one in advice.changes(old, new):
        what = say(f"twin.change.{one.what}", lang, sure=f"{one.sure:.0%}")
        body.append([one.name, f"{one.after / one.before - 1:+.1%}" if one.before else "–", what])
    return words.aligned([head, *body], right={1})
