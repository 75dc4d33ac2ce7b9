"""``init``: a commented config.yaml and its test file, to start from."""

from __future__ import annotations

import argparse
import shlex

from pytest_vllm_bench import files
from pytest_vllm_bench.config import write_starter
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folder", nargs="?", default="bench_cases", type=files.path, help=say("cli.init.folder", lang))
    parser.add_argument("--base-url", dest="url", default="simulator", help=say("cli.base_url", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    for path in write_starter(args.folder, lang=lang, base_url=args.url):
        print(say("cli.init.wrote", lang, path=path))
    print(say("cli.init.next", lang, folder=shlex.quote(str(args.folder))))
    return 0
