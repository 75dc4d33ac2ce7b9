"""Hugging Face datasets, saved and loaded here: columns found, media as stored, errors that say what to do."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image
from plans import Built

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.text import say

Make = Callable[..., Built]


def saved(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    return "saved"


def read(make: Make, name: str, n: int, **options: Any) -> Built:
    return make({"name": "hf", "path": name, **options}, num_prompts=n, cache="warm", backend="openai-chat")


@pytest.mark.parametrize(
    ("row", "text", "answer"),
    [
        ({"prompt": "air water", "completion": "one two three"}, "air water", 3),
        ({"question": "air water", "answer": "one two"}, "air water", 2),
        ({"instruction": "air", "input": "water", "output": "one"}, "air\n\nwater", 1),
        ({"instruction": "air", "input": "", "output": "one"}, "air", 1),
        ({"conversations": [{"from": "human", "value": "air"}, {"from": "gpt", "value": "one two"}]}, "air", 2),
        ({"messages": [{"role": "user", "content": "air"}, {"role": "assistant", "content": "one"}]}, "air", 1),
        ({"messages": [{"role": "user", "content": "air"}]}, "air", -1),
        ({"text": "air water"}, "air water", -1),
    ],
)
def test_common_columns_are_found(make: Make, tmp_path: Path, row: dict[str, Any], text: str, answer: int) -> None:
    built = read(make, saved(tmp_path, [row]), 1)
    assert built.texts == [text]
    assert built.rows["output_len"].tolist() == [answer]


def test_rows_are_chosen_by_what_a_column_says(make: Make, tmp_path: Path) -> None:
    kinds = ("qa", "sum", "math")
    name = saved(tmp_path, [{"prompt": f"air {i}", "kind": kinds[i % 3], "turn": i % 2} for i in range(12)])
    assert read(make, name, 4, where={"kind": "sum"}).texts == ["air 1", "air 4", "air 7", "air 10"]
    built = read(make, name, 5, where={"kind": ["qa", "math"], "turn": 1}, oversample=True)
    assert built.texts[:4] == ["air 3", "air 5", "air 9", "air 11"]
    assert any("kind, turn" in say(note) for note in built.plan.notes)
    for where, told in (({"kind": "none"}, "kind: none"), ({"sort": "qa"}, "kind")):
        with pytest.raises(DataError) as caught:
            read(make, name, 1, where=where, oversample=True)
        assert told in say(caught.value.message)


def test_named_columns_come_first(make: Make, tmp_path: Path) -> None:
    name = saved(tmp_path, [{"prompt": "no", "body": "air water", "reply": "one two"}])
    built = read(make, name, 1, prompt_column="body", answer_column="reply")
    assert (built.texts, built.rows["output_len"].tolist()) == (["air water"], [2])
    with pytest.raises(DataError) as caught:
        read(make, name, 1, prompt_column="text")
    assert "body" in say(caught.value.message)


def test_a_folder_of_parquet_and_of_jsonl(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = datasets.Dataset.from_list([{"prompt": f"air {i}", "answer": "one"} for i in range(20)])
    (tmp_path / "files").mkdir()
    found.to_parquet(str(tmp_path / "files" / "train.parquet"))
    (tmp_path / "lines").mkdir()
    found.to_json(str(tmp_path / "lines" / "train.jsonl"))
    for name in ("files", "lines"):
        assert read(make, name, 20).texts == [f"air {i}" for i in range(20)]


def test_shuffling_follows_the_seed(make: Make, tmp_path: Path) -> None:
    name = saved(tmp_path, [{"prompt": f"air {i}"} for i in range(50)])
    first = read(make, name, 30, shuffle=True).texts
    assert read(make, name, 30, shuffle=True).texts == first != [f"air {i}" for i in range(30)]


def test_pictures_are_sent_as_they_were_stored(make: Make, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 16), (9, 99, 199)).save(buffer, "PNG")
    features = datasets.Features({"image": datasets.Image(), "question": datasets.Value("string")})
    rows = [{"image": {"bytes": buffer.getvalue(), "path": None}, "question": "what is it"}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    built = read(make, "saved", 1)
    image, text = built.bodies[0]["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert text["text"] == "what is it"


def test_a_broken_picture_is_named_by_its_row(make: Make, tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image()})
    rows = [{"image": {"bytes": b"not a picture", "path": None}}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError) as caught:
        read(make, "saved", 1)
    assert "#1" in say(caught.value.message)


def test_too_few_rows_and_oversampling(make: Make, tmp_path: Path) -> None:
    name = saved(tmp_path, [{"prompt": f"air {i}"} for i in range(3)])
    with pytest.raises(DataError) as caught:
        read(make, name, 4)
    assert "at most 3" in say(caught.value.message)
    assert len(read(make, name, 7, oversample=True).texts) == 7


def test_a_split_that_is_not_there(make: Make, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    datasets.Dataset.from_list([{"prompt": "air"}]).to_parquet(str(tmp_path / "files" / "train.parquet"))
    with pytest.raises(DataError) as caught:
        read(make, "files", 1, split="test")
    assert "split test" in say(caught.value.message)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_folder_of_broken_files_is_told_by_its_name(make: Make, tmp_path: Path, streaming: bool) -> None:
    broken = {
        "jsonl": b'{"prompt": "a"}\n{"prompt": \n',
        "csv": b'prompt\n"a\nb',
        "parquet": b"PAR1 and nothing",
        "jsonl.gz": gzip.compress(b'{"prompt": "a"}\n')[:-9],
        "json": b"\xff\xfe\xfd",
    }
    for kind, data in broken.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"train.{kind}").write_bytes(data)
        with pytest.raises(DataError) as caught:
            read(make, kind, 5, streaming=streaming)
        assert kind in say(caught.value.message)
    (tmp_path / "bomb").mkdir()
    (tmp_path / "bomb" / "train.jsonl.gz").write_bytes(gzip.compress(bytes(1 << 22)) * 17)
    with pytest.raises(DataError, match="grows"):
        read(make, "bomb", 1, streaming=streaming)


def test_columns_without_a_prompt_are_listed(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(make, saved(tmp_path, [{"label": 3, "score": 0.5}]), 1)
    assert "label, score" in say(caught.value.message)


def test_a_path_that_is_not_there_is_no_hub_name(make: Make) -> None:
    with pytest.raises(DataError, match="file_absent"):
        read(make, "./gone", 1)
