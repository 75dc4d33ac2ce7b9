"""Who may import whom, read from the code itself."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from every import every

PACKAGE = Path(__file__).parent.parent / "pytest_vllm_bench"
ME = "pytest_vllm_bench"
LEAVES = {"model", "curves", "errors", "metric_table", "framing", "http", "tokenizer", "files", "stages", "suggest"}
STAGES = {"plan", "load", "measure", "judge", "observe", "store", "report"}
#: Area → the areas that it may import beyond the leaves and itself; an area that is not here may import anything.
ALLOWED = {
    **{leaf: set() for leaf in LEAVES},
    "judge": set(),
    **{stage: {"backends"} for stage in ("plan", "load", "measure", "observe")},
    "backends": set(),
    "text": set(),
    "store": {"judge", "text"},  # ``earlier`` knows the judge's notes
    "report": {"store", "text"},
    "environment": set(),
    "simulator": set(),
    "config": {"plan"},
    "registry": {"backends", "observe", "plan"},
    "regression": {"judge", "store"},
    "comparing": {"judge", "report", "store"},
    "trend": {"judge", "report", "store"},
    "machines": {"backends", "environment", "load", "measure", "plan"},
    "judging": {"judge", "measure"},
    "memory": {"judging", "store"},
    "serve": {"observe", "simulator"},
    "world": {"environment", "machines", "memory", "observe", "plan", "regression"},
    "reading": STAGES - {"report", "store"} | {"environment", "world"},
    "twin": {"judge", "judging", "plan", "simulator"},
    "profiling": {"environment", "observe", "store", "world"},
    "run": STAGES
    | {
        "crew",
        "environment",
        "judging",
        "machines",
        "memory",
        "profiling",
        "reading",
        "regression",
        "salvage",
        "twin",
        "world",
    },
    "crew": {"environment", "load", "machines", "plan", "world"},
    "capacity": {"judge", "judging", "memory", "run", "store", "world"},
    "salvage": {"judging", "load", "measure", "plan", "store"},
    "rejudge": {"judge", "judging", "measure", "store"},
    "session": STAGES - {"load", "measure", "report"}
    | {"backends", "crew", "environment", "machines", "memory", "regression", "serve", "world"},
}


@functools.cache
def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py"))


def area(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def areas() -> frozenset[str]:
    return frozenset(area(p) for p in modules())


def imports(path: Path, *, typing_too: bool = False) -> Iterator[str]:
    """Dotted names that a module imports, anywhere in it; those under TYPE_CHECKING only on request."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing_too:
            skipped |= {id(n) for body in node.body for n in ast.walk(body)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> str | None:
    """The area of ours that a dotted name belongs to."""
    parts = name.split(".")
    if parts[0] != ME or len(parts) < 2:
        return None
    return parts[1] if parts[1] in areas() else None


@every("mine", sorted(areas() - {"plugin", "cli", "__init__", "__main__"}))
def test_imports_go_one_way_and_no_leave_is_given_that_nobody_takes(mine: str) -> None:
    found = {ours(name) for path in modules() if area(path) == mine for name in imports(path)} - {None, mine}
    more, unused = found - ALLOWED[mine] - LEAVES, ALLOWED[mine] - found
    assert not more, f"{mine} may not import {sorted(filter(None, more))}"
    assert not unused, f"{mine} no longer imports {sorted(unused)}"


@every("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nobody_imports_the_faces(path: Path) -> None:
    if area(path) in ("plugin", "cli", "__main__"):
        return
    assert not {ours(n) for n in imports(path)} & {"plugin", "cli"}


@every("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_pytest_only_at_its_face(path: Path) -> None:
    if area(path) not in ("plugin", "cli"):
        assert not {n for n in imports(path, typing_too=True) if n.split(".")[0] in ("pytest", "_pytest")}


@every("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_clock_is_read_where_it_may(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    if area(path) not in ("load", "machines", "observe", "serve", "simulator"):
        assert not calls & {"time.perf_counter", "time.perf_counter_ns", "time.monotonic", "time.monotonic_ns"}
    if area(path) != "environment":
        calendar = {"datetime.now", "datetime.datetime.now", "datetime.date.today", "time.time", "time.strftime"}
        assert not calls & calendar


def test_the_plugin_is_light_to_load() -> None:
    """Everyone who has us installed loads the plugin in every run: none of the heavy packages may come with it."""
    heavy = ["aiohttp", "numpy", "pandas", "transformers", "yaml", "pydantic", "msgspec", "rich", "plotly", "jinja2"]
    code = f"""
import sys, pytest, pytest_asyncio
before = set(sys.modules)
import pytest_vllm_bench.plugin
new = set(sys.modules) - before
assert not new & set({heavy!r}), sorted(new & set({heavy!r}))
ours = sorted(m for m in new if m.startswith("pytest_vllm_bench"))
assert ours == ["pytest_vllm_bench", "pytest_vllm_bench.plugin"], ours
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def public_classes() -> dict[str, list[str]]:
    """Name → the modules that have a public class of it."""
    found: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    return found


#: Past participles that are nouns to others: one in the contract with watchers, one in that with data sets.
PARTICIPLES = {"Observed", "Wanted"}
#: Those that are no nouns too, as a bound, a cut and a spread are.
IRREGULAR = re.compile(
    "(?:Become|Begun|Bent|Bought|Broken|Brought|Built|Caught|Chosen|Dealt|Done|Drawn|Driven|Fallen|Fed|Felt|"
    "Forgotten|Fought|Found|Frozen|Given|Gone|Grown|Heard|Held|Hidden|Kept|Known|Laid|Led|Left|Lent|Lost|Made|"
    "Meant|Met|Paid|Risen|Said|Seen|Sent|Shown|Shut|Sold|Spent|Spoken|Stolen|Stood|Struck|Swept|Taken|Taught|"
    "Thought|Thrown|Told|Torn|Understood|Unknown|Unseen|Won|Worn|Written)"
)


def test_a_class_has_a_name_of_its_own_that_is_a_noun() -> None:
    names = public_classes()
    assert {name: homes for name, homes in names.items() if len(homes) > 1} == {}
    last = {name: re.findall("[A-Z][a-z]*", name)[-1] for name in names}  # of ``SendingLimits`` the limits
    regular = re.compile("[A-Z][a-z]+(?<!e)ed")  # speed is none
    assert {name for name, word in last.items() if regular.fullmatch(word) or IRREGULAR.fullmatch(word)} == PARTICIPLES


def test_the_rooms_that_contributors_read_of_are_those_that_hold() -> None:
    """CONTRIBUTING names each area and what it may import beyond the leaves."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^ {4}(\w+) +─▶ (.*)$", text, re.MULTILINE))
    assert {name: set(line.split()) - {"nothing"} for name, line in said.items()} == {
        name: allowed for name, allowed in ALLOWED.items() if name not in LEAVES
    }
    (leaves,) = re.findall(r"^ {4}leaves, for anyone: (.*)$", text, re.MULTILINE)
    assert set(leaves.split()) == LEAVES
    chinese = (PACKAGE.parent / "CONTRIBUTING.zh-CN.md").read_text(encoding="utf-8")
    (leaves,) = re.findall(r"^\* (.*) 谁都可以用；$", chinese, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", leaves)) == LEAVES


@every("page, heading", [("CONTRIBUTING.md", "The nouns"), ("CONTRIBUTING.zh-CN.md", "名词")])
def test_the_glossary_has_the_nouns_that_there_are(page: str, heading: str) -> None:
    text = (PACKAGE.parent / page).read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`\w+`) \| (.*) \|$", text.partition(f"## {heading}\n")[2].partition("\n## ")[0], re.MULTILINE
    )
    explained = [name for row in rows for cell in row for name in re.findall("`([A-Z][a-z]\\w*)`", cell)]
    there = {name for name, homes in public_classes().items() if homes[0].startswith("model/")}
    assert sorted(explained) == sorted(there)
    assert len(rows) <= 40


def test_the_rules_can_be_broken(tmp_path: Path) -> None:
    """The reader of imports sees what it must see, wherever it stands."""
    bad = tmp_path / "bad.py"
    bad.write_text(f"def f():\n    from {ME}.load import send\n    import {ME}.judge\n")
    assert {ours(n) for n in imports(bad)} == {"load", "judge"}


def test_nobody_but_the_cell_takes_an_id_apart() -> None:
    """What is what of it stands in ``Cell``; the one reader of ids that are no more than that is beside it."""
    surgery = re.compile(
        r"""["'/(]-\(?r\{|-\(np\|d\)|(scenario|cell|one)\.id\.(remove|split|rsplit|partition|replace)"""
    )
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in modules()
        if path != PACKAGE / "model" / "cell.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if surgery.search(line)
    ]
    # Two ids that come to one file's name are looked for before there is any.
    assert found == ['config/checks.py: name = cell.id.replace("-", "_")']


def test_only_its_launchers_and_the_twin_know_the_simulator() -> None:
    knowing = {area(path) for path in modules() if "simulator" in map(ours, imports(path))}
    assert knowing - {"simulator"} <= {"cli", "serve", "twin"}
