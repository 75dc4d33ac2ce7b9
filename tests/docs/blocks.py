"""Markdown → its headings, links and fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: English page → Chinese page.
PAGES = {
    ROOT / "README.md": ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md": ROOT / "CONTRIBUTING.zh-CN.md",
    **{page: ROOT / "docs" / "zh" / page.name for page in sorted((ROOT / "docs" / "en").glob("*.md"))},
}
_FENCE = re.compile(r"^ {0,3}```(.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands between two fences; ``words``: what follows the language, "config" or "exit=1"."""

    page: Path
    line: int  # of the opening fence, 1-based
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def text_of(page: Path) -> list[str]:
    """A page's lines; a missing page has none (that it is missing is told by a test of its own)."""
    return page.read_text(encoding="utf-8").splitlines() if page.exists() else []


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The fenced blocks of a page, all or those of some languages."""
    begin, info, lines = 0, "", list[str]()
    for number, line in enumerate(text_of(page), 1):
        fence = _FENCE.match(line)
        if fence and not begin:
            begin, info, lines = number, fence[1].strip(), []
        elif fence:
            language, *words = info.split() or [""]
            if not languages or language in languages:
                yield Block(page=page, line=begin, language=language, words=tuple(words), text="\n".join(lines) + "\n")
            begin = 0
        elif begin:
            lines.append(line)
    assert not begin, f"{page}:{begin}: a fence that is not closed"


def prose(page: Path) -> list[str]:
    """The lines outside fences."""
    lines, inside = [], False
    for line in text_of(page):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append(line)
    return lines


def headings(page: Path) -> list[str]:
    """The levels of headings, "#" or "##", in order."""
    return [found[1] for line in prose(page) if (found := re.match(r"(#{1,6}) ", line))]


def anchors(page: Path) -> set[str]:
    """What ``page#...`` may name, as Git hosts make it of headings."""
    titles = [line.lstrip("#").strip().lower() for line in prose(page) if re.match(r"#{1,6} ", line)]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def tables(page: Path) -> list[list[list[str]]]:
    """The tables outside fences: rows of cells, without the line of dashes."""
    found: list[list[list[str]]] = []
    inside = False
    for line in prose(page):
        if line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not inside:
                found.append([])
            if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                found[-1].append(cells)
        inside = line.startswith("|")
    return found


def links(page: Path) -> list[str]:
    """The targets of links and images, without those that leave the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", "\n".join(prose(page)))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]
