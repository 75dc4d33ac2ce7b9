"""Any file at all → a plan, or a DataError that names the file: never another exception."""

from __future__ import annotations

import copy
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from long import LONG, times

from pytest_vllm_bench import plan
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Cell, DatasetChoice, Scenario, Target
from pytest_vllm_bench.text import say
from pytest_vllm_bench.tokenizer import Tokenizer

ANY = settings(
    max_examples=times(60, 2000),
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TALK = [
    {"from": "system", "value": "be brief"},
    {"from": "human", "value": "air water fire"},
    {"from": "gpt", "value": "one two three"},
]
CHAT = [{"role": "user", "content": [{"type": "text", "text": "air water"}]}, {"role": "assistant", "content": "one"}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "custom": [{"prompt": "air water", "output_tokens": 5}, {"messages": CHAT, "output_tokens": "5"}],
    "sharegpt": [{"id": "1", "conversations": TALK}, {"id": "2", "conversations": TALK[1:]}, {"messages": CHAT}],
    "hf": [
        {"question": "air", "options": "['x', 'y']", "image_1": None, "answer": "A"},
        {"instruction": "a", "input": "b"},
    ],
    "trace": [{"timestamp": t, "input_length": 20, "output_length": 5, "hash_ids": [1, t]} for t in range(3)],
    "mooncake": [{"timestamp": t * 1000, "input_length": 20, "output_length": 5, "hash_ids": [1]} for t in range(3)],
    "burstgpt": [{"Timestamp": t, "Request tokens": 20, "Response tokens": 5, "Model": "GPT-4"} for t in range(3)],
    "azure": [{"TIMESTAMP": f"2023-11-16 18:15:4{t}.68", "ContextTokens": 20, "GeneratedTokens": 5} for t in range(3)],
    "image": [{"image": "a.png", "prompt": "air", "output_tokens": 3}, {"image": "http://x/b.png"}],
    "audio": [{"audio": "a.wav", "text": "air"}],
    "sonnet": [{"a": "air water fire earth"}] * 20,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "sharegpt": {"min_prompt": 1, "min_output": 1, "multi_turn": True},
    "trace": {"block": 16},
}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "",
        " ",
        "8.0",
        8.0,
        "nan",
        -1,
        0,
        10**12,
        10**30,
        1e308,
        True,
        [],
        {},
        [[]],
        [None],
        ["a", 1],
        "\0",
        "\ud800",
        '"',
        "a,b;c\td",
        "[",
        '["a"]',
        '[{"from": "x"}]',
        "1e999",
        "2024-02-30",
        "0001-01-01",
        "data:,",
        "/dev/zero",
        "é" * 9,
        {"from": "human"},
        {"role": {}, "content": {}},
        {"bytes": "x"},
        {"path": 5},
        {"text": [None]},
        [[["a"]]],
        0.1,
        "-5",
    ]
)


def spelled(rows: list[dict[str, Any]], form: str) -> bytes:
    """The rows as a file of this form."""
    if form == "parquet":
        buffer = io.BytesIO()
        try:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
        except (pyarrow.ArrowException, TypeError, OverflowError, UnicodeError):
            return b"PAR1"
        return buffer.getvalue()
    if form in ("csv", "tsv"):
        names = list(dict.fromkeys(name for row in rows for name in row))
        told = [names, *([json.dumps(v) if isinstance(v, list | dict) else v for v in row.values()] for row in rows)]
        text = "\n".join(("\t" if form == "tsv" else ",").join(f'"{v}"' for v in line) for line in told)
    elif form == "jsonl":
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        text = json.dumps(rows, indent=1)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """(dataset, file name, content): rows with odd values, keys gone or doubled, bytes changed, packed or not."""
    name = draw(st.sampled_from(sorted(ROWS)))
    rows = json.loads(json.dumps(ROWS[name]))
    for _ in range(draw(st.integers(0, 3))):
        here: Any = draw(st.sampled_from(rows))
        while isinstance(here, dict | list) and here:
            key = draw(st.sampled_from(sorted(here))) if isinstance(here, dict) else draw(st.integers(0, len(here) - 1))
            if not isinstance(here[key], dict | list) or draw(st.booleans()):
                here[key] = copy.deepcopy(draw(ODD))
                break
            here = here[key]
    form = draw(st.sampled_from(["jsonl", "json", "csv", "tsv", "parquet"]))
    data = bytearray(spelled(rows, form))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = at + draw(st.integers(0, 9))
        data[at:end] = draw(
            st.one_of(st.binary(max_size=6), st.sampled_from([b'"', b"\n", b"\r", b"[", b"}", b",", b"\0"]))
        )
    if draw(st.booleans()) and draw(st.booleans()):
        form, data = f"{form}.gz", bytearray(gzip.compress(bytes(data), mtime=0)[: draw(st.integers(0, 500)) or None])
    return name, f"any.{form}", bytes(data)


@pytest.fixture
def places(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(b"\x89PNG not quite")
    (tmp_path / "a.wav").write_bytes(b"RIFF not quite")
    return tmp_path


@ANY
@given(made=files(), backend=st.sampled_from(sorted(BACKENDS)), n=st.integers(1, 4))
def test_any_file_is_read_or_refused_by_name(
    places: Path, small: Tokenizer, made: tuple[str, str, bytes], backend: str, n: int
) -> None:
    dataset, name, data = made
    (places / name).write_bytes(data)
    choice = DatasetChoice(name=dataset, options={"path": name, **OPTIONS.get(dataset, {})})
    asked = Scenario(cell=Cell(place="s"), target=Target(), backend=backend, dataset=choice, num_prompts=n)
    around = plan.BuildContext(backend=BACKENDS[backend], tokenizer=small, salt="x", models=("m",), base_dir=places)
    try:
        found = plan.build(asked, around, places / "plan")
        said = [say(note, lang) for note in found.notes for lang in ("en", "zh")]
        assert all(said)
        return
    except DataError as error:
        told = error.message
    assert say(told, "en")
    assert say(told, "zh")
