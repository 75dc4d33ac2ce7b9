"""What a terminal is sent while a scenario runs."""

from __future__ import annotations

import errno
import io

import pytest
from _pytest.terminal import TerminalReporter
from runs import scenario

from pytest_vllm_bench.model import Message
from pytest_vllm_bench.plugin.console import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_of_its_own_comes_where_the_live_one_was(pytester: pytest.Pytester) -> None:
    config, sent = pytester.parseconfigure(), Terminal()
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(TerminalReporter(config, sent), "terminalreporter")
    with Progress(config, scenario(), "en") as progress:
        progress.phase(Message(key="plugin.building"))
        progress.warn(Message(key="plugin.stopping", values={"seconds": 5}))
    live, _, after = sent.getvalue().partition("stopping")
    assert live.endswith("\n\x1b[2K\x1b[1A\r")  # what stood below is gone, and the cursor is back
    assert "Ctrl-C again ends at once" in after


class Closed(Terminal):
    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_was_closed_costs_no_load(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfigure()
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(TerminalReporter(config, Closed()), "terminalreporter")
    with Progress(config, scenario(), "en") as progress:
        progress.phase(Message(key="plugin.building"))
        progress.warn(Message(key="plugin.stopping", values={"seconds": 5}))
