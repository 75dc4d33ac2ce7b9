"""A hook of mkdocs: links out of ``docs/`` lead to the repository, and fences are as the site knows them."""

from __future__ import annotations

import re
from typing import Any

#: A word after a fence's language is for the tests that run the page.
FENCE = re.compile(r"^(```\w+) [^\n]+$", re.MULTILINE)
#: Up and out, or into another folder than the languages'.
OUTSIDE = re.compile(r"\]\(\.\./(\.\./)?(?!en/|zh/)")


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    there = f"]({config.repo_url}/blob/main/"
    return FENCE.sub(r"\1", OUTSIDE.sub(lambda link: there + ("" if link[1] else "docs/"), markdown))
