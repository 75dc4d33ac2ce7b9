"""What came of holding results against a reference → lines and cells that show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_vllm_bench.model import Comparison, Result, Verdict
from pytest_vllm_bench.report import words
from pytest_vllm_bench.text import say


def comparisons(result: Result, *, gated: bool = False) -> list[Comparison]:
    """Those with the reference, what did not pass first; ``gated``: only those that may fail."""
    found = result.baseline.comparisons if result.baseline else ()
    return sorted((c for c in found if c.gated or not gated), key=lambda c: c.verdict is Verdict.PASS)


def worse(result: Result) -> list[Comparison]:
    """The gated comparisons that failed."""
    return [c for c in comparisons(result, gated=True) if c.verdict is Verdict.FAIL]


def reference(result: Result) -> str:
    return result.baseline.reference if result.baseline else ""


def amount(value: float, *, relative: bool, sign: str = "") -> str:
    """A change or tolerance: in percent where it is relative."""
    return f"{100 * value:{sign}.1f}%" if relative else f"{value:{sign}.4g}"


def cells(one: Comparison, lang: str) -> list[str]:
    """Metric, reference, observed, change, tolerance, verdict."""
    return [
        one.metric,
        words.number(one.reference),
        words.number(one.observed),
        amount(one.change, relative=one.relative, sign="+"),
        amount(one.tolerance, relative=one.relative),
        say(f"report.verdict.{one.verdict}", lang),
    ]


HEADS = ("metric", "before", "after", "change", "tolerance", "verdict")


def heads(lang: str) -> list[str]:
    return [say(f"report.compare.{name}", lang) for name in HEADS]


def warnings(results: Sequence[Result], lang: str) -> Iterator[str]:
    """A line for each scenario whose gate could not decide or compare."""
    for result in results:
        name = reference(result)
        if result.baseline and result.baseline.notes:
            said = say("report.and_also", lang).join(words.said(note, lang) for note in result.baseline.notes)
            yield say("report.baseline.said", lang, scenario=result.id, name=name, said=said)
        undecided = [c for c in comparisons(result, gated=True) if c.verdict is Verdict.INCONCLUSIVE]
        if undecided:
            reasons = say("report.and_also", lang).join(words.said(c.reason, lang) for c in undecided)
            yield say("report.baseline.undecided", lang, scenario=result.id, name=name, reasons=reasons)


def reasons(result: Result, lang: str) -> list[str]:
    """Why the gate failed."""
    return [words.said(message, lang) for message in (result.baseline.failed if result.baseline else ())]


def figures(result: Result) -> dict[str, float]:
    """The changes as numbers, for JUnit."""
    return {f"baseline_{c.metric}_change": c.change for c in comparisons(result)}
