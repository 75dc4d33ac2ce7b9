"""Verdicts of rules, some of which follow from others → none that comes out weaker than what it follows from.

Where every request that misses B misses A too, and A allows no larger a share of misses, A says more than B: goodput of
``{ttft: 500}`` in nine tenths of the requests is a p90 of TTFT within 500 ms.  But each rule is counted in its own
order of values, whose dependence (τ) may differ, so that A can be proven and B not.  Then B is proven by A, as surely:
B can be wrong only where A is.  The other way round, what breaks B breaks A.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pytest_vllm_bench.judge.selection import CLIENT_FIGURES, allowed_share, metric_id
from pytest_vllm_bench.metric_table import FROM_DUE, Name, parse_name
from pytest_vllm_bench.model import Message, Rule, RuleVerdict, Verdict

#: What is never more than which others, request by request or in the whole.
AT_MOST: Mapping[str, frozenset[str]] = {
    "ttft": frozenset({"ttfo", "e2el", *FROM_DUE.values()}),
    "ttfo": frozenset({"e2el", "response_ttfo", "response_e2el"}),
    "e2el": frozenset({"response_e2el"}),
    "tpot": frozenset({"e2el", "response_e2el"}),
    "max_gap": frozenset({"e2el", "response_e2el"}),
    "response_ttft": frozenset({"response_ttfo", "response_e2el"}),
    "response_ttfo": frozenset({"response_e2el"}),
    "request_goodput": frozenset({"request_throughput"}),
    "good_output_throughput": frozenset({"output_throughput", "total_token_throughput"}),
    "output_throughput": frozenset({"total_token_throughput"}),
    "input_throughput": frozenset({"total_token_throughput"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One side that a figure keeps to; ``strict``: the limit itself does not."""

    id: str
    upper: bool
    limit: float
    strict: bool

    def gives(self, other: Bound) -> bool:
        """Whether what keeps to this keeps to the other."""
        small, large = (other.id, self.id) if self.upper else (self.id, other.id)
        if self.upper is not other.upper or (small != large and large not in AT_MOST.get(small, ())):
            return False
        if self.limit == other.limit:
            return self.strict or not other.strict
        return (self.limit < other.limit) is self.upper


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a rule says: of ``of`` (requests, gaps, figures) all but a share keep to every bound."""

    of: str
    bounds: tuple[Bound, ...]
    share: Fraction = Fraction(0)
    ratio: bool = False  # counts what failed outside its window too

    def gives(self, other: Claim) -> bool:
        return (
            self.of == other.of
            and self.share <= other.share
            and all(any(mine.gives(theirs) for mine in self.bounds) for theirs in other.bounds)
        )


def settled(
    verdicts: Sequence[RuleVerdict], final: Sequence[RuleVerdict], goodput: Mapping[str, float], *, open_loop: bool
) -> list[RuleVerdict]:
    """``verdicts``, the undecided among them by those that imply or refute them; ``final``: the same after all doubts,
    of which alone another is proven."""
    claims = [_claim(v.rule, goodput, open_loop) for v in verdicts]
    known = [(v, claim) for v, claim in zip(final, claims, strict=True) if v.proven and claim is not None]
    return [
        verdict if claim is None or verdict.verdict is not Verdict.INCONCLUSIVE else _by_another(verdict, claim, known)
        for verdict, claim in zip(verdicts, claims, strict=True)
    ]


def _by_another(verdict: RuleVerdict, claim: Claim, known: Sequence[tuple[RuleVerdict, Claim]]) -> RuleVerdict:
    for other, theirs in known:
        passed = other.verdict is Verdict.PASS
        (a, strong), (b, weak) = ((other, theirs), (verdict, claim))[:: 1 if passed else -1]
        if strong.gives(weak) and _nested(a, strong, b, weak):
            values = {**verdict.reason.values, "other": other.rule.text}
            reason = Message(key="judge.follows" if passed else "judge.refuted", values=values)
            return replace(verdict, verdict=other.verdict, reason=reason, proven=True, more=None, within=passed,
                           interval=_up_to_limit(verdict, passed))  # fmt: skip
    return verdict


def _nested(a: RuleVerdict, strong: Claim, b: RuleVerdict, weak: Claim) -> bool:
    """Whether what was seen is so too: b's misses are among a's, of no fewer requests.

    Answers of one token have no TPOT, and failures outside the window count for some rules alone.
    """
    if a.window != b.window and not (strong.ratio and not weak.bounds):
        return False
    if a.misses is not None and b.misses is not None:
        return b.misses <= a.misses and b.n >= a.n
    seen = (a.observed, b.observed)
    if not all(isinstance(value, float) for value in seen):
        return False
    return (seen[1] <= seen[0]) if strong.bounds[0].upper else (seen[1] >= seen[0])  # type: ignore[operator]


def _up_to_limit(verdict: RuleVerdict, within: bool) -> tuple[float, float] | None:
    """The interval without what the other rule excludes."""
    if verdict.interval is None:
        return None
    (low, high), limit = verdict.interval, float(verdict.rule.limit)
    below = within is (verdict.rule.op in ("<=", "<"))
    return (min(low, limit), min(high, limit)) if below else (max(low, limit), max(high, limit))


def _claim(rule: Rule, goodput: Mapping[str, float], open_loop: bool) -> Claim | None:
    """None where a rule is compared, not proven."""
    name = parse_name(rule.metric)
    if name is None or rule.op in ("==", "!="):
        return None
    share = allowed_share(rule, name)
    if share is None:
        return Claim(of=name.statistic, bounds=(_bound(rule, name, open_loop),)) if name.averages else None
    if share <= 0:
        return None
    if name.row.per == "run":
        slos = [name.slo] if name.slo else [] if name.row.id == "failed_ratio" else list(goodput)
        bounds = [_limited(slo, goodput[slo], open_loop) for slo in slos if slo in goodput]
        return Claim(of="request", bounds=tuple(bounds), share=share, ratio=True)
    of = name.row.id if name.row.per != "request" or name.row.id in CLIENT_FIGURES else "request"
    return Claim(of=of, bounds=(_bound(rule, name, open_loop),), share=share)


def _limited(slo: str, limit: float, open_loop: bool) -> Bound:
    return Bound(id=FROM_DUE.get(slo, slo) if open_loop else slo, upper=True, limit=float(limit), strict=False)


def _bound(rule: Rule, name: Name, open_loop: bool) -> Bound:
    """The rule's own; tokens/s of one user are the inverse of TPOT, request by request."""
    upper, limit, strict = rule.op in ("<=", "<"), float(rule.limit), rule.op in ("<", ">")
    if name.row.id == "output_tps_per_user" and name.statistic != "mean" and limit > 0:
        return Bound(id="tpot", upper=not upper, limit=1000 / limit, strict=strict)
    return Bound(id=metric_id(name, open_loop), upper=upper, limit=limit, strict=strict)
