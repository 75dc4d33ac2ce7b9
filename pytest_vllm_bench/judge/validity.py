"""Measurements → was the load what was asked for, and the client up to it?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from pytest_vllm_bench.judge import devices
from pytest_vllm_bench.metric_table import SAMPLED, parse_name
from pytest_vllm_bench.model import Check, Measurement, Message, Sample, Scenario

COUNTED_BY_SERVER = frozenset({"usage", "counter", "ids"})
_GUARDED = frozenset({"ttft", "itl", "itl_token", "e2el", "response_ttft", "response_e2el"})


class _Run(NamedTuple):
    """One repeat, as the checks see it."""

    scenario: Scenario
    measured: Measurement
    sample: Sample


def checks(scenario: Scenario, measured: Sequence[Measurement], samples: Sequence[Sample]) -> tuple[Check, ...]:
    """Every check that applies; of several repeats the worst of each."""
    found: dict[str, Check] = {}
    for run in map(_Run, repeat(scenario), measured, samples):
        for check in (made for make in CHECKS if (made := make(run)) is not None):
            found[check.id] = max(found.get(check.id, check), check, key=_badness)
    return tuple(found.values())


def _badness(check: Check) -> tuple[bool, float]:
    """Larger for the worse of two repeats, whose limit is the same."""
    assert check.observed is not None
    return not check.ok, -check.observed if check.id in ("rate", "concurrency") else check.observed


def _check(id: str, ok: bool, observed: float, limit: float, **values: Any) -> Check:
    key = f"judge.check.{id}" if ok else f"judge.check.{id}.bad"
    return Check(id=id, ok=ok, observed=observed, limit=limit, message=Message(key=key, values=values))


# ------------------------------------------------------------------------------------ the client's lateness


#: Seconds that a send may be late where no rule limits a latency, and none is longer than 250 ms.
LATE_S = 0.005


def lag_limit(scenario: Scenario, usual: float = LATE_S) -> float:
    """Seconds that a send or a timestamp may be late: 2 % of the smallest latency limit, within 1 to 10 ms."""
    if scenario.validity.lag_ms is not None:
        return scenario.validity.lag_ms / 1000
    limits = [limit for id, limit in scenario.goodput.items() if id in _GUARDED]
    for rule in scenario.rules:
        name = parse_name(rule.metric)
        if name and rule.op in ("<=", "<") and name.row.id in _GUARDED:
            limits.append(float(rule.limit))
    return min(10.0, max(1.0, 0.02 * min(limits))) / 1000 if limits else usual


def _allowed(run: _Run) -> float:
    """Where no rule limits a latency, what was measured is in its place: 2 % of the usual wait for a first token."""
    waits = run.sample.values["ttft"]
    waits = waits[np.isfinite(waits)]
    return lag_limit(run.scenario, min(0.010, max(LATE_S, 0.02 * float(np.median(waits)))) if len(waits) else LATE_S)


def _late(id: str, run: _Run, lags: Any, numbers: Any) -> Check | None:
    """More than max(1, 1 %) of the lags above the limit; observed is the largest lag that is not excused.

    Of several machines each has lags of its own, those whose ``numbers`` (of a chain, of a process) are its; the worst
    counts."""
    machines = run.measured.facts.machines if run.measured.facts else ()
    if not machines:
        return _lateness(id, np.array(lags), _allowed(run))
    lags, whose, found = np.array(lags), np.array(numbers) % len(machines), []
    for i, machine in enumerate(machines):
        if (check := _lateness(id, lags[whose == i], _allowed(run))) is not None:
            found.append(_of_machine(check, machine.name))
    return max(found, key=_badness, default=None)


def _of_machine(check: Check, name: str) -> Check:
    values = {"machine": name, "what": check.message}
    return replace(check, message=Message(key="judge.check.of_machine", values=values))


def _lateness(id: str, lags: Any, limit: float) -> Check | None:
    lags = lags[np.isfinite(lags)]
    if not len(lags):
        return None
    excused = max(1, math.floor(0.01 * len(lags)))
    over = int((lags > limit).sum())
    place = max(0, len(lags) - 1 - excused)
    seen = float(np.partition(lags, place)[place])
    values = {"seen": f"{seen * 1000:.2f}", "limit_ms": f"{limit * 1000:.2f}", "over": over, "n": len(lags)}
    return _check(id, over <= max(1.0, 0.01 * len(lags)), seen, limit, **values)


def _send_lag(run: _Run) -> Check | None:
    """Of a closed loop without the start burst, whose sends are late behind one another by construction; where there is
    nothing else, each of its sends counts from the one before."""
    order = np.argsort(run.sample.sent, kind="stable")
    lags, chains = run.sample.values["send_lag"][order], run.sample.chain[order]
    cap = run.scenario.concurrency
    if not run.scenario.open_loop and cap is not None and np.isfinite(lags[cap:]).any():
        lags, chains = lags[cap:], chains[cap:]
    elif (first := _all_at_once(run)) is not None:
        lags = np.where(first[order], np.minimum(lags, np.diff(run.sample.sent[order], prepend=-math.inf)), lags)
    return _late("send_lag", run, lags, chains)


def _all_at_once(run: _Run) -> Any:
    """The requests that nothing holds back at the start, where that is all there are; None of any other load."""
    asked, due = run.scenario, run.sample.due
    cap, first = asked.concurrency, np.isfinite(due)
    if asked.open_loop or asked.stages or asked.ramp_up or not first.any() or np.ptp(due[first]) > 0:
        return None
    return first if cap is None or len(due) <= cap else None


def _burst(run: _Run) -> Check | None:
    """Requests that were to leave all at once: for how much of the time until its answer began one was not there yet.

    They leave one after another, so nothing is ever sent at once.  What that changes is how long the first ones had the
    server for themselves, and by no more than this share."""
    first = _all_at_once(run)
    if first is None:
        return None
    values = run.sample.values
    waits = np.where(np.isfinite(values["ttft"]), values["ttft"], values["e2el"])
    lags = run.sample.sent - np.min(run.sample.sent, where=first & np.isfinite(run.sample.sent), initial=math.inf)
    known = first & np.isfinite(waits) & np.isfinite(lags)
    if known.sum() < 2:
        return None
    late, until = float(lags[known].mean()), float((lags + waits)[known].mean())
    off, limit = late / until if until > 0 else math.inf, 1 - run.scenario.validity.concurrency
    ok = off <= limit or late <= _allowed(run)
    spread = float(np.ptp(run.sample.sent[known]))
    return _check("burst", ok, off, limit, n=int(known.sum()), spread=f"{spread * 1000:.1f}", off=f"{off:.1%}",
                  most=f"{limit:.0%}")  # fmt: skip


def _sentinel_lag(run: _Run) -> Check | None:
    if run.measured.facts is None:
        return None
    workers = run.measured.facts.workers
    lags = [lag for worker in workers for lag in worker.sentinel_lags]
    return _late("sentinel_lag", run, lags, [worker.worker for worker in workers for _ in worker.sentinel_lags])


# ------------------------------------------------------------------------------------- the load asked for


def _rate(run: _Run) -> Check | None:
    """Sends per second against the plan's own (n−1)/(due_n − due_1), for a rate without a cap.

    In a plan so short that 2 % of it are less than ``LATE_S``, one send that is late by less does not make it invalid.
    """
    if not run.scenario.open_loop or run.scenario.concurrency is not None:
        return None
    planned = np.isfinite(run.sample.due) & np.isfinite(run.sample.sent)
    if planned.sum() < 2:
        return None
    due, sent = np.ptp(run.sample.due[planned]), np.ptp(run.sample.sent[planned])
    if due <= 0:
        return None
    share = float(due / sent) if sent > 0 else math.inf
    limit = run.scenario.validity.rate
    rate = (int(planned.sum()) - 1) / float(due)
    ok = share >= limit or float(sent - due) <= LATE_S
    return _check("rate", ok, share, limit, share=f"{share:.1%}", rate=f"{rate:.4g}",
                  nominal=f"{run.scenario.request_rate:g}")  # fmt: skip


def _concurrency(run: _Run) -> Check | None:
    """Mean requests in flight from the C-th send, and a ramp's end, to the last (of the shard that runs dry first)."""
    cap = run.scenario.concurrency
    sent = run.sample.sent
    was_sent = np.isfinite(sent)
    if run.scenario.open_loop or cap is None or run.scenario.stages or was_sent.sum() < 2 * cap:
        return None
    done = np.where(np.isfinite(run.sample.done), run.sample.done, math.inf)[was_sent]
    workers = len(run.measured.facts.workers) if run.measured.facts and run.measured.facts.workers else 1
    shard = run.sample.chain[was_sent] % workers
    sent = sent[was_sent]
    begin = max(float(np.sort(sent)[cap - 1]), float(sent.min()) + run.scenario.rising)
    end = min(float(sent[shard == w].max()) for w in range(workers) if (shard == w).any())
    if end <= begin:
        return None
    inside = np.clip(np.minimum(done, end) - np.maximum(sent, begin), 0, None)
    mean = float(inside.sum()) / (end - begin)
    limit = run.scenario.validity.concurrency
    refills = np.argsort(sent, kind="stable")[cap:]
    lag = float(np.nanmean(run.sample.values["send_lag"][was_sent][refills]))
    ok = mean >= limit * cap or lag <= 0.001
    return _check("concurrency", ok, mean / cap, limit, mean=f"{mean:.2f}", cap=cap, lag=f"{lag * 1000:.2f}")


def _reconnected(run: _Run) -> Check | None:
    """Requests sent again, as the server had closed their open connection: their latencies hold a reconnection.

    What counts is those that it made late.  Some servers close after each answer without a word, which costs a fraction
    of a millisecond; where it costs more, whoever closes may be shedding load.  One does not spoil a short run."""
    again, n = int(run.sample.reconnected.sum()), int(np.isfinite(run.sample.sent).sum())
    if not again:
        return None
    allowed = _allowed(run)
    late = int((run.sample.reconnected & (run.sample.values["connect"] > allowed)).sum())
    share, limit = late / n, run.scenario.validity.reconnected
    values = {"again": again, "n": n, "share": f"{again / n:.1%}", "late": late, "limit_ms": f"{allowed * 1000:g}"}
    return _check("reconnected", late <= max(1.0, limit * n), share, limit, **values)


def _first_turns(sample: Sample) -> Any:
    """Requests that open their chain; later turns repeat what the server has seen, on purpose."""
    first = np.zeros(len(sample.chain), dtype=np.bool_)
    first[np.unique(sample.chain, return_index=True)[1]] = True
    return first


def _server_counts(sample: Sample) -> bool:
    return bool(sample.token_sources) and set(sample.token_sources) <= COUNTED_BY_SERVER


def _length(run: _Run) -> Check | None:
    """What was asked counts the template where it is known; where not, an excess that never varies is the template."""
    tokens = run.sample.tokens
    excess = (tokens["prompt"] - tokens["asked_input"])[run.sample.ok & _first_turns(run.sample)]
    excess = excess[np.isfinite(excess)]
    template_known = run.measured.plan is None or run.measured.plan.template_tokens > 0
    constant = len(excess) > 0 and float(np.ptp(excess)) == 0
    template = max(0.0, float(excess[0])) if constant and not template_known else 0.0
    asked = np.where(_first_turns(run.sample), tokens["asked_input"], math.nan)
    return _total("length", run, tokens["prompt"] - template, asked)


def _output_length(run: _Run) -> Check | None:
    if run.measured.plan is None or not run.measured.plan.force_length or not _server_counts(run.sample):
        return None
    return _total("output_length", run, run.sample.tokens["output"], run.sample.tokens["asked_output"])


def _total(id: str, run: _Run, seen: Any, asked: Any) -> Check | None:
    """Σ of what the server counted against Σ of what was asked."""
    both = run.sample.ok & np.isfinite(seen) & np.isfinite(asked)
    wanted, counted = float(asked[both].sum()), float(seen[both].sum())
    if not wanted:
        return None
    off = abs(counted - wanted) / wanted
    limit = run.scenario.validity.length
    return _check(id, off <= limit, off, limit, counted=f"{counted:.0f}", asked=f"{wanted:.0f}", off=f"{off:.1%}")


def _cache(run: _Run) -> Check | None:
    """Prompt tokens found in the server's caches, template and shared prefix excepted, under ``cache: cold``: as the
    answers say or as the counters do, whichever is more."""
    if run.scenario.cache != "cold":
        return None
    shares = [share for share in (_cached_by_answers(run), _cached_by_counters(run)) if share is not None]
    limit = run.scenario.validity.cache
    return _check("cache", max(shares) <= limit, max(shares), limit, share=f"{max(shares):.1%}") if shares else None


def _media_cache(run: _Run) -> Check | None:
    """Pictures, clips and films that the server had seen before, under ``cache: cold``."""
    share, limit = run.measured.observed.counters.get("media_cache_hit_rate"), run.scenario.validity.cache
    if run.scenario.cache != "cold" or share is None:
        return None
    return _check("media_cache", share <= limit, share, limit, share=f"{share:.1%}")


#: The server's counters of prompt tokens that it need not compute; what one has, the next is not asked for.
CACHES = ("prefix_cache_hits", "external_cache_hits")
#: Times our own prompt tokens that a server may count (a template's are not known everywhere).
ONLY_OURS = 1.5


def _cached_by_answers(run: _Run) -> float | None:
    tokens = run.sample.tokens
    known = run.sample.ok & np.isfinite(tokens["cached"]) & np.isfinite(tokens["prompt"]) & _first_turns(run.sample)
    total = float(tokens["prompt"][known].sum())
    if not total:
        return None
    hits = np.clip(tokens["cached"][known] - _meant(run)[known], 0, None)
    return float(hits.sum()) / total


def _cached_by_counters(run: _Run) -> float | None:
    """The server's own counters tell no request from another, so conversations are not judged by them, nor what they
    say where somebody else's prompts were counted too.  What failed was looked up as well."""
    sent = np.isfinite(run.sample.sent)
    tokens = run.sample.tokens
    prompts = np.where(np.isfinite(tokens["prompt"]), tokens["prompt"], tokens["asked_input"])[sent]
    total = float(np.nansum(prompts))
    hits = [run.measured.observed.counters[name] for name in CACHES if name in run.measured.observed.counters]
    others = run.measured.observed.counters.get("prompt_tokens", 0.0) > ONLY_OURS * total
    if not hits or not total or others or not _first_turns(run.sample)[sent].all():
        return None
    return max(0.0, sum(hits) - float(_meant(run)[sent].sum())) / total


def _meant(run: _Run) -> Any:
    """Tokens of each request that the server is meant to have seen: the template and the shared prefix."""
    return np.nan_to_num(run.sample.tokens["shared"]) + (run.measured.plan.template_tokens if run.measured.plan else 0)


def _flags(run: _Run) -> Check | None:
    """Flags of a server that was started, where it says itself that it has them otherwise."""
    found = run.measured.environment.get("launch", {}).get("unlike", {})
    said = ", ".join(f"{name}: {has}" for name, has in found.items())
    return _check("flags", False, float(len(found)), 0.0, said=said) if found else None


def _token_source(run: _Run) -> Check | None:
    """Events counted as tokens, while something judged needs tokens."""
    if not run.sample.token_sources:
        return None
    needing = [
        rule.text for rule in run.scenario.rules if (name := parse_name(rule.metric)) and "counts" in name.row.needs
    ]
    needing += [f"goodput.{id}" for id in run.scenario.goodput if "counts" in SAMPLED[id].needs]
    events = run.sample.token_sources.get("events", 0)
    share = events / sum(run.sample.token_sources.values())
    bad = events > 0 and bool(needing)
    values = {"events": events, "rule": needing[0]} if bad else {}
    return _check("token_source", not bad, share, 0.0, **values)


# -------------------------------------------------------------------------------------------- the machine


#: In a shorter run the start alone is most of what a process does, and says nothing of the load.
CPU_SECONDS = 0.1


def _cpu(run: _Run) -> Check | None:
    """The busiest measuring process, as a share of one core."""
    facts = run.measured.facts
    shares = {
        w.worker: w.cpu_s / (w.ended - w.started)
        for w in (facts.workers if facts else ())
        if w.ended - w.started >= CPU_SECONDS
    }
    if facts is None or not shares:
        return None
    busiest, most = max(shares.items(), key=lambda one: one[1])
    limit = run.scenario.validity.cpu
    found = _check("cpu", most <= limit, most, limit, share=f"{most:.0%}", workers=len(shares))
    return _of_machine(found, facts.machines[busiest % len(facts.machines)].name) if facts.machines else found


def _steal(run: _Run) -> Check | None:
    if run.measured.facts is None or run.measured.facts.steal is None:
        return None
    seen, limit = run.measured.facts.steal, run.scenario.validity.steal
    found = _check("steal", seen <= limit, seen, limit, share=f"{seen:.1%}")
    worst = [machine.name for machine in run.measured.facts.machines if machine.steal == seen]
    return _of_machine(found, worst[0]) if worst else found


def _skew(run: _Run) -> Check | None:
    """Machines that were to start together: from the first's start to the last's, and what is not known of a clock."""
    if run.measured.facts is None:
        return None
    machines = [one for one in run.measured.facts.machines if not one.lost]
    if not machines:
        return None
    # Of two no other one tells which is odd, but the start that both were told.
    starts = [machine.start_ms for machine in machines]
    usual = float(np.median(starts)) if len(machines) > 2 else 0.0
    last = max(machines, key=lambda one: abs(one.start_ms - usual) + one.error_ms)
    spread, error = max(starts) - min(starts), max(machine.error_ms for machine in machines)
    seen, limit = (spread + error) / 1e3, run.scenario.validity.skew
    values = {"machine": last.name, "n": len(machines), "spread": f"{spread:.2f}", "error": f"{error:.2f}"}
    return _check("skew", seen <= limit, seen, limit, **values, limit_ms=f"{limit * 1e3:g}")


def _throttle(run: _Run) -> Check | None:
    """Where it was asked for; what nobody can tell is not fine."""
    limit = run.scenario.validity.throttle
    if limit is None:
        return None
    if (seen := devices.throttled(run.sample)) is None:
        message = Message(key="judge.check.throttle.unseen")
        return Check(id="throttle", ok=False, observed=1.0, limit=limit, message=message)
    return _check("throttle", seen[0] <= limit, seen[0], limit, share=f"{seen[0]:.0%}", device=seen[1])


#: By which mean concurrency and rate × latency may differ.
LITTLE = 0.02


def _littles_law(run: _Run) -> Check | None:
    """Mean concurrency, by a sweep over starts and ends, against what came a second times how long it took."""
    sent, done = run.sample.sent, run.sample.done
    there = np.isfinite(sent) & np.isfinite(done)
    times = np.concatenate((sent[there], done[there]))
    if not run.sample.complete or there.sum() < 2 or not (span := float(np.ptp(times))):
        return None
    order = np.argsort(times, kind="stable")
    level = np.cumsum(np.repeat((1, -1), int(there.sum()))[order])[:-1]
    mean = float((np.clip(level, 0, None) * np.diff(times[order])).sum()) / span
    product = float((done - sent)[there].sum()) / span  # n / span requests a second, each for sum / n
    larger = max(mean, -product)  # what is clipped can only be too much
    off = (mean - product) / larger if larger else 0.0
    values = {"off": f"{off:.1%}", "mean": f"{mean:.2f}", "product": f"{product:.2f}"}
    return _check("littles_law", off <= LITTLE, off, LITTLE, **values)


def _worker(run: _Run) -> Check | None:
    if run.measured.facts is None:
        return None
    lost = [machine.lost for machine in run.measured.facts.machines if machine.lost]
    if lost:
        return Check(id="worker", ok=False, observed=float(len(lost)), limit=0.0, message=lost[0])
    dead = [{"worker": w.worker, "why": w.died} for w in run.measured.facts.workers if w.died]
    found = _check("worker", not dead, float(len(dead)), 0.0, **dead[0] if dead else {})
    if any(w.disk_full for w in run.measured.facts.workers):
        return replace(found, message=replace(found.message, key="judge.check.worker.full"))
    spent = [w.exhausted for w in run.measured.facts.workers if w.exhausted]
    if found.ok and spent:
        message = Message(key="judge.check.worker.exhausted", values={"why": spent[0]})
        return Check(id="worker", ok=False, observed=float(len(spent)), limit=0.0, message=message)
    return found


#: The validity table, in the order in which it is shown.
CHECKS: tuple[Callable[[_Run], Check | None], ...] = (
    _worker, _send_lag, _burst, _sentinel_lag, _rate, _concurrency, _cpu, _steal, _skew, _reconnected, _length,
    _output_length, _cache, _media_cache, _token_source, _flags, _throttle, _littles_law,
)  # fmt: skip
