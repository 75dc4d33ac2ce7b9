"""Records of one run → Sample: every per-request formula of the metric table, applied once, as columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_vllm_bench.measure import window
from pytest_vllm_bench.measure.oddities import oddities
from pytest_vllm_bench.measure.settings import MetricSettings, settings_of
from pytest_vllm_bench.metric_table import FROM_DUE
from pytest_vllm_bench.model import OURS, Record, Sample
from pytest_vllm_bench.stages import stages

__all__ = ["MetricSettings", "column", "sample", "settings_of"]

Floats = NDArray[np.float64]
_OF_TIMES = ("sent", "due", "ready", "done", "tried", "chain", "ok", "counted", "reconnected")


def sample(records: Iterable[Record], settings: MetricSettings) -> Sample:
    """Columns of one run; ``records`` in any order, all of one repeat."""
    rows = sorted(records, key=lambda r: r.index)
    made = _Columns(rows, settings)
    steady = window.steady(made.times, made.values.get("response_e2el"), settings)
    good, met = made.goodput(settings)
    tallies = made.tallies(good, settings)
    return Sample(
        repeat=rows[0].repeat if rows else 1,
        open_loop=settings.open_loop,
        complete=settings.complete,
        **{name: made.times[name] for name in _OF_TIMES},
        steady=steady,
        in_steady=window.members(made.times, steady, settings.open_loop),
        values=made.values,
        one_token=made.one_token,
        met=met,
        good=good,
        gaps=made.gaps,
        tallies=tallies,
        errors=Counter(r.error for r in rows if r.error is not None),
        tokens=made.tokens,
        odd=oddities(rows),
        token_sources=Counter(r.token_source for r in rows if r.token_source and r.error in (None, "short")),
        begin=_first(np.nanmin, made.times["sent"]),
        end=_first(np.nanmax, made.times["done"]),
    )


def _first(pick: Any, column: Floats) -> float | None:
    return float(pick(column)) if np.isfinite(column).any() else None


def column(rows: Sequence[Record], name: str) -> Floats:
    """A field of every record as float64; None becomes NaN."""
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


def _is_sample(record: Record, settings: MetricSettings) -> bool:
    """What we stopped is no sample; what the cap kept from being sent until the run's own end is one: a miss."""
    if record.error not in OURS:
        return True
    return record.error == "not_sent" and settings.open_loop and settings.complete and record.due is not None


class _Columns:
    """The columns of one run, built in the order in which they depend on one another."""

    def __init__(self, rows: Sequence[Record], settings: MetricSettings) -> None:
        self.rows = rows
        self.times: dict[str, Any] = {name: column(rows, name) for name in ("sent", "due", "ready", "done")}
        given_up = np.array([r.due if r.error == "not_sent" else r.done for r in rows], dtype=np.float64)
        self.times["tried"] = np.where(np.isnan(self.times["sent"]), given_up, self.times["sent"])
        self.times["chain"] = np.array([r.chain for r in rows], dtype=np.int64)
        self.times["ok"] = np.array([r.error is None for r in rows], dtype=np.bool_)
        self.times["reconnected"] = np.array([r.reconnected for r in rows], dtype=np.bool_)
        self.times["counted"] = np.array([_is_sample(r, settings) for r in rows], dtype=np.bool_)
        names = {"prompt": "prompt_tokens", "asked_input": "asked_input", "output": "output_tokens",
                 "asked_output": "asked_output", "cached": "cached_tokens", "shared": "shared_input"}  # fmt: skip
        self.tokens = {short: column(rows, name) for short, name in names.items()}
        self.one_token = self.tokens["output"] <= 1
        self._flatten_arrivals()
        self._gaps()
        self.values = self._latencies(settings.open_loop)

    def _flatten_arrivals(self) -> None:
        """All arrivals of the successful requests one after another: time, tokens, and whose they are."""
        kept = [i for i, r in enumerate(self.rows) if r.error is None and len(r.arrival_times)]
        lengths = np.array([len(self.rows[i].arrival_times) for i in kept], dtype=np.int64)
        self.arrival_row = np.repeat(np.array(kept, dtype=np.int64), lengths)
        times = [np.frombuffer(self.rows[i].arrival_times) for i in kept]
        tokens = [np.frombuffer(self.rows[i].arrival_tokens, np.int32) for i in kept]
        self.arrival_time = np.concatenate((np.empty(0), *times))
        self.arrival_tokens = np.concatenate((np.empty(0), *tokens))
        starts = np.cumsum(lengths) - lengths
        self.first_tokens = np.full(len(self.rows), math.nan)
        self.first_tokens[kept] = self.arrival_tokens[starts]

    def _gaps(self) -> None:
        same = self.arrival_row[1:] == self.arrival_row[:-1]
        gap = np.diff(self.arrival_time)[same]
        ended = self.arrival_time[1:][same]
        tokens = self.arrival_tokens[1:][same]
        self.gaps = {"itl": (ended, gap)}
        if (tokens == 1).all():
            self.gaps["itl_token"] = self.gaps["itl"]
        else:
            times = tokens.astype(np.int64)
            self.gaps["itl_token"] = (np.repeat(ended, times), np.repeat(gap / np.maximum(tokens, 1), times))
        self.largest_gap = np.full(len(self.rows), math.nan)
        np.fmax.at(self.largest_gap, self.arrival_row[1:][same], gap)

    def _latencies(self, open_loop: bool) -> dict[str, Floats]:
        t = self.times
        ok = t["ok"]
        first, chunk, out, last = (
            np.where(ok, column(self.rows, name), math.nan)
            for name in ("first_token", "first_chunk", "first_output", "last_token")
        )
        end = np.where(ok, np.where(np.isnan(last), t["done"], last), math.nan)
        later = self.tokens["output"] - self.first_tokens
        tpot = np.divide(last - first, later, out=np.full(len(ok), math.nan), where=later > 0)
        values = {"ttft": first - t["sent"], "ttfo": out - t["sent"], "first_chunk": chunk - t["sent"],
                  "e2el": end - t["sent"], "tpot": tpot, "max_gap": self.largest_gap,
                  "connect": column(self.rows, "connect_s"), "send_lag": t["sent"] - t["ready"]}  # fmt: skip
        values |= stages(self.rows, values["ttft"], last - first)
        values["output_tps_per_user"] = np.divide(1.0, tpot, out=np.full(len(ok), math.nan), where=tpot > 0)
        if open_loop:
            came = np.where(np.isnan(t["due"]), t["ready"], t["due"])  # a later turn is due when it can be sent
            values["slot_wait"] = t["ready"] - came
            values |= {FROM_DUE[id]: values[id] + t["sent"] - came for id in FROM_DUE}
        return values

    def goodput(self, settings: MetricSettings) -> tuple[Any, dict[str, Any]]:
        """(good, met per SLO) as bool columns; good is None where there are no limits."""
        met: dict[str, Any] = {}
        ok = self.times["ok"]
        read_from = FROM_DUE if settings.open_loop else {}
        for id, limit in settings.goodput.items():
            value = self.values[read_from.get(id, id)]
            within = value * 1000 <= limit
            if id in ("tpot", "max_gap"):
                within |= np.isnan(value) & self.one_token
            met[id] = ok & within
        good = np.logical_and.reduce(list(met.values())) if met else None
        return good, met

    def tallies(self, good: Any, settings: MetricSettings) -> dict[str, tuple[Floats, Floats]]:
        """For each throughput the events that it counts: (when, how much)."""
        ok, done = self.times["ok"], self.times["done"]
        if not ok.any():
            return {}
        first = column(self.rows, "first_token")
        came = np.where(np.isnan(first), done, first)
        prompts = self._counted_at(came, self.tokens["prompt"])
        found = {"request_throughput": (done[ok], np.ones(int(ok.sum()))), "input_throughput": prompts}
        outputs = self._outputs(ok)
        if len(outputs[0]):
            found["output_throughput"] = outputs
            if devices := settings.spread or settings.accelerators:
                found["output_throughput_per_accelerator"] = outputs[0], outputs[1] / devices
        found["total_token_throughput"] = _joined(prompts, outputs)
        for id, name in (("rtfx", "audio_s"), ("input_sequence_throughput", "sequences")):
            amounts = column(self.rows, name)
            if np.isfinite(amounts[ok]).any():
                found[id] = self._counted_at(done, amounts)
        if good is not None:
            found["request_goodput"] = (done[good], np.ones(int(good.sum())))
            if len(outputs[0]):
                found["good_output_throughput"] = outputs if (good == ok).all() else self._outputs(good)
        return found

    def _counted_at(self, when: Floats, amounts: Floats) -> tuple[Floats, Floats]:
        known = self.times["ok"] & np.isfinite(amounts) & np.isfinite(when)
        return when[known], amounts[known]

    def _outputs(self, chosen: Any) -> tuple[Floats, Floats]:
        """Output tokens of the chosen requests as they arrived, in order; without a stream, all at the end."""
        streamed = chosen[self.arrival_row]
        unstreamed = chosen & np.isnan(self.first_tokens) & np.isfinite(self.tokens["output"])
        when, amount = _joined(
            (self.arrival_time[streamed], self.arrival_tokens[streamed]),
            (self.times["done"][unstreamed], self.tokens["output"][unstreamed]),
        )
        order = np.argsort(when, kind="stable")
        return when[order], amount[order]


def _joined(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return np.concatenate((one[0], other[0])), np.concatenate((one[1], other[1]))
