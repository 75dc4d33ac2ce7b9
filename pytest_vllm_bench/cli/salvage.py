"""``salvage``: what a session that was killed had measured, saved as results."""

from __future__ import annotations

import argparse
import sys

from pytest_vllm_bench import files, salvage
from pytest_vllm_bench.model import Message
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.report import rebuild
from pytest_vllm_bench.report.failure import failure
from pytest_vllm_bench.store import folder
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folder", nargs="?", default="results", type=files.path, help=say("cli.aggregate.folder", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    """Exit 0 when all that was left is saved, 2 when something cannot be read."""
    unread = saved = False
    with folder.claimed(args.folder):
        for found in salvage.recover(salvage.left(args.folder), args.folder, builtin().backends):
            if isinstance(found, Message):
                print(say(found, lang), file=sys.stderr, flush=True)
                unread = True
            else:
                print(failure(found, lang), end="\n\n", flush=True)
                saved = True
        if saved:
            rebuild.report([args.folder], args.folder, rebuild.ReportRequest(formats=["verdict"], lang=lang))
        elif not unread:
            print(say("cli.salvage.nothing", lang, folder=str(args.folder)))
    return 2 * unread
