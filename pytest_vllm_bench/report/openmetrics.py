"""A session's results → OpenMetrics text: for a Pushgateway, to which it is Prometheus' own, and for GitLab."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pytest_vllm_bench.metric_table import Unit, parse_name
from pytest_vllm_bench.model import Result, Verdict
from pytest_vllm_bench.report import baseline, csv, words
from pytest_vllm_bench.report.shown import pooled, without_probes
from pytest_vllm_bench.report.verdict import Roll, absent_end, gates, outcome, red
from pytest_vllm_bench.store.folder import make, order, write_text, writing
from pytest_vllm_bench.store.history import utc
from pytest_vllm_bench.store.row import flat

NAME, GITLABS = "openmetrics.txt", "metrics.txt"
PREFIX = "pytest_vllm_bench_"
#: A metric's unit → what its key ends with, what its name ends with instead, and by what its figure is multiplied.
BASE_UNITS: dict[Unit, tuple[str, str, float]] = {
    "ms": ("_ms", "seconds", 0.001),
    "s": ("_s", "seconds", 1),
    "ratio": ("_ratio", "ratio", 1),
    "tokens": ("_tokens", "tokens", 1),
    "tok/s": ("", "tokens_per_second", 1),
    "req/s": ("", "requests_per_second", 1),
    "J": ("_j", "joules", 1),
    "W": ("_w", "watts", 1),
}
#: What a start tells of memory.
GIB = "_gib", "bytes", float(1 << 30)
#: What GitLab compares between branches.
COMPARED = (
    "request_throughput",
    "output_throughput",
    "goodput_ratio",
    "failed",
    "mean_ttft_ms",
    "p99_ttft_ms",
    "mean_tpot_ms",
    "mean_e2el_ms",
    "p99_e2el_ms",
    "capacity_held",
)


def pushed(results: Sequence[Result], folder: Path, roll: Roll = Roll()) -> Path:
    """``openmetrics.txt``: gauges in base units without time stamps, which a Pushgateway refuses."""
    lines: list[str] = []
    for name, unit, said, samples in _families(results, roll):
        known = {labels: value for labels, value in samples if not math.isnan(value)}
        if known:
            about = said.replace("\\", "\\\\").replace("\n", " ").replace('"', "'")
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
            lines += [f"# UNIT {name} {unit}"] if unit else []
            lines += [f"{name}{labels} {_number(value)}" for labels, value in known.items()]
    with writing(make(folder)):
        return write_text(folder / NAME, "\n".join([*lines, "# EOF", ""]))


def _families(results: Sequence[Result], roll: Roll) -> Iterator[tuple[str, str, str, Sequence[tuple[str, float]]]]:
    """Name, unit, meaning, and of each scenario its labels and figure."""
    yield PREFIX + "not_run", "", "scenarios that were to run and did not", [("", len(roll.missing))]
    yield PREFIX + "session_failed", "", "1 where the gate was red: a test failed, or the session as a whole", (
        _session(results, roll)
    )  # fmt: skip
    yield PREFIX + "test_failed", "", "1 where a scenario's test failed", [
        (_labels(scenario=id), failed) for id, failed in _ends(results, roll)
    ]  # fmt: skip
    shown = sorted(without_probes(pooled(results)), key=order)
    yield PREFIX + "verdict", "", "1 for the verdict that a scenario has, 0 for the others", [
        (_labels(one, verdict=str(verdict)), one.verdict is verdict)
        for one in shown for verdict in Verdict if one.verdict
    ]  # fmt: skip
    yield PREFIX + "tainted", "", "1: what a reader must know of a scenario's figures", [
        (_labels(one, taint=taint), 1) for one in shown for taint in one.taints
    ]  # fmt: skip
    when = [(_labels(one), _seconds(one.date)) for one in shown]
    yield PREFIX + "measured_timestamp_seconds", "seconds", "when a scenario was measured, in Unix time", when
    yield PREFIX + "baseline_change_ratio", "ratio", "change against the reference, as a share", [
        (_labels(one, metric=c.metric, of=c.scenario or one.scenario.cell.key), c.change)
        for one in shown for c in baseline.comparisons(one) if c.relative
    ]  # fmt: skip
    rows = [(one, flat(one)) for one in shown if "predicted" not in one.taints]  # nobody has measured those
    for key in csv.columns([row for _, row in rows]):
        if known := parse_name(key):
            ending, unit, factor = GIB if key.endswith(GIB[0]) else BASE_UNITS.get(known.row.unit, ("", "", 1.0))
            name = "_".join(filter(None, [key.removesuffix(ending), unit])).replace(".", "_")
            figures = [(_labels(one), row[key]) for one, row in rows if row.get(key) is not None]
            yield PREFIX + name, unit, f"{words.label(key, 'en')}: {known.row.formula}", [
                (labels, float(figure) * factor) for labels, figure in figures
            ]  # fmt: skip
    for key in ("held", "broken"):
        said = f"the {'largest load of a search that kept' if key == 'held' else 'smallest load that broke'} its rules"
        found = [(_labels(one), float(level)) for one in shown if (level := getattr(one.capacity, key, None))]
        yield f"{PREFIX}capacity_{key}", "", said, found


def _session(results: Sequence[Result], roll: Roll) -> list[tuple[str, bool]]:
    """What pytest made of all together, which may fail although no test did; nothing where nobody knows."""
    ended = outcome(results, roll)
    return [("", ended == "fail")] if ended else []


def _ends(results: Sequence[Result], roll: Roll) -> list[tuple[str, bool]]:
    """Each scenario, and whether its test failed."""
    ends = [(result.id, red(result)) for result in sorted(gates(results), key=order)]
    return ends + [(absent.id, absent_end(absent) == "fail") for absent in roll.rest if not absent.xfail]


def _labels(result: Result | None = None, **more: str) -> str:
    known = {"scenario": result.id, "model": result.model or ""} if result else {}
    return "{" + ",".join(f'{name}="{_label(value)}"' for name, value in {**known, **more}.items()) + "}"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else f"{value:+}".replace("inf", "Inf")


def _seconds(date: str) -> float:
    return datetime.fromisoformat(when).timestamp() if (when := utc(date)) else math.nan


def gitlab(results: Sequence[Result], folder: Path, roll: Roll = Roll()) -> Path:
    """``metrics.txt``, for GitLab's ``artifacts:reports:metrics``: a line a scenario and figure, under its own name."""
    lines = [f"not_run {len(roll.missing)}"] if roll.missing else []
    lines += [f"session_failed {failed:d}" for _, failed in _session(results, roll)]
    lines += [f"test_failed{_labels(scenario=id)} {failed:d}" for id, failed in _ends(results, roll)]
    shown = sorted(without_probes(pooled(results)), key=order)
    lines += [f"tainted{_labels(scenario=one.id, taint=taint)} 1" for one in shown for taint in one.taints]
    rows = [(one.id, flat(one)) for one in shown if "predicted" not in one.taints]
    figures = ((key, id, row.get(key)) for key in COMPARED for id, row in rows)
    for key, id, value in figures:
        if isinstance(value, int | float):
            lines.append(f"{key}{_labels(scenario=id)} {value:.6g}")
    with writing(make(folder)):
        return write_text(folder / GITLABS, "\n".join([*lines, "# EOF", ""]))
