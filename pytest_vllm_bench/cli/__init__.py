"""The shell's face: ``pytest-vllm-bench COMMAND``, one module a command.

A command module has ``HELP`` (a text key), ``arguments(parser)`` and ``run(args, lang) → exit code``.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from gettext import gettext
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from pytest_vllm_bench.errors import BenchError, ConfigError
from pytest_vllm_bench.model import Problem
from pytest_vllm_bench.text import language, safe, say, table

#: Command → its module; an alias names the module of another.
COMMANDS = {
    "single": "single",
    "batch": "batch",
    "aggregate": "aggregate",
    "report": "report",
    "visualize": "report",
    "compare": "compare",
    "trend": "trend",
    "judge": "judge",
    "calibrate": "calibrate",
    "whatif": "whatif",
    "salvage": "salvage",
    "decode": "decode",
    "simulate": "simulate",
    "init": "init",
    "doctor": "doctor",
    "worker": "worker",
}


def spoken(lang: str) -> None:
    """argparse's own words in the language: it asks gettext, which has no catalogue of them anywhere."""
    ours = {pair[0]: pair[1] for key, pair in table().items() if key.startswith("cli.argparse.")}
    argparse._ = (lambda said: ours.get(said, said)) if lang == "zh" else gettext  # type: ignore[attr-defined]


def parser(lang: str, only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; with ``only`` the other commands' arguments are left unread (their imports cost time)."""
    top = argparse.ArgumentParser(prog="pytest-vllm-bench", description=say("cli.about", lang))
    top.add_argument("--version", action="version", version=version("pytest-vllm-bench"))
    top.add_argument("--lang", choices=("en", "zh"), default=None, help=say("cli.lang", lang))
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        text = say(f"cli.{module}.help", lang)
        one = commands.add_parser(name, help=text, description=text, add_help=name != "simulate")
        one.add_argument("--lang", choices=("en", "zh"), default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # here too
        if only in (None, name):
            import_module(f"pytest_vllm_bench.cli.{module}").arguments(one, lang)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command → its exit code; what the user must change is one clear message and exit code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot spell a character gets its code
    asked = argv[argv.index("--lang") + 1 : argv.index("--lang") + 2] if "--lang" in argv else []
    lang = language(asked[0] if asked else os.environ.get("PYTEST_VLLM_LANG"))
    spoken(lang)
    complete(lang)
    command = next((a for a in argv if a in COMMANDS), None)
    try:
        if command is not None:
            argv = getattr(import_module(f"pytest_vllm_bench.cli.{COMMANDS[command]}"), "spelled", list)(argv)
        args, rest = parser(lang, command).parse_known_args(argv)
        module = import_module(f"pytest_vllm_bench.cli.{COMMANDS[args.command]}")
        if rest and not getattr(module, "PASSES_ON", False):
            parser(lang, command).parse_args(argv)  # says what is not known, and ends
        args.rest = rest
        return int(module.run(args, lang))
    except ConfigError as error:
        problems_shown(error.problems, lang)
    except BenchError as error:
        print(say(error.message, lang), file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 2


def headers(args: argparse.Namespace) -> str:
    """The language of tables in files: as asked for; the locale decides what is on screen alone."""
    asked = args.csv_lang or args.lang or os.environ.get("PYTEST_VLLM_LANG")
    return asked if asked in ("zh", "both") else "en"


def complete(lang: str) -> None:
    """Answer the shell where it asks for completions (once: ``eval "$(register-python-argcomplete …)"``), and end."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser(lang))


def unrun_shown(folders: Sequence[Path], lang: str) -> bool:
    """Say on stderr what the last sessions of these folders were to run and did not; → whether there is any."""
    from pytest_vllm_bench.report import terminal, verdict
    from pytest_vllm_bench.store import folder

    said = []
    for place in filter(Path.is_dir, folders):
        roll, results = verdict.last([place], folder.read(place))
        lines = terminal.unrun([result for result in results if result.session == roll.session], roll, lang)
        said += [say("cli.unrun", lang, folder=str(place), session=roll.session), *lines] if lines else []
    print("".join(f"{line}\n" for line in said), end="", file=sys.stderr, flush=True)
    return bool(said)


def problems_shown(problems: Sequence[Problem], lang: str) -> None:
    """Say on stderr what is wrong, and where."""
    for problem in problems:
        where = ":".join(filter(None, [problem.file, str(problem.line or "")]))
        parts = [safe(where), safe(problem.path), say(problem.message, lang)]
        print(": ".join(filter(None, parts)), file=sys.stderr)
