"""What of the documentation is made from tables is as the tables are now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_tables_of_metrics_are_up_to_date(lang: str) -> None:
    spec = importlib.util.spec_from_file_location("docs_metrics", DOCS / "metrics.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = (DOCS / lang / "metrics.md").read_text("utf-8")
    assert text == made.page(text, lang), "python docs/metrics.py"
