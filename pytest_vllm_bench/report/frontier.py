"""Results of several settings → which of them serves best, and which carries the most; and the gate on the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_vllm_bench.metric_table import COMPARE, FROM_DUE, parse_name
from pytest_vllm_bench.model import FrontierGate, Message, Result, Rule, Verdict
from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.chart import message, spoken
from pytest_vllm_bench.report.load import work
from pytest_vllm_bench.report.shown import pooled
from pytest_vllm_bench.report.verdict import Roll, of_test, part_of
from pytest_vllm_bench.text import say

#: What a user sees, and what it costs; of a server where nobody knows how many accelerators it has.
USER, DEVICE, SERVER = "median_output_tps_per_user", "output_throughput_per_accelerator", "output_throughput"
#: The figures that a rule reads.
WINDOWS = {"auto": ("steady_", ""), "steady": ("steady_",), "whole": ("",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierOutcome:
    """What came of a gate in one kind of work; ``best``: by which scenario."""

    verdict: Verdict
    said: Message
    best: str = ""


def figure(result: Result, metric: str) -> float | None:
    """A metric as rules read it: of the steady window where there is one, at a finite rate from when it was due."""
    if (name := parse_name(metric)) is None:
        return None
    if name.row.id == "server":
        return result.server.get(name.text.removeprefix("server."))
    key = name.text.replace("service_", "")
    if result.request_rate is not None and not name.service and name.row.id in FROM_DUE:
        key = key.replace(name.row.id, FROM_DUE[name.row.id])
    found = (result.metrics.get(prefix + key) for prefix in WINDOWS[name.window])
    return next((value for value in found if value is not None), None)


def works(results: Iterable[Result]) -> dict[str, list[Result]]:
    """What may be held against one another: loads of the same data set and lengths, whatever the setting."""
    found: dict[str, list[Result]] = {}
    for one in pooled(results):
        counts = one.complete and one.error is None and one.verdict is not Verdict.INVALID
        if counts and not (one.capacity or one.scenario.of_start):
            found.setdefault(work(one), []).append(one)
    return found


def per(line: Sequence[Result]) -> str:
    """By what settings are compared: accelerators where all know how many they have."""
    return DEVICE if all(figure(one, DEVICE) is not None for one in line) else SERVER


def within(result: Result, at: Rule | None) -> bool:
    """Whether its test passed, and it keeps to this limit as well."""
    if of_test(result)[0] not in ("pass", None):
        return False
    if at is None:
        return True
    judged = next((one.within for one in result.verdicts if one.rule.text == at.text), None)
    value = figure(result, at.text.split()[0])
    return bool(value is not None and COMPARE[at.op](value, float(at.limit))) if judged is None else judged


def best(line: Sequence[Result], metric: str, at: Rule | None = None) -> list[tuple[Result, float]]:
    """Each setting's best load within the limit, with its figure: the best setting first."""
    found: dict[str, tuple[Result, float]] = {}
    for one in line:
        value, setting = figure(one, metric), one.scenario.target.name
        if value is not None and within(one, at) and (setting not in found or found[setting][1] < value):
            found[setting] = one, value
    return sorted(found.values(), key=lambda pair: -pair[1])


def settings(results: Iterable[Result]) -> int:
    return len({one.scenario.target.name for one in results})


# ---------------------------------------------------------------------------------------------- in words


def limit(at: Rule | None) -> Message:
    """ "30 ms P99 TPOT", or "the rules"."""
    if at is None:
        return message("report.frontier.rules")
    name = parse_name(at.metric)
    if name is not None and name.row.unit == "ms" and at.op in ("<", "<="):
        return message("report.frontier.ms", limit=f"{float(at.limit):g}", metric=at.metric)
    return message("page.plain", text=at.text)


def unit(metric: str) -> Message:
    known = {DEVICE: "device", SERVER: "server"}
    return message(f"report.frontier.{known[metric]}") if metric in known else message("page.key_unit", metric=metric)


def named(result: Result) -> str:
    return result.scenario.target.name or result.scenario.cell.key


def sentences(results: Sequence[Result], gates: Sequence[FrontierGate] = ()) -> list[tuple[Message, str]]:
    """Which setting is the best within the limit (of the first gate, else within the rules), for each kind of work that
    several have done; and which carries the most: each with the scenario that it is about."""
    at, found = (gates[0].at if gates else None), []
    several = {name: line for name, line in _comparable(results).items() if settings(line) > 1}
    for name, line in several.items():
        metric = per(line)
        ranked = best(line, metric, at)
        values = {"limit": limit(at), "unit": unit(metric), "work": name}
        if ranked:
            values |= {"best": named(ranked[0][0]), "value": words.number(ranked[0][1])}
        if len(ranked) > 1:
            values |= {"other": named(ranked[1][0]), "ratio": _ratio(ranked[0][1], ranked[1][1])}
        key = ("none", "alone", "best")[min(2, len(ranked))]
        said = message(f"report.frontier.{key}", **values)
        found.append((_of(said, name, several), ranked[0][0].id if ranked else ""))
    searched = carriers(results)
    return [*found, *((_of(most(line), place, searched), line[0].id) for place, line in searched.items())]


def _comparable(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Without the loads at which a setting is invalid: its best may have been there."""
    spoilt = {one.scenario.cell.anywhere.key for one in results if one.verdict is Verdict.INVALID}
    return {
        name: [one for one in line if one.scenario.cell.anywhere.key not in spoilt]
        for name, line in works(results).items()
    }


def _of(said: Message, name: str, among: Mapping[str, object]) -> Message:
    return message("report.because", subject=name, reason=said) if len(among) > 1 else said


def _ratio(one: float, other: float) -> str:
    return f"{one / other:.3g}" if other else "–"


def carriers(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Searches of several settings, by what was searched: the one that carries the most first, those without an answer
    last."""
    found: dict[str, list[Result]] = {}
    for one in results:
        if one.capacity:
            found.setdefault(one.scenario.cell.anywhere.key, []).append(one)
    return {place: sorted(line, key=_held, reverse=True) for place, line in found.items() if settings(line) > 1}


def _held(result: Result) -> float:
    """What it carries: 0 nothing, less than that what nobody knows."""
    answer = result.capacity
    if answer is None or answer.stopped in ("invalid", "gone", "interrupted") or not (answer.held or answer.broken):
        return -1.0
    return answer.held or 0.0


def most(line: Sequence[Result]) -> Message:
    """Which setting carries the most, as far as the searches came to an answer."""
    known, unknown = [one for one in line if _held(one) >= 0], [named(one) for one in line if _held(one) < 0]
    if len(known) < 2:
        return message("report.carries.unknown", names=", ".join(unknown))
    first, second = (_held(one) for one in known[:2])
    over = known[0].scenario.search.over if known[0].scenario.search else "concurrency"
    key = over if first > second > 0 else "alone" if first > second else "alike" if first else "none"
    values = {"best": named(known[0]), "other": named(known[1]), "least": f"{second:g}", "ratio": _ratio(first, second)}
    more = known[0].capacity is not None and known[0].capacity.broken is None
    held = message("report.carries.at_least", n=f"{first:g}") if more else f"{first:g}"
    said = message(f"report.carries.{key}", **values, held=held)
    return message("report.carries.but", said=said, names=", ".join(unknown)) if unknown else said


def table(line: Sequence[Result], lang: str) -> tuple[list[str], list[list[str]]]:
    """Head and body: what each setting carries, where it breaks, and what it makes of its accelerators there."""
    metric = per(line)
    keys = ("capacity_held", "capacity_broken")
    head = [say("report.frontier.setting", lang), *(words.label(key, lang) for key in keys), spoken(unit(metric), lang)]
    body = [
        [
            named(one),
            *(words.number(getattr(one.capacity, key.removeprefix("capacity_"))) for key in keys),
            words.number(figure(one, metric)),
        ]
        for one in line
    ]
    return head, body


def tables(results: Sequence[Result], lang: str) -> list[tuple[list[str], list[list[str]]]]:
    """One a kind of search that several settings have had."""
    return [table(line, lang) for line in carriers(results).values()]


def lines(results: Sequence[Result], roll: Roll, lang: str) -> list[str]:
    """The gates, and what is to be said of settings."""
    judged = [one.said for gate in roll.frontiers for one in judge(results, gate, roll)]
    return [spoken(one, lang) for one in (*judged, *(said for said, _ in sentences(results, roll.frontiers)))]


# ---------------------------------------------------------------------------------------------- the gate


def judge(results: Sequence[Result], gate: FrontierGate, roll: Roll = Roll()) -> list[FrontierOutcome]:
    """Whether the best is good enough in each kind of work; what a part of the matrix has not reached, the rest may."""
    whole = part_of(results, roll) is None and roll.status == "ended"
    done = works(one for one in results if gate.config_file in ("", one.test.config_file))
    found = []
    for name, line in (done or {"": []}).items():
        ranked = best(line, gate.metric, gate.at)[:1]
        reached = bool(ranked) and ranked[0][1] >= gate.at_least
        verdict = Verdict.PASS if reached else Verdict.FAIL if whole else Verdict.INCONCLUSIVE
        values = {"limit": limit(gate.at), "wanted": words.number(gate.at_least), "metric": gate.metric}
        by = ranked[0][0].id if ranked else ""
        values |= {"value": words.number(ranked[0][1]), "best": by} if ranked else {}
        said = _of(message(f"report.frontier.gate{'' if ranked else '_none'}", **values), name, done)
        said = message("report.because", subject=message(f"report.verdict.{verdict}"), reason=said)
        found.append(FrontierOutcome(verdict=verdict, said=said, best=by))
    return found


def failed(results: Sequence[Result], roll: Roll) -> list[Message]:
    """Gates that fail the session."""
    judged = (one for gate in roll.frontiers for one in judge(results, gate, roll))
    return [one.said for one in judged if one.verdict is Verdict.FAIL]
