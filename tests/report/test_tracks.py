"""Tracks lie in a file of their own beside a measurement, and are thinned for who draws them."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import scenario

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.model import Measurement, Observed, Track
from pytest_vllm_bench.store import measurement, tracks

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
    assert tracks.thinned(ONE) == ONE
