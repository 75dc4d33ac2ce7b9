"""Mutants of judge and metrics → those that no test notices: ``python tests/judge/mutate.py 200 [seed] [file …]``.

Not part of the tests: each mutant runs the quick tests of its module in a fork, some seconds each.  SURVIVORS.md says
why those that are left are left.
"""

from __future__ import annotations

import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Loaded once, before the forks; of our own package nothing may be loaded here.
import hypothesis  # noqa: F401
import numpy  # noqa: F401
import pytest
import scipy.stats  # noqa: F401

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0  # seconds; a mutant that takes longer is noticed by that
RULES = ("test_sla.py", "test_validity.py", "test_stopping.py")
#: Module → the tests that should notice (file names under tests/judge, or tests/measure).
TESTS = {
    "judge/statistics.py": ("test_statistics.py", "test_sla.py"),
    "judge/misses.py": ("test_statistics.py", "test_sla.py"),
    "judge/series.py": ("test_sla.py", "test_stopping.py"),
    "judge/sla.py": ("test_sla.py", "test_imports.py"),
    "judge/means.py": ("test_sla.py",),
    "judge/validity.py": ("test_validity.py",),
    "judge/__init__.py": RULES,
    "judge/baseline.py": ("test_baseline.py",),
    "judge/comparison.py": ("test_baseline.py",),
    "judge/capacity.py": ("test_capacity.py",),
    "judge/stopping.py": ("test_stopping.py",),
    "judge/before.py": ("test_stopping.py",),
    "judge/imports.py": ("test_imports.py",),
    "judge/summary.py": ("test_imports.py",),
    "measure/metrics.py": ("test_metrics.py",),
    "measure/rows.py": ("test_metrics.py", "test_validity.py"),
    "measure/window.py": ("test_metrics.py",),
    "metric_table.py": ("test_metric_table.py", "test_metrics.py"),
}
SLOW = "not nineteen and not looks_and_end and not one_percent"
COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
CALCULATE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult,
}  # fmt: skip


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be changed into, one change each."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            for other in COMPARE.get(type(op), ()):
                ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
                yield ast.Compare(left=node.left, ops=ops, comparators=node.comparators)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in CALCULATE:
        changed = copy.copy(node)
        changed.op = CALCULATE[type(node.op)]()
        yield changed
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(op=ast.Or() if isinstance(node.op, ast.And) else ast.And(), values=node.values)
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.UAdd):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(value=not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(value=node.value + 1 if isinstance(node.value, int) else node.value * 1.5 + 0.1)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(test=node.test, body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.Break):
        yield ast.Continue()


def untouched(tree: ast.AST) -> set[int]:
    """Nodes without effect: annotations, decorators of dataclasses, what only a type checker sees."""
    found: set[int] = set()
    for node in ast.walk(tree):
        apart: list[Any] = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "dataclass":
            apart.append(node)
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith(("Generator[", "tuple[")):
            apart.append(node)
        found |= {id(inner) for one in apart if one is not None for inner in ast.walk(one)}
    return found


def places(source: str) -> Iterator[tuple[int, int]]:
    """(node, variant of it) for every change there is, both counted."""
    tree = ast.parse(source)
    apart = untouched(tree)
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in apart:
            yield from ((place, which) for which, _ in enumerate(variants(node)))


def described(source: str, place: int, which: int) -> str:
    node = list(ast.walk(ast.parse(source)))[place]
    return f"{getattr(node, 'lineno', 0)}: {ast.unparse(node)}  →  {ast.unparse(list(variants(node))[which])}"


def changed(source: str, place: int, which: int) -> ast.Module:
    tree = ast.parse(source)
    target = list(ast.walk(tree))[place]

    class Swap(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Any:
            if node is target:
                return ast.copy_location(list(variants(node))[which], node)
            return self.generic_visit(node)

    return ast.fix_missing_locations(Swap().visit(tree))


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from its changed tree."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != self.name:
            return None
        inside = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(name, self.path, loader=self, submodule_search_locations=inside)

    def exec_module(self, module: Any) -> None:
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def noticed(file: str, tree: ast.Module) -> bool:
    """Whether some test fails (or hangs) with the changed module; in a fork, which ends with it."""
    path = ROOT / "pytest_vllm_bench" / file
    name = f"pytest_vllm_bench.{file.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")
    tests = [str(next((ROOT / "tests").glob(f"*/{test}"))) for test in TESTS[file]]
    child = os.fork()
    if not child:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        sys.meta_path.insert(0, Finder(name, path, tree))
        code = 99
        try:
            plain = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain", "-W", "ignore", "-k", SLOW]
            code = int(pytest.main([*plain, *tests]))
        finally:
            os._exit(code)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) != 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(count: int, seed: int, only: list[str]) -> None:
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    files = [file for file in TESTS if not only or any(part in file for part in only)]
    sources = {file: (ROOT / "pytest_vllm_bench" / file).read_text("utf-8") for file in files}
    every = [(file, *place) for file in files for place in places(sources[file])]
    chosen = random.Random(seed).sample(every, min(count, len(every)))
    left = [one for one in chosen if not noticed(one[0], changed(sources[one[0]], *one[1:]))]
    for file, place, which in sorted(left):
        print(f"{file}:{described(sources[file], place, which)}")
    print(f"{len(chosen) - len(left)} of {len(chosen)} noticed, out of {len(every)} there are")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, sys.argv[3:])
