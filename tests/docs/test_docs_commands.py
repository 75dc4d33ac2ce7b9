"""Every command of the pages runs, in a project as a reader would have it."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from pathlib import Path

import pytest
from blocks import PAGES, Block, blocks
from every import every
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


WORKING = [
    *(block for block in distinct("sh") if runnable(block)),
    *distinct("python", word="run"),
    *distinct("python", word="test"),
]


@pytest.mark.pages
@pytest.mark.parametrize("block", WORKING, ids=lambda b: b.id)
def test_a_block_works(block: Block, finished: Path, server: str, tmp_path: Path) -> None:
    """A command ends as it should; a script runs; a test file, or the conftest beside one, passes on the simulator."""
    home = shutil.copytree(finished, tmp_path / "project")
    text = ANYWHERE.sub(server, block.text)
    if block.language == "sh":
        expected = next((int(w.removeprefix("exit=")) for w in block.words if w.startswith("exit=")), 0)
        run(["bash", "-ec", ANYWHERE.sub(server, "\n".join(commands(block)))], home, expected)
    elif "run" in block.words:
        run([sys.executable, "-c", text], home)
    else:
        cases = home / "bench_cases"
        (cases / ("conftest.py" if "conftest" in block.words else "test_serving.py")).write_text(text, encoding="utf-8")
        run(["pytest", "bench_cases", f"--vllm-url={server}", "-q", "-k", "not mc16"], home)


@every("block", distinct("python"), ids=lambda b: b.id)
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)
