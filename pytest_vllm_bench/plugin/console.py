"""Live progress and words said while a test runs, past pytest's capture, on a terminal and in a log.

On a terminal one line below pytest's own is rewritten in place, and the cursor is put back where pytest left it; in a
pipe a plain line comes now and then; with ``-q`` there is nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pytest

from pytest_vllm_bench.model import Message, Record, Scenario
from pytest_vllm_bench.report.progress import ProgressState, advance, line, log_line
from pytest_vllm_bench.text import say

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

#: Columns of a failure's text.
WIDEST = 80


@contextlib.contextmanager
def uncaptured(config: pytest.Config) -> Iterator[TerminalReporter | None]:
    """pytest's terminal, with capture off; None where there is none (an xdist worker, ``-p no:terminal``).

    One that was closed costs what would be said there, not the load.
    """
    terminal: TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")
    if terminal is None or hasattr(config, "workerinput"):
        yield None
        return
    disabled = capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()
    with contextlib.suppress(OSError), disabled:
        yield terminal


def width(config: pytest.Config) -> int:
    """How wide a failure's text may be: as narrow as the terminal, and no wider than is good to read."""
    terminal: TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
    return WIDEST if terminal is None else min(WIDEST, terminal._tw.fullwidth)


def aloud(config: pytest.Config, lang: str) -> Callable[[Message], None]:
    """How the wait for a server is said: a line each time, on a fresh line."""

    def tell(message: Message) -> None:
        with uncaptured(config) as terminal:
            if terminal is not None and config.get_verbosity() >= 0:
                terminal.ensure_newline()
                terminal.write_line(say(message, lang))

    return tell


class Progress:
    """Shows how far one scenario is; ``record`` is called from the thread that decodes, once a finished request.

    The pace of redrawing follows the records' own times, so that no clock is read here.
    """

    REDRAW = 0.2  # seconds, on a terminal
    LOG = 10.0  # seconds, in a pipe

    def __init__(self, config: pytest.Config, scenario: Scenario, lang: str) -> None:
        self.config, self.lang = config, lang
        self.state = ProgressState(scenario_id=scenario.id, total=scenario.num_prompts, seconds=scenario.duration)
        self.drawn_at = 0.0
        self.drawn = False
        self.quiet = config.get_verbosity() < 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.drawn:
            self._below("")

    def phase(self, message: Message) -> None:
        """What is going on before the measured part (building prompts, warming up): on a terminal only."""
        self._show(say(message, self.lang), live_only=True)

    def warn(self, message: Message) -> None:
        """Something worth a line of its own: it comes where the live line was."""
        if self.drawn:
            self._below("")
        aloud(self.config, self.lang)(message)

    def record(self, record: Record) -> None:
        """One more request has ended."""
        elapsed = max(self.state.elapsed, record.done or 0.0)
        self.state = advance(self.state, record, elapsed)
        with uncaptured(self.config) as terminal:
            live = terminal is not None and terminal.isatty
        if elapsed - self.drawn_at >= (self.REDRAW if live else self.LOG):
            self.drawn_at = elapsed
            self._show(None)

    def _show(self, text: str | None, live_only: bool = False) -> None:
        with uncaptured(self.config) as terminal:
            if terminal is None or self.quiet:
                return
            if terminal.isatty:
                width = terminal._tw.fullwidth
                self._below(line(self.state, self.lang, width=width) if text is None else text)
            elif not live_only:
                terminal.ensure_newline()
                terminal.write_line(log_line(self.state, self.lang))

    def _below(self, text: str) -> None:
        """Rewrite the line below pytest's and put the cursor back where pytest left it."""
        with uncaptured(self.config) as terminal:
            if terminal is None:
                return
            column = terminal._tw.width_of_current_line
            back = f"\x1b[{column}C" if column else ""
            terminal._tw._file.write(f"\n\x1b[2K{text}\x1b[1A\r{back}")
            terminal._tw._file.flush()
            self.drawn = True
