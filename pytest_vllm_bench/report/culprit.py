"""Where a figure comes from → three lines: the culprit, what would be without each stage, and each stage's share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from pytest_vllm_bench.model import Comparison, Culprit, Message, Result, RuleVerdict, StageShare
from pytest_vllm_bench.report import words
from pytest_vllm_bench.text import say, table

#: Stages of which lines tell, and rules of a result that are explained.
STAGES, RULES = 3, 3


def told(one: RuleVerdict | Comparison) -> list[Message]:
    """Nothing where nobody knows."""
    if (found := one.culprit) is None or not found.shares:
        return []
    changed = isinstance(one, Comparison)
    metric = one.metric if isinstance(one, Comparison) else one.rule.metric
    shares = [share for share in found.shares if share.share > 0][:STAGES] or [*found.shares[:1]]

    def figure(value: float, *, unit: bool = True) -> str | Message:
        if metric.endswith("_ms"):
            number = words.number(_rounded(value))
            return Message(key="culprit.ms", values={"number": number}) if unit else number
        return f"{100 * value:.1f}%"

    def of(share: StageShare) -> dict[str, str | Message]:
        low, high = (figure(max(0.0, end), unit=False) for end in share.interval)
        return {"stage": stage(share.stage), "share": figure(share.share), "low": low, "high": high}

    def without(share: StageShare) -> Message:
        key = f"culprit.{'as_before' if changed else 'without'}{'' if share.within else '_not'}"
        return Message(key=key, values={"stage": stage(share.stage), "figure": figure(share.without)})

    rest = Message(
        key=f"culprit.{'all_before' if changed else 'uncontended'}", values={"figure": figure(found.uncontended)}
    )
    head = Message(key="culprit.none", values={"metric": metric})
    first = next((share for share in found.shares if share.stage == found.stage), None)
    if first is not None:
        whole = figure(abs(found.observed - found.uncontended)) if changed else figure(_whole(found, metric))
        values = {"metric": metric, **of(first), "observed": whole, "change": whole}
        head = Message(key="culprit.changed" if changed else "culprit.named", values=values)
    listed = [Message(key="culprit.share", values=of(share)) for share in shares]
    return [head, _joined([without(share) for share in shares]), _joined([*listed, rest])]


def _whole(found: Culprit, metric: str) -> float:
    """What the shares are shares of: a latency, or the requests that miss."""
    return found.observed if metric.endswith("_ms") else 1 - found.observed


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") if abs(value) < 1000 else round(value)


def stage(name: str) -> Message:
    """One of a later version is said as it is written."""
    key = f"culprit.stage.{name}"
    return Message(key=key) if key in table() else Message(key="page.plain", values={"text": name})


def _joined(parts: Sequence[Message]) -> Message:
    return reduce(lambda a, b: Message(key="culprit.and", values={"first": a, "then": b}), parts)


def lines(result: Result, lang: str) -> list[str]:
    """What is said of the first of its broken rules, and of what is worse than the reference."""
    found: list[RuleVerdict | Comparison] = [
        *result.verdicts,
        *(result.baseline.comparisons if result.baseline else ()),
    ]
    explained = [one for one in found if one.culprit][:RULES]
    return [say(message, lang) for one in explained for message in told(one)]
