"""``simulate``: run the built-in server alone, until Ctrl-C."""

from __future__ import annotations

import argparse

from pytest_vllm_bench.simulator.__main__ import main

PASSES_ON = True  # also --help: the simulator has its own


def arguments(parser: argparse.ArgumentParser, lang: str) -> None:
    """Everything is passed on to the simulator, whose own --help lists it."""


def run(args: argparse.Namespace, lang: str) -> int:
    return main(args.rest)
