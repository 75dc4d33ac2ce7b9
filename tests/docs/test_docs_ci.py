"""The workflow files are what their systems read, and their steps run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from blocks import ROOT
from sandbox import run

HERE = ROOT / "docs" / "ci"
GITHUB = yaml.safe_load((HERE / "github-actions.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((HERE / "gitlab-ci.yml").read_text(encoding="utf-8"))


@pytest.fixture
def repository(project: Path) -> Path:
    """As it is checked out: without results."""
    shutil.rmtree(project / "results", ignore_errors=True)
    return project


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = GITHUB["jobs"]["benchmark"]["steps"]
    return found


def test_the_steps_for_github_run(repository: Path, server: str, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    variables = {"PYTEST_VLLM_URL": server, "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "CI": "true"}
    printed = "".join(run(["bash", "-ec", s["run"]], repository, more=variables) for s in steps()[3:] if "run" in s)
    assert "io1024x8-mc16-np32" in printed
    assert "io1024x8-mc16-np32" in summary.read_text(encoding="utf-8")
    left(repository, GITHUB["jobs"]["benchmark"]["steps"][-1]["with"]["path"])


def test_the_steps_for_gitlab_run(repository: Path, server: str) -> None:
    variables = {"PYTEST_VLLM_URL": server, "GITLAB_CI": "true", "CI": "true"}
    for line in GITLAB["benchmark"]["script"][1:]:
        run(["bash", "-ec", line], repository, more=variables)
    artifacts = GITLAB["benchmark"]["artifacts"]
    left(repository, artifacts["paths"][0])
    assert (repository / artifacts["reports"]["junit"]).exists()
    metrics = (repository / artifacts["reports"]["metrics"]).read_text(encoding="utf-8")
    assert re.search(r'^output_throughput\{scenario="io256x8-mc1-np4"\} \d', metrics, re.MULTILINE)


def left(repository: Path, folder: str) -> None:
    """What the pages say lies in the results."""
    results = repository / folder
    for name in ("junit.xml", "verdict.json", "report.html", "aggregate_results.csv"):
        assert (results / name).exists(), name
    suite = ElementTree.parse(results / "junit.xml").getroot()
    assert len(suite.findall(".//testcase")) == 4
    assert suite.findall(".//testcase/properties/property")
    assert json.loads((results / "verdict.json").read_text(encoding="utf-8"))


def test_a_variable_that_is_not_set_stops_the_job(repository: Path) -> None:
    said = run(["bash", "-ec", steps()[4]["run"]], repository, 4, more={"PYTEST_VLLM_URL": ""})
    assert "PYTEST_VLLM_URL" in said


def test_jobs_wait_for_one_another() -> None:
    assert GITHUB["concurrency"]["cancel-in-progress"] is False
    assert GITLAB["benchmark"]["resource_group"]


def test_the_keys_are_github_s_own() -> None:
    assert set(GITHUB) == {"name", True, "permissions", "concurrency", "jobs"}, (
        "YAML 1.1 reads `on` as true, GitHub as on"
    )
    assert all(("uses" in step) != ("run" in step) for step in steps())
