"""Every command of the pages runs, in a project as a reader would have it."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import PAGES, Block, blocks
from sandbox import run

#: Commands that need a network, a GPU or another machine.
ELSEWHERE = (
    "pip install",
    "python3 -m venv",
    "git clone",
    "vllm serve",
    "docker run",
    "export ",
    "apt ",
    "apt-get ",
    "cd ",
)
ANYWHERE = re.compile(r"http://(?:localhost|host):8000")


def distinct(*languages: str, word: str = "") -> list[Block]:
    """The English pages' blocks, each text once: both languages have the same ones, which is tested elsewhere."""
    found = [b for page in PAGES for b in blocks(page, *languages) if not word or word in b.words]
    return list({block.text: block for block in reversed(found)}.values())[::-1]


def commands(block: Block) -> list[str]:
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines()]
    return [line.replace(".venv/bin/", "") for line in lines if line]


def runnable(block: Block) -> bool:
    return not all(line.startswith(ELSEWHERE) for line in commands(block))


@pytest.fixture(scope="module")
def home(project: Path) -> Iterator[Path]:
    yield project
    shutil.rmtree(project, ignore_errors=True)


@pytest.mark.parametrize("block", [b for b in distinct("sh") if runnable(b)], ids=lambda b: b.id)
def test_a_command_runs(block: Block, home: Path, server: str) -> None:
    expected = next((int(w.removeprefix("exit=")) for w in block.words if w.startswith("exit=")), 0)
    run(["bash", "-ec", ANYWHERE.sub(server, "\n".join(commands(block)))], home, expected)


@pytest.mark.parametrize("block", distinct("python", word="run"), ids=lambda b: b.id)
def test_a_script_runs(block: Block, home: Path, server: str) -> None:
    run([sys.executable, "-c", ANYWHERE.sub(server, block.text)], home)


@pytest.mark.parametrize("block", distinct("python", word="test"), ids=lambda b: b.id)
def test_a_test_file_passes(block: Block, home: Path, server: str) -> None:
    """Beside the project's config; ``conftest`` among the words: it is the conftest.py of a folder with one test."""
    folder = home / f"page_{block.line}"
    folder.mkdir()
    shutil.copy(home / "bench_cases" / "config.yaml", folder)
    conftest = "conftest" in block.words
    file = folder / ("conftest.py" if conftest else "test_page.py")
    file.write_text(ANYWHERE.sub(server, block.text), encoding="utf-8")
    if conftest:
        shutil.copy(home / "bench_cases" / "test_serving.py", folder / "test_page.py")
    run(["pytest", folder.name, f"--vllm-url={server}", "-q", "-k", "not mc16"], home)


@pytest.mark.parametrize("block", distinct("python"), ids=lambda b: b.id)
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)
