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


def gate(results: Sequence[Result], lang: str) -> list[str]:
    """What the session is beside its reference: all scenarios together, what is worse, and the largest change."""
    found = [(one.id, c) for one in results for c in comparisons(one, gated=True)]
    if not found:
        return []
    whole = [(id, c) for id, c in found if c.scenario == "*"]
    single = [(id, c) for id, c in found if c.scenario != "*"]
    failed = [(id, c) for id, c in single if c.verdict is Verdict.FAIL]
    largest = max(single, key=lambda pair: _worsening(pair[1]), default=None)
    shown = [*whole, *failed, *([largest] if largest and largest not in failed else [])]
    heads_ = [say(f"report.{name}", lang) for name in ("col.scenario", "compare.metric", "compare.change",
                                                       "baseline.noticed", "compare.verdict")]  # fmt: skip
    rows = [
        [of_which(c, lang) or id, c.metric, amount(c.change, relative=c.relative, sign="+"),
         amount(c.detectable, relative=c.relative, sign="+"), say(f"report.verdict.{c.verdict}", lang)]
        for id, c in shown[:MOST]
    ]  # fmt: skip
    lines = [
        say("report.baseline.title", lang, name=reference(results[-1])),
        *words.aligned([heads_, *rows], right={2, 3}),
    ]
    if largest:
        id, c = largest
        values = {"scenario": of_which(c, lang) or id, "said": words.said(c.reason, lang)}
        lines.append(say("report.baseline.largest", lang, **values))
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
