"""Folders of results → the pictures of the guides: ``python docs/pictures.py results [watched]``.

``watched``: of one scenario, beside whose load the server's metrics and a card were watched.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_vllm_bench.report import pictures, rebuild
from pytest_vllm_bench.report.charts.detail import detail
from pytest_vllm_bench.report.charts.overview import overview
from pytest_vllm_bench.report.samples import read
from pytest_vllm_bench.store.folder import latest, records_of

DOCS = Path(__file__).parent
COMPARING = ("output_throughput-concurrency", "ttft-concurrency", "frontier-steady_p99_ttft_ms")
OWN = ("timeline", "cdf")
#: One request, as the guides explain it: (English, Chinese).
WORDS = {
    "sent": ("sent", "发出"),
    "first": ("first token", "首 token"),
    "last": ("last token", "末 token"),
    "ttft": ("TTFT", "首 token 时延 TTFT"),
    "itl": ("ITL", "token 间隔 ITL"),
    "tpot": ("TPOT = average of these", "单 token 时延 TPOT：它们的平均"),
    "e2el": ("E2EL", "端到端时延 E2EL"),
}


def main(results: Path, *watched: Path) -> None:
    for of in watched:
        (one,) = latest(rebuild.gather([of], history=False))
        lines = records_of(one)
        drawn = read(lines, 0, 0) if lines else None
        if drawn is not None:
            below = next(chart for chart in detail(one, drawn, 40, lines) if chart.panels)
            for lang in ("en", "zh"):
                pictures.draw([replace(below, id="watched")], DOCS / lang / "pictures", lang=lang)
    found = latest(rebuild.gather([results], history=False))
    charts = [chart for chart in overview(found) if chart.id in COMPARING]
    shown = next(result for result in found if result.scenario.concurrency == 4)
    path = records_of(shown)
    columns = read(path, 0, 0) if path else None
    if columns is not None:
        charts += [chart for chart in detail(shown, columns, 60) if chart.id in OWN]
    for lang in ("en", "zh"):
        folder = DOCS / lang / "pictures"
        pictures.draw(charts, folder, lang=lang)
        (folder / "request.svg").write_bytes(request(lang))


def request(lang: str) -> bytes:
    """What the words mean, on the time line of one request."""
    import io

    import matplotlib
    from matplotlib.figure import Figure

    said = {key: pair[lang == "zh"] for key, pair in WORDS.items()}
    fonts = [pictures.chinese_font(), "DejaVu Sans"] if lang == "zh" else ["DejaVu Sans"]
    arrivals = [3.0, 4.1, 5.0, 6.2, 7.0, 9.0, 10.0]
    with matplotlib.rc_context({"font.family": fonts, "svg.hashsalt": "request"}):
        figure = Figure(figsize=(8, 2.6), layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlim=(-0.8, 11), ylim=(-1.6, 1.9))
        axes.axis("off")
        axes.annotate("", (10.9, 0), (-0.3, 0), arrowprops={"arrowstyle": "-|>", "color": "#57606a"})
        axes.plot([0], [0], "s", color="#0072b2", markersize=9)
        axes.plot(arrivals, [0] * len(arrivals), "o", color="#009e73", markersize=9)
        for x, key in ((0, "sent"), (arrivals[0], "first"), (arrivals[-1], "last")):
            axes.text(x, -0.28, said[key], ha="center", va="top", fontsize=9, color="#57606a")
        span(axes, (0, arrivals[0]), 0.55, said["ttft"], "#e69f00")
        span(axes, (7.0, 9.0), 0.55, said["itl"], "#0072b2")
        span(axes, (arrivals[0], arrivals[-1]), -1.0, said["tpot"], "#009e73")
        span(axes, (0, arrivals[-1]), 1.35, said["e2el"], "#cc79a7")
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def span(axes: Any, ends: tuple[float, float], y: float, text: str, colour: str) -> None:
    axes.annotate("", (ends[1], y), (ends[0], y), arrowprops={"arrowstyle": "<|-|>", "color": colour})
    axes.text(sum(ends) / 2, y + 0.08, text, ha="center", va="bottom", fontsize=10, color=colour)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
