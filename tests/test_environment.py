"""Facts about machine, commit and moment."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from pytest_vllm_bench import environment


def test_a_stamp_is_utc_to_the_second() -> None:
    stamp = environment.stamp()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp)
    assert datetime.fromisoformat(stamp).utcoffset() is not None


def test_facts_are_json_and_name_what_takes_part(tmp_path: Path) -> None:
    facts = json.loads(json.dumps(environment.facts(tmp_path)))
    client = facts["client"]
    assert client["cpus"] >= 1
    assert client["cpu"]
    assert client["packages"]["pytest"]
    assert client["python"].split()[1] == ".".join(map(str, sys.version_info[:3]))
    assert client["clock"]["resolution_s"] > 0
    assert facts["commit"] is None


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_a_commit_is_dirty_by_changed_files_only(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "a")
    found = environment.commit(tmp_path)
    assert found is not None
    assert re.fullmatch(r"[0-9a-f]{40}", found["id"])
    assert (found["branch"], found["dirty"]) == ("main", False)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x.json").write_text("{}")
    assert environment.commit(tmp_path) == found
    (tmp_path / "a").write_text("2")
    assert environment.commit(tmp_path) == {**found, "dirty": True}


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4.0,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
    ids=["absent", "none", "v2", "the smallest on the way up", "v1", "v1 none"],
)
def test_the_limit_of_a_container_is_found(tmp_path: Path, files: dict[str, str], limit: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert environment.cpu_limit(tmp_path) == limit


def test_the_processor_has_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert environment.cpu(tmp_path) == "Some CPU @ 2 GHz"


def test_a_job_leads_back_to_its_log() -> None:
    github = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://git.example",
        "GITHUB_REPOSITORY": "a/b",
        "GITHUB_RUN_ID": "7",
        "GITHUB_JOB": "bench",
        "CI": "true",
    }
    assert environment.ci(github) == {
        "name": "GitHub Actions",
        "job": "bench",
        "url": "https://git.example/a/b/actions/runs/7",
    }
    gitlab = {"GITLAB_CI": "true", "CI_JOB_NAME": "bench", "CI_JOB_URL": "https://git.example/j/7"}
    assert environment.ci(gitlab) == {"name": "GitLab", "job": "bench", "url": "https://git.example/j/7"}
    assert environment.ci({}) is None


def test_the_cache_follows_the_user_s_wish(tmp_path: Path) -> None:
    assert environment.cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "pytest-vllm-bench"
    assert environment.cache_dir({}).is_absolute()


@pytest.mark.skipif(sys.platform == "win32", reason="homes are found otherwise")
def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "~")  # which is what comes out where nobody knows one
    assert environment.cache_dir({}).is_absolute()
