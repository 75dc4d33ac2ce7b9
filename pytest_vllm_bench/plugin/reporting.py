"""The session's results → files in the results folder and the summary on the terminal; nothing here may raise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Message, Result
from pytest_vllm_bench.plugin import DELIVERIES, SIGNALS, chosen, language
from pytest_vllm_bench.plugin.delivery import Delivery
from pytest_vllm_bench.plugin.roll import RollCall
from pytest_vllm_bench.report import session, terminal, verdict
from pytest_vllm_bench.report.verdict import Roll
from pytest_vllm_bench.text import say

if TYPE_CHECKING:
    from pytest_vllm_bench.regression import Pair

T = TypeVar("T")


def write_all(config: pytest.Config, roll: RollCall) -> tuple[list[str], pytest.ExitCode]:
    """Write what covers the whole session, per results folder; → the lines that say what was written or why not, and
    how it ends: failed where a reference that was asked for is not there, interrupted where one more Ctrl-C came."""
    lang = language(config)
    lines = [*roll.left]
    ending = pytest.ExitCode.OK
    folders = list(roll.ended())
    try:
        with config.stash[SIGNALS].interruptible():
            for folder in folders:
                lost = write_one(config, roll, folder, lines)
                ending = pytest.ExitCode.TESTS_FAILED if lost else ending
    except KeyboardInterrupt:  # the results themselves are written
        for folder in folders:
            tried(session.writers(roll.results(folder), folder, {}, roll=roll.last(folder)).__next__(), lang)
        return [*lines, say("plugin.reports_left", lang)], pytest.ExitCode.INTERRUPTED
    return lines, ending


def write_one(config: pytest.Config, roll: RollCall, folder: Path, lines: list[str]) -> bool:
    """As ``write_all``, for one folder; → whether a reference was lost, or the best setting is not good enough."""
    from pytest_vllm_bench import regression

    lang, asked = language(config), chosen(config, "lang")
    results, headers = roll.results(folder), asked[0] if asked else "en"
    made = [one for one in config.stash[DELIVERIES].values() if one.folder == folder]
    saved, lost = tried(partial(save_baselines, made, lang), lang)
    pairs, untold = tried(partial(regression.between_targets, rounds(made)), lang)
    results = regression.beside(results, pairs)
    ended = roll.last(folder)
    lost += ended.lost
    ended = replace(ended, lost=tuple(lost))
    if part := verdict.part_of(results, ended):
        lines.append(say(part, lang))
    for write in session.writers(results, folder, os.environ, lang=lang, headers=headers, roll=ended):
        paths, said = tried(write, lang)
        lines += [*terminal.written(paths, lang, base=config.invocation_params.dir), *said]
    tellers: list[Callable[[], Iterable[str]]] = [*session.tellers(results, os.environ, lang, ended)]
    tellers.append(partial(compared, pairs, lang))
    for tell in tellers:
        told, said = tried(tell, lang)
        lines += [*told, *said]
    lines += [*untold, *changes(ended, lang), *saved, *lost]
    return bool(ended.lost)


def tried(work: Callable[[], Iterable[T]], lang: str) -> tuple[list[T], list[str]]:
    """What comes of it, and the sentence that says why nothing does: whatever it is, the table and the rest are not
    lost with it."""
    try:
        return list(work()), []
    except BenchError as error:
        return [], [say(error.message, lang)]
    except Exception as error:
        return [], [say("plugin.report_failed", lang, why=f"{type(error).__name__}: {error}")]


def changes(roll: Roll, lang: str) -> list[str]:
    """What has changed over the sessions."""
    from pytest_vllm_bench.report.trend import lines

    found = [line for one in roll.trend for line in lines(one, lang)]
    return [say("report.trend.title", lang), *(f"  {line}" for line in found)] if found else []


def save_baselines(made: list[Delivery], lang: str) -> list[str]:
    """Add the results that ask for it to the references they name; → what was saved, and what may not be."""
    from pytest_vllm_bench import regression

    lines = []
    gates = [one for one in made if one.result.scenario.compared]
    results, gated = [one.result for one in gates], {metric for one in gates for metric in one.tolerance}
    for path, keep in dict.fromkeys((one.reference, one.keep) for one in gates):
        if path is None:
            continue
        refused = regression.save(path, results, keep, sorted(gated))
        count = len({result.scenario.cell.key for result in results}) - len(refused)
        lines += [say("plugin.saved_baseline", lang, count=count, path=path)] if count > 0 else []
        lines += list(dict.fromkeys(say(message, lang) for message in refused))
        lines += worth(path, results, lang) if count > 0 else []
    return lines


def worth(path: Path, results: list[Result], lang: str) -> list[str]:
    """What a reference that holds one session can find, and what would help."""
    from pytest_vllm_bench import regression
    from pytest_vllm_bench.judge.comparison import BaselineSettings

    keys = frozenset(result.scenario.cell.key for result in results)
    gate = regression.ReferenceGate(
        name=path.stem, reference=regression.load(path), settings=BaselineSettings(), keys=keys
    )
    said = regression.seen_by(gate)
    if not said or said[-1].key != "plugin.gate_alone":
        return []
    single = all(len(result.per_repeat) < 2 for result in results)
    return [say(m, lang) for m in (*said[1:], *([Message(key="plugin.gate_repeats")] if single else []))]


def rounds(made: list[Delivery]) -> list[tuple[Result, Mapping[str, str | float]]]:
    """What may be compared between targets, where no gate did."""
    return [(one.result, one.tolerance) for one in made if not one.rounds]


def compared(pairs: list[Pair], lang: str) -> list[str]:
    """What rounds against several targets say of them: the gated figures, a line each; why nothing is said, once."""
    said: dict[tuple[str, ...], list[str]] = {}
    for pair in pairs:
        of = pair.outcome
        why = [of] if isinstance(of, Message) else [c.reason for c in of if c.gated]
        said.setdefault((pair.a, pair.b, *(say(one, lang) for one in why)), []).append(pair.cell)
    lines = []
    for (a, b, *told), cells in said.items():
        named = ", ".join(cells[:3]) + (f" + {len(cells) - 3}" if len(cells) > 3 else "")
        lines += [say("plugin.targets", lang, cell=named, a=a, b=b), *(f"  {one}" for one in told)]
    return lines


def beside(folder: Path, result: Result) -> Result:
    """Where its file lies, and those that say more of it."""
    from pytest_vllm_bench.store.folder import stem

    return replace(result, path=result.path or folder / f"{stem(result.id)}.json")


def summarize(reporter: pytest.TerminalReporter, roll: RollCall, written: list[str]) -> None:
    """The table, and where everything is."""
    from rich.cells import cell_len

    lang, folders = language(reporter.config), list(roll.ended())
    results = [beside(folder, result) for folder in folders for result in roll.results(folder)]
    rolls = [roll.last(folder) for folder in folders]
    whole = Roll(
        matrix=sum(one.matrix for one in rolls),
        rest=tuple(absent for one in rolls for absent in one.rest),
        frontiers=tuple(dict.fromkeys(gate for one in rolls for gate in one.frontiers)),
        status=next((one.status for one in rolls if one.status != "ended"), "ended"),
    )
    if reporter.verbosity < -1 or not (results or whole.rest):
        return
    title = say("plugin.summary", lang)
    # pytest counts characters; a Chinese one is two cells wide.
    reporter.write_sep("=", title, fullwidth=reporter._tw.fullwidth - (cell_len(title) - len(title)))
    colour = terminal.colours(reporter._tw._file, dict(os.environ))
    table, lost = tried(
        lambda: terminal.summary(results, whole, width=reporter._tw.fullwidth, lang=lang, colour=colour).splitlines(),
        lang,
    )
    helps = [say("plugin.troubleshooting", lang)] if whole.rest or any(map(terminal.questionable, results)) else []
    # Line by line: where the terminal cannot spell a character pytest escapes the whole write, its line ends too.
    for line in [*table, *lost, *helps, *written]:
        reporter.write_line(line)
