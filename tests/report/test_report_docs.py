"""What of the documentation is made from tables is as the tables are now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("page", ["metrics", "troubleshooting"])
def test_the_tables_of_a_page_are_up_to_date(page: str, lang: str) -> None:
    spec = importlib.util.spec_from_file_location(f"docs_{page}", DOCS / f"{page}.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = (DOCS / lang / f"{page}.md").read_text("utf-8")
    assert text == made.page(text, lang), f"python docs/{page}.py"
