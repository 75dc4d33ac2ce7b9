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
    for left_there in (project / "results", project / "bench_cases" / "baselines"):
        shutil.rmtree(left_there, ignore_errors=True)
    return project


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = GITHUB["jobs"]["benchmark"]["steps"]
    return found


@pytest.mark.pages
def test_the_steps_for_github_run(repository: Path, server: str, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    variables = {"PYTEST_VLLM_URL": server, "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "CI": "true"}
    variables["SAVE"] = nightly(GITHUB["jobs"]["benchmark"]["env"]["SAVE"])
    measuring = [s["run"] for s in steps()[3:] if "run" in s and "if" not in s]
    printed = "".join(run(["bash", "-ec", one], repository, more=variables) for one in measuring)
    assert "io1024x8-mc16-np32" in printed
    assert "io1024x8-mc16-np32" in summary.read_text(encoding="utf-8")
    left(repository, *GITHUB["jobs"]["benchmark"]["steps"][-1]["with"]["path"].split())
    (commented,) = [s["run"] for s in steps() if "pull_request" in s.get("if", "")]
    made, given = commented.splitlines()
    run(["bash", "-ec", made], repository)
    assert (repository / given.split()[-1]).exists()


def nightly(said: str) -> str:
    """The one option in an expression, or in a rule's variable."""
    (option,) = re.findall(r"--[\w-]+=\w+", said)
    return str(option)


@pytest.mark.pages
def test_the_steps_for_gitlab_run(repository: Path, server: str) -> None:
    variables = {"PYTEST_VLLM_URL": server, "GITLAB_CI": "true", "CI": "true"}
    variables["SAVE"] = nightly(GITLAB["benchmark"]["rules"][0]["variables"]["SAVE"])
    for line in GITLAB["benchmark"]["script"][1:]:
        run(["bash", "-ec", line], repository, more=variables)
    artifacts = GITLAB["benchmark"]["artifacts"]
    left(repository, *artifacts["paths"])
    assert (repository / artifacts["reports"]["junit"]).exists()
    metrics = (repository / artifacts["reports"]["metrics"]).read_text(encoding="utf-8")
    assert re.search(r'^output_throughput\{scenario="io256x8-mc1-np4"\} \d', metrics, re.MULTILINE)


def left(repository: Path, folder: str, references: str) -> None:
    """What the pages say lies in the results, and among the references after a night."""
    results = repository / folder
    kept = json.loads((repository / references / "main.json").read_text(encoding="utf-8"))
    assert len(kept["scenarios"]) == 4
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


def test_only_the_nightly_job_writes_the_reference() -> None:
    assert "'schedule'" in GITHUB["jobs"]["benchmark"]["env"]["SAVE"]
    assert all("schedule" in s["if"] for s in steps() if "cache/save" in s.get("uses", ""))
    rules, otherwise = GITLAB["benchmark"]["rules"], GITLAB["benchmark"]["variables"]
    assert [rule["if"] for rule in rules if "SAVE" in rule.get("variables", {})] == [
        '$CI_PIPELINE_SOURCE == "schedule"'
    ]
    assert (otherwise["SAVE"], otherwise["POLICY"]) == ("", "pull")


def test_the_keys_are_github_s_own() -> None:
    assert set(GITHUB) == {"name", True, "permissions", "concurrency", "jobs"}, (
        "YAML 1.1 reads `on` as true, GitHub as on"
    )
    assert all(("uses" in step) != ("run" in step) for step in steps())
