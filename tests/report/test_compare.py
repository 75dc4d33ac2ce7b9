"""Two folders side by side: what is said of a change, in every form, is what was proven of it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_vllm_bench import cli
from pytest_vllm_bench.comparing import condition, side_by_side
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Result
from pytest_vllm_bench.report import compare, page
from pytest_vllm_bench.report.compare import Change, SideBySide
from pytest_vllm_bench.store.row import from_json

SIGNS = ("✅", "❌")


def rows(*times: float, digest: str | None = "d", session: str = "s", **more: Any) -> list[dict[str, Any]]:
    """A scenario's repeats by their mean TPOT; the last of them pools them."""
    made = []
    for repeat, tpot in enumerate(times, 1):
        key = more.get("scenario_key", "io64x8-mc4")
        one: dict[str, Any] = {
            "schema_version": 1, "scenario_id": f"{key}-np{more.get('num_prompts', 40)}-r{repeat}", "scenario_key": key,
            "session": session, "repeat": repeat, "plan_digest": digest and f"{digest}{repeat}", "complete": True,
            "verdict": "PASS", "num_prompts": 40, "mean_tpot_ms": tpot, "output_throughput": 1000 / tpot, **more,
        }  # fmt: skip
        made.append(one)
    if len(made) > 1:
        kept = ("plan_digest", "mean_tpot_ms", "output_throughput")
        made[-1]["per_repeat"] = [{key: one[key] for key in kept} for one in made]
    return made


def results(*times: float, **more: Any) -> list[Result]:
    return [*map(from_json, rows(*times, **more))]


def tpot(before: list[Result], after: list[Result], *texts: str) -> Change:
    (found,) = [c for c in side_by_side(before, after, conditions=[*map(condition, texts)]).changes
                if c.metric == "mean_tpot_ms"]  # fmt: skip
    return found


def forms(made: SideBySide) -> list[str]:
    return [compare.text(made), compare.text(made, "zh"), compare.markdown(made), compare.markdown(made, "zh"),
            compare.to_csv([made]), json.dumps(compare.to_json(made)),
            page.page(results(10.0), extra=page.Extra(compared=made))]  # fmt: skip


def test_a_sign_stands_where_the_change_is_proven_and_nowhere_else() -> None:
    """12 % from one run to another is noise like any other; threefold in five repeats is not."""
    noise = side_by_side(results(10.0), results(11.2))
    assert {c.finding for c in noise.changes} == {"unproven"}
    for text in forms(noise):
        table = text.partition('id="comparison"')[2] or text  # of a page
        assert not any(sign in table for sign in (*SIGNS, "better", "worse", "变好", "变差")), text
    assert "+12.0%" in compare.text(noise)
    steady = [x / 1000 for x in (10000, 10050, 9950, 10010, 9990)]
    proven = side_by_side(results(*steady), results(*(3 * x for x in steady)))
    by_metric = {c.metric: c.finding for c in proven.changes}
    assert by_metric == {"mean_tpot_ms": "worse", "output_throughput": "worse"}
    assert "| ❌ worse |" in compare.markdown(proven)
    assert "| ❌ 变差 |" in compare.markdown(proven, "zh")
    assert tpot(results(*(3 * x for x in steady)), results(*steady)).finding == "better"


def test_what_is_shown_is_what_decides() -> None:
    """A finding and its interval never contradict each other, whatever the figures."""
    for after in (5.0, 9.0, 10.0, 10.3, 12.0, 14.0, 18.0, 25.0, 40.0, 90.0):
        for repeats in (1, 3, 10):
            plain = tpot(results(*[10.0] * repeats), results(*[after] * repeats))
            low, high = plain.interval or (0, 0)
            assert low <= (plain.share or 0) <= high
            assert plain.finding == ("worse" if low > 0 else "better" if high < 0 else "unproven")
            asked = tpot(results(*[10.0] * repeats), results(*[after] * repeats), "mean_tpot_ms > +5%")
            low, high = asked.interval or (0, 0)
            assert asked.finding == ("beyond" if low > 0.05 else "within" if high <= 0.05 else "undecided")


def test_repeats_are_one_row_however_they_lie() -> None:
    ten = [9.0 + 0.1 * i for i in range(10)]
    pooled = results(*ten)
    loose = [replace(one, per_repeat=()) for one in pooled]
    for before in (pooled, loose, pooled[::-1]):
        made = side_by_side(before, results(*ten))
        assert [c.metric for c in made.changes] == ["output_throughput", "mean_tpot_ms"]
        assert {c.repeats for c in made.changes} == {(10, 10)}
        assert [c.share for c in made.changes] == pytest.approx([0.0, 0.0])
    older = results(99.0, session="r")
    assert tpot([*older, *pooled], pooled).repeats == (10, 10), "the newest session alone counts"


def test_other_loads_are_said_with_what_differs() -> None:
    config = {"num_prompts": 40, "seed": 0, "sampling": {"temperature": 0}, "judge": {"mode": "exact"}}
    other = {"num_prompts": 80, "seed": 0, "sampling": {"temperature": 1}, "judge": {"mode": "evidence"}}
    made = side_by_side(results(10.0, config=config), results(90.0, digest="e", config=other))
    assert {c.finding for c in made.changes} == {"untested"}
    for text in forms(made):
        assert (
            "num_prompts 40 → 80, sampling.temperature 0 → 1" in text or text.startswith("old,new") or "\\u2192" in text
        )
        assert not any(sign in text for sign in SIGNS)
    ((name, why),) = side_by_side(results(10.0, config=config), results(9.0, digest="e", config=config)).untested
    assert (name, why.key) == ("io64x8-mc4", "report.compare.other_prompts")
    for more in ({"verdict": "INVALID"}, {"complete": False}):
        assert side_by_side(results(10.0), results(90.0, **more)).changes[0].finding == "untested"
    servers = [{"model_id": name} for name in ("m", "n")]
    made = side_by_side(results(10.0, **servers[0]), results(10.0, **servers[1]))
    assert "model was m, now it is n: io64x8-mc4" in compare.text(made)


def test_matched_without_the_number_of_requests_and_the_rest_is_named() -> None:
    before = [*results(10.0), *results(10.0, scenario_key="io64x8-mc1")]
    made = side_by_side(before, [*results(10.0, num_prompts=80), *results(9.0, scenario_key="io64x8-mc9")])
    assert {c.scenario for c in made.changes} == {"io64x8-mc4"}
    assert (made.only_before, made.only_after) == (("io64x8-mc1",), ("io64x8-mc9",))


def vllm(place: Path, tpot: float, **more: Any) -> Path:
    """A file as ``vllm bench serve --save-result`` leaves it."""
    place.mkdir()
    figures = {"completed": 40, "duration": 1.0, "num_prompts": 40, "request_throughput": 1.0, "mean_tpot_ms": tpot}
    name = f"openai-infqps-concurrency4-m-20260101-{place.name}00000.json"
    (place / name).write_text(json.dumps(figures | more))
    return place


def ours(place: Path, *times: float, **more: Any) -> Path:
    place.mkdir()
    for row in rows(*times, **more):
        (place / f"bench_{row['scenario_id']}.json").write_text(json.dumps(row))
    return place


def shell(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    assert cli.main(["compare", *map(str, words), "--lang", "en"]) == code, capsys.readouterr()
    told = capsys.readouterr()
    return told.out + told.err


def test_files_of_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Figures alone: the change, no sign, and why; with what differs of the load, where it says so."""
    a, b = vllm(tmp_path / "1", 10.0), vllm(tmp_path / "2", 90.0)
    c = vllm(tmp_path / "3", 90.0, request_rate=4.0)
    for form in ("text", "markdown", "csv", "json"):
        text = shell(capsys, a, b, "--format", form, "--fail-if", "mean_tpot_ms > +5%")
        assert "tested" in text
        assert not any(sign in text for sign in SIGNS)
    assert "+800.0%" in shell(capsys, a, b)
    assert "figures alone" in shell(capsys, a, b)
    assert "the load differs: num_prompts 40 → 41" in shell(capsys, a, vllm(tmp_path / "4", 9.0, num_prompts=41))
    assert "+800.0%" in shell(capsys, a, c)
    shell(capsys, a, b, "--fail-if", "mean_tpot_ms > +5%", "--strict", code=1)


def test_exit_codes_of_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = ours(tmp_path / "a", *[10.0] * 5)
    same, little, slower = (ours(tmp_path / str(x), *[x] * 5) for x in (2.0, 10.2, 40.0))
    gate = ("--fail-if", "mean_tpot_ms > +5%")
    text = shell(capsys, a, slower, *gate, code=1)
    assert "mean_tpot_ms > +5%: proven 1, ruled out 0, undecided 0, not tested 0" in text
    assert "+300.0%" in text
    assert "ruled out 1" in shell(capsys, a, same, *gate, "--strict")
    assert "undecided 1" in shell(capsys, a, little, *gate)
    shell(capsys, a, little, *gate, "--strict", code=1)
    shell(capsys, a, slower, "--fail-if", "output_throughput < -10%", "--fail-if", "mean_tpot_ms < -5%", code=1)
    shell(capsys, a, slower, "--fail-if", "mean_tpot_ms > +10", code=1)
    shell(capsys, a, slower, "--fail-if", "mean_tpot_ms > +900%")
    shell(capsys, *gate, a, slower, same, code=1)
    (line, *_) = csv.DictReader(io.StringIO(shell(capsys, a, slower, *gate, "--format", "csv", code=1)))
    assert (line["finding"], line["condition"], line["before"]) == ("beyond", "mean_tpot_ms > +5%", "10")
    (made,) = json.loads(shell(capsys, a, slower, *gate, "--format", "json", code=1))
    (change,) = made["changes"]
    assert change["interval"][0] > 0.05
    assert (change["share"], change["repeats"], change["finding"]) == (pytest.approx(3.0), [5, 5], "beyond")


def test_a_gate_without_figures_is_no_green_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = ours(tmp_path / "a", 10.0), ours(tmp_path / "b", 10.0)
    other = ours(tmp_path / "c", 10.0, scenario_key="io1x1-mc1")
    assert "nothing was compared" in shell(capsys, a, b, "--fail-if", "mean_ttft_ms > 5%", code=2)
    assert "nothing was compared" in shell(capsys, a, other, "--fail-if", "mean_tpot_ms > 5%", code=2)
    zero = [ours(tmp_path / f"z{n}", 10.0, failed_ratio=n) for n in (0.0, 0.5)]
    for gate in ("failed_ratio > 5%", "failed_ratio > 0.01"):
        assert "not tested 1" in shell(capsys, *zero, "--fail-if", gate), "no noise is known of what was 0"
    wrong = {
        "mean_tpt_ms > 5%": "mean_tpot_ms", "mean_tpot_ms": "is no change", "mean_tpot_ms > x": "is no change",
        "mean_tpot_ms == 5%": "is no change", "output_throughput < 5%": "output_throughput < -5%",
    }  # fmt: skip
    for text, said in wrong.items():
        assert said in shell(capsys, a, b, "--fail-if", text, code=2)
    with pytest.raises(BenchError):
        condition("mean_tpot_ms > 5 %%")


def test_scenarios_together_say_what_none_says_alone() -> None:
    """The geometric mean of all changes comes first, with an interval of its own, and a condition holds for it too."""
    before = [one for k in range(12) for one in results(10.0, scenario_key=f"io{k}x8-mc4", digest=f"d{k}")]
    after = [one for k in range(12) for one in results(15.0, scenario_key=f"io{k}x8-mc4", digest=f"d{k}")]
    made = side_by_side(before, after)
    together = [one for one in made.changes if one.scenario == compare.ALL]
    assert [one.metric for one in made.changes[: len(together)]] == ["output_throughput", "mean_tpot_ms"]
    assert {one.finding for one in together} == {"worse"}
    assert together[1].share == pytest.approx(0.5)
    assert [one.finding for one in together] != [made.changes[-1].finding] * 2, "one scenario of one run proves nothing"
    assert "all, geometric mean" in compare.text(made)
    assert "全部（几何平均）" in compare.markdown(made, "zh")
    (asked,) = [c for c in side_by_side(before, after, conditions=[condition("mean_tpot_ms > +5%")]).changes
                if c.scenario == compare.ALL]  # fmt: skip
    assert asked.finding == "beyond"
    same = side_by_side(before, before)
    assert {one.finding for one in same.changes} == {"unproven"}
    assert not [one for one in side_by_side(before[:1], after[:1]).changes if one.scenario == compare.ALL]
