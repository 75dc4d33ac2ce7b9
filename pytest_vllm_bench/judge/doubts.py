"""Samples and plan → what is odd about the answers, and the rules that it keeps from PASS.

A doubt is a Message whose key stands in ``DOUBTS``, beside the metrics whose figures it undermines: a rule that reads
one of them is INCONCLUSIVE at best, with the doubt as its reason.  ``UNPROVEN`` ones leave the figures true: what would
be proven is not, and what is only observed stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from pytest_vllm_bench.metric_table import GOODPUT_METRICS, ROWS, SAMPLED, Name, parse_name
from pytest_vllm_bench.model import Message, Plan, RuleVerdict, Sample, Verdict

_CLIENTS = frozenset({"connect", "send_lag"})
_LATENCIES = frozenset(SAMPLED) - _CLIENTS
_COUNTS = frozenset(row.id for row in ROWS.values() if "counts" in row.needs) | {"total_token_throughput"}
_LOAD = frozenset(id for id in ROWS if not id.startswith("failed")) - _CLIENTS - {"completed", "unsent", "reconnected"}
_GAPS = frozenset({"itl", "itl_token"})
_PACE = _GAPS | {"tpot", "output_tps_per_user"}

DOUBTS: Mapping[str, frozenset[str]] = {
    "judge.interrupted": frozenset(ROWS),
    "judge.queue_grows": _LATENCIES | GOODPUT_METRICS,
    "judge.rate_without_window": _LATENCIES | GOODPUT_METRICS,
    "judge.doubt.length": _LOAD,
    "judge.doubt.lumps": _GAPS,
    "judge.doubt.few_lumps": _PACE,
    "judge.doubt.at_once": _PACE | {"ttft", "ttfo", "max_gap", "first_chunk"},
    "judge.doubt.held": frozenset({"ttft", "ttfo", "first_chunk"}),
    "judge.doubt.canned": _LOAD,
    "judge.doubt.miscounted": _COUNTS,
    "judge.doubt.silent": _COUNTS,
    "judge.doubt.unstreamed": frozenset(),  # said; what is not there passes no rule
    "judge.doubt.reconnected": frozenset(),  # said; many make a run invalid
    "judge.doubt.uncounted": frozenset(),  # said; guesses in the place of counts are for ``validity``
}
UNPROVEN = frozenset({"judge.interrupted"})
#: Answers that may be odd before they are a finding: as many as may differ in length.
FEW = 0.01
#: Lumps an answer from which on what the first of them hides is a tenth of the pace at most.
MANY_LUMPS = 10


def among(messages: Iterable[Message]) -> list[Message]:
    """What is odd about answers among what was noted elsewhere: by the plan, by the load, in a saved result."""
    return [message for message in messages if message.key in DOUBTS and message.key.startswith("judge.doubt.")]


def once(*found: Iterable[Message]) -> list[Message]:
    """Each kind once, as it was found first."""
    kinds: dict[str, Message] = {}
    for one in chain(*found):
        kinds.setdefault(one.key, one)
    return list(kinds.values())


def doubted(verdict: RuleVerdict, doubts: Iterable[Message], goodput: Mapping[str, float]) -> RuleVerdict:
    """The verdict, or INCONCLUSIVE for the first doubt that undermines it; what failed has failed."""
    name = parse_name(verdict.rule.metric)
    if name is None or verdict.verdict is Verdict.FAIL:
        return verdict
    why = next((one for one in doubts if _undermines(one, verdict, _read_by(name, goodput))), None)
    if why is None:
        return verdict
    key = "judge.unproven_within" if verdict.within else "judge.unproven_over"
    reason = Message(key=key, values={**verdict.reason.values, "why": why})
    return replace(verdict, verdict=Verdict.INCONCLUSIVE, reason=reason, proven=False, more=None)


def is_doubted(judged: RuleVerdict) -> bool:
    """Whether a rule is not PASS because of what is odd, which more of the same does not change."""
    why = judged.reason.values.get("why")
    return isinstance(why, Message) and why.key in DOUBTS


def _undermines(doubt: Message, verdict: RuleVerdict, read: frozenset[str]) -> bool:
    observed_only = verdict.verdict is Verdict.PASS and not verdict.proven
    return not DOUBTS[doubt.key].isdisjoint(read) and not (observed_only and doubt.key in UNPROVEN)


def _read_by(name: Name, goodput: Mapping[str, float]) -> frozenset[str]:
    """The metrics whose figures a rule reads."""
    if name.slo:
        return frozenset({name.slo})
    of_limits = goodput if "goodput" in name.row.needs else ()
    return frozenset({name.row.id.removeprefix("response_"), *of_limits})


def doubts(samples: Sequence[Sample], plan: Plan | None, *, prompt: bool, streams: bool) -> list[Message]:
    """Everything odd in the answers of all repeats; ``prompt``: the client took its timestamps in time, so that what
    came together was sent together; ``streams``: nobody asked for answers in one piece."""
    if not any(sample.odd for sample in samples):
        return []
    odd = {name: np.concatenate([s.odd[name] for s in samples]) for name in samples[0].odd}
    answers = np.concatenate([np.isfinite(s.tokens["output"]) for s in samples])
    found = (
        _lengths(samples, odd, answers, plan),
        *(_habit(odd, name) if prompt else None for name in ("lump", "held")),
        _share("judge.doubt.unstreamed", odd["unstreamed"], answers) if streams else None,
        _uncounted(samples),
        _share("judge.doubt.miscounted", odd["miscounted"], np.isfinite(odd["events"])),
        *(_share(f"judge.doubt.{name}", odd[name], answers) for name in ("canned", "silent")),
    )
    return [one for one in found if one is not None]


def _share(key: str, odd: Any, answers: Any, **more: Any) -> Message | None:
    """A finding where more than a few answers are odd in one way; ``got``: what the odd ones had."""
    seen = odd[np.isfinite(odd)]
    if len(seen) <= FEW * int(answers.sum()):
        return None
    return Message(key=key, values={"n": len(seen), "m": int(answers.sum()), "got": _range(seen), **more})


def _range(values: Any) -> str:
    low, high = (f"{round(float(pick(values)))}" for pick in (np.min, np.max))
    return low if low == high else f"{low}–{high}"


def _lengths(samples: Sequence[Sample], odd: Mapping[str, Any], answers: Any, plan: Plan | None) -> Message | None:
    unlike = np.fmax(odd["short"], odd["long"])
    asked = np.concatenate([s.tokens["asked_output"] for s in samples])[np.isfinite(unlike)]
    if not len(asked):
        return None
    field = (plan.output_field if plan else "") or "–"
    return _share("judge.doubt.length", unlike, answers, asked=_range(asked), field=field)


def _habit(odd: Mapping[str, Any], name: str) -> Message | None:
    """Where most answers came in lumps (``lump``), or of most the beginning was kept back (``held``)."""
    seen, looked_at = odd[name] > 0, int(np.isfinite(odd[name]).sum())
    if seen.sum() < 2 or 2 * seen.sum() < looked_at:
        return None
    pieces = float(np.median(odd["lumps"][seen]))
    in_lumps = "at_once" if pieces == 1 else "lumps" if pieces >= MANY_LUMPS else "few_lumps"
    values = {"events": round(float(np.median(odd[name][seen]))), "n": int(seen.sum()), "m": looked_at}
    return Message(key=f"judge.doubt.{in_lumps if name == 'lump' else name}", values=values)


def _uncounted(samples: Sequence[Sample]) -> Message | None:
    sources = {source: sum(s.token_sources.get(source, 0) for s in samples) for source in ("tokenizer", "events")}
    n, m = sum(sources.values()), sum(sum(s.token_sources.values()) for s in samples)
    if n <= FEW * m:
        return None
    how = Message(key=f"judge.counted_by.{max(sources, key=lambda s: sources[s])}")
    return Message(key="judge.doubt.uncounted", values={"n": n, "m": m, "how": how})
