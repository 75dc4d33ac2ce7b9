"""What came of holding results against a reference → lines and cells that show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_vllm_bench.model import Comparison, Message, Result, Verdict
from pytest_vllm_bench.report import words
from pytest_vllm_bench.text import say


def comparisons(result: Result, *, gated: bool = False) -> list[Comparison]:
    """Those with the reference, what did not pass first; ``gated``: only those that may fail."""
    found = result.baseline.comparisons if result.baseline else ()
    return sorted((c for c in found if c.gated or not gated), key=lambda c: c.verdict is Verdict.PASS)


def of_figure(result: Result, key: str) -> Comparison | None:
    """How a figure of its own compares, and not one of all scenarios together or of another one."""
    found = result.baseline.comparisons if result.baseline else ()
    return next((one for one in found if one.metric == key and not one.scenario), None)


def worse(result: Result) -> list[Comparison]:
    """The gated comparisons that failed."""
    return [c for c in comparisons(result, gated=True) if c.verdict is Verdict.FAIL]


def beyond(results: Sequence[Result]) -> list[Message]:
    """What failed although no single test did: all scenarios together, and those that only the end showed."""
    found = [c for one in results for c in worse(one) if c.scenario]
    return [
        c.reason
        if c.scenario == "*"
        else Message(key="report.baseline.late", values={"scenario": c.scenario, "said": c.reason})
        for c in found
    ]


def reference(result: Result) -> str:
    return result.baseline.reference if result.baseline else ""


def amount(value: float, *, relative: bool, sign: str = "") -> str:
    """A change or tolerance: in percent where it is relative."""
    return f"{100 * value:{sign}.1f}%" if relative else f"{value:{sign}.4g}"


def cells(one: Comparison, lang: str) -> list[str]:
    """Metric, reference, observed, change, tolerance, verdict."""
    return [
        ": ".join(filter(None, (of_which(one, lang), one.metric))),
        words.number(one.reference),
        words.number(one.observed),
        amount(one.change, relative=one.relative, sign="+"),
        amount(one.tolerance, relative=one.relative),
        say(f"report.verdict.{one.verdict}", lang),
    ]


#: Rows of the session's table.
MOST = 12
HEADS = ("metric", "before", "after", "change", "tolerance", "verdict")


def heads(lang: str) -> list[str]:
    return [say(f"report.compare.{name}", lang) for name in HEADS]


def of_which(one: Comparison, lang: str) -> str:
    """The scenario that a comparison is about, where that is not the result's own."""
    return say("report.baseline.all", lang) if one.scenario == "*" else one.scenario


def warnings(results: Sequence[Result], lang: str) -> Iterator[str]:
    """A line for each scenario whose gate could not compare."""
    for result in results:
        if result.baseline and result.baseline.notes:
            said = say("report.and_also", lang).join(words.said(note, lang) for note in result.baseline.notes)
            yield say("report.baseline.said", lang, scenario=result.id, name=reference(result), said=said)


def changes(results: Sequence[Result]) -> tuple[list[tuple[str, Comparison]], tuple[str, Comparison] | None]:
    """What the session is beside its reference, by scenario: all of them together, then what is worse, the worst first,
    or else nearest to it, and the largest change, for the better too; → also that."""
    found = [(one.scenario.cell.repeated.id, c) for one in results for c in comparisons(one, gated=True)]
    single = sorted((pair for pair in found if pair[1].scenario != "*"), key=lambda pair: -_worsening(pair[1]))
    failed = [pair for pair in single if pair[1].verdict is Verdict.FAIL]
    largest = max(single, key=lambda pair: abs(_worsening(pair[1])), default=None)
    whole = [pair for pair in found if pair[1].scenario == "*"]
    shown = [*whole, *(failed or single[:1])]
    return [*shown, *([largest] if largest and largest not in shown else [])], largest


def named(results: Sequence[Result]) -> str:
    """The reference that they were held against."""
    return next((reference(one) for one in results if comparisons(one)), "")


def row(id: str, one: Comparison, lang: str) -> list[str]:
    """Scenario, metric, change, from which change on it would be noticed, verdict."""
    change, detectable = (amount(value, relative=one.relative, sign="+") for value in (one.change, one.detectable))
    return [of_which(one, lang) or id, one.metric, change, detectable, say(f"report.verdict.{one.verdict}", lang)]


def row_heads(lang: str) -> list[str]:
    names = ("col.scenario", "compare.metric", "compare.change", "baseline.noticed", "compare.verdict")
    return [say(f"report.{name}", lang) for name in names]


def largest_said(largest: tuple[str, Comparison], lang: str) -> str:
    id, one = largest
    return say("report.baseline.largest", lang, scenario=of_which(one, lang) or id, said=words.said(one.reason, lang))


def gate(results: Sequence[Result], lang: str) -> list[str]:
    """The changes as lines of text, and the largest in words."""
    shown, largest = changes(results)
    if not shown:
        return []
    rows = [row_heads(lang), *(row(id, c, lang) for id, c in shown[:MOST])]
    lines = [say("report.baseline.title", lang, name=named(results)), *words.aligned(rows, right={2, 3})]
    lines += [f"  {largest_said(largest, lang)}"] if largest else []
    return [line.rstrip() for line in lines]


def _worsening(one: Comparison) -> float:
    """A change by what would be noticed of it."""
    return one.change / one.detectable if one.detectable else 0.0


def reasons(result: Result, lang: str) -> list[str]:
    """Why the gate failed."""
    return [words.said(message, lang) for message in (result.baseline.failed if result.baseline else ())]


def figures(result: Result) -> dict[str, float]:
    """The changes as numbers, for JUnit."""
    return {f"baseline_{c.metric}_change": c.change for c in comparisons(result)}
