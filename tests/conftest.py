"""Fixtures for tests of every area, and each test's kind: read from what it calls, so that nobody has to say it."""

from __future__ import annotations

import functools
import gc
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import numpy  # noqa: F401 - what pytester runs in this process forgets what it has loaded, and these are loaded once
import pytest
import rich.box
import rich.console
import rich.table  # noqa: F401
from hypothesis import settings

pytest_plugins = ["pytester", "llama"]

# No test depends on the machine's speed.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Tests start many processes, and each would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

TESTS = str(Path(__file__).parent)
#: Who calls into these starts processes.
STARTERS = {"subprocess", "multiprocessing", "pytest_vllm_bench.simulator", "pytest_vllm_bench.load.sending"}
#: Fixtures for whole commands, as users give them, and for servers of others: seconds each.
COMMANDS = {
    "begin",
    "finished",
    "llama",
    "thinking_llama",
    "counting_llama",
    "embedding_llama",
    "ranking_llama",
}


def pytest_collection_finish() -> None:
    """What is there now stays; who looks for garbage, as every pytest run in this process does, need not look at it."""
    gc.freeze()


def pytest_itemcollected(item: pytest.Item) -> None:
    """``browser``: it drives one; ``process``: it starts one; ``slow``: it waits for commands, or says so itself."""
    if not isinstance(item, pytest.Function):
        return
    fixtures = {name: found[-1].func for name, found in item._fixtureinfo.name2fixturedefs.items()}
    kinds = {
        "browser": "browser" in fixtures,
        "process": any(starts(function) for function in (item.function, *fixtures.values())),
        "slow": bool(COMMANDS & set(fixtures)) or "browser" in fixtures,
    }
    for kind, so in kinds.items():
        if so:
            item.add_marker(kind)


@functools.cache
def starts(function: Callable[..., object]) -> bool:
    """Whether it calls a starter, itself or by the functions of the tests that it names."""
    hypothesis = getattr(function, "hypothesis", None)
    todo: list[object] = [getattr(hypothesis, "inner_test", function)]
    seen: set[FunctionType] = set()
    while todo:
        one = inspect.unwrap(todo.pop())  # type: ignore[arg-type]
        if not isinstance(one, FunctionType) or one in seen or not one.__code__.co_filename.startswith(TESTS):
            continue
        seen.add(one)
        names = {name for code in nested(one.__code__) for name in code.co_names}
        if "runpytest_subprocess" in names:
            return True
        known = [one.__globals__[name] for name in names if name in one.__globals__]
        known += [
            vars(module)[name]
            for module in known
            if isinstance(module, ModuleType)
            for name in names & set(vars(module))
        ]
        if any(callable(found) and getattr(found, "__module__", "") in STARTERS for found in known):
            return True
        todo += known
    return False


def nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from nested(inner)
