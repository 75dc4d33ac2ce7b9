"""Samples → every figure of the metric table, for the whole run and (``steady_``) for the steady window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pytest_vllm_bench.measure import energy
from pytest_vllm_bench.measure.columns import MetricSettings, sample
from pytest_vllm_bench.metric_table import (
    ERROR_COUNTS,
    SAMPLED,
    THROUGHPUTS,
    percentile_label,
    sampled_key,
)
from pytest_vllm_bench.model import Record, Sample

Figures = dict[str, float | int | None]


def metrics(records: Iterable[Record], *, settings: MetricSettings) -> Figures:
    """All figures of the records; several repeats are pooled, never averaged."""
    repeats: dict[int, list[Record]] = {}
    for record in records:
        repeats.setdefault(record.repeat, []).append(record)
    return summary([sample(rows, settings) for _, rows in sorted(repeats.items())], settings)


def summary(samples: Sequence[Sample], settings: MetricSettings) -> Figures:
    """All figures of one or several repeats; what was not measured is None, never 0."""
    figures = _figures([_View(s, None) for s in samples], settings)
    for kind in ERROR_COUNTS:
        figures[f"failed_{kind}"] = sum(s.errors.get(kind, 0) for s in samples) if samples else None
    windows = [_View(s, s.steady) for s in samples if s.steady is not None]
    figures["steady_requests"] = sum(int(v.chosen.sum()) for v in windows) if windows else None
    single = windows[0].window if len(windows) == 1 else None
    figures["steady_begin_s"], figures["steady_end_s"] = single or (None, None)
    figures |= {f"steady_{key}": value for key, value in _figures(windows, settings).items()}
    return figures


class _View:
    """One sample, seen whole or through its steady window."""

    def __init__(self, of: Sample, window: tuple[float, float] | None) -> None:
        self.sample = of
        self.window = window
        self.chosen = of.counted if window is None else of.in_steady
        self.begin: Any  # unknown, as the seconds are, where nothing was sent or nothing ended
        self.end: Any
        self.begin, self.end = window or (of.begin, of.end)
        self.seconds: float | None = None if self.begin is None or self.end is None else self.end - self.begin

    def request_values(self, id: str) -> Any:
        values = self.sample.values.get(id)
        if values is None:
            return np.empty(0)
        chosen = values[self.chosen]
        return chosen[np.isfinite(chosen)]

    def gap_values(self, id: str) -> Any:
        ended, gaps = self.sample.gaps[id]
        if self.window is None:
            return gaps
        return gaps[(ended > self.window[0]) & (ended <= self.window[1])]

    def tally(self, id: str) -> float | None:
        """How much was counted; the window is open at its begin, which is itself a completion."""
        if id not in self.sample.tallies:
            return None
        when, amount = self.sample.tallies[id]
        if self.window is not None:
            amount = amount[(when > self.window[0]) & (when <= self.window[1])]
        return float(amount.sum())

    def ratio_sample(self) -> Any:
        """Requests of a ratio: those of the window, and failures wherever they were."""
        return self.chosen | (self.sample.counted & ~self.sample.ok)

    def spans(self) -> tuple[Any, Any]:
        """[sent, done) of each request, cut to the view; a request that never ended lasts to the end."""
        starts, ends = np.maximum(self.sample.sent, self.begin), np.fmin(self.sample.done, self.end)
        seen = ends > starts
        return starts[seen], ends[seen]


def _figures(views: Sequence[_View], settings: MetricSettings) -> Figures:
    figures = _counts(views)
    figures |= _rates(views, settings.price_per_hour)
    figures |= _ratios(views, settings)
    figures |= _concurrency(views)
    figures |= _energy(views, settings.accelerators)
    for id, row in SAMPLED.items():
        values = [v.request_values(id) if row.per == "request" else v.gap_values(id) for v in views]
        pooled = np.concatenate(values) if values else np.empty(0)
        figures |= _statistics(id, pooled * (1000 if row.unit == "ms" else 1), settings.percentiles)
    return figures


def _statistics(id: str, values: Any, percentiles: Sequence[float]) -> Figures:
    """Mean, median, std (ddof 0), min, max and percentiles by linear interpolation, exact over all samples."""
    labels = ["mean", "median", "std", "min", "max", *(percentile_label(p) for p in percentiles)]
    keys = [sampled_key(label, id) for label in labels]
    if not len(values):
        return dict.fromkeys(keys)
    quantiles = np.quantile(values, [0.5, *(float(p) / 100 for p in percentiles)])
    found = [values.mean(), quantiles[0], values.std(), values.min(), values.max(), *quantiles[1:]]
    return {key: float(value) for key, value in zip(keys, found, strict=True)}


def _counts(views: Sequence[_View]) -> Figures:
    completed = sum(int((v.chosen & v.sample.ok).sum()) for v in views)
    counted = sum(int(v.chosen.sum()) for v in views)
    seconds = [v.seconds for v in views if v.seconds is not None]
    figures: Figures = {
        "completed": completed,
        "failed": counted - completed,
        "unsent": sum(int((~v.sample.counted).sum()) for v in views),
        "failed_ratio": (counted - completed) / counted if counted else None,
        "reconnected": sum(int((v.chosen & v.sample.reconnected).sum()) for v in views),
        "duration": sum(seconds) if seconds else None,
    }
    for key, name in (("total_input_tokens", "prompt"), ("total_output_tokens", "output")):
        known = np.concatenate([np.empty(0), *(v.sample.tokens[name][v.chosen & v.sample.ok] for v in views)])
        known = known[np.isfinite(known)]
        figures[key] = int(known.sum()) if len(known) else None
    return figures if views else dict.fromkeys(figures)


def _rates(views: Sequence[_View], price: float | None) -> Figures:
    figures: Figures = {}
    seconds = sum(v.seconds for v in views if v.seconds is not None)
    for id in THROUGHPUTS:
        amounts = [amount for v in views if (amount := v.tally(id)) is not None]
        figures[id] = sum(amounts) / seconds if amounts and seconds > 0 else None
    spoken = figures["output_throughput"]
    figures["cost_per_million_output_tokens"] = price / 3600 / spoken * 1e6 if price and spoken else None
    figures["max_output_tokens_per_s"] = max(filter(None, (_busiest_second(v) for v in views)), default=None)
    return figures


def _busiest_second(view: _View) -> float | None:
    """Most output tokens in any second [t, t + 1); None for less than a second."""
    if view.seconds is None or view.seconds < 1 or "output_throughput" not in view.sample.tallies:
        return None
    when, amount = view.sample.tallies["output_throughput"]
    first, last = np.searchsorted(when, view.begin), np.searchsorted(when, view.end, side="right")
    when, amount = when[first:last], amount[first:last]
    if not len(when):
        return None
    total = np.concatenate(([0.0], np.cumsum(amount)))
    return float((total[np.searchsorted(when, when + 1.0)] - total[:-1]).max())


def _ratios(views: Sequence[_View], settings: MetricSettings) -> Figures:
    figures: Figures = dict.fromkeys(["goodput_ratio", *(f"slo_attainment.{id}" for id in settings.goodput)])
    total = sum(int(v.ratio_sample().sum()) for v in views)
    if total and settings.goodput:
        good = sum(int(v.sample.good[v.ratio_sample()].sum()) for v in views)
        figures["goodput_ratio"] = good / total
        for id in settings.goodput:
            met = sum(int(v.sample.met[id][v.ratio_sample()].sum()) for v in views)
            figures[f"slo_attainment.{id}"] = met / total
    waits = [v.request_values("slot_wait") for v in views if "slot_wait" in v.sample.values]
    waited = np.concatenate(waits) if waits else np.empty(0)
    figures["cap_bound"] = float((waited > 0).mean()) if len(waited) else None
    return figures


def _concurrency(views: Sequence[_View]) -> Figures:
    """Exact sweep over [sent, done): ends come before starts at a tie."""
    peak, busy, seconds = 0, 0.0, 0.0
    for view in views:
        if view.seconds is None:
            continue
        starts, ends = view.spans()
        busy += float((ends - starts).sum())
        seconds += view.seconds
        times = np.concatenate((ends, starts))
        steps = np.repeat((-1, 1), len(ends))
        order = np.argsort(times, kind="stable")  # ends stand first, so a tie keeps them first
        peak = max(peak, int(np.cumsum(steps[order]).max(initial=0)))
    return {
        "max_concurrent_requests": peak if seconds > 0 else None,
        "mean_concurrency": busy / seconds if seconds > 0 else None,
    }


def _energy(views: Sequence[_View], devices: int | None) -> Figures:
    """Of all repeats together; None where it is not known of one of them."""
    timed = [(v.sample.tracks, (v.begin, v.end)) for v in views if v.seconds]
    spent = [energy.joules(*one, devices) for one in timed]
    highest = [energy.highest(*one, devices) for one in timed]
    known = [joules for joules in spent if joules is not None]
    joules = sum(known) if known and len(known) == len(spent) else None
    tokens, requests = (sum(v.tally(id) or 0 for v in views) for id in ("output_throughput", "request_throughput"))
    return {
        "energy_j": joules,
        "joules_per_output_token": joules / tokens if joules is not None and tokens else None,
        "joules_per_request": joules / requests if joules is not None and requests else None,
        "tokens_per_joule": tokens / joules if joules and tokens else None,
        "power_mean_w": joules / sum(v.seconds for v in views if v.seconds) if joules is not None else None,
        "power_max_w": None if None in highest else max(filter(None, highest), default=None),
    }
