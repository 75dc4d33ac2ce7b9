"""Folders of saved results → every report again, without a server or a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Problem, Result
from pytest_vllm_bench.report import badge, csv, exports, github, openmetrics, page, pictures, sheet, verdict
from pytest_vllm_bench.report.charts.detail import detail
from pytest_vllm_bench.report.charts.overview import overview
from pytest_vllm_bench.report.charts.trend import trend
from pytest_vllm_bench.report.compare import SideBySide
from pytest_vllm_bench.report.samples import read as read_samples
from pytest_vllm_bench.report.shown import pooled
from pytest_vllm_bench.store.folder import latest, make, read, records_of, session_of, stem, write_pytorch, writing

#: What ``report`` can write.
FORMATS = (
    "html",
    "csv",
    "verdict",
    "markdown",
    *exports.FORMATS,
    "pytorch",
    "gitlab",
    "openmetrics",
    "badge",
    "svg",
    "png",
)
USUAL = ("html", "csv", "verdict", "markdown")
#: Points of one scenario's chart in a file.
POINTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """How reports are made; ``headers``, of tables in files, are "en", "zh" or "both"."""

    formats: Sequence[str] = USUAL
    lang: str = "en"
    headers: str = "en"
    day: str = ""  # YYYYMMDD, of the dated CSV
    beside: Callable[[Sequence[Result]], Sequence[Result]] = list  # with what targets of one session show
    against: Callable[[Sequence[Result]], SideBySide] | None = None  # how they are compared with another folder's


def gather(folders: Sequence[Path], problems: list[Problem] | None = None, *, history: bool = True) -> list[Result]:
    """Results of all folders (other days, other machines) with their histories, and of tables; BenchError where there
    are none."""
    found = []
    for folder in folders:
        found += (
            sheet.read(folder, problems) if sheet.is_table(folder) else read(folder, history=history, problems=problems)
        )
    if not found:
        raise BenchError("report.no_results", folder=", ".join(map(str, folders)))
    return found


def report(
    folders: Sequence[Path], out: Path, asked: ReportRequest = ReportRequest(), problems: list[Problem] | None = None
) -> tuple[Path, ...]:
    """Write the formats asked for into ``out``: of each scenario the newest result, over time all of them."""
    roll, everything = verdict.last(folders, gather(folders, problems))
    figures = latest(everything)
    lacking = {absent.id: absent.session for absent in roll.rest}
    newest = {result.id: session_of(result) for result in figures}
    roll = replace(roll, rest=tuple(one for one in roll.rest if one.session > newest.get(one.id, "")))
    results = [result for result in figures if session_of(result) >= lacking.get(result.id, "")]
    results = list(asked.beside(results))
    written: list[Path] = []
    for name in asked.formats:
        if name == "html":
            compared = asked.against(figures) if asked.against else None
            extra = page.Extra(history=everything, compared=compared, roll=roll)
            written.append(page.write(results, out, lang=asked.lang, extra=extra))
        elif name == "csv":
            written += csv.write(figures, out, day=asked.day, lang=asked.headers)
        elif name == "verdict":
            written.append(verdict.write(results, out, roll))
        elif name == "pytorch":
            written += _pytorch(figures, out)
        elif name == "badge":
            written.append(badge.write(results, out, roll, asked.lang))
        elif name in ("gitlab", "openmetrics"):
            written.append((openmetrics.gitlab if name == "gitlab" else openmetrics.pushed)(results, out, roll))
        elif name in ("svg", "png"):
            written += visualize(figures, out / "charts", kind=name, lang=asked.lang, history=everything)
        elif name == "markdown":
            written.append(github.comment(results, out, asked.lang, roll))
        else:
            written += exports.export(results, out, [name], asked.headers, roll)
    return tuple(written)


def _pytorch(results: Sequence[Result], out: Path) -> list[Path]:
    with writing(make(out)):
        return [write_pytorch(result, out) for result in results]


def visualize(
    results: Sequence[Result], out: Path, *, kind: str = "svg", lang: str = "en", history: Sequence[Result] = ()
) -> tuple[Path, ...]:
    """Comparing charts into ``out``, and each scenario's own into a folder of its name beside them."""
    charts = [*overview(pooled(results)), *trend(history)]
    written = list(pictures.draw(charts, out, lang=lang, kind=kind, of=results))
    for result in results:
        path = records_of(result)
        counts = (result.num_prompts or 0, int(result.metrics.get("total_output_tokens") or 0))
        columns = read_samples(path, *counts) if path else None
        if columns is not None:
            charts = detail(result, columns, POINTS, path)
            written += pictures.draw(charts, out / stem(result.id), lang=lang, kind=kind, of=[result])
    return tuple(written)
