"""Chart → an SVG or PNG file by matplotlib, for slides and READMEs; no browser needed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.chart import Axis, Chart, ChartSeries, spoken
from pytest_vllm_bench.report.exports import need
from pytest_vllm_bench.store.folder import make, stem, write_bytes, writing

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#8a8f98")
#: Panels below a chart.
PANELS = 4
MARKERS = {"FAIL": "x", "INVALID": "$○$", "INCONCLUSIVE": "D", "PREDICTED": "^"}
#: Fonts with Chinese characters, by system.
CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "SimHei",
    "Noto Sans CJK JP",
)


def chinese_font() -> str | None:
    """A font of this machine that has Chinese characters."""
    manager = need("matplotlib.font_manager", "charts")
    known = {font.name for font in manager.fontManager.ttflist}
    return next((name for name in CHINESE if name in known), None)


def draw(
    charts: Sequence[Chart], folder: Path, *, lang: str = "en", kind: str = "svg", of: Sequence[Result] = ()
) -> tuple[Path, ...]:
    """Each chart as ``{id}.{kind}`` (svg or png); in English where no font has Chinese characters.

    Below it stands what a reader must know of the results that it is ``of``."""
    font = chinese_font()
    if font is None:
        lang = "en"
    if marks := " · ".join(words.marks(of, lang).values()):
        charts = [replace(one, note=f"{spoken(one.note, lang)}\n{marks}" if one.note else marks) for one in charts]
    with writing(make(folder)):
        return tuple(
            write_bytes(
                folder / f"{stem(chart.id).removeprefix('bench_')}.{kind}",
                picture(chart, lang=lang, kind=kind, font=font),
            )
            for chart in charts
            if not chart.empty
        )


def picture(chart: Chart, *, lang: str = "en", kind: str = "svg", font: str | None = None) -> bytes:
    """The file's content; the same chart gives the same bytes."""
    matplotlib = need("matplotlib", "charts")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fonts = [name for name in (font if lang == "zh" else None, "DejaVu Sans", font) if name]
    style = {"font.family": fonts, "svg.hashsalt": "chart", "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        panels = chart.panels[:PANELS]
        figure = Figure(figsize=(8, 4.5 + 0.9 * len(panels)), layout="constrained")
        FigureCanvasAgg(figure)
        ratios = {"height_ratios": [4, *([1] * len(panels))]}
        axes, *below = figure.subplots(1 + len(panels), sharex=True, squeeze=False, gridspec_kw=ratios)[:, 0]
        for series in chart.series:
            _PAINTERS[series.kind](axes, series, spoken(series.name, lang))
        _finish(figure, axes, chart, lang)
        _below(axes, below, chart, lang)
        out = io.BytesIO()
        figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()


def _below(axes: Any, below: Sequence[Any], chart: Chart, lang: str) -> None:
    """Panels on the chart's own x axis, and moments as lines through all of them."""
    for panel, place in zip(chart.panels, below, strict=False):
        for series in panel.series:
            _PAINTERS[series.kind](place, series, spoken(series.name, lang))
        place.grid(visible=True, color="#e3e8ed", linewidth=0.8)
        place.set_ylim(bottom=0)
        place.legend(fontsize=7, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(-0.01, 0.93), borderpad=0)
        place.tick_params(labelsize=7)
    if below:
        below[-1].set_xlabel(axes.get_xlabel())
        axes.set_xlabel("")
    for k, moment in enumerate(chart.moments):
        for place in (axes, *below):
            place.axvline(moment.at, color="#6639ba", linestyle=":", linewidth=1)
        at = (moment.at, 1 - 0.06 * (k % 4))
        axes.annotate(
            spoken(moment.label, lang), at, xycoords=("data", "axes fraction"), fontsize=7, color="#6639ba", va="top",
            xytext=(3, 0), textcoords="offset points",
        )  # fmt: skip


def _finish(figure: Any, axes: Any, chart: Chart, lang: str) -> None:
    axes.set_title(spoken(chart.title, lang), loc="left", fontsize=12, fontweight="bold", pad=12)
    _axis(axes.xaxis, axes.set_xscale, axes.set_xlabel, chart.x, lang)
    _axis(axes.yaxis, axes.set_yscale, axes.set_ylabel, chart.y, lang)
    heat = any(series.kind == "heat" for series in chart.series)
    if not heat:
        axes.grid(visible=True, color="#e3e8ed", linewidth=0.8)
        axes.set_axisbelow(True)
    bars = any(series.kind == "spans" for series in chart.series)
    if bars:
        axes.invert_yaxis()
    elif not chart.y.log and not heat:
        axes.set_ylim(bottom=0)
    for limit in chart.limits:
        line = axes.axvline if limit.axis == "x" else axes.axhline
        line(limit.value, color="#a40e26", linestyle="--", linewidth=1.2, label=spoken(limit.label, lang))
        if limit.region:
            axes.axvspan(0, limit.value, color="#116329", alpha=0.08, linewidth=0)
    if len(chart.series) > 1 or chart.limits:
        place = "lower left" if bars else "best"  # where no bars are, and nothing is searched
        axes.legend(fontsize=8, frameon=False, ncols=2, loc=place)
    if chart.note is not None:
        figure.supxlabel(spoken(chart.note, lang), fontsize=8, color="#57606a", x=0.01, ha="left")


def _axis(axis: Any, scale: Any, label: Any, spec: Axis, lang: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    label(spoken(spec.label, lang))
    if spec.categories:
        return
    if spec.log:
        scale("log")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _line(axes: Any, series: ChartSeries, name: str) -> None:
    colour = PALETTE[series.colour % len(PALETTE)]
    style = ":" if series.dashed else "-"
    if series.kind == "points":
        style = "none"
    draw = "steps-post" if series.kind == "steps" else "default"
    faint = 0.4 if series.faint else 1
    axes.plot(series.x, series.y, color=colour, linestyle=style, drawstyle=draw, label=name, linewidth=1.8, alpha=faint)
    for mark in sorted(set(series.marks) or ({""} if series.scenarios else set())):
        at = [k for k, m in enumerate(series.marks or [""] * len(series.x)) if m == mark]
        x, y = [series.x[k] for k in at], [series.y[k] for k in at]
        fill = "none" if mark in MARKERS else "full"
        how = {"marker": MARKERS.get(mark, "o"), "markersize": 6, "fillstyle": fill, "alpha": faint}
        axes.plot(x, y, color=colour, linestyle="none", **how)


def _bars(axes: Any, series: ChartSeries, name: str) -> None:
    """Bars of one chart stand on those drawn before."""
    below = [
        sum(p.get_height() for p in axes.patches if abs(p.get_x() + p.get_width() / 2 - k) < 1e-6)
        for k in range(len(series.x))
    ]
    axes.bar(
        range(len(series.x)), series.y, bottom=below, width=0.6, color=PALETTE[series.colour % len(PALETTE)], label=name
    )
    spare = max(0, 4 - len(series.x)) / 2
    axes.set_xlim(-0.5 - spare, len(series.x) - 0.5 + spare)
    axes.set_xticks(
        range(len(series.x)),
        series.x,
        rotation=20 if len(series.x) > 3 else 0,
        ha="right" if len(series.x) > 3 else "center",
    )


def _spans(axes: Any, series: ChartSeries, name: str) -> None:
    colour = PALETTE[series.colour % len(PALETTE)]
    axes.barh(series.y, series.width, left=series.x, height=0.9, color=colour, label=name, linewidth=0)


def _heat(axes: Any, series: ChartSeries, name: str) -> None:
    import numpy as np

    z = np.array([[np.nan if v is None else v for v in line] for line in series.z], dtype=float)
    image = axes.imshow(z, aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(series.x)), series.x)
    axes.set_yticks(range(len(series.y)), series.y)
    middle = np.nanmin(z) + (np.nanmax(z) - np.nanmin(z)) / 2
    for (j, i), value in np.ndenumerate(z):
        if np.isfinite(value):
            axes.text(
                i,
                j,
                f"{value:,.4g}",
                ha="center",
                va="center",
                fontsize=8,
                color="black" if value > middle else "white",
            )
    axes.figure.colorbar(image, ax=axes, label=name)


_PAINTERS = {"line": _line, "points": _line, "steps": _line, "bars": _bars, "spans": _spans, "heat": _heat}
