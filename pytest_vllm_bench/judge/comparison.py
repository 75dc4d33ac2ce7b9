"""Sessions kept of a reference and a new one → is it worse, beyond what the noise of both explains?

y = mean over repeats of ln(metric), d = y_new − mean(y₁…y_K) counted positive when worse, and

    s₀ = max(assumed noise, what the whole reference has shown; see ``baseline.noise_shown``)
    s² = (3·s₀² + (K−1)·var(y₁…y_K)) / (K+2);  df = K+2;  h(q) = t[q, df]·s·√(1 + 1/K)
    FAIL iff d − h(1−α_b) > tolerance in two measurements;  α_b = min(0.01, 0.6/M)
    printed: tolerance + h(1−α_b) + h(√0.8), which both measurements are over in four of five cases

One scenario's few sessions say little about noise, a matrix of fifty says much.  Without the maximum, noise four times
what is assumed fails up to 31 % of sessions in which nothing changed, with it fewer than 1 %.  Where nothing at all has
been seen (K = 1 without repeats, no ``noise`` written), the assumed noise counts double.  The new session's own repeats
do not enter s: both measurements and the printed figure share one yardstick, and the reference's repeats say as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.baseline import KEPT, SessionFigures
from pytest_vllm_bench.judge.statistics import t_quantile
from pytest_vllm_bench.metric_table import parse_name
from pytest_vllm_bench.model import FEWEST_ROUNDS, Comparison, Message, Verdict

#: What is gated unless the config names other metrics.
GATED = ("output_throughput", "mean_tpot_ms", "mean_e2el_ms")
DEFAULT_TOLERANCE = "5%"
#: Degrees of freedom that the prior knowledge of the noise is worth.
PRIOR = 3
#: How many times the assumed noise is believed possible before anything has been seen of it.
UNSEEN = 2
#: Each of two measurements must be over this often to be over together in four of five cases.
BOTH = math.sqrt(0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSettings:
    """As in the config: ``tolerance`` "5%" (relative) or a number (in the metric's unit); ``noise``: shares, 0..1."""

    tolerance: Mapping[str, str | float] = field(default_factory=dict)
    noise: Mapping[str, float] = field(default_factory=dict)
    keep: int = 5
    again: int = 4  # fresh measurements of what is suspected, at most
    confidence: float = 0.95

    @property
    def gated(self) -> tuple[str, ...]:
        """The metrics that can fail a scenario."""
        return tuple(self.tolerance) or GATED


def default_noise(metric: str) -> float:
    """s₀, the run-to-run variation that is assumed until sessions have shown their own."""
    name = parse_name(metric)
    if name is not None and name.row.id.endswith("ttft") and name.statistic in ("mean", "median"):
        return 0.05
    if name is not None and name.statistic in ("p", "max", "std"):
        return 0.10
    return 0.03


def comparisons_planned(scenarios: int, settings: BaselineSettings) -> int:
    """M: how many gated comparisons a session makes, so that its false alarms are counted together."""
    return max(1, scenarios * len(settings.gated))


def comparable(reference: Sequence[SessionFigures], new: SessionFigures, key: str) -> Message | None:
    """Why the new session cannot be compared: nothing is there, or another plan was sent."""
    if not reference:
        return Message(key="judge.baseline_missing", values={"scenario": key})
    if reference[-1].digest != new.digest:
        return Message(key="judge.baseline_other_plan", values={"scenario": key, "session": reference[-1].session})
    return None


def compare(
    reference: Sequence[SessionFigures],
    new: SessionFigures,
    settings: BaselineSettings,
    planned: int,
    shown: Mapping[str, float] = MappingProxyType({}),
    *,
    afresh: bool = True,
) -> list[Comparison]:
    """Every kept metric against the reference's sessions (see ``comparable``).

    ``planned``: M of this session; ``shown``: the noise that the whole reference has shown; ``afresh``: what is over
    will be measured once more.  Where it will not, it is FAIL at once, and α is a sixtieth.
    """
    found = []
    for metric in dict.fromkeys((*settings.gated, *KEPT)):
        tolerance, relative = tolerance_of(metric, settings)
        old = [s.values[metric] for s in reference if has(s, metric, relative)]
        if not old or not has(new, metric, relative):
            continue
        transform = math.log if relative else float
        means = [float(np.mean([transform(v) for v in values])) for values in (*old, new.values[metric])]
        noise = _noise(metric, settings, shown, alone=len(old) == 1)
        prior = noise if relative else noise * abs(float(np.mean(means[:-1])))
        alpha, power = (min(0.01, 0.6 / planned), BOTH) if afresh else (at_once(planned), 0.8)
        bounds = Bounds(tolerance=tolerance, relative=relative, alpha=alpha, power=power)
        made = _comparison(metric, Difference.between(means[:-1], means[-1], prior), settings, bounds)
        found.append(made if afresh else _at_once(made))
    return found


def at_once(planned: int) -> float:
    """α where nothing is measured afresh: 1 % of sessions err."""
    return 0.01 / planned


def _noise(metric: str, settings: BaselineSettings, shown: Mapping[str, float], *, alone: bool) -> float:
    """s₀: what is assumed (``noise``), or more if the reference has shown more; ``alone``: one session is kept."""
    assumed = settings.noise.get(metric, default_noise(metric))
    if alone and metric not in shown and metric not in settings.noise:
        return UNSEEN * assumed
    return max(assumed, shown.get(metric, 0.0))


def has(session: SessionFigures, metric: str, relative: bool) -> bool:
    """Whether it has a figure that can be compared: a ratio takes figures above 0."""
    values = session.values.get(metric)
    if not values:
        return False
    return not relative or min(values) > 0


def missing_gates(
    reference: Sequence[SessionFigures], new: SessionFigures, settings: BaselineSettings
) -> list[Message]:
    """Gated metrics of which one of the two sides has no figure to compare: a gate without data is no green gate."""
    found = []
    for metric in settings.gated:
        relative = tolerance_of(metric, settings)[1]
        if not has(new, metric, relative) or not any(has(s, metric, relative) for s in reference):
            there = metric in new.values and any(metric in s.values for s in reference)
            key = "judge.baseline_not_positive" if there else "judge.baseline_no_metric"
            found.append(Message(key=key, values={"metric": metric}))
    return found


def lost_gates(reference: Sequence[SessionFigures], new: SessionFigures, settings: BaselineSettings) -> bool:
    """Whether the new session has no figure for a gated metric that the config names or the reference has.

    One that only the reference lacks is new, like a new scenario, and no failure.
    """
    for metric in settings.gated:
        relative = tolerance_of(metric, settings)[1]
        expected = metric in settings.tolerance or any(has(s, metric, relative) for s in reference)
        if expected and not has(new, metric, relative):
            return True
    return False


def tolerance_of(metric: str, settings: BaselineSettings) -> tuple[float, bool]:
    """(how much worse is accepted, whether that is relative); the sign as written says nothing."""
    written = settings.tolerance.get(metric, DEFAULT_TOLERANCE)
    if isinstance(written, str):
        return abs(float(written.strip().removesuffix("%"))) / 100, True
    return abs(float(written)), False


#: What a comparison came to, where that is not INCONCLUSIVE.
DECIDED = {
    "judge.baseline_within": Verdict.PASS, "judge.matrix_within": Verdict.PASS,
    "judge.baseline_worse": Verdict.FAIL, "judge.baseline_worse_beside": Verdict.FAIL,
    "judge.matrix_worse": Verdict.FAIL, "judge.targets_worse": Verdict.FAIL,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the changes of one metric are counted from, and in: y = ``base`` + change · ``scale``, worse = more."""

    metric: str
    settings: BaselineSettings
    base: float
    scale: float
    sessions: int

    @property
    def limit(self) -> float:
        """The tolerance, as a change."""
        tolerance, relative = tolerance_of(self.metric, self.settings)
        return (math.log1p(tolerance) if relative else tolerance) / abs(self.scale)

    def shown(self, change: float) -> float:
        """As the metric's own: a share, or in its unit; positive = more."""
        moved = change * self.scale
        return as_share(moved) if tolerance_of(self.metric, self.settings)[1] else moved

    def words(self, change: float) -> str:
        return in_words(self.shown(change), tolerance_of(self.metric, self.settings)[1])

    def compared(
        self, seen: tuple[float, float, float], noticed: float, reason: str, said: Mapping[str, Any]
    ) -> Comparison:
        """``seen``: the change, and the least and the most that are not ruled out; ``noticed``: what would fail."""
        tolerance, relative = tolerance_of(self.metric, self.settings)
        change, *ends = map(self.shown, seen)
        low, high = sorted(ends)
        back = math.exp if relative else float
        values = {"metric": self.metric, "change": in_words(change, relative), "low": in_words(low, relative),
                  "high": in_words(high, relative), "detectable": self.words(noticed),
                  "tolerance": in_words(tolerance, relative).removeprefix("+"), **said}  # fmt: skip
        return Comparison(
            metric=self.metric,
            gated=self.metric in self.settings.gated,
            verdict=DECIDED.get(reason, Verdict.INCONCLUSIVE),
            reason=Message(key=reason, values=values),
            reference=back(self.base),
            observed=back(self.base + seen[0] * self.scale),
            change=change,
            interval=(low, high),
            tolerance=tolerance,
            detectable=self.shown(noticed),
            sessions=self.sessions,
            relative=relative,
            suspected=reason == "judge.baseline_suspected",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference d on the scale of the comparison (ln, or the metric's own), with its standard error and df."""

    reference: float
    observed: float
    error: float
    df: int
    sessions: int

    @staticmethod
    def between(means: Sequence[float], observed: float, prior: float) -> Difference:
        """A new session against K old ones: the prior noise and the sessions' own, weighed by degrees of freedom."""
        k = len(means)
        own = k * float(np.var(means))  # (K−1)·var
        variance = (PRIOR * prior * prior + own) / (k + 2)
        return Difference(
            reference=float(np.mean(means)),
            observed=observed,
            error=math.sqrt(variance) * math.sqrt(1 + 1 / k),
            df=k + 2,
            sessions=k,
        )

    @staticmethod
    def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
        """Rounds in which both were measured in turn: the noise is that of their differences."""
        d = np.array(b) - np.array(a)
        return Difference(
            reference=float(np.mean(a)),
            observed=float(np.mean(b)),
            error=float(d.std(ddof=1)) / math.sqrt(len(d)),
            df=len(d) - 1,
            sessions=len(d),
        )

    def width(self, q: float) -> float:
        return t_quantile(q, self.df) * self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much worse is accepted, how sure a FAIL must be, how often one measurement is to find what is printed."""

    tolerance: float
    relative: bool
    alpha: float
    power: float


def _comparison(metric: str, seen: Difference, settings: BaselineSettings, bounds: Bounds) -> Comparison:
    up = higher_is_better(metric)
    change = seen.observed - seen.reference
    worse = -change if up else change
    limit = math.log1p(bounds.tolerance) if bounds.relative else bounds.tolerance
    least, most = worse - seen.width(1 - bounds.alpha), worse + seen.width(settings.confidence)
    over, within = least > limit, most <= limit  # none before and none now are within 0
    shown = as_share if bounds.relative else float
    low, high = (shown(-most), shown(-least)) if up else (shown(least), shown(most))
    detectable = limit + seen.width(1 - bounds.alpha) + seen.width(bounds.power)
    verdict = Verdict.PASS if within else Verdict.INCONCLUSIVE
    back = math.exp if bounds.relative else float
    values = {"metric": metric, "change": in_words(shown(change), bounds.relative),
              "low": in_words(low, bounds.relative), "high": in_words(high, bounds.relative),
              "detectable": in_words(_worsening(detectable, up, bounds.relative), bounds.relative),
              "tolerance": in_words(bounds.tolerance, bounds.relative).removeprefix("+")}  # fmt: skip
    key = "judge.baseline_suspected" if over else "judge.baseline_within" if within else "judge.baseline_unproven"
    return Comparison(
        metric=metric,
        gated=metric in settings.gated,
        verdict=verdict,
        reason=Message(key=key, values=values),
        reference=back(seen.reference),
        observed=back(seen.observed),
        change=shown(change),
        interval=(low, high),
        tolerance=bounds.tolerance,
        detectable=_worsening(detectable, up, bounds.relative),
        sessions=seen.sessions,
        relative=bounds.relative,
        suspected=over,
    )


def higher_is_better(metric: str) -> bool:
    name = parse_name(metric)
    return name is not None and name.row.better == "higher"


def as_share(logarithm: float) -> float:
    return math.expm1(min(logarithm, 700.0))  # beyond which no float is


def _worsening(distance: float, higher_is_better: bool, relative: bool) -> float:
    """A distance towards worse as a signed change of the metric."""
    signed = -distance if higher_is_better else distance
    return as_share(signed) if relative else signed


def in_words(change: float, relative: bool) -> str:
    return f"{change:+.1%}" if relative else f"{change:+.4g}"


def confirmed(first: Sequence[Comparison], again: Sequence[Comparison]) -> list[Comparison]:
    """The first comparison, its suspicions settled by a fresh measurement: FAIL only if both are over."""
    second = {c.metric: c for c in again}
    return [_settled(c, second.get(c.metric)) if c.suspected else c for c in first]


def _settled(first: Comparison, again: Comparison | None) -> Comparison:
    if again is not None and again.suspected:
        values = {**first.reason.values, "again": again.reason.values["change"]}
        reason = Message(key="judge.baseline_worse", values=values)
        return replace(first, verdict=Verdict.FAIL, reason=reason)
    seen = again.reason.values["change"] if again else "–"
    reason = Message(key="judge.baseline_not_confirmed", values={**first.reason.values, "again": seen})
    return replace(first, reason=reason)


# ------------------------------------------------------------------------------- two targets, one session


def compare_targets(
    a: SessionFigures, b: SessionFigures, settings: BaselineSettings, planned: int
) -> list[Comparison] | Message:
    """B against A, measured in rounds AB, BA, …: a t interval over the rounds' differences; 5 rounds or more.

    Where one of them took more rounds than the other (``until``), those that both took are compared.  Nothing is
    measured afresh, so α is a sixtieth of what it is for a baseline: 1 % of sessions err.
    """
    rounds = min(a.repeats, b.repeats)
    if rounds < FEWEST_ROUNDS:
        return Message(key="judge.targets_rounds", values={"rounds": rounds, "needed": FEWEST_ROUNDS})
    found = []
    for metric in dict.fromkeys((*settings.gated, *KEPT)):
        tolerance, relative = tolerance_of(metric, settings)
        if not all(has(s, metric, relative) and len(s.values[metric]) == s.repeats for s in (a, b)):
            continue
        transform = math.log if relative else float
        ours, theirs = ([transform(v) for v in s.values[metric][:rounds]] for s in (a, b))
        seen = Difference.paired(ours, theirs)
        bounds = Bounds(tolerance=tolerance, relative=relative, alpha=at_once(planned), power=0.8)
        found.append(_at_once(_comparison(metric, seen, settings, bounds)))
    return found


def _at_once(made: Comparison) -> Comparison:
    """What is not measured afresh: what is over is FAIL."""
    if not made.suspected:
        return made
    reason = Message(key="judge.targets_worse", values=made.reason.values)
    return replace(made, verdict=Verdict.FAIL, reason=reason)
