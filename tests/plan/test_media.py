"""Images, sound and film: made, read from files, or refused by name."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from plans import Built

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.text import say
from pytest_vllm_bench.tokenizer import Tokenizer

Make = Callable[..., Built]


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size, (200, 30, 60)).save(path)
    return path


def sound(path: Path, seconds: float, rate: int = 8000) -> Path:
    path.parent.mkdir(exist_ok=True)
    times = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * times), rate)
    return path


def parts(body: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [part for part in body["messages"][-1]["content"] if part["type"] == kind]


def data_of(url: str) -> bytes:
    return base64.b64decode(url.partition("base64,")[2])


def told(make: Make, dataset: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(DataError) as caught:
        make(dataset, **{"backend": "openai-chat", "num_prompts": 1, **fields})
    say(caught.value.message, "zh")
    return say(caught.value.message)


@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_random_pictures_have_their_size_and_are_new_each_time(make: Make, small: Tokenizer, form: str) -> None:
    dataset = {"name": "random_mm", "images": 2, "width": 96, "height": 64, "format": form}
    asked = {"input_len": 30, "output_len": 4, "num_prompts": 3, "backend": "openai-chat"}
    built = make(dataset, **asked)
    urls = [part["image_url"]["url"] for body in built.bodies for part in parts(body, "image_url")]
    assert len(set(urls)) == 6
    for url in urls:
        with Image.open(io.BytesIO(data_of(url))) as image:
            assert (image.size, image.format) == ((96, 64), form.upper())
    assert [small.count([parts(b, "text")[0]["text"]])[0] for b in built.bodies] == [30, 30, 30]
    assert built.rows["input_len"].tolist() == [-1, -1, -1]
    again = make(dataset, **asked, context={"salt": "tomorrow"})
    assert not set(urls) & {part["image_url"]["url"] for body in again.bodies for part in parts(body, "image_url")}
    assert again.plan.digest == built.plan.digest


def test_random_film_is_frames_in_one_url(make: Make) -> None:
    dataset = {"name": "random_mm", "images": 0, "video_frames": 4, "width": 64, "height": 48}
    built = make(dataset, input_len=30, output_len=4, num_prompts=2, backend="openai-chat")
    url = parts(built.bodies[0], "video_url")[0]["video_url"]["url"]
    frames = url.removeprefix("data:video/jpeg;base64,").split(",")
    assert [Image.open(io.BytesIO(base64.b64decode(f))).size for f in frames] == [(64, 48)] * 4


def test_neither_pictures_nor_frames_is_no_media(make: Make) -> None:
    from pytest_vllm_bench import plan
    from pytest_vllm_bench.model import DatasetChoice

    problems = plan.check(DatasetChoice(name="random_mm", options={"images": 0}))
    assert [problem.message.key for problem in problems] == ["plan.no_media"]


def test_a_folder_of_pictures(make: Make, tmp_path: Path) -> None:
    files = [picture(tmp_path / "pics" / name) for name in ("b.jpg", "a.png", "c.webp")]
    (tmp_path / "pics" / "notes.txt").write_text("not a picture")
    built = make({"name": "image", "path": "pics"}, num_prompts=3, output_len=5, backend="openai-chat")
    urls = [parts(body, "image_url")[0]["image_url"]["url"] for body in built.bodies]
    assert [data_of(url) for url in urls] == [files[1].read_bytes(), files[0].read_bytes(), files[2].read_bytes()]
    assert [url.partition(";")[0] for url in urls] == ["data:image/png", "data:image/jpeg", "data:image/webp"]
    assert parts(built.bodies[0], "text")[0]["text"].endswith("Describe this image.")


def test_rows_that_name_pictures(make: Make, tmp_path: Path) -> None:
    picture(tmp_path / "pics" / "a.png")
    rows = [
        {"image": "pics/a.png", "prompt": "what is it", "output_tokens": 7},
        {"image": ["pics/a.png", "https://example.org/b.png"]},
    ]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    built = make({"name": "image", "path": "list.jsonl"}, num_prompts=2, backend="openai-chat", cache="warm")
    assert [part["text"] for body in built.bodies for part in parts(body, "text")] == [
        "what is it",
        "Describe this image.",
    ]
    assert parts(built.bodies[1], "image_url")[1]["image_url"]["url"] == "https://example.org/b.png"
    assert built.rows["output_len"].tolist() == [7, -1]


def test_words_beside_a_picture_that_are_not_sent_are_said(make: Make, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    row = {"images": ["a.png"], "conversation": [[{"role": "user", "content": "what is it"}]]}
    (tmp_path / "list.jsonl").write_text(json.dumps(row) + "\n")
    built = make({"name": "image", "path": "list.jsonl"}, num_prompts=1, backend="openai-chat")
    assert "column conversation, which is not sent" in say(built.plan.notes[0])


def test_the_length_of_sound_is_recorded(make: Make, tmp_path: Path) -> None:
    sound(tmp_path / "clips" / "a.wav", 1.5)
    sound(tmp_path / "clips" / "b.flac", 0.25)
    built = make({"name": "audio", "path": "clips", "prompt": "what is said"}, num_prompts=2, backend="openai-chat")
    assert built.rows["audio_s"].tolist() == [1.5, 0.25]
    heard = [parts(body, "input_audio")[0]["input_audio"] for body in built.bodies]
    assert [part["format"] for part in heard] == ["wav", "flac"]
    assert base64.b64decode(heard[0]["data"]) == (tmp_path / "clips" / "a.wav").read_bytes()


def test_transcriptions_are_sent_as_forms_and_unsalted(make: Make, tmp_path: Path) -> None:
    clip = sound(tmp_path / "clips" / "a.wav", 0.5)
    built = make({"name": "audio", "path": "clips"}, num_prompts=1, backend="openai-audio")
    assert clip.read_bytes() in built.raw[0]
    assert b'name="prompt"' not in built.raw[0]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("cut.png", b"cut", "cut.png"),
        ("none.jpg", b"", "none.jpg"),
        ("text.webp", b"this is text", "text.webp"),
    ],
)
def test_a_broken_picture_is_named(make: Make, tmp_path: Path, name: str, data: bytes, words: str) -> None:
    if data == b"cut":
        data = picture(tmp_path / "whole.png", (400, 300)).read_bytes()[:-200]
        (tmp_path / "whole.png").unlink()
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / name).write_bytes(data)
    assert words in told(make, {"name": "image", "path": "pics"})


def test_broken_sound_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.wav").write_bytes(b"RIFF and no more")
    assert "a.wav" in told(make, {"name": "audio", "path": "clips"})


def test_absent_files_and_empty_folders_are_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.jsonl").write_text('{"image": "gone.png"}\n')
    (tmp_path / "null.jsonl").write_text('{"image": null}\n')
    assert "empty" in told(make, {"name": "image", "path": "empty"})
    assert "gone.png" in told(make, {"name": "image", "path": "list.jsonl"})
    assert "row 1" in told(make, {"name": "image", "path": "null.jsonl"})


def test_backends_without_eyes_refuse_pictures(make: Make, tmp_path: Path) -> None:
    picture(tmp_path / "pics" / "a.png")
    assert "openai-chat" in told(make, {"name": "image", "path": "pics"}, backend="openai")
    assert "openai-chat" in told(make, {"name": "random_mm"}, backend="openai", input_len=9, output_len=9)
