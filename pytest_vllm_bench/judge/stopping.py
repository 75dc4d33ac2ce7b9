"""What has been measured so far → go on, stop because it is decided, or stop because it is hopeless."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_vllm_bench.judge import shares
from pytest_vllm_bench.judge.selection import Window, allowed_share, nothing_to_count, series
from pytest_vllm_bench.judge.sla import figure_key, is_statistical
from pytest_vllm_bench.judge.statistics import half_width
from pytest_vllm_bench.metric_table import effective_rules, parse_name
from pytest_vllm_bench.model import Message, Metrics, Rule, RuleVerdict, Sample, Scenario, Verdict

#: Looks at a run before its end: after each tenth of the plan.
LOOKS = 10
#: Each look may err this much less often than the end.
PER_LOOK = 20
#: Whose spread between runs is said.
SPREAD = ("output_throughput", "mean_ttft_ms", "mean_tpot_ms", "mean_e2el_ms")


def due_for_a_look(finished: int, planned: int, looked: int) -> bool:
    """Whether the next tenth of the plan is over; ``looked``: how many looks there have been."""
    return looked < LOOKS - 1 and finished * LOOKS >= planned * (looked + 1)


def hopeless(scenario: Scenario, so_far: Sample, in_flight: int) -> RuleVerdict | None:
    """The first rule that is proven broken whatever still comes, at a twentieth of the usual error; None: go on.

    ``so_far`` holds what is finished; the ``in_flight`` requests that are not count as within every limit, because
    quick failures finish first.  Exact rules stop nothing.
    """
    if scenario.judge.mode == "exact":
        return None
    statistical = [rule for rule in effective_rules(scenario) if is_statistical(rule)]
    alpha = (1 - scenario.judge.confidence) / PER_LOOK / max(1, len(statistical))
    found = (_broken(rule, scenario, so_far, in_flight, alpha) for rule in statistical)
    return next((verdict for verdict in found if verdict is not None), None)


def _broken(rule: Rule, scenario: Scenario, so_far: Sample, in_flight: int, alpha: float) -> RuleVerdict | None:
    name = parse_name(rule.metric)
    if name is None or name.row.per in ("gap", "token"):
        return None
    share = allowed_share(rule, name)
    if share is None or nothing_to_count(rule, name, [so_far], scenario.goodput) is not None:
        return None
    steady = so_far.steady is not None and rule.window != "whole" and name.row.id != "failed_ratio"
    if rule.window == "steady" and not steady:
        return None
    window: Window = "steady" if steady else "whole"
    found = series(rule, name, [so_far], window, scenario.goodput)
    seen = shares.count(found, share)
    seen = replace(seen, n_eff=(found.n + in_flight) / seen.tau)
    if not seen.proven_over(alpha):
        return None
    values = {"rule": rule.text, "misses": found.k, "n": found.n}
    return RuleVerdict(
        rule=rule,
        verdict=Verdict.FAIL,
        reason=Message(key="judge.hopeless", values=values),
        observed=None,
        within=False,
        proven=True,
        window=window,
        n=found.n + in_flight,
        misses=found.k,
        n_eff=seen.n_eff,
        misses_eff=seen.k_eff,
        tau=seen.tau,
    )


def enough_repeats(scenario: Scenario, per_repeat: Sequence[Metrics]) -> bool:
    """Whether no further repeat is needed: ``max`` is reached, or from ``min`` on every judged mean and throughput is
    known to within ``until`` of itself."""
    settings, done = scenario.repeats, len(per_repeat)
    if done >= settings.max:
        return True
    if settings.looks:
        return False  # whether all is decided is asked of what was judged
    if done < max(settings.min, 2 if settings.until is not None else 1):
        return False
    confidence = scenario.judge.confidence
    return settings.until is None or all(
        _narrow(values, settings.until, confidence) for values in judged_means(scenario, per_repeat)
    )


def judged_means(scenario: Scenario, per_repeat: Sequence[Metrics]) -> list[list[float | None]]:
    """For each rule on a mean or throughput its figure in each repeat: steady where all have it, else whole."""
    found = []
    for rule in scenario.rules:
        name = parse_name(rule.metric)
        if name is None or not name.averages:
            continue
        key = figure_key(name, scenario.open_loop)
        steady = [m.get(f"steady_{key}") for m in per_repeat]
        whole = rule.window == "whole" or (None in steady and rule.window != "steady")
        found.append([m.get(key) for m in per_repeat] if whole else steady)
    return found


def _narrow(values: Sequence[float | None], until: float, confidence: float) -> bool:
    known = [float(v) for v in values if v is not None]
    if len(known) < len(values):
        return False
    mean = math.fsum(known) / len(known)
    return half_width(known, (1 + confidence) / 2) <= until * abs(mean)


def spread_said(per_repeat: Sequence[Metrics], among: Iterable[str] = SPREAD) -> Message | None:
    """How much the main figures varied from run to run; None where there is one run, or nothing to say."""
    found = {metric: between_runs(per_repeat, metric) for metric in among}
    figures = ", ".join(f"{metric} {share:.1%}" for metric, share in found.items() if share is not None)
    return Message(key="judge.between_runs", values={"runs": len(per_repeat), "figures": figures}) if figures else None


def between_runs(per_repeat: Sequence[Metrics], metric: str) -> float | None:
    """The spread of a figure between repeats, as a share of its mean (s ÷ mean); None below two repeats."""
    known = [float(v) for m in per_repeat if (v := m.get(metric)) is not None]
    if len(known) < 2 or len(known) < len(per_repeat):
        return None
    mean = math.fsum(known) / len(known)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in known) / (len(known) - 1))
    return spread / abs(mean) if mean else None
