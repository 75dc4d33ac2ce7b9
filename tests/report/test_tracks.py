"""Tracks lie in a file of their own beside a measurement, and are drawn under its requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from runs import scenario
from watched_made import START, track, watched

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Measurement, Observed, Result, Track
from pytest_vllm_bench.report import page
from pytest_vllm_bench.report.chart import Chart, spoken
from pytest_vllm_bench.report.charts.detail import detail
from pytest_vllm_bench.report.charts.tracks import PANELS
from pytest_vllm_bench.report.pictures import chinese_font, picture
from pytest_vllm_bench.report.samples import read
from pytest_vllm_bench.report.terminal import summary
from pytest_vllm_bench.store import folder, measurement, tracks

ONE = Track(name="queue_bucket", device="a", bound="inf", every=0.5, times=(0.1, 1e9 + 0.123456789), values=(1.0, 3e-7))


def test_a_measurement_finds_its_tracks_again(tmp_path: Path) -> None:
    made = Measurement(
        scenario=scenario(), observed=Observed(counters={"requests": 3}, tracks=(ONE, Track(name="empty")))
    )
    measurement.save(made, tmp_path / "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.measurement.gz", "x.tracks.jsonl.gz"]
    assert measurement.load(tmp_path / "x.measurement.gz") == made
    measurement.save(Measurement(scenario=scenario()), tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x.measurement.gz"], "none of an earlier run are left"


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    tracks.save([ONE], tmp_path / "x")
    path = tmp_path / f"x{tracks.SUFFIX}"
    whole = path.read_bytes()
    for content in (whole[:-9], b"", b"no gzip", whole[:20]):
        path.write_bytes(content)
        if content:
            with pytest.raises(BenchError) as caught:
                tracks.load(tmp_path / "x")
            assert caught.value.message.key == "report.damaged"


def test_what_is_thinned_keeps_its_extremes() -> None:
    values = [50.0] * 10_000
    values[777], values[778], values[9_000] = 99.0, 1.0, 98.0
    thin = tracks.thinned(Track(name="x", times=tuple(map(float, range(10_000))), values=tuple(values)))
    assert len(thin.times) == len(thin.values) <= tracks.DRAWN
    assert {99.0, 1.0, 98.0} <= set(thin.values)
    assert list(thin.times) == sorted(thin.times)
    assert (thin.times[0], thin.times[-1]) == (0, 9999)
    assert tracks.thinned(ONE) == ONE


def timeline_of(result: Result) -> Chart:
    path = folder.records_of(result)
    assert path is not None
    columns = read(path, 48, 400)
    assert columns is not None
    return next(chart for chart in detail(result, columns, 60, path) if chart.id == "timeline")


def test_what_was_watched_lies_under_the_requests(tmp_path: Path) -> None:
    chart = timeline_of(watched(tmp_path, restart=0.1))
    ids = [panel.id.removeprefix("watched-") for panel in chart.panels]
    assert ids[:4] == ["load", "kv", "power", "cpu"], "the most telling first"
    assert set(ids) == set(PANELS), "all others can be chosen"
    load = chart.panels[0]
    assert [spoken(one.name, "en") for one in load.series] == ["running", "waiting"]
    assert min(load.series[0].x) == -1, "on the requests' own axis, whose 0 is the start"
    assert max(chart.panels[1].series[0].y) == 100, "shares are in percent"
    said = {spoken(one.label, "en"): one.at for one in chart.moments}
    assert said.keys() >= {"KV cache full", "slowed by heat", "restart"}
    assert any(name.startswith("preemption") for name in said)
    assert said["restart"] == pytest.approx(0.1)
    assert [one.at for one in chart.moments] == sorted(one.at for one in chart.moments)
    assert len(chart.moments) <= 6


def test_many_moments_of_one_kind_are_one(tmp_path: Path) -> None:
    seen = [track("running", [1.0] * 40, 0.05), track("preemptions", [float(k) for k in range(40)], 0.05)]
    chart = timeline_of(watched(tmp_path, seen=seen))
    (label,) = {spoken(one.label, "zh") for one in chart.moments[:1]}
    assert label.startswith("抢占 ×")
    assert [panel.id for panel in chart.panels] == ["watched-load"]


def test_nothing_watched_is_nothing_drawn(tmp_path: Path) -> None:
    made = watched(tmp_path, seen=[Track(name="unheard_of", times=(START, START + 1), values=(1.0, 2.0))])
    assert timeline_of(made).panels == ()
    (tmp_path / f"{folder.stem(made.id)}.measurement.gz").unlink()
    assert timeline_of(made).panels == (), "an older result"
    (tmp_path / f"{folder.stem(made.id)}.measurement.gz").write_bytes(b"damaged")
    assert timeline_of(made).panels == (), "a damaged file costs its drawing"


def test_stages_that_a_server_tells_of_are_stacked(tmp_path: Path) -> None:
    told, untold = (timeline_of(watched(tmp_path / name, told=name == "a")) for name in ("a", "b"))
    parts = [{spoken(one.name, "en") for one in chart.series} for chart in (told, untold)]
    assert parts[0] - parts[1] == {"queueing in the server", "network and front end"}
    queue = next(one for one in told.series if spoken(one.name, "en") == "queueing in the server")
    assert list(queue.width) == pytest.approx([0.02] * len(queue.width))
    lengths = [sum(width or 0 for one in chart.series for width, y in zip(one.width, one.y, strict=True) if y == 3)
               for chart in (told, untold)]  # fmt: skip
    assert lengths[0] == pytest.approx(lengths[1]), "the bar is as long as before"


@pytest.mark.slow
def test_the_same_in_pictures_on_a_terminal_and_in_both_languages(tmp_path: Path) -> None:
    made = watched(tmp_path)
    chart = timeline_of(made)
    drawn = [picture(chart, lang=lang, font=chinese_font()) for lang in ("en", "zh")]
    assert min(map(len, drawn)) > len(picture(replace(chart, panels=(), moments=())))
    assert picture(chart, kind="png").startswith(b"\x89PNG")
    for width in (60, 80, 120, 200):
        for lang, name in (("en", "running"), ("zh", "运行中")):
            lines = summary([made], width=width, lang=lang).splitlines()
            sparks = [line for line in lines if "█" in line]
            assert 1 <= len(sparks) <= 2
            assert name in sparks[0]
            assert max(map(cell_len, sparks)) <= width
    assert "█" not in summary([replace(made, path=tmp_path / "elsewhere" / "x.json")])
    nothing = {"running": (1.0, 2.0, 1.0), "waiting": (0.0,) * 9, "kv_usage": (0.1,) * 9}
    seen = [Track(name=n, times=tuple(START + i for i in range(len(v))), values=v) for n, v in nothing.items()]
    (line,) = (one for one in summary([watched(tmp_path / "short", seen=seen)]).splitlines() if "KV cache" in one)
    assert "running" not in line, "three samples show nothing of its course"
    assert "waiting" not in line, "nor does nothing"


def test_where_the_time_went_is_a_table(tmp_path: Path) -> None:
    stages = {"server_queue": {"mean": 30.0, "p50": 20.0, "p99": 90.0},
              "decode": {"mean": 70.0, "p50": 70.0, "p99": 71.0},
              "connect": {"mean": 0.0, "p50": 0.0, "p99": 0.0}}  # fmt: skip
    text = page.page([replace(watched(tmp_path), stages=stages)])
    section = text.partition('<section id="stages">')[2].partition("</section>")[0]
    assert "30.0%" in section
    assert "70.0%" in section
    assert "服务端排队" in section
    assert "connecting" not in section, "what took nothing"
    assert 'id="stages"' not in page.page([watched(tmp_path / "b")])
