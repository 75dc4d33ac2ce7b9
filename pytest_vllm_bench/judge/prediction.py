"""Verdicts on a predicted load → PREDICTED, each with an interval that includes what the twin was wrong by before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_vllm_bench.judge.sla import figure_key, number
from pytest_vllm_bench.metric_table import COMPARE, FROM_DUE, SAMPLED, THROUGHPUTS, Name, parse_name
from pytest_vllm_bench.model import Message, Metrics, RuleVerdict, Verdict

#: A metric that a twin was wrong about by more is not told.
MOST = 0.10
#: Read from ``due`` → the same from ``sent``, by whose error it is told where no open loop was measured.
_SERVICE = {due: sent for sent, due in FROM_DUE.items()}
FAILURES = ("failed", "failed_ratio", "completed", "unsent")
_COST = "cost_per_million_output_tokens"


def error(key: str, errors: Mapping[str, float]) -> float | None:
    """By which share a figure of a prediction may be off; None: nobody knows."""
    name = parse_name(key)
    if name is None:
        return None
    if name.row.id == _COST or name.row.id == "output_throughput_per_accelerator":
        key = key.replace(name.row.id, "output_throughput")
    plain = key.removeprefix("steady_")
    sent = plain.replace(name.row.id, _SERVICE.get(name.row.id, name.row.id))
    return next((errors[one] for one in (key, plain, sent) if one in errors), None)


def of_limits(goodput: Mapping[str, float], errors: Mapping[str, float]) -> Mapping[str, float] | None:
    """By which share each latency that has a limit may be off; None where the twin cannot tell one of them."""
    named = [(name.row.id, off) for key, off in errors.items() if (name := parse_name(key)) and name.statistic == "p"]
    found = {id: max((off for other, off in named if other == id), default=1.0) for id in goodput}
    return found if goodput and max(found.values()) <= MOST else None


def told(figures: Metrics, errors: Mapping[str, float], *, limits: bool) -> dict[str, Any]:
    """The figures without those that the twin cannot tell; ``limits``: it can tell each latency that goodput limits."""

    def sure(key: str) -> bool:
        name = parse_name(key)
        if name is not None and "goodput" in name.row.needs:
            return limits
        if name is None or not (name.row.id in SAMPLED or name.row.id in THROUGHPUTS or name.row.id == _COST):
            return True
        off = error(key, errors)
        return off is not None and off <= MOST

    return {key: value if sure(key) else None for key, value in figures.items()}


def predicted(
    judged: RuleVerdict, errors: Mapping[str, float], *, open_loop: bool, edges: Sequence[Metrics] = ()
) -> RuleVerdict:
    """A rule's verdict on records that were simulated: which side it would be on, and how surely.

    ``edges``: what goodput comes to where every request is as much slower, or faster, as the twin may be off.
    """
    name = parse_name(judged.rule.metric)
    if name is not None and (name.row.id in FAILURES or name.row.id.startswith("failed_")):
        return _replaced(judged, Message(key="judge.predicted.no_failures"))
    why = judged.reason.values.get("why")
    if isinstance(why, Message) and why.key in ("judge.queue_grows", "judge.rate_without_window"):
        return _replaced(judged, Message(key=f"judge.predicted.{why.key.removeprefix('judge.')}"), within=False)
    key = _key(name, judged, open_loop) if name else judged.rule.metric
    of_limits = name is not None and "goodput" in name.row.needs
    off = (0.0 if edges else None) if of_limits else error(key, errors)
    if off is None or off > MOST:
        why = Message(key="judge.predicted.unknown")
        if off is not None:
            why = Message(key="judge.predicted.off", values={"off": f"{off:.0%}", "most": f"{MOST:.0%}"})
        reason = Message(key="judge.predicted.untold", values={"metric": judged.rule.metric, "off": why})
        return _replaced(judged, reason, within=None, observed=None)
    if not isinstance(judged.observed, int | float):
        return _replaced(judged, judged.reason)  # which says why there is nothing to tell of
    seen = float(judged.observed)
    # How many requests it takes to prove a figure is no question here: they cost nothing, and prove nothing.
    ends = [seen, *(float(value) for edge in edges if of_limits and (value := edge.get(key)) is not None)]
    interval = (min(ends) * (1 - off), max(ends) * (1 + off))
    sides = {bool(COMPARE[judged.rule.op](end, float(judged.rule.limit))) for end in interval}
    word = "close" if len(sides) > 1 else "holds" if True in sides else "breaks"
    limit = f"{judged.rule.op} {judged.rule.limit}"
    own = Message(key="judge.predicted.limits") if of_limits else f"{off:.0%}"
    values = {"observed": number(seen), "low": number(interval[0]), "high": number(interval[1])}
    reason = Message(key=f"judge.predicted.{word}", values={**values, "limit": limit, "off": own})
    return _replaced(judged, reason, interval=interval)


def _replaced(judged: RuleVerdict, reason: Message, interval: Any = None, **changed: Any) -> RuleVerdict:
    made = {"verdict": Verdict.PREDICTED, "reason": reason, "interval": interval, "proven": False, "more": None}
    return replace(judged, **made, **changed)


def _key(name: Name, judged: RuleVerdict, open_loop: bool) -> str:
    return ("steady_" if judged.window == "steady" else "") + figure_key(name, open_loop)
