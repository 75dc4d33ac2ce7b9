"""``trend``: a folder's sessions, or a history that several fill, and what fails of what has changed."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every import every

from pytest_vllm_bench import trend
from pytest_vllm_bench.cli import main
from pytest_vllm_bench.store import history
from pytest_vllm_bench.store.history import HistoryPoint
from pytest_vllm_bench.store.row import SCHEMA_VERSION, from_json


def session(n: int, tpot: float, **more: Any) -> dict[str, Any]:
    day = f"{2026 + n // 336:04}-{1 + n // 28 % 12:02}-{1 + n % 28:02}"
    return {
        "schema_version": SCHEMA_VERSION, "scenario_id": "io64x8-mc1-np9", "scenario_key": "io64x8-mc1",
        "verdict": "PASS", "session": f"s{n:04}", "date_utc": f"{day}T02:00:00+00:00", "plan_digest": "d",
        "mean_tpot_ms": tpot,
        "environment": {"commit": {"id": f"{n:012x}"}, "server": f"vllm 0.{32 + (n >= 30)}"}, **more,
    }  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Forty nights, of which the last ten are 8 % slower."""
    rng = np.random.default_rng(3)
    for n in range(40):
        folder = tmp_path / "results" / ("" if n == 39 else f"history/s{n:04}")
        folder.mkdir(parents=True, exist_ok=True)
        tpot = 10 * float(np.exp(rng.normal() * 0.01)) * (1.08 if n >= 30 else 1)
        (folder / "bench_io64x8_mc1_np9.json").write_text(json.dumps(session(n, tpot)))
    return tmp_path / "results"


def test_a_new_worsening_fails_and_is_told(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trend", str(results), "--metrics", "mean_tpot_ms"]) == 1
    said = capsys.readouterr().out
    assert "1 series of up to 40 sessions" in said
    assert "00000000" in said
    assert "worse: fails" in said
    assert "vllm 0.33" in said, "what of the environment changed with it"
    assert main(["--lang", "zh", "trend", str(results), "--metrics", "mean_tpot_ms"]) == 1
    assert "变差：未通过" in capsys.readouterr().out


def test_what_is_known_or_old_or_small_does_not_fail(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["trend", str(results), "--metrics", "mean_tpot_ms"]
    assert main([*asked, "--acknowledged", f"mean_tpot_ms:{30:012x}:new driver"]) == 0
    assert "new driver" in capsys.readouterr().out
    assert main([*asked, "--fail-on", "5"]) == 0
    assert main([*asked, "--min-change", "12%"]) == 0
    assert "nothing has changed" in capsys.readouterr().out
    assert main(["trend", str(results), "--metrics", "mean_tpotms"]) == 2
    assert main(["trend", str(results), "--metrics", "p99_ttft_ms"]) == 0
    assert "too few" in capsys.readouterr().out


def test_a_history_grows_by_what_is_new(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--history", str(tmp_path / "nights.db"), "--metrics", "mean_tpot_ms"]
    assert main(["trend", str(results), *store]) == 1
    assert "40 figures added" in capsys.readouterr().err
    assert main(["trend", str(results), *store]) == 1
    assert "0 figures added" in capsys.readouterr().err
    assert main(["trend", *store, "--format", "json"]) == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["fails"], one["worse"], one["at"]) == (True, True, 30)
    assert main(["trend", *store, "--format", "otava-csv"]) == 0
    head, first, *rest = csv.reader(capsys.readouterr().out.splitlines())
    assert (head, len(rest)) == (["time", "commit", "io64x8-mc1.mean_tpot_ms"], 39)
    assert first[:2] == ["2026-01-01T02:00:00+00:00", "0" * 12]


def test_machines_and_models_that_share_a_history_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two kinds of cards, two models, in one night: what gets worse on one of them is seen, and said of that alone; a
    new driver is no other card, and where nobody knows the card of a night it is the one there is."""
    rng, named = np.random.default_rng(5), str(tmp_path / "team.db")
    for n in range(40):
        cards = {"H100": 1.0, "A100": 2.0 * (1.08 if n >= 30 else 1)}
        found = [
            HistoryPoint(
                scenario="io64x8-mc1", metric="mean_tpot_ms", session=f"s{n:04}", origin=card + model,
                date=session(n, 0)["date_utc"], value=speed * size * float(np.exp(rng.normal() * 0.01)), plan="d",
                environment={"model": model, "accelerators": f"1 × {card} (580.{n}, 700 W)"} if n else {"model": model},
            )
            for card, speed in cards.items() for model, size in {"small": 5, "large": 50}.items()
        ]  # fmt: skip
        history.add(named, found)
    assert main(["trend", "--history", named, "--metrics", "mean_tpot_ms"]) == 1
    said = capsys.readouterr().out
    assert "io64x8-mc1, large, 1 × A100" in said
    assert "io64x8-mc1, small, 1 × A100" in said
    assert "H100" not in said
    alone = [one for one in history.read(named) if one.origin == "A100small"]
    assert {one.scenario for one in trend.told_apart(alone)} == {"io64x8-mc1"}
    gate = trend.DriftGate(history=named, metrics=("mean_tpot_ms",))
    for card, fails in (("A100", True), ("H100", False)):
        environment = {"accelerators": [{"name": card, "driver": "581"}], "client": {"host": card}}
        tonight = from_json(session(40, 21.6 * 5 / 10 if fails else 5.0, model_id="small", environment=environment))
        made = trend.hold(gate, [tonight])
        assert {one.scenario for one in made.drifts} == ({"io64x8-mc1, small, 1 × A100"} if fails else set())
        assert bool(made.failed) is fails


def test_unsound_sessions_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd: list[dict[str, Any]] = [
        {"verdict": "INVALID"}, {"complete": False}, {"taints": ["simulated"]}, {"taints": ["simulated"]},
        {"date_utc": "yesterday"}, {"verdict": None}, {"verdict": "FAIL"}, {},
    ]  # fmt: skip
    for n, more in enumerate(odd):
        (place := tmp_path / f"history/s{n:04}").mkdir(parents=True)
        (place / "bench_io64x8_mc1_np9.json").write_text(json.dumps(session(n, 10.0, **more)))
    store = str(tmp_path / "nights.db")
    assert main(["trend", str(tmp_path), "--history", store, "--metrics", "mean_tpot_ms"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert {"left out, invalid: 1 results", "left out, simulated: 2 results", "left out, interrupted: 1 results",
            "left out, without a date: 1 results"} < {line.lower() for line in said}  # fmt: skip
    assert said[-1].startswith("3 figures added"), "a broken rule spoils no figure, nor what nobody has judged"


@every("place, words", [
    ("oracle9://user:secret@there/db", "is no history: write a file's name"),
    ("mysql+pymysql://user:secret@there/db?password=secret", "is no history: write a file's name"),
    ("postgresql+asyncpg9://user:secret@there/db", "cannot be used"),
    ("postgresql://user:secret@there:port/db", "is no history"),
    ("{folder}/none.db", "there is no history at"),
    ("sqlite:///{folder}/none.db", "there is no history at"),
    ("{folder}", "cannot be used: unable to open database file"),
    ("{folder}/text.db", "cannot be used: file is not a database"),
    ("{folder}/strange.db", "lacks scenario, metric, date, value"),
])  # fmt: skip
def test_a_place_that_is_no_history(place: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what is wrong, no secret in it, and nothing is made or changed."""
    (tmp_path / "text.db").write_text("time,value\n" * 99)
    with closing(sqlite3.connect(tmp_path / "strange.db")) as strange:
        strange.execute(f"CREATE TABLE IF NOT EXISTS {history.TABLE} (session text, others int)")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["trend", "--history", place.format(folder=tmp_path)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "secret" not in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_has_changed_is_drawn(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["trend", str(results), "--metrics", "mean_tpot_ms", "--format", "svg", "--out", str(tmp_path / "charts")]
    assert main(asked) == 1
    picture = (tmp_path / "charts" / "trend_mean_tpot_ms_io64x8_mc1.svg").read_text()
    assert "trend_mean_tpot_ms_io64x8_mc1.svg" in capsys.readouterr().out
    for words in ("mean before and after each change", "000000000 +"):
        assert words in picture
