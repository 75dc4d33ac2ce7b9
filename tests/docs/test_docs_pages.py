"""Every page is there in both languages, with the same headings and the same examples, and its links lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from blocks import PAGES, ROOT, Block, anchors, blocks, headings, links, prose, tables
from every import every

EVERY = [page for pair in PAGES.items() for page in pair]
#: Shown to readers, not run: output, or what a reader's own machine has.
SHOWN = {"text", "console", "json", "csv", "xml", "toml", "ini", "mermaid", "diff", "html", "sql"}
RUN = {"sh", "python", "yaml"}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@every("page", PAGES, ids=name)
def test_a_page_is_there_in_both_languages(page: Path) -> None:
    assert PAGES[page].exists()
    assert headings(PAGES[page]) == headings(page)


def test_no_page_is_there_in_chinese_only() -> None:
    assert {p.name for p in (ROOT / "docs" / "zh").glob("*.md")} == {
        p.name for p in (ROOT / "docs" / "en").glob("*.md")
    }


def bare(block: Block) -> tuple[str, tuple[str, ...], str]:
    """A block without its comments, which are in the page's language."""
    return block.language, block.words, re.sub(r"(?m)\s*#.*$", "", block.text)


@every("page", PAGES, ids=name)
def test_both_languages_have_the_same_examples(page: Path) -> None:
    ours = [bare(b) for b in blocks(page) if b.language in RUN]
    theirs = [bare(b) for b in blocks(PAGES[page]) if b.language in RUN]
    assert theirs == ours


@every("page", PAGES, ids=name)
def test_both_languages_have_the_same_tables(page: Path) -> None:
    """As many rows and columns, and in the first column the same code: nothing is left out in one language."""

    def shape(of: Path) -> list[tuple[int, list[str]]]:
        return [
            (len(row), sorted(re.findall(r"`([^`\u4e00-\u9fff]+)`", row[0]))) for table in tables(of) for row in table
        ]

    assert shape(PAGES[page]) == shape(page)


@every("page", EVERY, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{name(page)}: {link}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{name(page)}: {link}"


@every("page", EVERY, ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in SHOWN | RUN, f"{block.id}: {block.language!r}"


@every("page", PAGES.values(), ids=name)
def test_chinese_pages_are_in_chinese(page: Path) -> None:
    words = "".join(line for line in prose(page) if not line.startswith("|"))
    assert len(re.findall(r"[\u4e00-\u9fff]", words)) > len(words) / 8


def test_who_installs_it_is_sent_to_the_site_that_a_release_puts_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    site = re.findall(r"^site_url: (\S+)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert [project["urls"]["Documentation"]] == site
    built = re.findall(r"^site_dir: (\S+)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert f"path: {built[0]}}}" in (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k not in ("all", "docs", "test")}
    asked = [re.split(r"[<>=;\[ ]", one)[0] for those in (project["dependencies"], *extras.values()) for one in those]
    for lang in ("en", "zh"):
        table = tables(ROOT / "docs" / lang / "installation.md")[0][1:]
        assert sorted(row[0].strip("`") for row in table) == sorted(asked)
        assert all(cell for row in table for cell in row)
        said = {row[0].strip("`"): re.findall(r"(?:extra|附加包) `(\w+)`", row[1]) for row in table}
        assert said == {one: [] for one in asked} | {
            re.split(r"[>\[]", one)[0]: [extra] for extra, those in extras.items() for one in those
        }


def test_the_code_guide_names_files_that_there_are() -> None:
    package = ROOT / "pytest_vllm_bench"
    for lang in ("en", "zh"):
        words = " ".join(prose(ROOT / "docs" / lang / "code-guide.md"))
        named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", words)
        assert named
        for file in named:
            there = any(base.joinpath(file).exists() for base in (ROOT, package, package / "plan" / "datasets"))
            assert there, f"{lang}: {file}"
        modules = re.findall(r"`((?:[a-z_]+/)*[a-z_]+)\.([A-Za-z_]+)`", words)
        for module, word in modules:
            if (file := package / f"{module}.py").exists() or (file := package / module / "__init__.py").exists():
                assert word == "py" or re.search(rf"\b{word}\b", file.read_text(encoding="utf-8")), f"{module}.{word}"


def test_pictures_are_drawn_by_every_mermaid() -> None:
    """A slash at a bracket begins another shape, and a semicolon ends a statement."""
    for page in EVERY:
        for block in blocks(page, "mermaid"):
            assert not re.search(r"[\[(]/|/[\])]|;", block.text), block.id


def test_chinese_tables_have_chinese_headers() -> None:
    for page in PAGES.values():
        for header, *_ in tables(page):
            assert re.search(r"[\u4e00-\u9fff]|^`|^sla ", " ".join(header)), f"{name(page)}: {header}"


def test_chinese_pages_have_full_width_punctuation() -> None:
    """After a Chinese character and before one, outside code; a key with its colon is code."""
    code = re.compile(r"```.*?```|`[^`]*`|^    .*?$|\]\([^)]*\)|<!--.*?-->", re.DOTALL | re.MULTILINE)
    half = re.compile(r"[\u4e00-\u9fff] ?[,;:!?](?=\s|[\u4e00-\u9fff`]|$)|[,;!?] ?[\u4e00-\u9fff]")
    for page in PAGES.values():
        assert half.findall(code.sub("`", page.read_text(encoding="utf-8"))) == [], name(page)
