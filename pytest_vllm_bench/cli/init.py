"""``init``: a commented config.yaml and its test file, to start from."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from pytest_vllm_bench import files
from pytest_vllm_bench.config import write_starter
from pytest_vllm_bench.config.starter import LOAD, sweep
from pytest_vllm_bench.text import say


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    parser.add_argument("folder", nargs="?", default="bench_cases", type=files.path, help=say("cli.init.folder", lang))
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--base-url", dest="url", default="simulator", help=say("cli.base_url", lang))
    where.add_argument("--server", metavar="COMMAND", help=say("cli.init.server", lang))
    parser.add_argument("--model", help=say("cli.init.model", lang))
    parser.add_argument("--serve-params", metavar="FILE", type=files.path, help=say("cli.init.serve_params", lang))
    parser.add_argument("--bench-params", metavar="FILE", type=files.path, help=say("cli.init.bench_params", lang))


def run(args: argparse.Namespace, lang: str) -> int:
    server: dict[str, Any] = {"base_url": args.url}
    if args.server or args.serve_params:
        settings = sweep.settings(args.serve_params) if args.serve_params else []
        command = args.server or "vllm serve {model}"
        server = {"server": {"command": command, **({"args": settings} if settings else {})}}
    server |= {"model": args.model} if args.model else {}
    load, lost = sweep.load(sweep.settings(args.bench_params)) if args.bench_params else (LOAD, [])
    for path in write_starter(args.folder, lang, server, load):
        print(say("cli.init.wrote", lang, path=path))
    if lost:
        print(say("cli.init.lost", lang, names=", ".join(lost)))
    known = "server" if "server" in server else "simulator" if args.url == "simulator" else "url"
    print(say(f"cli.init.next_{known}", lang, folder=shlex.quote(str(args.folder))))
    return 0
