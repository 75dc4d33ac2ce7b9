"""Measurements, their samples and figures → Judgement: every rule, every validity check, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_vllm_bench.judge import averages, doubts
from pytest_vllm_bench.judge.culprit import explained
from pytest_vllm_bench.judge.enough import undecidable
from pytest_vllm_bench.judge.looks import level
from pytest_vllm_bench.judge.shares import Levels
from pytest_vllm_bench.judge.sla import Case, is_statistical, judge_rules
from pytest_vllm_bench.judge.validity import checks
from pytest_vllm_bench.metric_table import effective_rules
from pytest_vllm_bench.model import (
    Judgement,
    Measurement,
    Message,
    Metrics,
    Rule,
    RuleVerdict,
    Sample,
    Scenario,
    Verdict,
)

__all__ = ["effective_rules", "judge", "of_one_repeat", "undecidable", "undecided"]


INTERRUPTED = Message(key="judge.interrupted")


def of_one_repeat(scenario: Scenario) -> tuple[Rule, ...]:
    """What a repeat answers for alone, before the last one judges them all: that nothing failed, where nothing may, and
    what its server counted, which is of each its own."""
    return tuple(
        rule
        for rule in effective_rules(scenario)
        if rule.metric.startswith(("server.", "startup.")) or (rule.metric == "failed" and not rule.limit)
    )


def judge(
    asked: Scenario,
    measured: Sequence[Measurement],
    samples: Sequence[Sample],
    per_repeat: Sequence[Metrics],
    pooled: Metrics,
) -> Judgement:
    """Judge all repeats of a scenario by its rules; the verdict is the worst of INVALID > FAIL > INCONCLUSIVE > PASS.

    What the server counted, and what ended a run or was said of it, is the last one's.
    """
    last, rules = measured[-1], asked.rules
    alpha = level(asked.repeats.looks, len(samples), 1 - asked.judge.confidence)
    statistical = max(1, sum(is_statistical(rule) for rule in rules))
    seen = checks(asked, measured, samples)
    prompt = all(c.ok for c in seen if c.id == "sentinel_lag")
    streams = asked.extra_body.get("stream") is not False and (last.plan is None or last.plan.streamed)
    odd = doubts.once(doubts.doubts(samples, last.plan, prompt=prompt, streams=streams), doubts.among(last.said))
    complete = all(sample.complete for sample in samples)
    case = Case(
        samples=samples,
        metrics=pooled,
        per_repeat=per_repeat,
        server=last.observed.counters,
        goodput=asked.goodput,
        settings=asked.judge,
        levels=Levels(alpha=alpha, alpha_fail=alpha / statistical),
        doubts=(*([] if complete or last.stopped_by else [INTERRUPTED]), *odd, *_of_queue(asked, samples, last)),
    )
    verdicts = tuple(_salvaged(v, last.stopped_by) for v in judge_rules(rules, case))
    verdicts = tuple(explained(v, samples, asked.goodput) for v in verdicts)
    faults = [last.observed.fault] if last.observed.fault else []
    worst = [v.verdict for v in verdicts] + [Verdict.INVALID for c in seen if not c.ok] + [Verdict.FAIL for _ in faults]
    if not complete:
        faults.append(last.stopped_by.reason if last.stopped_by else INTERRUPTED)
        worst.append(Verdict.INCONCLUSIVE)  # at best: the rule that stopped it is FAIL by itself
    odd += [replace(c.message, key="judge.doubt.reconnected") for c in seen if c.ok and c.id == "reconnected"]
    return Judgement(
        verdict=Verdict.worst(worst), verdicts=verdicts, checks=seen, faults=tuple(faults), notes=tuple(odd)
    )


def undecided(verdict: Verdict | None, verdicts: Sequence[RuleVerdict]) -> bool:
    """Whether more repeats may still decide a rule: what is odd about the answers stays so, and what failed failed."""
    if verdict is not Verdict.INCONCLUSIVE:
        return False
    return any(one.verdict is Verdict.INCONCLUSIVE and not doubts.is_doubted(one) for one in verdicts)


def _salvaged(verdict: RuleVerdict, hopeless: RuleVerdict | None) -> RuleVerdict:
    """What proved a run hopeless stays proven, although the requests that it cancelled are no sample; the figure is
    that of what was measured."""
    if hopeless is None or verdict.rule != hopeless.rule or verdict.verdict is Verdict.FAIL:
        return verdict
    return replace(hopeless, observed=verdict.observed, other=verdict.other)


def _of_queue(scenario: Scenario, samples: Sequence[Sample], last: Measurement) -> list[Message]:
    """Why no latency or goodput rule of an open loop may pass, if so; an exact gate asks of this run alone."""
    if not scenario.open_loop or (scenario.judge.mode == "exact" and last.predicted is None):
        return []
    if any(sample.steady is None for sample in samples):
        return [Message(key="judge.rate_without_window")]
    return [Message(key="judge.queue_grows")] if averages.queue_grows(samples) else []
