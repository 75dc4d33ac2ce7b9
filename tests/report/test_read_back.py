"""What is read back from a file is checked at the door: whatever is in it costs a sentence that names the file."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from long import times
from results_made import AIPERF, EVALSCOPE, GUIDELLM, VLLM, result

from pytest_vllm_bench import regression
from pytest_vllm_bench.cli import main
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.judge.comparison import BaselineSettings
from pytest_vllm_bench.model import Message
from pytest_vllm_bench.report.rebuild import FORMATS
from pytest_vllm_bench.store import folder, records
from pytest_vllm_bench.store.row import to_json
from pytest_vllm_bench.text import say

Change = tuple[tuple[Any, ...], Any]

MADE = result(failed=2)
ROW: dict[str, Any] = json.loads(json.dumps(to_json(MADE))) | {
    "ttfts": [0.1, 0.0],
    "itls": [[0.1], []],
    "input_lens": [8, 8],
    "output_lens": [2, 0],
    "errors": ["", "http"],
}
RULES = ("--rule", "p90_ttft_ms <= 500", "mean_tpot_ms <= 90", "output_throughput >= 1", "p99_itl_ms <= 9")
#: What stands where something else belongs.
OTHERS: tuple[Any, ...] = (
    "abc",
    "",
    "inf",
    "\ud800",
    -1,
    0,
    2.5,
    1e300,
    2**70,
    True,
    None,
    [],
    [1],
    [[]],
    ["a"],
    {},
    {"a": 1},
    {"key": []},
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, part in parts:
        yield from paths(part, (*path, key))


def damaged(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """``data`` with ``value`` at ``path``, or without what is there (...)."""
    made = copy.deepcopy(data)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


def one_of(data: Any) -> st.SearchStrategy[tuple[tuple[Any, ...], Any]]:
    return st.tuples(st.sampled_from(sorted(paths(data), key=str)), st.sampled_from((*OTHERS, ...)))


def survives(*args: str) -> None:
    """A command ends with an exit code of its own, whatever is in the files."""
    assert main(["--lang", "en", *args]) in (0, 1, 2)


def packed(lines: list[Any]) -> bytes:
    return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode(), 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one result and its records, written once for all examples."""
    found = tmp_path_factory.mktemp("results")
    folder.write(MADE, found)
    return found


NAME = folder.stem(ROW["scenario_id"])
LINES = [json.loads(json.dumps(msgspec.to_builtins(one, enc_hook=list))) for one in MADE.records]
several = settings(
    max_examples=times(10, 500), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@several
@given(one_of(LINES[20]))
@example((("arrival_tokens",), [2**31 - 1] * 8))
@example((("arrival_times",), [0.1]))
@example((("arrival_times", 1), -1))
@example((("output_tokens",), "9"))
def test_records_with_anything_in_them(place: Path, change: Change) -> None:
    where = place / f"{NAME}{records.SUFFIX}"
    made = [*LINES[:20], damaged(LINES[20], *change), *LINES[21:]]
    where.write_bytes(packed(made))
    survives("judge", str(place / f"{NAME}.json"), *RULES)
    survives("report", str(place), "--formats", "html")
    where.write_bytes(packed(LINES))


@pytest.mark.heavy
@pytest.mark.slow
@settings(several, max_examples=times(4, 500))
@given(one_of(ROW))
def test_a_result_with_anything_in_it(tmp_path_factory: pytest.TempPathFactory, place: Path, change: Change) -> None:
    there = tmp_path_factory.mktemp("damaged")
    (there / f"{NAME}.json").write_text(json.dumps(damaged(ROW, *change)))
    shelf = there / "history" / "before"
    shelf.mkdir(parents=True)
    (shelf / f"{NAME}.json").write_text(json.dumps(damaged(ROW, *change) | {"session": "before"}))
    survives("judge", str(there))
    survives("judge", str(there), *RULES)
    survives("report", str(there), str(place), "--out", str(there), "--formats", *(f for f in FORMATS if f != "png"))
    survives("aggregate", str(there), "--csv-lang", "both")
    for form in ("text", "markdown", "json"):
        survives("compare", str(place), str(there), "--format", form)


REFERENCE: dict[str, Any] = {
    "schema_version": 1,
    "scenarios": {
        ROW["scenario_key"]: [
            {
                "session": session,
                "plan": ROW["plan_digest"],
                "environment": {"model": "m", "client.cpus": 2},
                "metrics": {"mean_tpot_ms": [9.0, 9.5], "output_throughput": [500.0], "mean_e2el_ms": [90.0]},
            }
            for session in ("20261101T000000Z", "20261102T000000Z")
        ]
    },
}


KEYS = frozenset({MADE.scenario.cell.key})


@several
@given(one_of(REFERENCE))
def test_a_reference_with_anything_in_it(tmp_path_factory: pytest.TempPathFactory, change: Change) -> None:
    path = tmp_path_factory.mktemp("reference") / "main.json"
    path.write_text(json.dumps(damaged(REFERENCE, *change)))
    said: Message | None = None
    try:
        reference = regression.load(path)
    except BenchError as error:
        said = error.message
    if said is not None:
        assert str(path) in say(said)
        return
    gate = regression.ReferenceGate(name="main", reference=reference, settings=BaselineSettings(), keys=KEYS)
    regression.seen_by(gate)
    regression.hold(gate, MADE)
    regression.at_the_end(gate, "")
    regression.save(path, [MADE], 5)
    regression.load(path)


FOREIGN = {"vllm": VLLM, "guidellm": GUIDELLM, "aiperf": AIPERF, "evalscope": EVALSCOPE}


@several
@given(st.sampled_from(sorted(FOREIGN)).flatmap(lambda tool: one_of(FOREIGN[tool]).map(lambda change: (tool, change))))
def test_another_tools_file_with_anything_in_it(
    tmp_path_factory: pytest.TempPathFactory, change: tuple[str, Change]
) -> None:
    there = tmp_path_factory.mktemp("foreign")
    tool, where = change
    (there / "x.json").write_text(json.dumps(damaged(FOREIGN[tool], *where)))
    survives("judge", str(there / "x.json"), *RULES)
    survives("report", str(there), "--formats", "html", "csv", "verdict", "markdown")
    survives("compare", str(there), str(there))
