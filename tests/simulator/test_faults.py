"""Fault scripts: what is written is what strikes, and what is wrong is said."""

import json
import re
from pathlib import Path

import pytest
from every import every

from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.simulator import faults
from pytest_vllm_bench.text import say


def test_a_fault_has_its_defaults_and_what_is_written() -> None:
    found = faults.parse("stall at=5 ; crlf;  status code=429 retry_after=2 message=too_busy")
    assert list(found) == ["stall", "crlf", "status"]
    assert (found["stall"].number("at"), found["stall"].number("seconds")) == (5, 3600)
    assert (found["status"].values["retry_after"], found["status"].values["message"]) == ("2", "too busy")


@every(
    ("text", "said"),
    [
        ("stal at=5", "no simulated fault 'stal'; known are: delay"),
        ("stall when=5", "'stall' has no key 'when'; it has: at, seconds"),
        ("stall at=soon", "at=soon of the simulated fault 'stall' is not a number"),
    ],
)
@every("lang", ["en", "zh"])
def test_a_mistake_is_named(text: str, said: str, lang: str) -> None:
    with pytest.raises(BenchError) as caught:
        faults.parse(text)
    words = say(caught.value.message, lang)
    assert said in words if lang == "en" else "模拟故障" in words


def test_a_script_strikes_the_requests_it_names(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text(
        json.dumps(
            [
                {"fault": "reset at=1", "requests": [0, 4]},
                {"fault": "blank", "every": 10, "from": 5},
                {"fault": "garbage", "path": "/v1/completions", "requests": [7]},
            ]
        )
    )
    rules = faults.read(script)

    def struck(number: int, path: str = "/v1/chat/completions", header: str | None = None) -> list[str]:
        return list(faults.strike(rules, number, path, header))

    assert [struck(n) for n in (0, 1, 4)] == [["reset"], [], ["reset"]]
    assert [struck(n) for n in (5, 10, 15)] == [["blank"], [], ["blank"]]
    assert struck(7) == []
    assert struck(7, "/v1/completions") == ["garbage"]
    assert struck(0, header="crlf") == ["reset", "crlf"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be used"),
        ('{"fault": "reset"}', "not a list of rules"),
        ('[{"requests": [1]}]', "Rule 0"),
        ('[{"fault": "reset", "at": 1}]', "Rule 0"),
    ],
)
def test_a_broken_script_is_refused(tmp_path: Path, content: str, said: str) -> None:
    script = tmp_path / "faults.json"
    script.write_text(content)
    with pytest.raises(BenchError) as caught:
        faults.read(script)
    assert said in say(caught.value.message, "en")


def test_every_fault_is_in_the_table_of_the_docstring() -> None:
    assert faults.__doc__ is not None
    listed = {line.split(" ")[0] for line in faults.__doc__.splitlines() if line[:1].isalpha()}
    assert faults.DEFAULTS.keys() <= listed


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_fault_is_in_the_docs_with_its_defaults(lang: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / lang / "simulator.md").read_text("utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    listed = [fault for code in re.findall("`([^`]+)`", rows) for fault in faults.parse(code).values()]
    assert {fault.name for fault in listed} == faults.DEFAULTS.keys()
    for fault in listed:
        for key, value in faults.DEFAULTS[fault.name].items():
            assert fault.values[key] == value or not fault.values[key], f"{fault.name} {key}"
