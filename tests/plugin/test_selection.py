"""Scenarios are items: expanded, named, selected and listed as pytest users expect, without contacting anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Bench = Callable[..., pytest.RunResult]
#: Nobody listens here: a dry run that contacted it would fail.
NOWHERE = "http://127.0.0.1:9"
USERS = """\
model: "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"
base_url: "http://localhost:8010"
tokenizer: "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"
input_output: [[256, 256], [512, 512], [1024, 1024]]
concurrency_prompts: [[1, 10], [4, 40], [8, 80], [16, 160]]
"""


def names(result: pytest.RunResult) -> list[str]:
    """The scenario ids that ``--collect-only -q`` lists."""
    return [line.split("[")[1].rstrip("]") for line in result.outlines if "test_serving[" in line]


def test_the_file_that_users_already_have(bench: Bench) -> None:
    found = names(bench("--collect-only", "-q", text=USERS))
    assert len(found) == 12
    assert found[0] == "io256x256-mc1-np10"
    assert found[-1] == "io1024x1024-mc16-np160"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-k", "io1024"], 4),
        (["-k", "mc16 and not io256"], 2),
        (["-k", "mc1"], 6),  # a substring: mc16 too
        (["-m", "vllm_bench(concurrency=1)"], 3),
        (["-m", "vllm_bench(input_len=512)"], 4),
        (["-m", "not vllm_bench"], 0),
    ],
)
def test_selecting(bench: Bench, args: list[str], expected: int) -> None:
    assert len(names(bench("--collect-only", "-q", *args, text=USERS))) == expected


def test_a_dry_run_contacts_nothing_and_says_what_is_in_force(bench: Bench) -> None:
    result = bench("--collect-only", f"--vllm-url={NOWHERE}")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"vllm-bench: *config.yaml, scenarios: 4; *{NOWHERE} (--vllm-url)*"])


def test_precedence(bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Option over environment over ini over config."""
    pytester.makefile(".ini", pytest="[pytest]\nvllm_url = http://ini:1\n")
    result = bench("--collect-only", text=USERS)
    result.stdout.fnmatch_lines(["*http://ini:1 (vllm_url (pytest.ini))*"])
    monkeypatch.setenv("PYTEST_VLLM_URL", "http://environment:1")
    result = bench("--collect-only", text=USERS)
    result.stdout.fnmatch_lines(["*http://environment:1 (PYTEST_VLLM_URL)*"])
    result = bench("--collect-only", "--vllm-url=http://option:1", text=USERS)
    result.stdout.fnmatch_lines(["*http://option:1 (--vllm-url)*"])


def test_no_url_anywhere_is_a_usage_error(bench: Bench) -> None:
    """A CI job whose variable is empty must never pass a gate against a simulator."""
    result = bench(base_url=None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str() + result.stdout.str()
    assert "--vllm-url" in text
    assert "simulator" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("READY_TIMEOUT", "soon"),
        ("READY_TIMEOUT", "nan"),
        ("LANG", "klingon"),
        ("STRICT", "maybe"),
        ("BASELINE", ""),
        ("MODEL", ""),
        ("RESULTS", ""),
        ("CONFIG", ""),
    ],
)
def test_a_variable_that_makes_no_sense_is_a_usage_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A gate that runs otherwise than it was told to is no gate: an unset variable must not leave a baseline out."""
    monkeypatch.setenv(f"PYTEST_VLLM_{name}", value)
    result = bench("--collect-only", "-q")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"PYTEST_VLLM_{name}: *"])


def test_a_bad_config_is_exit_4_with_all_problems_and_no_traceback(bench: Bench) -> None:
    result = bench(input_output="wrong", concurency_prompts=[[1, 1]], sla=["p99_ttft_sm <= 5"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str() + result.stdout.str()
    assert "Traceback" not in text
    for word in ("input_output", "concurency_prompts", "p99_ttft_sm", "config.yaml:"):
        assert word in text
    result = bench("--collect-only", input_output="wrong")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_the_marker_names_another_config(bench: Bench, pytester: pytest.Pytester) -> None:
    (pytester.path / "cases").mkdir()
    (pytester.path / "cases" / "other.yaml").write_text(USERS)
    test = """
import pytest

@pytest.mark.vllm_bench(config="other.yaml")
def test_serving(scenario, vllm_bench): ...
"""
    assert len(names(bench("--collect-only", "-q", test=test))) == 12


def test_an_unverified_server_is_said_loudly(bench: Bench) -> None:
    text = USERS.replace("http:", "https:")
    assert "WARNING" not in bench("--collect-only", "-q", text=text).stdout.str()
    result = bench("--collect-only", "-q", text=text + "tls: {verify: false}\n")
    result.stdout.fnmatch_lines(["*WARNING*https://localhost:8010*"])


OTHER = """
import pytest

@pytest.mark.vllm_bench(config="other.yaml")
def test_other(scenario, vllm_bench): ...

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    await vllm_bench(scenario)
"""


def test_two_configs_must_not_overwrite_one_another(bench: Bench, pytester: pytest.Pytester) -> None:
    (pytester.path / "cases").mkdir()
    (pytester.path / "cases" / "other.yaml").write_text(USERS)
    result = bench("--collect-only", text=USERS, test=OTHER)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*io256x256-mc1-np10*results_dir*"])
    assert bench("--collect-only", text=USERS + "results_dir: elsewhere\n", test=OTHER).ret == 0


TWICE = """
import pytest

def test_one(scenario, vllm_bench): ...

@pytest.mark.parametrize("how", ["plain", "again"])
def test_two(scenario, vllm_bench, how): ...
"""


def test_two_tests_must_not_overwrite_one_another(bench: Bench) -> None:
    """Which of the two would have the last word is no accident to leave to the reader."""
    result = bench("--collect-only", "-k", "io64x8-mc1", test=TWICE)
    assert result.ret == 4
    said = " ".join(result.stderr.str().split())
    assert "test_cases.py::test_two[io64x8-mc1-np4-plain] and cases/test_cases.py::test_one[io64x8-mc1-np4]" in said
    assert "repeats:" in said
    assert bench("--collect-only", "-k", "again and io64", test=TWICE).ret == 0, "one of them may run"
    assert bench("--collect-only", "-k", "test_two and mc1", test=TWICE).ret == 4
    skipped = TWICE.replace("def test_one", "@pytest.mark.skip\ndef test_one")
    assert bench("--collect-only", "-k", "not again", test=skipped).ret == 0, "and one that never runs writes nothing"


def test_a_test_with_one_of_the_fixtures_is_not_ours(bench: Bench) -> None:
    test = """
import pytest

@pytest.mark.parametrize("scenario", ["mine"])
def test_own(scenario):
    assert scenario == "mine"
"""
    bench("-p", "no:asyncio", test=test, text="this: [is, not, read").assert_outcomes(passed=1)


@pytest.mark.slow
def test_xdist_would_make_scenarios_contend(bench: Bench) -> None:
    result = bench("-n", "2", f"--vllm-url={NOWHERE}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--dist loadgroup" in result.stdout.str() + result.stderr.str()


@pytest.mark.slow
def test_an_xdist_that_cannot_group_is_refused(bench: Bench, pytester: pytest.Pytester) -> None:
    """Where nothing can put the group into a node id."""
    pytester.makeconftest(
        """
        def pytest_itemcollected(item):
            said = item.nodeid
            item.__class__ = type("Fixed", (type(item),), {"__slots__": (), "nodeid": property(lambda self: said)})
        """
    )
    result = bench("-n", "2", "--dist", "loadgroup")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "without -n" in result.stdout.str()


@pytest.mark.slow
def test_a_bad_config_under_xdist(bench: Bench) -> None:
    result = bench("-n", "2", "--dist", "loadgroup", input_output="wrong")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "input_output" in result.stdout.str()


def test_a_dry_run_says_what_the_backend_cannot(bench: Bench) -> None:
    asked = {"backend": "tgi", "sampling": {"min_p": 0.1}, "base_url": NOWHERE}
    text = bench("--collect-only", "-v", "--vllm-lang=en", **asked).stdout.str()
    assert "tgi cannot force the length of its answers" in text
    assert "tgi knows no min_p: not sent" in text
    assert "cannot force" not in bench("--collect-only", "--vllm-lang=en", **asked).stdout.str()


def test_a_dry_run_says_what_a_trace_comes_to(bench: Bench, pytester: pytest.Pytester) -> None:
    folder = pytester.path / "cases"
    folder.mkdir()
    rows = "".join(f"{t},{20 + t},3\n" for t in range(0, 601, 60))
    (folder / "t.csv").write_text("Timestamp,Input Length,Output Length\n" + rows)
    keys: dict[str, Any] = {"input_output": [[None, None]], "concurrency_prompts": [[None, None]]}
    keys["dataset"] = {"name": "trace", "path": "t.csv"}
    told = bench("--collect-only", "-q", **keys).stdout.str()
    assert "11 requests in 10 min, 0.01833 a second on average; 3,520 prompt and 33 answer tokens" in told
    blocks = '{"timestamp": 0, "input_length": 100, "output_length": 5, "hash_ids": [1, 2, 3, 4, 5, 6, 7]}\n'
    (folder / "t.csv").rename(folder / "t.jsonl")
    (folder / "t.jsonl").write_text(blocks)
    keys["dataset"] = {"name": "mooncake", "path": "t.jsonl"}
    told = bench("--collect-only", "-v", **keys).stdout.str()
    assert "7 hash_ids for 100 tokens" in told
    assert "block: 16" in told
