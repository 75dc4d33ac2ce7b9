"""Mutants of modules → which of them the tests notice, in the files that ``mutmut results`` and ``mutmut show`` read.

``python tests/mutmut_run.py judge.shares [more modules] [--survivors]``, after ``pip install mutmut``.  mutmut makes
the mutants and finds the tests that run each function.  Here the tests are collected once, not once a mutant; a mutant
is a fork in which those tests run, the ones that killed its neighbours first, and its processor time is limited, not
its wall time.  Only mutants without a verdict are tried; with ``--survivors`` those that are left as well, by more
tests.  ``--tests``: the test files to run, where those of pyproject.toml take too long; another choice tries all again.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import time
import zlib
from bisect import bisect
from collections import defaultdict
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from _pytest.tmpdir import tmppath_result_key
from hypothesis import Phase, settings
from mutmut.__main__ import (
    SourceFileMutationData,
    collect_or_load_stats,
    collect_source_file_mutation_data,
    copy_also_copy_files,
    copy_src_dir,
    create_mutants,
    get_mutant_runner,
    load_stats,
    setup_source_paths,
)
from mutmut.configuration import config
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.utils.format_utils import mangled_name_from_mutant_name

#: Seconds that the tests of a mutant may take before it counts as left, at first and with ``--survivors``; a test that
#: takes longer than the last is left out altogether.
QUICK_S, MOST_S, SLOW_S = 5.0, 10.0, 5.0
#: Where the tests of a module are, if not in the file of its name.
OWN = {"shares": "statistics", "averages": "sla", "comparison": "baseline", "enough": "stopping",
       "selection": "series",
       "summary": "imports", "judge": "sla", "answer": "decode", "noise": "gate", "standing": "baseline",
       "rounds": "baseline", "parts": "culprit", "timeline": "curves", "devices": "devices_judged"}  # fmt: skip
#: The tests of every metric are many and alike: one in so many is enough to kill.
ALIKE, ONE_IN = "test_every_rule.py", 8
#: Verdicts are written this often.
SAVE_S = 5.0
SURVIVED, KILLED, NO_TESTS = 0, 1, 33


class Mutants:
    """Takes the place of pytest's loop over the tests it has collected."""

    def __init__(self, modules: list[str], survivors: bool, children: int) -> None:
        self.survivors, self.children = survivors, children
        found = collect_source_file_mutation_data(mutant_names=[])[0]
        files = [f"pytest_vllm_bench/{module.replace('.', '/')}.py" for module in modules]
        self.mutants = [mutant for file in files for mutant in found if str(mutant[0].path) == file]
        self.killers: dict[str, list[str]] = defaultdict(list)
        self.running: dict[int, tuple[SourceFileMutationData, str, int]] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        os.chdir("..")
        gc.freeze()
        saved = time.monotonic()
        # Without a mutant every test passes in a fork, or the numbers would say nothing.
        self.start(
            SourceFileMutationData(path=""), "", [item for item in session.items if self.took(item.nodeid) < SLOW_S]
        )
        for number, (data, name, result) in enumerate(self.mutants):
            if result is not None and (result not in (SURVIVED, NO_TESTS) or not self.survivors):
                continue
            chosen = self.tests(name)
            found = [items[test] for test in chosen if test in items]
            if not found:
                data.exit_code_by_key[name] = NO_TESTS
                data.save()
                continue
            while len(self.running) >= self.children:
                self.wait()
            self.start(data, name, found)
            if time.monotonic() > saved + SAVE_S:
                saved = self.save()
                print(number, "of", len(self.mutants), name, len(found), flush=True)
        while self.running:
            self.wait()
        self.save()
        return True

    def save(self) -> float:
        for data in {id(data): data for data, _, _ in self.mutants}.values():
            data.save()
        return time.monotonic()

    def took(self, test: str) -> float:
        return float(state().duration_by_test.get(test, 0.0))

    def tests(self, name: str) -> list[str]:
        """Those that run the function of a mutant: earlier killers, then the module's own, the shortest first."""
        function = mangled_name_from_mutant_name(name)
        module = function.rpartition(".")[0]
        own = f"/test_{OWN.get(module.split('.')[-1], module.split('.')[-1])}.py"
        found = [test for test in state().tests_by_mangled_function_name.get(function, ()) if self.took(test) < SLOW_S]
        if not self.survivors:
            found = [test for test in found if ALIKE not in test or not zlib.crc32(test.encode()) % ONE_IN]
        tests = sorted(found, key=lambda test: (own not in test, ALIKE in test, self.took(test), test))
        spent = list(accumulate(self.took(test) for test in tests))
        tests = tests[: bisect(spent, MOST_S if self.survivors else QUICK_S)] or tests[:1]
        known = [*self.killers[function], *self.killers[module]]
        return list(dict.fromkeys([*(test for test in known if test in found), *tests]))

    def start(self, data: SourceFileMutationData, name: str, items: list[pytest.Item]) -> None:
        source, sink = os.pipe()
        pid = os.fork()
        if pid == 0:
            os._exit(self.child(name, items, sink))
        os.close(sink)
        self.running[pid] = (data, name, source)

    def child(self, name: str, items: list[pytest.Item], sink: int) -> int:
        expected = sum(self.took(item.nodeid) for item in items)
        limit = int(2 + 1.5 * expected)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.chdir("mutants")
        set_mutant_under_test(name.replace("__init__.", ""))
        for item, following in zip(items, [*items[1:], None], strict=True):
            try:
                passes(item, following)
            except BaseException as error:
                os.write(sink, (item.nodeid if name else f"{item.nodeid}: {error!r}").encode()[:4096])
                return KILLED
        return SURVIVED

    def wait(self) -> None:
        pid, status, used = os.wait4(-1, 0)
        data, name, source = self.running.pop(pid)
        killer = os.read(source, 4096).decode()
        os.close(source)
        if not name:
            if status:
                sys.exit(f"fails without a mutant: {killer}")
            print("every test passes without a mutant", flush=True)
            return
        data.exit_code_by_key[name] = os.waitstatus_to_exitcode(status)
        if killer:
            function = mangled_name_from_mutant_name(name)
            for known in (self.killers[function], self.killers[function.rpartition(".")[0]]):
                if killer in known:
                    known.remove(killer)
                known.insert(0, killer)
        data.durations_by_key[name] = used.ru_utime + used.ru_stime


def passes(item: Any, following: pytest.Item | None) -> None:
    """The test alone, without the reports that take longer than it; raises what it raises."""
    if not item._request:
        item._initrequest()
    item.stash[tmppath_result_key] = {}  # by which ``tmp_path`` decides what it leaves; a report would have set it
    item.session._setupstate.setup(item)
    item.runtest()
    item.session._setupstate.teardown_exact(following)


def prepare() -> None:
    """In a process of its own: what imports the mutants or runs tests would be seen by every fork."""
    known = Path("mutants/mutmut-stats.json")
    if known.exists() and any(test.stat().st_mtime > known.stat().st_mtime for test in Path("tests").rglob("*.py")):
        known.unlink()  # a test is known by its name: one that was changed would not be looked at again
    if os.fork() == 0:
        Path("mutants").mkdir(exist_ok=True)
        copy_src_dir()
        copy_also_copy_files()
        setup_source_paths()
        create_mutants(1)
        collect_or_load_stats(get_mutant_runner(1), apply_config_invalidation=True)
        sys.stdout.flush()
        os._exit(0)
    if os.wait()[1]:
        sys.exit("the tests do not pass without a mutant")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", nargs="+")
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--children", type=int, default=os.cpu_count())
    parser.add_argument("--tests", nargs="+")
    asked = parser.parse_args()
    if asked.tests:
        config().pytest_add_cli_args_test_selection[:] = asked.tests
    prepare()
    setup_source_paths()
    load_stats()
    settings.register_profile(
        "mutants",
        deadline=None,
        database=None,
        derandomize=True,
        max_examples=20,
        phases=[Phase.explicit, Phase.generate],
    )
    settings.load_profile("mutants")
    set_mutant_under_test("")
    mutants = Mutants(asked.module, asked.survivors, asked.children)
    os.chdir("mutants")
    selection = [*config().pytest_add_cli_args_test_selection, *config().pytest_add_cli_args]
    print("prepared", flush=True)
    pytest.main(["--rootdir=.", "-q", "--capture=no", "--no-header", *selection], plugins=[mutants])


if __name__ == "__main__":
    main()
