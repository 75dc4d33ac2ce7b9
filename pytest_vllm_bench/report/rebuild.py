"""Folders of saved results → every report again, without a server or a session."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.report import csv, exports, page, pictures, verdict
from pytest_vllm_bench.report.artifacts import Row
from pytest_vllm_bench.report.charts.detail import detail
from pytest_vllm_bench.report.charts.overview import overview
from pytest_vllm_bench.report.charts.trend import trend
from pytest_vllm_bench.report.compare import SideBySide
from pytest_vllm_bench.report.folder import latest, make, read, records_of, stem, write_text, writing
from pytest_vllm_bench.report.github import gitlab_metrics
from pytest_vllm_bench.report.pytorch import SUFFIX as PYTORCH_SUFFIX
from pytest_vllm_bench.report.pytorch import pytorch
from pytest_vllm_bench.report.samples import read as read_samples

#: What ``report`` can write.
FORMATS = ("html", "csv", "verdict", *exports.FORMATS, "pytorch", "gitlab", "svg", "png")
USUAL = ("html", "csv", "verdict", "markdown")
#: Points of one scenario's chart in a file.
POINTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """How reports are made; ``lang`` "en", "zh" or "both" (headers in both, words in Chinese)."""

    formats: Sequence[str] = USUAL
    lang: str = "en"
    day: str = ""  # YYYYMMDD, of the dated CSV
    against: Callable[[Sequence[Row]], SideBySide] | None = None  # how they are compared with another folder's


def gather(folders: Sequence[Path], problems: list[Problem] | None = None, *, history: bool = True) -> list[Row]:
    """Results of all folders (other days, other machines) with their histories; BenchError where there are none."""
    rows = [row for folder in folders for row in read(folder, history=history, problems=problems)]
    if not rows:
        raise BenchError("report.no_results", folder=", ".join(map(str, folders)))
    return rows


def report(
    folders: Sequence[Path], out: Path, asked: ReportRequest = ReportRequest(), problems: list[Problem] | None = None
) -> tuple[Path, ...]:
    """Write the formats asked for into ``out``: of each scenario the newest result, over time all of them."""
    everything = gather(folders, problems)
    roll = verdict.last(folders, everything)
    figures, rows = latest(everything), latest([*everything, *roll.rest])
    words_lang = "zh" if asked.lang == "both" else asked.lang
    written: list[Path] = []
    for name in asked.formats:
        if name == "html":
            compared = asked.against(figures) if asked.against else None
            extra = page.Extra(history=everything, compared=compared, roll=roll)
            written.append(page.write(rows, out, lang=words_lang, extra=extra))
        elif name == "csv":
            written += csv.write(figures, out, day=asked.day, lang=asked.lang)
        elif name == "verdict":
            written.append(verdict.write(rows, out, roll))
        elif name == "pytorch":
            written += _pytorch(figures, out)
        elif name == "gitlab":
            written.append(gitlab_metrics(rows, out))
        elif name in ("svg", "png"):
            written += visualize(figures, out / "charts", kind=name, lang=words_lang, history=everything)
        else:
            written += exports.export(rows, out, [name], asked.lang)
    return tuple(written)


def _pytorch(rows: Sequence[Row], out: Path) -> list[Path]:
    with writing(make(out)):
        return [
            write_text(
                out / f"{stem(row['scenario_id'])}{PYTORCH_SUFFIX}",
                json.dumps(pytorch(row), ensure_ascii=False, allow_nan=False, indent=1),
            )
            for row in rows
        ]


def aggregate(
    folder: Path, *, lang: str = "en", day: str = "", problems: list[Problem] | None = None
) -> tuple[Path, ...]:
    """The CSV files of a whole folder, whatever sessions its results are of."""
    return csv.write(latest(gather([folder], problems, history=False)), folder, day=day, lang=lang)


def visualize(
    rows: Sequence[Row], out: Path, *, kind: str = "svg", lang: str = "en", history: Sequence[Row] = ()
) -> tuple[Path, ...]:
    """Comparing charts into ``out``, and each scenario's own into a folder of its name beside them."""
    written = list(pictures.draw([*overview(rows), *trend(history)], out, lang=lang, kind=kind))
    for row in rows:
        path = records_of(row)
        counts = (row.get("num_prompts") or 0, row.get("total_output_tokens") or 0)
        columns = read_samples(path, *counts) if path else None
        if columns is not None:
            charts = detail(row, columns, POINTS)
            written += pictures.draw(charts, out / stem(row["scenario_id"]), lang=lang, kind=kind)
    return tuple(written)
