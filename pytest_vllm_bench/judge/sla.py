"""Rules → a verdict each: proven within, proven over, or undecided and how many more requests would decide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from pytest_vllm_bench.judge import averages, shares
from pytest_vllm_bench.judge.doubts import doubted
from pytest_vllm_bench.judge.implications import settled
from pytest_vllm_bench.judge.selection import (
    Series,
    Window,
    allowed_share,
    metric_id,
    nothing_to_count,
    observed,
    series,
)
from pytest_vllm_bench.judge.shares import Levels
from pytest_vllm_bench.metric_table import COMPARE, Name, parse_name, percentile_label, sampled_key
from pytest_vllm_bench.model import JudgeSettings, Message, Metrics, Rule, RuleVerdict, Sample, Verdict

#: Totals of a run, not properties of its steady part.
OF_THE_RUN = frozenset({"completed", "unsent", "duration", "total_input_tokens", "total_output_tokens"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What rules are judged from.  ``metrics``: of all repeats pooled; ``per_repeat``: of each."""

    samples: Sequence[Sample]
    metrics: Metrics
    per_repeat: Sequence[Metrics] = ()
    server: Mapping[str, float] = field(default_factory=dict)
    goodput: Mapping[str, float] = field(default_factory=dict)
    settings: JudgeSettings = JudgeSettings()
    levels: Levels = Levels(alpha=0.05, alpha_fail=0.05)
    doubts: Sequence[Message] = ()  # why rules cannot pass that read certain figures
    rated: bool = False  # an open loop of which only figures are known

    @property
    def open_loop(self) -> bool:
        return self.rated or any(s.open_loop for s in self.samples)

    @property
    def has_steady(self) -> bool:
        if not self.samples:
            return self.metrics.get("steady_requests") is not None
        return all(s.steady is not None for s in self.samples)


def is_statistical(rule: Rule) -> bool:
    """Whether the rule is proven or disproven, rather than compared."""
    name = parse_name(rule.metric)
    if name is None or rule.op in ("==", "!="):
        return False
    share = allowed_share(rule, name)
    return (share is not None and 0 < share < 1) or name.averages


def judge_rules(rules: Sequence[Rule], case: Case) -> tuple[RuleVerdict, ...]:
    """Each rule's verdict, in the order given; an unknown metric is a KeyError (``parse_rule`` has refused it)."""

    def after_doubts(verdicts: Iterable[RuleVerdict]) -> tuple[RuleVerdict, ...]:
        return tuple(doubted(verdict, case.doubts, case.goodput) for verdict in verdicts)

    judged = [_judge(rule, case) for rule in rules]
    return after_doubts(settled(judged, after_doubts(judged), case.goodput, open_loop=case.open_loop))


def _judge(rule: Rule, case: Case) -> RuleVerdict:
    name = parse_name(rule.metric)
    if name is None:
        raise KeyError(rule.metric)
    window = _window(rule, name, case)
    if window is None:
        return _no_data(rule, "steady", Message(key="judge.no_steady_window"))
    if not case.samples:  # figures alone
        return _compared(rule, name, case, window)
    share = allowed_share(rule, name)
    if share is not None and share < 1:
        return _counted(rule, name, case, window, share)
    if name.averages and rule.op not in ("==", "!="):
        return _averaged(rule, name, case, window)
    return _compared(rule, name, case, window)


def _window(rule: Rule, name: Name, case: Case) -> Window | None:
    """The window that the rule is judged in; None where it asks for a steady window that there is not."""
    if rule.window == "whole" or name.row.id.startswith("failed") or name.row.id == "server":
        return "whole"
    if rule.window == "steady":
        return "steady" if case.has_steady else None
    return "steady" if case.has_steady and name.row.id not in OF_THE_RUN else "whole"


def figure_key(name: Name, open_loop: bool) -> str:
    """The key of a rule's figure among the metrics, without the window's prefix."""
    if not name.statistic:
        return name.text
    label = name.statistic
    if label == "p" and name.percent is not None:
        label = percentile_label(name.percent)
    return sampled_key(label, metric_id(name, open_loop))


def _figure(name: Name, case: Case, window: Window) -> float | None:
    if name.row.id == "server":
        return case.server.get(name.text.removeprefix("server."))
    key = figure_key(name, case.open_loop)
    value = case.metrics.get(f"steady_{key}" if window == "steady" else key)
    return None if value is None else float(value)


def _other(name: Name, case: Case, window: Window) -> float | None:
    if name.row.id == "server" or name.row.id.startswith("failed") or not case.has_steady:
        return None
    return _figure(name, case, "whole" if window == "steady" else "steady")


def _no_data(rule: Rule, window: Window, why: Message) -> RuleVerdict:
    reason = Message(key="judge.no_data", values={"metric": rule.metric, "why": why})
    return RuleVerdict(rule=rule, verdict=Verdict.FAIL, reason=reason, observed=None, window=window)


def number(value: float | str | None) -> str:
    """A figure as people read it: four digits, whole numbers whole."""
    if value is None or isinstance(value, str):
        return "–" if value is None else value
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def _compared(rule: Rule, name: Name, case: Case, window: Window) -> RuleVerdict:
    """A plain comparison: observed, never proven."""
    value = _figure(name, case, window)
    n = sum(int(s.counted.sum()) for s in case.samples)
    if value is None:
        return _no_data(rule, window, Message(key="judge.not_measured"))
    if case.samples and n == 0 and name.row.id != "server":  # none failed of none
        return _no_data(rule, window, Message(key="judge.no_requests"))
    within = bool(COMPARE[rule.op](value, float(rule.limit)))
    return RuleVerdict(
        rule=rule,
        verdict=Verdict.PASS if within else Verdict.FAIL,
        reason=Message(key="judge.compared", values={"observed": number(value), "limit": _limit(rule)}),
        observed=value,
        within=within,
        window=window,
        other=_other(name, case, window),
        n=n,
    )


def _limit(rule: Rule) -> str:
    return f"{rule.op} {rule.limit}"


def _counted(rule: Rule, name: Name, case: Case, window: Window, share: Fraction) -> RuleVerdict:
    """Percentiles and ratios: by the number of misses."""
    if (why := nothing_to_count(rule, name, case.samples, case.goodput)) is not None:
        return _no_data(rule, window, why)
    found = series(rule, name, case.samples, window, case.goodput)
    if found.n == 0:
        return _no_data(rule, window, Message(key="judge.no_requests"))
    within = found.k <= found.n * share
    shown = _shown(rule, name, found, share)
    facts: dict[str, Any] = {"rule": rule, "observed": shown, "within": within, "window": window,
                             "other": _other(name, case, window), "n": found.n, "misses": found.k}  # fmt: skip
    values: dict[str, Any] = {"observed": _observed_words(shown, found), "limit": _limit(rule)}
    if share == 0 or case.settings.mode == "exact":
        verdict = Verdict.PASS if within else Verdict.FAIL
        reason = Message(key="judge.counted", values={**values, "seen": _seen(rule, name, found)})
        return RuleVerdict(**facts, verdict=verdict, reason=reason)
    alpha = case.levels.alpha
    seen = shares.count(found, share)
    far = seen.proven_far(alpha) and not seen.counted_within(alpha)
    facts["interval"] = _interval(rule, name, found, seen, alpha)
    told = seen.each_for_itself() if far else seen
    facts |= {"n_eff": told.n_eff, "misses_eff": told.k_eff, "tau": told.tau}
    values |= {"seen": _seen(rule, name, found, told), "confidence": _confidence(case)}
    if seen.proven_over(case.levels.alpha_fail):
        reason = Message(key="judge.proven_over", values=values)
        return RuleVerdict(**facts, verdict=Verdict.FAIL, reason=reason, proven=True)
    if seen.proven_within(alpha):
        reason = Message(key="judge.proven_far" if far else "judge.proven_within", values=values)
        return RuleVerdict(**facts, verdict=Verdict.PASS, reason=reason, proven=True)
    needed = shares.more(seen, case.levels)
    return _undecided(facts, values, _more_words(needed, values["seen"]), needed)


def _seen(rule: Rule, name: Name, found: Series, counted: shares.Count | None = None) -> Message:
    """What the requests did, in words: how near they came or how many missed, and what that many are worth."""
    values: dict[str, Any] = {"n": found.n, "misses": found.k}
    key = "some" if found.k else "none"
    if not found.k and found.margin:
        upper = name.row.per == "run" or rule.op in ("<=", "<")
        key = "all_good" if name.row.per == "run" else "all_below" if upper else "all_above"
        near = f"{max(1, math.ceil(100 / found.margin))} %" if upper else f"{math.floor(10 * found.margin) / 10:g}"
        values["near"] = near
    seen = Message(key=f"judge.seen.{key}", values=values)
    if counted is None or math.floor(counted.n_eff) >= found.n:
        return seen
    return Message(key="judge.seen.worth", values={"seen": seen, "n_eff": math.floor(counted.n_eff)})


def _confidence(case: Case) -> str:
    return f"{case.settings.confidence * 100:g} %"


def _observed_words(shown: float | Literal["inf"], found: Series) -> Any:
    if shown == "inf":
        return Message(key="judge.inf_failed", values={"failed": int(found.failed.sum())})
    return number(shown)


def _shown(rule: Rule, name: Name, found: Series, share: Fraction) -> float | Literal["inf"]:
    if name.row.id == "failed_ratio":
        return found.k / found.n
    if name.row.per == "run":
        return 1 - found.k / found.n
    return observed(found, share, rule)


def _interval(rule: Rule, name: Name, found: Series, seen: shares.Count, alpha: float) -> tuple[float, float]:
    """The interval in the metric's own unit and direction."""
    if name.row.per == "run":
        low, high = shares.share_interval(seen, alpha)
        return (low, high) if name.row.id == "failed_ratio" else (1 - high, 1 - low)
    low, high = shares.value_interval(found, seen, alpha)
    return (max(low, 0.0), high) if rule.op in ("<=", "<") else (max(-high, 0.0), -low)


def _more_words(needed: int | None, seen: Message) -> Message:
    if needed is None:
        return Message(key="judge.too_close", values={"seen": seen})
    return Message(key="judge.more", values={"seen": seen, "more": needed})


def _undecided(facts: Mapping[str, Any], values: Mapping[str, Any], why: Message, needed: int | None) -> RuleVerdict:
    key = "judge.unproven_within" if facts["within"] else "judge.unproven_over"
    reason = Message(key=key, values={**values, "why": why})
    return RuleVerdict(**facts, verdict=Verdict.INCONCLUSIVE, reason=reason, more=needed)


def _averaged(rule: Rule, name: Name, case: Case, window: Window) -> RuleVerdict:
    """Means and throughputs: by an interval around the figure."""
    value = _figure(name, case, window)
    if value is None:
        return _no_data(rule, window, Message(key="judge.not_measured"))
    if case.settings.mode == "exact":
        return _compared(rule, name, case, window)
    key = f"steady_{figure_key(name, case.open_loop)}" if window == "steady" else figure_key(name, case.open_loop)
    found = averages.spread(name, case.samples, case.per_repeat, key)
    limit = float(rule.limit)
    facts: dict[str, Any] = {"rule": rule, "observed": value, "within": bool(COMPARE[rule.op](value, limit)),
                             "window": window, "other": _other(name, case, window),
                             "n": sum(int(s.counted.sum()) for s in case.samples)}  # fmt: skip
    values: dict[str, Any] = {"observed": number(value), "limit": _limit(rule), "confidence": _confidence(case)}
    if found is None:
        return _undecided(facts, values, Message(key="judge.no_blocks"), None)
    blocks, n = found
    borrowed = window == "whole" and len(case.per_repeat) < averages.FEWEST_REPEATS
    low, high = averages.interval(value, blocks, 1 - case.levels.alpha, borrowed=borrowed)
    facts |= {"n": n, "interval": (low, high)}
    values |= {"low": number(low), "high": number(high)}
    edges = averages.interval(value, blocks, 1 - case.levels.alpha_fail, borrowed=borrowed)
    upper = rule.op in ("<=", "<")
    if not COMPARE[rule.op](edges[0] if upper else edges[1], limit):
        reason = Message(key="judge.mean_over", values=values)
        return RuleVerdict(**facts, verdict=Verdict.FAIL, reason=reason, proven=True)
    if COMPARE[rule.op](high if upper else low, limit):
        reason = Message(key="judge.mean_within", values=values)
        return RuleVerdict(**facts, verdict=Verdict.PASS, reason=reason, proven=True)
    needed = _more_for_mean(value, limit, (high - low) / 2, n)
    return _undecided(facts, values, _more_words(needed, Message(key="judge.seen.between", values=values)), needed)


def _more_for_mean(value: float, limit: float, width: float, n: int) -> int | None:
    """An interval narrows with the root of the requests; None where that would take 100 times as many."""
    away = abs(value - limit)
    if away == 0 or width / away >= 10:
        return None
    return max(1, math.ceil(n * ((width / away) ** 2 - 1)))
