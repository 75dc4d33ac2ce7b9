"""A scenario and its planned requests → the rules that they cannot decide, said before any load."""

from __future__ import annotations

from pytest_vllm_bench.judge.selection import allowed_share
from pytest_vllm_bench.judge.shares import FEWEST_FOR_PASS, fewest_to_pass
from pytest_vllm_bench.metric_table import Name, effective_rules, parse_name
from pytest_vllm_bench.model import Message, Rule, Scenario


def undecidable(scenario: Scenario, planned: int) -> list[Message]:
    """Statistical rules that ``planned`` requests (all repeats together) cannot prove even if none misses."""
    if scenario.judge.mode == "exact":
        return []
    found = (_problem(rule, scenario, planned) for rule in effective_rules(scenario))
    return [message for message in found if message is not None]


def _problem(rule: Rule, scenario: Scenario, planned: int) -> Message | None:
    name = parse_name(rule.metric)
    if name is None or name.row.per in ("gap", "token"):
        return None
    share = allowed_share(rule, name)
    if share is None or not 0 < share < 1:
        return None
    measured = _in_window(rule, name, scenario, planned)
    needed = fewest_to_pass(0, float(share), 1 - scenario.judge.confidence)
    if measured >= needed:
        return None
    values = {"rule": rule.text, "n": measured, "needed": needed, "more": needed - measured}
    return Message(key="judge.undecidable", values=values)


def _in_window(rule: Rule, name: Name, scenario: Scenario, planned: int) -> int:
    """Requests that the rule's window will hold: a closed loop leaves out those sent before the C-th completion."""
    cap, repeats = scenario.concurrency, max(1, scenario.repeats.min)
    each = planned // repeats
    if rule.window == "whole" or name.row.id == "failed_ratio" or scenario.open_loop or cap is None or each < 3 * cap:
        return planned
    return repeats * (each - 2 * cap + 1)


def enough(scenario: Scenario) -> int:
    """Requests in the window with which every rule can pass although two independent ones miss it (at least 25).

    What a probe of a capacity search should have, lest its first runs decide nothing.
    """
    needed = [FEWEST_FOR_PASS]
    for rule in effective_rules(scenario):
        name = parse_name(rule.metric)
        share = allowed_share(rule, name) if name and name.row.per not in ("gap", "token") else None
        if share:
            needed.append(fewest_to_pass(2, float(share), 1 - scenario.judge.confidence))
    return max(needed)
