"""A result that did not pass → its reason in a few words, for the one line that pytest keeps of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_vllm_bench.metric_table import ERROR_COUNTS
from pytest_vllm_bench.model import Message, Result, RuleVerdict, Verdict
from pytest_vllm_bench.report import words
from pytest_vllm_bench.text import say

#: What a broken rule shows instead of its comparison.
TURNED = {"<=": ">", "<": ">=", ">=": "<", ">": "<=", "==": "!=", "!=": "=="}


def headline(result: Result, lang: str = "en") -> str:
    """The reason first: ``p90_ttft_ms 16.0 > 3 (+434 %)``; how many more there are."""
    reasons = [say(reason, lang) for reason in _reasons(result)]
    if not reasons:
        return say(f"report.verdict.{result.verdict}", lang)
    if len(reasons) == 1:
        return reasons[0]
    return say("report.short.more", lang, first=reasons[0], more=len(reasons) - 1)


def _reasons(result: Result) -> Iterator[Message]:
    """What keeps it from passing, what weighs most first."""
    if result.error is not None:
        yield result.error
    yield from (check.message for check in result.checks if not check.ok)
    failed = [v for v in result.verdicts if v.verdict is Verdict.FAIL]
    yield from (_broken(v, result) for v in sorted(failed, key=lambda v: v.rule.implied))
    yield from _regressions(result)
    if result.verdict is Verdict.PREDICTED:
        told = sorted(result.verdicts, key=lambda v: v.reason.key != "judge.predicted.breaks")
        yield from (v.reason for v in told if not v.rule.implied)
    if result.verdict is Verdict.INCONCLUSIVE:
        yield from _undecided(result)
    elif not failed and result.outcome_reason is not None:
        yield result.outcome_reason
    if result.verdict is Verdict.FAIL and not failed:
        yield from result.notes[:1]  # the server restarted


def _regressions(result: Result) -> Iterator[Message]:
    """Figures that are worse than a reference's, or than another target's; and why nothing was compared."""
    if (held := result.baseline) is None:
        return
    for c in held.comparisons:
        if c.gated and c.verdict is Verdict.FAIL:
            change, tolerance = (
                f"{100 * value:{sign}.1f} %" if c.relative else f"{value:{sign}.4g}"
                for value, sign in ((c.change, "+"), (c.tolerance, ""))
            )
            values = {"metric": c.metric, "change": change, "tolerance": tolerance, "name": held.reference}
            yield Message(key="report.short.worse", values=values)
    yield from held.notes if held.refused else ()


def _broken(v: RuleVerdict, result: Result) -> Message:
    """How a rule stands on its wrong side."""
    values: dict[str, Any] = {"metric": _named(v), "op": TURNED[v.rule.op], "limit": words.number(float(v.rule.limit))}
    if v.observed is None:
        why = v.reason.values.get("why", v.reason)
        return Message(key="report.short.no_data", values={**values, "why": why})
    values["observed"] = words.number(v.observed)
    if v.observed == "inf":
        values["observed"] = Message(key="report.inf", values={"n": v.misses})
    elif v.rule.op == "==":
        values["op"] = ">" if float(v.observed) > v.rule.limit else "<"
    kinds = {kind: n for kind in ERROR_COUNTS if (n := int(result.metrics.get(f"failed_{kind}") or 0))}
    if v.rule.metric == "failed" and kinds:
        return Message(key="report.short.failed", values={**values, "kinds": words.kinds(kinds)})
    if isinstance(v.observed, float | int) and v.rule.limit:
        by = 100 * (v.observed / float(v.rule.limit) - 1)
        return Message(key="report.short.over", values={**values, "by": f"{by:+.{0 if abs(by) >= 10 else 1}f}"})
    return Message(key="report.short.beyond", values=values)


def _named(v: RuleVerdict) -> Any:
    """The metric as it was written; what nobody wrote is called so."""
    name = v.rule.text.split()[0]
    return Message(key="report.short.implied", values={"metric": name}) if v.rule.implied else name


def _undecided(result: Result) -> Iterator[Message]:
    if result.outcome_reason is not None and result.outcome_reason.key == "judge.outcome.strict_simulated":
        yield result.outcome_reason
        return
    undecided = [v for v in result.verdicts if v.verdict is Verdict.INCONCLUSIVE]
    for v in sorted(undecided, key=lambda v: v.within is not False):
        if v.within is False and v.observed is not None:
            yield Message(key="report.short.unproven", values={"what": _broken(v, result)})
        else:
            values = {"metric": _named(v), "op": v.rule.op, "limit": words.number(float(v.rule.limit)),
                      "observed": words.number(v.observed)}  # fmt: skip
            what = Message(key="report.short.beyond", values=values)
            key = "report.short.unproven" if v.more is None else "report.short.unproven_more"
            yield Message(key=key, values={"what": what, "more": v.more})
    if not undecided and result.outcome_reason is not None:
        yield result.outcome_reason
