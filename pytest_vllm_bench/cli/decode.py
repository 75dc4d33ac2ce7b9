"""``decode``: a tape that was kept → its records and result again."""

from __future__ import annotations

import argparse

from pytest_vllm_bench import files, salvage
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.report.failure import failure
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folders", nargs="+", type=files.path, help=say("cli.decode.folder", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    for tape in args.folders:
        print(failure(salvage.again(tape, builtin().backends), lang), end="\n\n", flush=True)
    return 0
