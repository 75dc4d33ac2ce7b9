"""Settings, tolerances and figures → a comparison of one metric; two sets of results → their comparisons.

A reference's sessions are compared in ``standing``, targets in ``rounds``.  Of two sets of results nothing is known but
what is assumed of the noise, or what repeats have shown of it, if more; worth three degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_vllm_bench.judge.baseline import KEPT, SessionFigures, load_differences
from pytest_vllm_bench.judge.statistics import t_quantile
from pytest_vllm_bench.metric_table import parse_name
from pytest_vllm_bench.model import Comparison, Message, Verdict

#: What is gated unless the config names other metrics.
GATED = ("output_throughput", "mean_tpot_ms", "mean_e2el_ms")
DEFAULT_TOLERANCE = "5%"
#: Degrees of freedom that the noise of two sets of results is worth.
PRIOR = 3
#: How many times the assumed noise is believed possible before anything has been seen of it.
UNSEEN = 2
#: What is printed as noticeable is noticed so often.
POWER = 0.8


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
        what = load_differences(reference[-1].environment, new.environment)
        values = {"scenario": key, "session": reference[-1].session, "what": what}
        return Message(key="judge.baseline_other_plan" + ("_by" if what else ""), values=values)
    return None


def at_once(planned: int) -> float:
    """α where nothing is measured afresh: 1 % of sessions err."""
    return 0.01 / planned


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

    def within(self, most: float) -> bool:
        """Whether so much is accepted; nothing before and nothing now is, even where nothing else would be."""
        return (most - self.limit) * abs(self.scale) <= 1e-9

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


def higher_is_better(metric: str) -> bool:
    name = parse_name(metric)
    return name is not None and name.row.better == "higher"


def as_share(logarithm: float) -> float:
    return math.expm1(min(logarithm, 700.0))  # beyond which no float is


def in_words(change: float, relative: bool) -> str:
    if not relative:
        return f"{change:+.4g}"
    return f"{change:+.1%}" if change < 10 else "> +1000%"


def runs_of(one: SessionFigures, metric: str, settings: BaselineSettings) -> Any:
    """y of each run: ln(metric), or the metric itself where the tolerance is in its unit; None without figures."""
    relative = tolerance_of(metric, settings)[1]
    if not has(one, metric, relative):
        return None
    return np.log(one.values[metric]) if relative else np.array(one.values[metric])


def scale_of(metric: str, mean: float, settings: BaselineSettings, noise: float | None = None) -> float:
    """What a change of a metric is divided by: the noise that is assumed of it, negative where more is better."""
    if noise is None:
        noise = settings.noise.get(metric, default_noise(metric))
    if not tolerance_of(metric, settings)[1]:  # of what was 0 any change is beyond its noise
        noise = noise * abs(mean) if math.isfinite(mean) else 1.0
    size = max(noise, 1e-12)
    return -size if higher_is_better(metric) else size


def compare_two(
    old: SessionFigures, new: SessionFigures, settings: BaselineSettings, planned: int, shown: Mapping[str, float]
) -> list[Comparison]:
    """Every kept metric of two sets of results, at once; ``shown``: the noise that repeats have shown."""
    found = []
    for metric in dict.fromkeys((*settings.gated, *KEPT)):
        before, after = (runs_of(one, metric, settings) for one in (old, new))
        if before is None or after is None:
            continue
        assumed = settings.noise.get(metric, default_noise(metric))
        unseen = metric not in shown and metric not in settings.noise
        noise = UNSEEN * assumed if unseen else max(assumed, shown.get(metric, 0.0))
        base = float(before.mean())
        place = Place(
            metric=metric, settings=settings, base=base, scale=scale_of(metric, base, settings, noise), sessions=1
        )
        change, sure = (
            (float(after.mean()) - base) / place.scale,
            t_quantile(1 - at_once(planned), PRIOR) * math.sqrt(2),
        )
        least, most = change - sure, change + t_quantile(settings.confidence, PRIOR) * math.sqrt(2)
        noticed = place.limit + sure + t_quantile(POWER, PRIOR) * math.sqrt(2)
        reason = (
            "targets_worse" if least > place.limit else "baseline_within" if place.within(most) else "baseline_unproven"
        )
        found.append(place.compared((change, least, most), noticed, f"judge.{reason}", {}))
    return found
