"""Every command of the pages runs, in a project as a reader would have it."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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


def carry_out(block: Block, finished: Path, home: Path, server: str) -> None:
    """Run a block in a project of its own."""
    shutil.copytree(finished, home)
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
    shutil.rmtree(home)


WORKING = [
    *(block for block in distinct("sh") if runnable(block)),
    *distinct("python", word="run"),
    *distinct("python", word="test"),
]


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, finished: Path, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[None]]]:
    """The blocks that are to be run, two at a time: they wait more than they compute."""
    folder = tmp_path_factory.mktemp("blocks")
    asked = [item for item in request.session.items if getattr(item, "function", None) is test_a_block_works]
    blocks_ = [item.callspec.params["block"] for item in asked if isinstance(item, pytest.Function)]
    pool = ThreadPoolExecutor(2)
    yield {b.id: pool.submit(carry_out, b, finished, folder / str(i), server) for i, b in enumerate(blocks_)}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("block", WORKING, ids=lambda b: b.id)
def test_a_block_works(block: Block, outcomes: Mapping[str, Future[None]]) -> None:
    """A command ends as it should; a script runs; a test file, or the conftest beside one, passes on the simulator."""
    outcomes[block.id].result()


@pytest.mark.parametrize("block", distinct("python"), ids=lambda b: b.id)
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)
