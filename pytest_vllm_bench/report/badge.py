"""A session's results → ``badge.svg``: a few words and a colour, for a README or a dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from pytest_vllm_bench.model import Result, Verdict
from pytest_vllm_bench.report import words
from pytest_vllm_bench.report.verdict import Roll, coloured, outcome, overall
from pytest_vllm_bench.store.folder import make, write_text, writing
from pytest_vllm_bench.text import say

NAME = "badge.svg"
#: What the badge's two halves are wide, a character and around them.
CELL, AROUND, HEIGHT = 6.6, 12, 20
COLOURS = {
    Verdict.PASS: "#1a7f37",
    Verdict.FAIL: "#cf222e",
    Verdict.INVALID: "#8250df",
    Verdict.INCONCLUSIVE: "#9a6700",
    Verdict.PREDICTED: "#0969da",
}
GREY = "#57606a"
FONT = "Verdana,DejaVu Sans,Noto Sans CJK SC,sans-serif"


def badge(results: Sequence[Result], roll: Roll = Roll(), lang: str = "en") -> str:
    """The worst verdict, and what a reader must know of the figures; one that pytest did not fail for is not shown as a
    failure, nor one that it did as a pass."""
    from rich.cells import cell_len

    shown = coloured(overall(results, roll), outcome(results, roll))
    left, verdict = say("report.badge", lang), say(f"report.verdict.{shown}", lang) if shown else "—"
    right = " · ".join(
        [verdict, *(said for taint, said in words.marks(results, lang).items() if taint.upper() != shown)]
    )
    widths = [round(cell_len(text) * CELL + AROUND) for text in (left, right)]
    whole, colour = sum(widths), COLOURS[shown] if shown else GREY
    texts = "".join(
        f'<text x="{x:g}" y="14" text-anchor="middle">{escape(text)}</text>'
        for x, text in ((widths[0] / 2, left), (widths[0] + widths[1] / 2, right))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(left)}: {escape(right)}"><title>{escape(left)}: {escape(right)}</title>'
        f'<clipPath id="r"><rect width="{whole}" height="{HEIGHT}" rx="3"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{widths[0]}" height="{HEIGHT}" fill="#24292f"/>'
        f'<rect x="{widths[0]}" width="{widths[1]}" height="{HEIGHT}" fill="{colour}"/></g>'
        f'<g fill="#fff" font-family="{FONT}" font-size="11">{texts}</g></svg>\n'
    )


def write(results: Sequence[Result], folder: Path, roll: Roll = Roll(), lang: str = "en") -> Path:
    with writing(make(folder)):
        return write_text(folder / NAME, badge(results, roll, lang))
