"""Rules and figures without the requests behind them → verdicts that are observed, never proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_vllm_bench.judge.selection import allowed_share
from pytest_vllm_bench.judge.sla import Case, is_statistical, judge_rules
from pytest_vllm_bench.metric_table import parse_name
from pytest_vllm_bench.model import JudgeSettings, Message, Metrics, Rule, RuleVerdict, Verdict


def judge_figures(
    rules: Sequence[Rule],
    figures: Metrics,
    settings: JudgeSettings,
    *,
    rated: bool = False,
    doubts: Sequence[Message] = (),
) -> tuple[RuleVerdict, ...]:
    """Compare each rule with its figure; what would have to be proven stays INCONCLUSIVE under ``mode: evidence``.

    Percentiles of other tools leave failures out, so more failures than a rule excuses count as a miss of it.
    ``rated``: the figures are of an open loop and know when requests were due.  ``doubts``: what was found odd.
    """
    case = Case(samples=(), metrics=figures, rated=rated, doubts=doubts)
    return tuple(_judge(rule, case, settings) for rule in rules)


def _judge(rule: Rule, case: Case, settings: JudgeSettings) -> RuleVerdict:
    (seen,), figures = judge_rules([rule], case), case.metrics
    seen = replace(seen, n=int(figures.get("completed") or 0) + int(figures.get("failed") or 0))
    if seen.observed is None:
        return seen
    if _too_many_failed(rule, figures):
        reason = Message(key="judge.failed_beyond", values={"failed": figures["failed"], "n": seen.n})
        return replace(seen, verdict=Verdict.FAIL, within=False, observed="inf", reason=reason)
    if seen.verdict is Verdict.INCONCLUSIVE or settings.mode == "exact" or not is_statistical(rule):
        return seen
    values = {**seen.reason.values, "why": Message(key="judge.only_summary")}
    key = "judge.unproven_within" if seen.within else "judge.unproven_over"
    return replace(seen, verdict=Verdict.INCONCLUSIVE, reason=Message(key=key, values=values))


def _too_many_failed(rule: Rule, figures: Metrics) -> bool:
    """More failures than the share that a latency percentile excuses."""
    name = parse_name(rule.metric)
    failed, completed = figures.get("failed") or 0, figures.get("completed") or 0
    if name is None or name.row.per != "request" or not failed:
        return False
    share = allowed_share(rule, name)
    return share is not None and failed > (failed + completed) * share
