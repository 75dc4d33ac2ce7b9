"""config.yaml → test items: parameters, marks, the dry run's header, and one error for everything that is wrong."""

from __future__ import annotations

import collections
import functools
import itertools
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_vllm_bench import environment, files
from pytest_vllm_bench.errors import BenchError, ConfigError
from pytest_vllm_bench.metric_table import frontier_gate
from pytest_vllm_bench.model import AbsentResult
from pytest_vllm_bench.plugin import GROUP, chosen, language, ungrouped
from pytest_vllm_bench.plugin.given import strict, troubles, turned_on
from pytest_vllm_bench.report.verdict import Roll
from pytest_vllm_bench.text import safe, say

if TYPE_CHECKING:
    from pytest_vllm_bench.config import Config
    from pytest_vllm_bench.model import Problem, Scenario
    from pytest_vllm_bench.registry import Registry
    from pytest_vllm_bench.serve.launcher import Launcher
    from pytest_vllm_bench.session import Session
    from pytest_vllm_bench.trend import DriftGate


class Items:
    """Every config of this pytest session, what it expands to, and what is wrong with it."""

    def __init__(self, config: pytest.Config) -> None:
        self.pytest = config
        self.lang = language(config)
        self.started = environment.stamp()
        self.configs: dict[Path, Config] = {}
        self.scenarios: dict[Path, tuple[Scenario, ...]] = {}
        self.problems: list[Problem] = []
        self.selected: list[Scenario] = []
        self.refused = False  # nothing will run
        self.resumed = ""  # the session that is taken up again
        self.sessions: dict[Path, Session] = {}

    @functools.cached_property
    def registry(self) -> Registry:
        """Built-in names, and those that conftests and plug-ins add."""
        from pytest_vllm_bench.registry import builtin

        registry = builtin()
        self.pytest.hook.pytest_vllm_bench_register(registry=registry)
        return registry

    @functools.cached_property
    def launcher(self) -> Launcher:
        """Starts servers, one at a time, for all configs."""
        from pytest_vllm_bench.serve.launcher import Launcher

        return Launcher()

    def path(self, node: pytest.Item | pytest.Metafunc) -> Path:
        """The config of a test: its marker's, else --vllm-config's, else config.yaml beside the test file."""
        definition = node.definition if isinstance(node, pytest.Metafunc) else node
        folder: Path = definition.path.parent
        for marker in definition.iter_markers("vllm_bench"):
            if named := marker.kwargs.get("config"):
                return (folder / files.path(named)).resolve()
        if (given := chosen(self.pytest, "config")) and given[0]:
            return Path(self.base(given[1]), given[0]).resolve()
        return folder / "config.yaml"

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """One item a scenario.  A bad config gives none; ``check`` then says why."""
        scenarios = self.load(self.path(metafunc))
        params = [pytest.param(s, id=s.id, marks=self.marks(s)) for s in scenarios]
        metafunc.parametrize("scenario", params)

    def load(self, path: Path) -> tuple[Scenario, ...]:
        """The scenarios of one config file, read once."""
        if path not in self.scenarios:
            from pytest_vllm_bench.config import Overrides, matrix, read

            given = Overrides(
                results=self.results(), **{k: chosen(self.pytest, k) for k in ("url", "model", "tokenizer", "profile")}
            )
            self.scenarios[path] = ()
            try:
                config = read(path, given, self.registry)
                self.configs[path] = config
                hard = strict(self.pytest)
                self.scenarios[path] = tuple(replace(s, judge=replace(s.judge, strict=hard)) for s in matrix(config))
            except ConfigError as error:
                self.problems += error.problems
        return self.scenarios[path]

    def results(self) -> tuple[str, str] | None:
        """The results folder where an option, the environment or the ini file names one, from where that was said."""
        if (given := chosen(self.pytest, "results")) is None:
            return None
        return str(self.base(given[1]) / given[0]) if given[0] else "", given[1]

    def base(self, origin: str) -> Path:
        """What a relative path is relative to: the ini file's folder, or where pytest was called."""
        return self.pytest.rootpath if "(" in origin else self.pytest.invocation_params.dir

    def marks(self, scenario: Scenario) -> list[pytest.MarkDecorator]:
        """The marker to select by, xdist's group (scenarios must not contend), and the config's own xfail and skip."""
        rate = scenario.request_rate
        load = {
            "input_len": scenario.input_len,
            "output_len": scenario.output_len,
            "concurrency": scenario.concurrency,
            "request_rate": int(rate) if rate.is_integer() else str(rate),
            "dataset": scenario.dataset.name,
        }
        marks = [pytest.mark.vllm_bench(**({} if scenario.of_start else load))]  # a start is found by its name alone
        if self.pytest.pluginmanager.hasplugin("xdist"):
            marks.append(pytest.mark.xdist_group(GROUP))
        if scenario.xfail:
            marks.append(pytest.mark.xfail(reason=scenario.xfail))
        if scenario.skip:
            marks.append(pytest.mark.skip(reason=scenario.skip))
        return marks

    def check(self, items: list[pytest.Item]) -> None:
        """Raise everything that is wrong as one usage error; an xdist worker ships it to its controller instead."""
        problems = (shown(problem, self.lang) for problem in self.problems)
        trouble = list(dict.fromkeys([*troubles(self.pytest, self.lang), *problems]))
        if not trouble:
            trouble = [*self.collisions(items), *self.no_reference(), *self.no_history(), *self.no_profile()]
        workers = getattr(self.pytest, "workerinput", {}).get("workercount", 1)
        together = self.kept_together(items)
        if self.scenarios and workers > 1 and not together:
            trouble = [say("plugin.contention", self.lang, workers=workers)]
        if not trouble:
            return
        self.refused = True
        text = "\n\n".join([say("plugin.problems", self.lang, count=len(trouble)), *trouble])
        if hasattr(self.pytest, "workeroutput"):
            self.pytest.workeroutput["vllm_bench_problems"] = text
            items.clear()
            return
        raise pytest.UsageError(text)

    def kept_together(self, items: Sequence[pytest.Item]) -> bool:
        """Whether xdist can keep every scenario on one worker: its scheduler reads the group off the end of an id."""
        if not getattr(self.pytest.option, "loadgroup", False):
            return False
        self.group(items)
        together = all(item.nodeid.endswith(f"@{GROUP}") for item in ours(items))
        for item in ours(items):  # until the selection is over: --lf and --nf know an item by the id it has without -n
            rename(item, ungrouped(item.nodeid))
        return together

    def group(self, items: Sequence[pytest.Item]) -> None:
        """Write the group where xdist's scheduler reads it (xdist 3.8 writes it where pytest 9.2 no longer reads)."""
        if getattr(self.pytest.option, "loadgroup", False):
            for item in ours(items):
                rename(item, f"{ungrouped(item.nodeid)}@{GROUP}")

    def collisions(self, items: Sequence[pytest.Item]) -> list[str]:
        """Tests whose results would overwrite one another: the same scenario in the same folder."""
        owners: dict[tuple[Path, str], tuple[Path, pytest.Item]] = {}
        found: dict[object, str] = {}
        for item in items:
            path, asked = self.path(item), getattr(getattr(item, "callspec", None), "params", {}).get("scenario")
            scenario = next((mine for mine in self.scenarios.get(path, ()) if mine is asked), None)
            if scenario is None or item.get_closest_marker("skip"):  # another suite's parameter of this name; never run
                continue
            place = self.folder(path), scenario.id
            other, first = owners.setdefault(place, (path, item))
            if other != path:
                names = {"path": relative(path), "other": relative(other), "scenario": scenario.id}
                found.setdefault((path, other), say("plugin.collision", self.lang, **names))
            elif first is not item:
                names = {"test": ungrouped(item.nodeid), "other": ungrouped(first.nodeid)}
                found.setdefault(path, say("plugin.collision_tests", self.lang, **names))
        return list(found.values())

    def no_reference(self) -> list[str]:
        """What is wrong with the reference that --vllm-baseline names: said before any load."""
        from pytest_vllm_bench import regression

        given = chosen(self.pytest, "baseline")
        found = []
        for config in self.configs.values() if given else ():
            if (named := config.settings.baseline.target) is not None:
                found.append(say("plugin.two_references", self.lang, path=relative(config.file), target=named))
            path = regression.locate(str(given[0]), config.base_dir)  # type: ignore[index]
            try:
                if config.settings.baseline.absent == "fail" or path.exists():
                    regression.load(path)
            except BenchError as error:
                found.append(say(error.message, self.lang))
        return found

    def no_profile(self) -> list[str]:
        """Patterns that nothing matches: a test's path may have been taken for one."""
        given, lost = chosen(self.pytest, "profile"), dict[str, str]()
        asked = {path: config.settings.profile for path, config in self.configs.items() if config.settings.profile}
        for path, profile in asked.items():
            if not any(scenario.profile for scenario in self.scenarios[path]):
                lost[given[1] if given else relative(path)] = profile.scenarios
        if given and any(scenario.profile for path in asked for scenario in self.scenarios[path]):
            return []
        return [say("plugin.profile_unmatched", self.lang, origin=o, pattern=p) for o, p in lost.items()]

    def trend(self, path: Path) -> DriftGate | None:
        """What is asked of a config's figures beside those of the sessions before; None: nothing."""
        from pytest_vllm_bench.metric_table import TREND_METRICS
        from pytest_vllm_bench.trend import Acknowledgement, DriftGate, DriftSettings

        asked, given = self.configs[path].settings.trend, chosen(self.pytest, "history")
        if asked is None and given is None:
            return None
        place = f"{self.folder(path)}/"  # whose name says that it is a folder where there is none yet
        if given is not None:
            place = given[0] if "://" in given[0] else os.path.join(self.base(given[1]), given[0])
        if asked is None:
            return DriftGate(history=place, metrics=TREND_METRICS)
        names = ("min_change", "p", "window", "fail_on")
        return DriftGate(
            history=place,
            metrics=tuple(asked.metrics),
            settings=DriftSettings(**{name: getattr(asked, name) for name in names}),
            known=tuple(Acknowledgement(**one.model_dump()) for one in asked.acknowledged),
        )

    def no_history(self) -> list[str]:
        """What is wrong with the place that --vllm-history names: said before any load."""
        from pytest_vllm_bench import trend

        found = dict[str, None]()
        for path in self.configs:
            try:
                if (gate := self.trend(path)) is not None:
                    trend.reachable(gate, self.folder(path))
            except BenchError as error:
                found[say(error.message, self.lang)] = None
        return [*found]

    def over_time(self, path: Path) -> list[str]:
        """That a worsening over the sessions in the history fails."""
        if (gate := self.trend(path)) is None:
            return []
        from pytest_vllm_bench.store.history import shown as discreet

        place = discreet(gate.history) if "://" in gate.history else relative(Path(gate.history))
        values = {"place": place, "metrics": ", ".join(gate.metrics), "fail_on": gate.settings.fail_on}
        return [say("plugin.trend", self.lang, **values)]

    def gate(self, config: Config, scenarios: Sequence[Scenario]) -> list[str]:
        """What the reference that results are held against holds, and what it can find; or that there is none yet."""
        from pytest_vllm_bench import regression
        from pytest_vllm_bench.session import against

        if (given := chosen(self.pytest, "baseline")) is None:
            return []
        path = regression.locate(str(given[0]), config.base_dir)
        if not path.exists():
            known = ", ".join(regression.others(path)) or "–"
            return [say("plugin.no_baseline_yet", self.lang, path=path, known=known)]
        try:
            gate = against(str(given[0]), regression.load(path), config, scenarios)
        except BenchError:  # said by ``no_reference``
            return []
        return [say(message, self.lang) for message in regression.seen_by(gate)]

    def select(self, items: Sequence[pytest.Item]) -> dict[Path, Roll]:
        """Note which scenarios will run (the last of a scenario's repeats judges them all); → those of each folder."""
        rest: dict[Path, list[AbsentResult]] = {}
        for item in items:
            path, asked = self.path(item), getattr(getattr(item, "callspec", None), "params", {}).get("scenario")
            scenario = next((mine for mine in self.scenarios.get(path, ()) if mine is asked), None)
            if scenario is None:  # another suite's parameter of this name
                continue
            self.selected.append(scenario)
            why = {"why": "left_out", "said": scenario.skip} if scenario.skip else {}
            absent = AbsentResult(id=scenario.id, session=self.started, test=ungrouped(item.nodeid), **why)
            rest.setdefault(self.folder(path), []).append(absent)
        if turned_on(self.pytest, "resume"):
            self.resumed = max((last_session(folder) for folder in rest), default="")
            self.started = self.resumed or self.started
            rest = {f: [replace(absent, session=self.started) for absent in of] for f, of in rest.items()}
        held = collections.Counter[Path]()
        for path in self.configs:  # one with problems is in ``scenarios`` alone
            held[self.folder(path)] += len(self.scenarios[path])
        rolls = {f: Roll(session=self.started, matrix=held[f], rest=tuple(of)) for f, of in rest.items()}
        for path, config in self.configs.items():
            if (asked := config.settings.frontier) and (roll := rolls.get(self.folder(path))):
                gate = frontier_gate(**asked.model_dump(), config_file=self.shown(path))
                rolls[self.folder(path)] = replace(roll, frontiers=(*roll.frontiers, gate))
        return rolls

    def shown(self, path: Path) -> str:
        """A config as results name it."""
        root = self.pytest.rootpath
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    def folder(self, path: Path) -> Path:
        """Where the results of one config go."""
        return self.pytest.rootpath / self.configs[path].results_dir

    def header(self) -> list[str]:
        """What is in force, and what the planned load cannot decide: also what a dry run shows."""
        lines = []
        for path, config in self.configs.items():
            if not (mine := [s for s in self.selected if s in self.scenarios[path]]):
                continue
            if getattr(self.pytest.option, "vllm_flags", False):  # of ``single``, whose config is made of them
                where = ", ".join(f"{key}: {value}" for key, value, _ in config.in_force)
                lines.append(say("plugin.header_flags", self.lang, where=where))
            else:
                where = ", ".join(f"{key}: {value} ({origin})" for key, value, origin in config.in_force)
                lines.append(say("plugin.header", self.lang, path=relative(path), count=len(mine), where=where))
            unverified = dict.fromkeys(s.target.base_url for s in mine if s.target.verify is False)
            lines += [say("plugin.unverified", self.lang, url=url) for url in unverified]
            lines += [*self.unsavable(config), *self.gate(config, mine), *self.over_time(path)]
            lines += self.foreseen(mine, config.base_dir)
            if self.pytest.option.collectonly:
                lines += self.starts(mine)
        if lines and turned_on(self.pytest, "resume"):
            key = "plugin.resuming" if self.resumed else "plugin.nothing_to_resume"
            lines.append(say(key, self.lang, session=self.resumed))
        return lines

    def starts(self, scenarios: Sequence[Scenario]) -> list[str]:
        """How often servers will be started, and by which commands."""
        from pytest_vllm_bench.serve.launcher import identity

        started = [s for s in scenarios if s.target.launch]
        runs = [next(of) for _, of in itertools.groupby(started, lambda s: (s.target.name, s.of_start, s.start))]
        staying = {(s.target.name, s.start): s for s in runs if s.target.launch and s.target.launch.beside == "yes"}
        runs = [s for s in runs if staying.get((s.target.name, s.start), s) is s]
        counts, known = collections.Counter[tuple[str, str]](), set[str]()
        for one in runs:
            caches, itself = one.of_start, identity(one.target.launch)  # type: ignore[arg-type]
            counts[one.target.name, caches] += 2 if caches == "warm" and itself not in known else 1
            known.add(itself)
        lines = [say("plugin.starts", self.lang, count=counts.total())] if runs else []
        for (name, caches), count in counts.items():
            target = next(s.target for s in runs if (s.target.name, s.of_start) == (name, caches))
            given = [f"{key}={written([value])}" for key, value in target.launch.env.items()]  # type: ignore[union-attr]
            command = " ".join([*given, written(target.launch.command)])  # type: ignore[union-attr]
            named = "-".join(filter(None, (name or "server", caches)))
            lines.append(say("plugin.start", self.lang, name=named, count=count, command=target.discreet(command)))
        fitting = {s.target.name for s in runs if s.target.launch and s.target.launch.beside == "fits"}
        return [*lines, *([say("plugin.starts_beside", self.lang, count=len(fitting))] if len(fitting) > 1 else [])]

    def unsavable(self, config: Config) -> list[str]:
        """Why the reference that --vllm-save-baseline names cannot be saved, as far as it shows before any load."""
        from pytest_vllm_bench import regression

        if (given := chosen(self.pytest, "save-baseline")) is None:
            return []
        try:
            regression.savable(regression.locate(str(given[0]), config.base_dir))
        except BenchError as error:
            return [say(error.message, self.lang)]
        return []

    def foreseen(self, scenarios: Sequence[Scenario], base_dir: Path) -> list[str]:
        """What is known before any load: rules that nobody wrote or that cannot be decided; with -v what a backend
        cannot; in a dry run what a trace comes to."""
        from pytest_vllm_bench import plan
        from pytest_vllm_bench.backends import notes
        from pytest_vllm_bench.judge import undecidable
        from pytest_vllm_bench.metric_table import backwards
        from pytest_vllm_bench.model import Cell, Message

        planned = collections.Counter[Cell]()
        for scenario in scenarios:
            planned[scenario.cell.repeated] += scenario.num_prompts or 0
        found: dict[str, list[str]] = {}
        for scenario in {s.cell.repeated: s for s in scenarios}.values():
            messages = []
            for line in dict.fromkeys(rule.line for rule in scenario.rules if rule.implied):
                rules = ", ".join(rule.text for rule in scenario.rules if rule.implied and rule.line == line)
                key = "plugin.implied" if line is None else "plugin.implied_again"
                messages.append(Message(key=key, values={"rules": rules, "line": line}))
            turned = backwards([rule for rule in scenario.rules if not rule.implied])
            messages += [Message(key="judge.odd_direction", values={"rule": rule.text}) for rule in turned]
            messages += undecidable(scenario, planned[scenario.cell.repeated]) if scenario.num_prompts else []
            if scenario.repeats.looks:
                looks = ", ".join(map(str, scenario.repeats.looks))
                messages.append(Message(key="plugin.looks", values={"looks": looks}))
            backend = self.registry.backends[scenario.backend]
            if self.pytest.option.collectonly:
                around = plan.BuildContext(backend=backend, base_dir=base_dir, datasets=self.registry.datasets)
                messages += plan.foresee(scenario, around)
            if self.pytest.get_verbosity() > 0:
                messages += notes(backend, scenario)
            for message in messages:
                found.setdefault(say(message, self.lang), []).append(scenario.cell.key)
        return [f"  {text} ({named(keys)})" for text, keys in found.items()]

    def session(self, path: Path) -> Session:
        """The servers, tokenizers and folders that the scenarios of one config share; opened when first needed."""
        if path not in self.sessions:
            from pytest_vllm_bench.session import Session

            config = self.configs[path]
            mine = [s for s in self.selected if s in self.scenarios[path]]
            root, resumed = self.pytest.rootpath, bool(self.resumed)
            session = Session(config, self.registry, mine, root, self.started, resumed, self.launcher)
            if given := chosen(self.pytest, "baseline"):
                session.hold_against(str(given[0]))
            self.sessions[path] = session
        return self.sessions[path]

    def over(self, item: pytest.Item, then: pytest.Item | None) -> None:
        """A test has ended: servers that the next one does not need are stopped; what is wrong then is its error."""
        if not self.sessions:
            return
        from pytest_vllm_bench.model import Scenario

        params = (getattr(getattr(one, "callspec", None), "params", {}) for one in (item, then))
        ended, following = (one.get("scenario") for one in params)
        if then is None or (isinstance(ended, Scenario) and isinstance(following, Scenario)):
            self.leave(following)

    def leave(self, then: Scenario | None) -> None:
        from pytest_vllm_bench.plugin.console import aloud
        from pytest_vllm_bench.plugin.fixture import fail, now

        try:
            now(self.launcher.leave(then, aloud(self.pytest, self.lang)))
        except BenchError as error:
            problem = say(error.message, self.lang)
        else:
            return
        fail(problem)

    def close(self, *, hurried: bool = False) -> list[str]:
        """Stop what the sessions started; → what is to be said of it, where there is time for that."""
        said = []
        try:
            if self.sessions and not hurried:
                self.leave(None)
        except pytest.fail.Exception as error:
            said.append(str(error))
        finally:  # also where one more Ctrl-C ended the wait
            for session in self.sessions.values():
                session.close()
        return said


def written(command: Sequence[str]) -> str:
    """As it could be typed, placeholders as they are."""
    return " ".join(word if re.fullmatch(r"[\w./=:{}-]+", word) else shlex.quote(word) for word in command)


def last_session(results: Path) -> str:
    """The newest session that has left something in a folder; "" where none has."""
    from pytest_vllm_bench.report import verdict
    from pytest_vllm_bench.store import folder

    try:
        return max([verdict.read(results).session, *(result.session for result in folder.read(results))], default="")
    except BenchError:
        return ""


def ours(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The scenarios among the items of an xdist worker."""
    return [item for item in items if any(m.args == (GROUP,) for m in item.iter_markers("xdist_group"))]


def rename(item: pytest.Item, nodeid: str) -> None:
    """Give an item another id; where this pytest keeps it is not public."""
    parse = getattr(type(getattr(item, "_id", None)), "parse", None)
    if parse is not None:
        item._id = parse(nodeid)
    else:
        item._nodeid = nodeid  # type: ignore[attr-defined]


def shown(problem: Problem, lang: str) -> str:
    """ "bench_cases/config.yaml:12: concurrency_prompts[0]: what is wrong"."""
    where = ":".join(filter(None, [relative(Path(problem.file)) if problem.file else "", str(problem.line or "")]))
    return ": ".join(filter(None, [safe(where), safe(problem.path), say(problem.message, lang)]))


def relative(path: Path) -> str:
    """As short as it can be said from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def named(keys: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more."""
    more = f" + {len(keys) - most}" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more
