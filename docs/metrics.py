"""The table of metrics → the tables of docs/*/metrics.md: ``python docs/metrics.py``."""

from __future__ import annotations

from pathlib import Path

from pytest_vllm_bench.metric_table import SAMPLED, SCALAR, Metric
from pytest_vllm_bench.report import words
from pytest_vllm_bench.text import say, table

ROOT = Path(__file__).parent.parent
HEADS = {"en": ("Id", "Unit", "What it says", "Formula"), "zh": ("标识", "单位", "含义", "公式")}
TABLES = {"sampled": SAMPLED, "scalar": SCALAR}


def page(text: str, lang: str) -> str:
    """The page with its tables made anew."""
    for name, metrics in TABLES.items():
        before, begin, rest = text.partition(f"<!-- {name}: made by docs/metrics.py -->\n")
        _, end, after = rest.partition(f"<!-- {name}: end -->")
        assert end, f"the page has no place for the table {name}"
        lines = [HEADS[lang], ["---"] * 4, *(row(m, lang) for m in metrics.values() if described(m))]
        body = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        text = before + begin + body + end + after
    return text


def described(metric: Metric) -> bool:
    return f"definitions.meaning.{metric.id}" in table()


def row(metric: Metric, lang: str) -> list[str]:
    name = words.label(metric.id, lang)
    meaning = say(f"definitions.meaning.{metric.id}", lang)
    separator = ": " if lang == "en" else "："
    formula = say(f"definitions.formula.{metric.id}", lang)
    return [f"`{metric.id}`", metric.unit, f"{name}{separator}{meaning}", formula.replace("|", "\\|")]


def main() -> None:
    for lang in ("en", "zh"):
        path = ROOT / "docs" / lang / "metrics.md"
        path.write_text(page(path.read_text(encoding="utf-8"), lang), encoding="utf-8")


if __name__ == "__main__":
    main()
