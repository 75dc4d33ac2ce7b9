"""``batch``: every scenario of a config, as ``pytest bench_cases`` runs them."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_vllm_bench import files
from pytest_vllm_bench.text import say

if TYPE_CHECKING:
    import pytest

PASSES_ON = True

#: The whole test: what ``bench_cases/test_serving.py`` holds, for those who keep only a config.yaml.
TEST = """\
import pytest


@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    await vllm_bench(scenario)
"""


#: The command has imported what pytest, as for every plugin, would have liked to import itself.
INI = """\
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = ignore:Module already imported:pytest.PytestAssertRewriteWarning
"""


class OwnNames:
    """A pytest plugin: tests are called by their names alone, not by where the folder lies that was made for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        session.config.cwd_relative_nodeid = lambda nodeid: nodeid  # type: ignore[method-assign]
        if reporter := session.config.pluginmanager.get_plugin("terminalreporter"):
            reporter.startpath = self.folder


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("config", nargs="?", default="config.yaml", type=files.path, help=say("cli.batch.config", lang))
    parser.add_argument("--base-url", dest="url", help=say("cli.base_url", lang))
    parser.add_argument(
        "--result-dir", dest="results", default="results", type=files.path, help=say("cli.result_dir", lang)
    )


def run(args: argparse.Namespace, lang: str) -> int:
    config: Path = args.config
    return pytest_on(config / "config.yaml" if os.path.isdir(config) else config, args, lang)


def pytest_on(config: Path, args: argparse.Namespace, lang: str, plugins: Sequence[object] = ()) -> int:
    """Run pytest over one config, in a folder of its own, with what it did not know passed on to it."""
    import pytest

    with tempfile.TemporaryDirectory(prefix="vllm-bench-") as name:
        folder = Path(name)
        (folder / "test_serving.py").write_text(TEST, encoding="utf-8")
        (folder / "pytest.ini").write_text(INI, encoding="utf-8")
        given = [f"--vllm-config={config.resolve()}", f"--vllm-results={args.results.resolve()}"]
        given += [f"--vllm-url={args.url}"] if args.url else []
        given += [f"--vllm-lang={args.lang}"] if args.lang else []
        words = [str(folder), f"--rootdir={folder}", "-p", "no:cacheprovider", "--no-header", *given, *args.rest]
        return int(pytest.main(words, plugins=[*plugins, OwnNames(folder)]))
