"""Results → the few figures of a session that a reference keeps, in a file meant to be committed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import msgspec
import numpy as np

from pytest_vllm_bench.model import Message, Result, Scenario, Verdict

#: What is kept of a session and shown beside the new one.
KEPT = (
    "request_throughput", "output_throughput", "total_token_throughput", "request_goodput", "goodput_ratio",
    "mean_ttft_ms", "median_ttft_ms", "p90_ttft_ms", "p99_ttft_ms",
    "mean_tpot_ms", "p90_tpot_ms", "p99_tpot_ms", "mean_itl_ms", "p99_itl_ms",
    "mean_e2el_ms", "p90_e2el_ms", "p99_e2el_ms",
)  # fmt: skip


#: Taints of what no reference keeps; what was taken up again is as good as what ran at one go.
SPOILING = ("predicted", "simulated", "interrupted", "salvaged", "throttled", "broken", "shared", "profiled")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFigures:
    """One session's figures of one scenario; each metric has a value for each repeat."""

    session: str
    digest: str | None
    values: Mapping[str, tuple[float, ...]]
    environment: Mapping[str, Any] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # as a Result's

    @property
    def repeats(self) -> int:
        return max((len(v) for v in self.values.values()), default=0)


class ReferenceSession(msgspec.Struct):
    """A session as a reference's file holds it."""

    session: str
    plan: str | None
    metrics: dict[str, Annotated[list[float], msgspec.Meta(min_length=1)]]
    environment: dict[str, Any] = {}
    stages: dict[str, dict[str, float]] = {}


class Reference(msgspec.Struct):
    """A reference's file: of each scenario its sessions, oldest first."""

    scenarios: dict[str, list[ReferenceSession]]


def session_of(result: Result, gated: Iterable[str] = ()) -> SessionFigures:
    """The figures that are kept of a result: steady ones where every repeat has them, else the whole run's.

    ``gated``: metrics that a tolerance names, kept as well.  A result that pools no repeats is one.
    """
    digest = result.plan.digest if result.plan else None
    repeats: Sequence[Mapping[str, Any]] = result.per_repeat or [result.metrics]
    values = {}
    for metric in dict.fromkeys((*KEPT, *gated)):
        found = _figures(metric, repeats, rated=result.request_rate is not None)
        if found:
            values[metric] = found
    return SessionFigures(
        session=result.session or result.date,
        digest=repeats[0].get("plan_digest") or digest or None,
        values=values,
        environment=relevant(result),
        stages={name: {k: v for k, v in of.items() if v is not None} for name, of in result.stages.items()},
    )


def _figures(metric: str, repeats: Sequence[Mapping[str, Any]], *, rated: bool) -> tuple[float, ...]:
    """The metric in each repeat; with a finite rate latencies are read from ``due``, and failures are those of the
    whole run, as rules read them."""
    plain = metric
    if rated:
        for id in ("ttft", "ttfo", "e2el"):
            plain = plain.replace(f"_{id}_ms", f"_response_{id}_ms")
    steady = () if metric.startswith("failed") else (f"steady_{plain}",)
    for key in (*steady, plain, metric):
        values = [repeat.get(key) for repeat in repeats]
        if all(isinstance(v, int | float) and math.isfinite(v) for v in values):
            return tuple(float(v) for v in values)  # type: ignore[arg-type]
    return ()


#: What of a scenario is not in its key, and makes its plan another one.
LOAD = (
    "num_prompts", "duration", "seed", "burstiness", "ramp_up", "stages", "cache", "sampling", "extra_body",
    "tokenizer", "chat_template",
)  # fmt: skip
GREEDY = {"temperature": 0}
#: What makes two environments differ: its name in a message → where it lies in a result's environment, if not beside.
ENVIRONMENT = {
    "model": (),
    "server": ("server",),
    "server.command": ("launch", "command"),
    "backend": (),
    "client.cpu": ("client", "cpu"),
    "client.cpus": ("client", "cpus"),
    "accelerators": ("accelerators",),
}


def relevant(result: Result) -> dict[str, Any]:
    """The parts of a result's environment that matter for its figures."""
    found: dict[str, Any] = {"model": result.model, "backend": result.scenario.backend or None}
    for name, path in ENVIRONMENT.items():
        value: Any = result.environment if path else found[name]
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        found[name] = _devices(value) if value and name == "accelerators" else value
    found["load"] = load_of(result.scenario)
    return {name: value for name, value in found.items() if value}


def load_of(asked: Scenario) -> dict[str, str]:
    """What of a scenario is not in its key and makes its plan another one, as far as it is not what is usual."""
    usual = {field.name: field.default for field in fields(Scenario)}
    told = {name: value for name in LOAD if (value := getattr(asked, name)) and value not in (usual[name], GREEDY)}
    options = "".join(f" {key}={value}" for key, value in sorted(asked.dataset.options.items()))
    return {name: str(value) for name, value in told.items()} | ({"dataset": options.strip()} if options else {})


def load_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What was asked of two loads and differs, as far as both say: ``num_prompts 40 → 80``."""
    one, two = (side.get("load") for side in (old, new))
    if not (isinstance(one, Mapping) and isinstance(two, Mapping)):
        return ""
    names = [name for name in (*LOAD, "dataset") if one.get(name) != two.get(name)]
    return ", ".join(f"{name} {one.get(name, '–')} → {two.get(name, '–')}" for name in names)


def _devices(told: Sequence[Mapping[str, Any]]) -> str:
    """2 × NVIDIA H200 (580.159.04, 700 W)."""
    kinds = Counter((one.get("name") or "?", one.get("driver"), one.get("power_limit_w")) for one in told)
    words = {kind: ", ".join(filter(None, [kind[1], f"{kind[2]:g} W" if kind[2] else ""])) for kind in kinds}
    return " + ".join(f"{n} × {kind[0]}" + (f" ({words[kind]})" if words[kind] else "") for kind, n in kinds.items())


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Message]:
    """What differs between two environments, as far as both say."""
    return [
        Message(key="judge.environment", values={"what": name, "old": str(old[name]), "new": str(new[name])})
        for name in ENVIRONMENT
        if name in old and name in new and old[name] != new[name]
    ]


def is_part(result: Result) -> bool:
    """Whether repeats are missing: they failed to run, or were not selected."""
    asked = result.scenario
    return max(asked.repeat, asked.repeats.min) > max(1, len(result.per_repeat))


def fold(
    reference: Mapping[str, Any] | None, results: Iterable[Result], keep: int, gated: Collection[str] = ()
) -> tuple[dict[str, Any], list[Message]]:
    """Add a session to a reference (its JSON, None = a new one); what may not be saved is said.

    Of a scenario the last of the results counts.  ``gated``: see ``session_of``.  Sessions of another plan than the
    newest are dropped: nothing can be compared with both.
    """
    scenarios: dict[str, Any] = dict((reference or {}).get("scenarios", {}))
    results = list(results)
    compared = [c for one in results if one.baseline for c in one.baseline.comparisons]
    worse = {c.scenario for c in compared if c.verdict is Verdict.FAIL}
    refused = []
    for key, result in {result.scenario.cell.key: result for result in results}.items():
        made = session_of(result, gated)
        if spoilt := [taint for taint in result.taints if taint in SPOILING]:
            taint = Message(key=f"report.taint.{spoilt[0]}")
            refused.append(Message(key="judge.baseline_tainted", values={"scenario": key, "taint": taint}))
        elif result.verdict in (Verdict.FAIL, Verdict.INVALID) or worse & {key, "*"}:
            spoilt_by = result.verdict if result.verdict is Verdict.INVALID else Verdict.FAIL
            verdict = Message(key=f"report.verdict.{spoilt_by}")
            refused.append(Message(key="judge.baseline_verdict", values={"scenario": key, "verdict": verdict}))
        elif is_part(result):
            refused.append(Message(key="judge.baseline_part", values={"scenario": key}))
        elif not made.values or not result.complete:
            refused.append(Message(key="judge.baseline_no_data", values={"scenario": key}))
        else:
            old = [s for s in scenarios.get(key, ()) if s["plan"] == made.digest and s["session"] != made.session]
            scenarios[key] = [*old, _as_json(made)][-keep:]
    return {"schema_version": 1, "scenarios": dict(sorted(scenarios.items()))}, refused


def _as_json(made: SessionFigures) -> dict[str, Any]:
    """Six digits are enough, and keep the file small."""
    values = {m: [float(f"{v:.6g}") for v in vs] for m, vs in sorted(made.values.items())}
    told = {stage: {k: float(f"{v:.6g}") for k, v in of.items()} for stage, of in made.stages.items()}
    kept = {"session": made.session, "plan": made.digest, "environment": dict(made.environment), "metrics": values}
    return {**kept, "stages": told} if told else kept


def sessions_of(reference: Mapping[str, Any], key: str) -> list[SessionFigures]:
    """The sessions that a reference holds of a scenario, oldest first."""
    return [
        SessionFigures(
            session=s["session"],
            digest=s["plan"],
            values={metric: tuple(values) for metric, values in s["metrics"].items()},
            environment=s.get("environment", {}),
            stages=s.get("stages", {}),
        )
        for s in reference.get("scenarios", {}).get(key, ())
    ]


def noise_shown(scenarios: Iterable[Sequence[SessionFigures]], repeats: int) -> dict[str, float]:
    """By how much a session's mean of ln(metric) varies, as all scenarios of a reference show it together.

    The larger of how its sessions differ and how their repeats do (÷ √``repeats``, of which the new mean is made).
    A metric of which nothing was measured twice is left out: of its noise nothing is known.
    """
    sessions: dict[str, list[Any]] = defaultdict(list)
    runs: dict[str, list[Any]] = defaultdict(list)
    for kept in scenarios:
        seen: dict[str, list[Any]] = defaultdict(list)
        for session in kept:
            for metric, values in session.values.items():
                if min(values) > 0:
                    seen[metric].append(np.log(values))
        for metric, logs in seen.items():
            sessions[metric].append([float(x.mean()) for x in logs])
            runs[metric] += logs
    found = {}
    for metric in sessions:
        variances = [
            v / n for groups, n in ((sessions, 1), (runs, repeats)) if (v := _pooled(groups[metric])) is not None
        ]
        if variances:
            found[metric] = math.sqrt(max(variances))
    return found


def _pooled(groups: Collection[Any]) -> float | None:
    """The variance within groups, weighed by their degrees of freedom; None where there are none."""
    df = sum(len(x) - 1 for x in groups)
    return sum(float(np.var(x)) * len(x) for x in groups) / df if df else None
