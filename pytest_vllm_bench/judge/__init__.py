"""Samples and what is known of the run → Judgement: every rule, every validity check, and the worst of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_vllm_bench.judge import doubts, means
from pytest_vllm_bench.judge.before import undecidable
from pytest_vllm_bench.judge.misses import Levels
from pytest_vllm_bench.judge.sla import Case, is_statistical, judge_rules
from pytest_vllm_bench.judge.validity import Client, checks
from pytest_vllm_bench.metric_table import effective_rules
from pytest_vllm_bench.model import (
    Judgement,
    LoadFacts,
    Message,
    Metrics,
    Plan,
    Rule,
    RuleVerdict,
    Sample,
    Scenario,
    Verdict,
)

__all__ = ["Evidence", "effective_rules", "judge", "of_one_repeat", "undecidable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known beside the samples; ``metrics``: of all repeats pooled, ``per_repeat`` and ``facts``: of each.

    ``server``: figures for rules on ``server.*``; ``server_fault``: it restarted or changed its model meanwhile.
    ``hopeless``: the rule that stopped the run early (``stopping.hopeless``).  ``doubts``: found elsewhere
    (``doubts.among``).
    """

    metrics: Metrics
    per_repeat: Sequence[Metrics] = ()
    facts: Sequence[LoadFacts] = ()
    plan: Plan | None = None
    server: Mapping[str, float] = field(default_factory=dict)
    server_fault: Message | None = None
    hopeless: RuleVerdict | None = None
    doubts: Sequence[Message] = ()


INTERRUPTED = Message(key="judge.interrupted")


def of_one_repeat(scenario: Scenario) -> tuple[Rule, ...]:
    """What a repeat answers for alone, before the last one judges them all: that nothing failed, where nothing may, and
    what its server counted, which is of each its own."""
    return tuple(
        rule
        for rule in effective_rules(scenario)
        if rule.metric.startswith("server.") or (rule.metric == "failed" and not rule.limit)
    )


def judge(
    scenario: Scenario, samples: Sequence[Sample], evidence: Evidence, rules: Sequence[Rule] | None = None
) -> Judgement:
    """Judge one scenario from all its repeats; the verdict is the worst of INVALID > FAIL > INCONCLUSIVE > PASS.

    ``rules``: others than its own."""
    rules = effective_rules(scenario) if rules is None else rules
    alpha = 1 - scenario.judge.confidence
    statistical = max(1, sum(is_statistical(rule) for rule in rules))
    client = Client(facts=evidence.facts, plan=evidence.plan, server=evidence.server)
    seen = checks(scenario, samples, rules, client)
    prompt = all(c.ok for c in seen if c.id == "sentinel_lag")
    streams = scenario.extra_body.get("stream") is not False
    odd = doubts.once(doubts.doubts(samples, evidence.plan, prompt=prompt, streams=streams), evidence.doubts)
    complete = all(sample.complete for sample in samples)
    case = Case(
        samples=samples,
        metrics=evidence.metrics,
        per_repeat=evidence.per_repeat,
        server=evidence.server,
        goodput=scenario.goodput,
        settings=scenario.judge,
        levels=Levels(alpha=alpha, alpha_fail=alpha / statistical),
        doubts=(*([] if complete or evidence.hopeless else [INTERRUPTED]), *odd, *_of_queue(scenario, samples)),
    )
    verdicts = judge_rules(rules, case)
    verdicts = tuple(_salvaged(v, evidence.hopeless) for v in verdicts)
    faults = [evidence.server_fault] if evidence.server_fault else []
    worst = [v.verdict for v in verdicts] + [Verdict.INVALID for c in seen if not c.ok] + [Verdict.FAIL for _ in faults]
    if not complete:
        faults.append(evidence.hopeless.reason if evidence.hopeless else INTERRUPTED)
        worst.append(Verdict.INCONCLUSIVE)  # at best: the rule that stopped it is FAIL by itself
    odd += [replace(c.message, key="judge.doubt.reconnected") for c in seen if c.ok and c.id == "reconnected"]
    return Judgement(
        verdict=Verdict.worst(worst), verdicts=verdicts, checks=seen, faults=tuple(faults), notes=tuple(odd)
    )


def _salvaged(verdict: RuleVerdict, hopeless: RuleVerdict | None) -> RuleVerdict:
    """What proved a run hopeless stays proven, although the requests that it cancelled are no sample; the figure is
    that of what was measured."""
    if hopeless is None or verdict.rule != hopeless.rule or verdict.verdict is Verdict.FAIL:
        return verdict
    return replace(hopeless, observed=verdict.observed, other=verdict.other)


def _of_queue(scenario: Scenario, samples: Sequence[Sample]) -> list[Message]:
    """Why no latency or goodput rule of an open loop may pass, if so; an exact gate asks of this run alone."""
    if not scenario.open_loop or scenario.judge.mode == "exact":
        return []
    if any(sample.steady is None for sample in samples):
        return [Message(key="judge.rate_without_window")]
    return [Message(key="judge.queue_grows")] if means.queue_grows(samples) else []
