"""pytest's face: each hook calls one plain function.

Loaded in every pytest run of everyone who has this installed, so nothing beyond the standard library and pytest is
imported before a test asks for both ``scenario`` and ``vllm_bench``.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_vllm_bench.plugin.delivery import Delivery
    from pytest_vllm_bench.plugin.fixture import Runner
    from pytest_vllm_bench.plugin.items import Items
    from pytest_vllm_bench.plugin.roll import RollCall
    from pytest_vllm_bench.plugin.servers import ServerHandle
    from pytest_vllm_bench.plugin.signals import Signals

#: Option → (help, kind).  Each has an environment twin PYTEST_VLLM_X and an ini twin vllm_x.
OPTIONS: dict[str, tuple[str, str]] = {
    "config": ("the config.yaml to use instead of the one beside the test file", "path"),
    "url": ('the server, http://host:8000, or "simulator" for the built-in one', "url"),
    "model": ("the model's name, where the server has several", "name"),
    "tokenizer": ('a folder, a file, a hub name, "server" or "ids"', "name"),
    "results": ("the folder for results (default: results)", "path"),
    "baseline": ("hold results against this reference: a name, or a file", "name|path"),
    "save-baseline": ("add this session's results to a reference", "name|path"),
    "history": (
        "look for changes over all sessions kept here: a file or a database, to which this one is added, "
        "or a folder of results",
        "folder|file|url",
    ),
    "ready-timeout": ("seconds to wait for the server to become ready (default: 600)", "seconds"),
    "lang": ("en, zh, or both for CSV headers in both (default: the locale's)", "en|zh|both"),
    "resume": ("run only what is missing of the last session in the results folder", "flag"),
    "profile": ("the server's own profiler in a second, short load of the scenarios that match", "pattern"),
    "strict": ("unproven verdicts and simulated servers fail", "flag"),
}
#: What xdist calls the scenarios, which it must keep on one worker.
GROUP = "vllm_bench"
ASYNCIO_WARNING = 'The configuration option "asyncio_default_fixture_loop_scope" is unset'

ITEMS: pytest.StashKey[Items] = pytest.StashKey()
ROLL: pytest.StashKey[RollCall] = pytest.StashKey()
SIGNALS: pytest.StashKey[Signals] = pytest.StashKey()
#: On an item: scenario id → its result, on its way to the test report; a search has one for each of its probes too.
MINE: pytest.StashKey[dict[str, Delivery]] = pytest.StashKey()
#: On the config: this session's results.
DELIVERIES: pytest.StashKey[dict[tuple[str, str], Delivery]] = pytest.StashKey()


def chosen(config: pytest.Config, name: str) -> tuple[Any, str] | None:
    """The value of an option and where it came from: option, then environment, then ini; None where nothing says."""
    dest = "vllm_" + name.replace("-", "_")
    # An empty value is passed on and refused: a CI job whose variable is empty must not fall back to anything.
    said = (
        (config.getoption(dest, None), f"--vllm-{name}"),
        (os.environ.get(f"PYTEST_{dest.upper()}"), f"PYTEST_{dest.upper()}"),
        (config.getini(dest), f"{dest} ({config.inipath.name if config.inipath else 'ini'})"),
    )
    value, origin = next((one for one in said if one[0] is not None), (None, ""))
    if value is None:
        return None
    return (os.path.expanduser(value) if {"path", "file"} & {*OPTIONS[name][1].split("|")} else value), origin


def language(config: pytest.Config) -> str:
    """The language of what is shown on screen."""
    from pytest_vllm_bench.text import language

    asked = chosen(config, "lang")
    return language(asked[0] if asked else None)


def ungrouped(nodeid: str) -> str:
    """An item's id as it is without xdist."""
    return nodeid.removesuffix(f"@{GROUP}")


def items_of(config: pytest.Config) -> Items:
    """The scenarios of this session; made when the first test asks."""
    if ITEMS not in config.stash:
        from pytest_vllm_bench.plugin.items import Items

        config.stash[ITEMS] = Items(config)
    return config.stash[ITEMS]


def begin(config: pytest.Config) -> RollCall:
    """This session runs scenarios, here or in xdist's workers: who is to run, and the signals that end it."""
    if ROLL not in config.stash:
        from pytest_vllm_bench.plugin.roll import RollCall
        from pytest_vllm_bench.plugin.signals import Signals

        config.stash[ROLL] = RollCall(config)
        config.stash[SIGNALS] = Signals(worker=hasattr(config, "workerinput"))
        config.stash[SIGNALS].listen()
    return config.stash[ROLL]


def handed(config: pytest.Config) -> Path:
    """Where the workers of one xdist run tell their controller what they are about to do: in this run's own temporary
    folder, which pytest clears away, also after one that was killed."""
    factory = getattr(config, "_tmp_path_factory", None)  # None: -p no:tmpdir
    base = Path(factory.getbasetemp() if factory else os.devnull)
    return (base.parent if hasattr(config, "workerinput") else base) / "vllm-bench"


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_vllm_bench.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def helped() -> Callable[[str, str], str] | None:
    """What puts an option's help into the reader's language; None where nobody reads it: words take time to load."""
    if not {"-h", "--help"} & {*sys.argv}:
        return None
    from pytest_vllm_bench.text import language, say

    given = re.search(r"--vllm-lang[= ](\w+)", " ".join(sys.argv))
    lang = language(given[1] if given else os.environ.get("PYTEST_VLLM_LANG"))
    return lambda name, _: say(f"plugin.help.{name}".rstrip("."), lang)


def pytest_addoption(parser: pytest.Parser) -> None:
    said = helped() or (lambda name, words: words)
    group = parser.getgroup("vllm-bench", said("", "benchmarks of LLM servers (pytest-vllm-bench)"))
    for name, (words, kind) in OPTIONS.items():
        text = said(name, words)
        dest = "vllm_" + name.replace("-", "_")
        twins = f"{text} [PYTEST_{dest.upper()}, ini {dest}]"
        if kind == "flag":
            group.addoption(f"--vllm-{name}", dest=dest, action="store_true", default=None, help=twins)
        elif kind == "pattern":
            group.addoption(
                f"--vllm-{name}", dest=dest, nargs="?", const="*", default=None, metavar="PATTERN", help=twins
            )
        elif kind == "en|zh|both":
            group.addoption(f"--vllm-{name}", dest=dest, default=None, choices=kind.split("|"), help=twins)
        else:
            group.addoption(f"--vllm-{name}", dest=dest, default=None, metavar=kind.upper(), help=twins)
        parser.addini(dest, text, default=None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "vllm_bench(config=None, input_len=, output_len=, concurrency=, request_rate=, dataset=): a benchmark of an "
        "LLM server; config= names another config.yaml; select with -m 'vllm_bench(concurrency=1)'",
    )
    # pytest-asyncio, which comes along with us, warns in every run that leaves its loop scope unset; under
    # filterwarnings = error that would end the runs of people who never asked for it.
    warnings.filterwarnings("ignore", message=ASYNCIO_WARNING, category=pytest.PytestDeprecationWarning)
    config.stash[DELIVERIES] = {}
    config.pluginmanager.register(Reporter(config), "pytest_vllm_bench.reporter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if {"scenario", "vllm_bench"} <= set(metafunc.fixturenames):
        items_of(metafunc.config).parametrize(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if ITEMS in config.stash:
        config.stash[ITEMS].check(items)


@pytest.hookimpl(tryfirst=True)  # before the terminal reporter asks for our header, and xdist for the ids
def pytest_collection_finish(session: pytest.Session) -> None:
    if ITEMS in session.config.stash:
        asked = session.config.stash[ITEMS].select(session.items)
        if asked and not (session.config.option.collectonly or session.config.stash[ITEMS].refused):
            begin(session.config).begin(asked)
        session.config.stash[ITEMS].group(session.items)


def pytest_report_collectionfinish(config: pytest.Config) -> Sequence[str]:
    return config.stash[ITEMS].header() if ITEMS in config.stash else ()


@pytest.fixture
def vllm_bench(request: pytest.FixtureRequest) -> Runner:
    """Sends a scenario's load and judges it: ``result = await vllm_bench(scenario)``; raises the failure itself.

    ``await vllm_bench.measure(scenario)`` only measures.
    """
    from pytest_vllm_bench.plugin.fixture import Runner

    return Runner.prepared(request.node, items_of(request.config))


@pytest.fixture
def vllm_server(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[ServerHandle]]:
    """Starts a server for a test of one's own: ``with vllm_server(args={"max-num-seqs": 8}) as server: server.url``.

    The command is the one of ``server:`` in the config, or ``command=``; ``env=`` adds to its environment.
    """
    from pytest_vllm_bench.plugin.servers import started

    return functools.partial(started, request.node, items_of(request.config))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if ITEMS in item.config.stash:
        item.config.stash[ITEMS].over(item, nextitem)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    short = getattr(call.excinfo and call.excinfo.value, "vllm_short", "")
    crash = getattr(report.longrepr, "reprcrash", None)
    if short and crash is not None:
        crash.message = short  # of the short summary, and of JUnit's message
    target = getattr(getattr(item, "callspec", None), "params", {}).get("scenario")
    if (target := getattr(target, "target", None)) is not None and hasattr(target, "discreet"):
        cover(report, target.discreet)
    if ROLL in item.config.stash and item.config.stash[ROLL].knows(item.nodeid):
        mine = item.stash.get(MINE, {}) if call.when == "call" else {}
        report.vllm_bench = [one.packed() for one in mine.values()]  # type: ignore[attr-defined]
    return report


def cover(report: pytest.TestReport, discreet: Callable[[str], str]) -> None:
    """Keep secrets out of tracebacks (``--showlocals``), assertions taken apart (``-vv``) and captured output."""
    if report.longrepr is not None and (shown := str(report.longrepr)) != (covered := discreet(shown)):
        report.longrepr = covered
    report.sections = [(name, discreet(text)) for name, text in report.sections]


class Reporter:
    """Gathers results where the session is controlled, and shows them: the same with and without xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.worker = hasattr(config, "workerinput")
        self.problems: list[str] = []
        self.shown: list[str] = []
        self.nodes: list[Any] = []  # xdist's workers
        self.all_ran = False

    @pytest.hookimpl(tryfirst=True)  # before --lf, JUnit and the terminal note the id
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self.worker:  # a worker's xdist compares it with the item's
            report.nodeid = ungrouped(report.nodeid)
        if packed := getattr(report, "vllm_bench", ()):
            from pytest_vllm_bench.plugin.delivery import unpacked

            self.config.stash[DELIVERIES].update({one.key: one for one in map(unpacked, packed)})
        if ROLL in self.config.stash:
            self.config.stash[ROLL].heard(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        if handed(self.config).is_dir():
            begin(self.config)
            self.nodes.append(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        problems = getattr(node, "workeroutput", {}).get("vllm_bench_problems")
        if problems and problems not in self.problems:
            self.problems.append(problems)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """After the last test: what only all of them show; one that ended early shows nothing."""
        ended = yield
        if self.config.stash[DELIVERIES] and not self.worker:
            from pytest_vllm_bench.plugin.whole import judge

            stopped = session.shouldfail
            judge(session, begin(self.config))
            self.all_ran = not stopped
        return ended

    @pytest.hookimpl(tryfirst=True)  # pytest takes its time to note where it was, within which one more may come
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        if ROLL in self.config.stash:
            by_user = excinfo.type is KeyboardInterrupt
            self.config.stash[SIGNALS].interrupted = by_user
            self.config.stash[SIGNALS].end()
            self.config.stash[ROLL].stopped = ("interrupted", "") if by_user else ("stopped", str(excinfo.value))

    @pytest.hookimpl(wrapper=True, trylast=True)  # after xdist has ended its workers, before the terminal's summary
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        if self.problems:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        try:
            self.gather(session)
            return (yield)
        finally:
            self.finish(session)

    def gather(self, session: pytest.Session) -> None:
        """In xdist's controller: see to it that its workers end by themselves, and take what they leave."""
        if not self.nodes:
            return
        from pytest_vllm_bench.plugin import roll, signals

        told = roll.told(self.config)
        if self.config.stash[ROLL].stopped[0] == "interrupted":
            running = [node for node in self.nodes if node.gateway.hasreceiver()]
            signals.end(
                [one["pid"] for one in told if one["id"] in {node.gateway.id for node in running}],
                lambda: all(hasattr(node, "workeroutput") or not node.gateway.hasreceiver() for node in running),
            )
        self.config.stash[ROLL].gather(told)

    def finish(self, session: pytest.Session) -> None:
        """Write what covers the whole session."""
        if (ROLL in self.config.stash or self.config.stash[DELIVERIES]) and not self.worker:
            from pytest_vllm_bench.plugin.reporting import write_all

            roll = begin(self.config)
            if session.shouldfail and not roll.stopped[0] and not self.all_ran:
                roll.stopped = ("stopped", str(session.shouldfail))
            self.shown, ending = write_all(self.config, roll)
            if ending is pytest.ExitCode.INTERRUPTED or session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = ending  # a gate that is lost is no green gate
        if ITEMS in self.config.stash:
            hurried = ROLL in self.config.stash and self.config.stash[ROLL].stopped[0] == "interrupted"
            if said := self.config.stash[ITEMS].close(hurried=hurried):
                self.shown = [*self.shown, *said]
                if session.exitstatus == pytest.ExitCode.OK:
                    session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for problems in self.problems:
            terminalreporter.write_line(f"ERROR: {problems}", red=True)
        if ROLL in self.config.stash and not self.worker:
            from pytest_vllm_bench.plugin.reporting import summarize

            summarize(terminalreporter, self.config.stash[ROLL], self.shown)

    def pytest_unconfigure(self) -> None:
        if ROLL in self.config.stash:
            self.config.stash[ROLL].close()
            self.config.stash[SIGNALS].rest()
