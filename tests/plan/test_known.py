"""Data sets that people use, as small copies of their schemas: what is asked, what was answered, what is sent."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from PIL import Image
from plans import Built

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.text import say

Make = Callable[..., Built]
Q, A = "air water fire earth", "one two three four five"
ASKED = {"role": "user", "content": Q}
SAID = {"role": "assistant", "content": A}
ARENA = {"question_id": "x", "model_a": "gpt-4", "model_b": "claude", "winner": "tie", "turn": 1, "language": "English"}
#: Name → (a row, the text that is sent, the tokens of the answer; -1: not told).
TEXT: dict[str, tuple[dict[str, Any], str, int]] = {
    "ShareGPT": ({"id": "a_0", "conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]}, Q, 5),
    "InstructCoder": ({"instruction": Q, "input": "x = 1", "output": A}, f"{Q}\n\nx = 1", 5),
    "AIMO": ({"id": 1, "problem": Q, "solution": A, "answer": "204", "url": "https://x"}, Q, 5),
    "NuminaMath": ({"source": "s", "problem": "no", "solution": "no", "messages": [ASKED, SAID]}, Q, 5),
    "arena-human-preference": ({**ARENA, "conversation_a": [ASKED, SAID], "conversation_b": [ASKED, SAID]}, Q, 5),
    "arena-140k": (
        {**ARENA, "conversation_a": [{"role": "user", "content": [{"type": "text", "text": Q}]}, SAID]},
        Q,
        5,
    ),
    "arena-55k": ({**ARENA, "prompt": json.dumps([Q, "b"]), "response_a": json.dumps([A, "d"])}, Q, 5),
    "lmsys-chat-1m": ({**ARENA, "conversation": [ASKED, SAID], "openai_moderation": [], "redacted": False}, Q, 5),
    "Blazedit": ({"code": "x = 1", "change_request": Q, "norm_distance": 0.2}, f"x = 1\n\n{Q}", -1),
    "zeta": ({"events": "e", "input": Q, "output": A, "labels": ""}, f"e\n\n{Q}", 5),
    "mt-bench": ({"question_id": 81, "category": "writing", "turns": [Q, "more"], "reference": None}, Q, -1),
    "mt_bench_prompts": ({"prompt": [Q, "more"], "reference": [], "prompt_id": 1}, Q, -1),
    "Spider": ({"db_id": "d", "query": A, "question": Q, "query_toks": ["a"], "question_toks": ["b"]}, Q, 5),
    "OpenOrca": ({"id": "x", "system_prompt": "be brief", "question": Q, "response": A}, f"be brief\n{Q}", 5),
    "SlimOrca": (
        {"conversations": [{"from": w, "value": v} for w, v in (("system", "be brief"), ("human", Q), ("gpt", A))]},
        f"be brief\n{Q}",
        5,
    ),
    "MLPerf": ({"system_prompt": "be brief", "question": Q, "input": "[INST]", "output": A}, f"be brief\n{Q}", 5),
    "Alpaca": ({"instruction": Q, "input": "", "output": A, "text": "Below is an instruction"}, Q, 5),
    "Dolly": ({"instruction": Q, "context": "c", "response": A, "category": "qa"}, f"{Q}\n\nc", 5),
    "GSM8K": ({"question": Q, "answer": A}, Q, 5),
    "HumanEval": ({"task_id": "H/0", "prompt": Q, "canonical_solution": A, "test": "t", "entry_point": "f"}, Q, 5),
    "MBPP": ({"task_id": 1, "text": Q, "code": A, "test_list": ["t"]}, Q, 5),
    "SQuAD": ({"context": "c", "question": Q, "answers": {"text": [A], "answer_start": [1]}}, f"c\n\n{Q}", 5),
    "LongBench": ({"input": Q, "context": "c", "answers": [A], "length": 9, "dataset": "d"}, f"c\n\n{Q}", 5),
    "CNN/DailyMail": ({"article": Q, "highlights": A, "id": "x"}, Q, 5),
    "XSum": ({"document": Q, "summary": A, "id": "1"}, Q, 5),
    "ultrachat_200k": ({"prompt": Q, "prompt_id": "x", "messages": [ASKED, SAID, ASKED, SAID]}, Q, 5),
    "UltraChat": ({"id": "0", "data": [Q, A, "b", "c"]}, Q, 5),
    "ultrafeedback": ({"prompt": Q, "chosen": [ASKED, SAID], "rejected": [ASKED, SAID]}, Q, 5),
    "hh-rlhf": ({"chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}", "rejected": "\n\nHuman: b"}, Q, 5),
    "MMLU": ({"question": Q, "subject": "s", "choices": ["x", "y"], "answer": 1}, f"{Q}\nA. x\nB. y", -1),
    "ARC": (
        {"question": Q, "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "1"},
        f"{Q}\n1. x\n2. y",
        -1,
    ),
    "glaive": ({"system": "SYSTEM: be brief", "chat": f"USER: {Q}\n\n\nASSISTANT: {A}"}, f"SYSTEM: be brief\n{Q}", 5),
    "BFCL": ({"id": "s", "question": [[ASKED]], "function": [{"name": "f"}]}, Q, -1),
    "xlam": ({"query": Q, "answers": json.dumps([{"value": A}]), "tools": "[]"}, Q, 5),
    "SWE-bench": ({"instance_id": "i", "problem_statement": Q, "patch": "p"}, Q, -1),
}


def read(make: Make, tmp_path: Path, *rows: dict[str, Any], backend: str = "openai-chat", **options: Any) -> Built:
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    n = options.pop("n", len(rows))
    return make({"name": "hf", "path": "set.jsonl", **options}, num_prompts=n, cache="warm", backend=backend)


def notes(built: Built) -> str:
    return "\n".join(say(note) for note in built.plan.notes)


def test_text_sets(make: Make, tmp_path: Path) -> None:
    off = {}
    for name, (row, text, answer) in TEXT.items():
        built = read(make, tmp_path, row)
        found = built.texts[0], int(built.rows["output_len"][0])
        if found != (text, answer):
            off[name] = found
    assert not off


def test_a_system_prompt_in_a_column_is_one(make: Make, tmp_path: Path) -> None:
    row = TEXT["OpenOrca"][0]
    assert [m["role"] for m in read(make, tmp_path, row).bodies[0]["messages"]] == ["system", "user"]
    assert read(make, tmp_path, row, backend="openai").texts == [f"be brief\n\n{Q}"]


def test_tools_that_are_not_sent_are_said(make: Make, tmp_path: Path) -> None:
    assert "1 of 1 rows have a column tools, which is not sent" in notes(read(make, tmp_path, TEXT["xlam"][0]))
    assert "column function," in notes(read(make, tmp_path, TEXT["BFCL"][0]))


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(buffer, "PNG")
    return buffer.getvalue()


def test_sets_with_pictures_and_films(make: Make, tmp_path: Path) -> None:
    """The text, how many pictures or films, and the tokens of the answer."""
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "1.png").write_bytes(picture())
    written = base64.b64encode(picture() + bytes(300)).decode()
    place, talk = "coco/1.png", [{"from": "human", "value": f"<image>\n{Q}"}, {"from": "gpt", "value": A}]
    options = "['x', 'y']"
    sets: dict[str, tuple[dict[str, Any], str, str, int, int]] = {
        "VisionArena": ({"images": [place], "conversation": [[ASKED], [SAID]], "language": "en"}, Q, "image", 1, 5),
        "vision-arena-bench": ({"images": [place], "turns": [[ASKED]], "question_id": "x"}, Q, "image", 1, -1),
        "ShareGPT4V": ({"id": "1", "image": place, "conversations": talk}, Q, "image", 1, 5),
        "LLaVA without a picture": ({"id": "1", "conversations": talk, "image": None}, f"<image>\n{Q}", "image", 0, 5),
        "LLaVA-OneVision": ({"id": "1", "image": {"path": place}, "conversations": talk}, Q, "image", 1, 5),
        "MMMU": (
            {"id": "v", "question": Q, "options": options, "answer": "B", "image_1": place, "image_2": None},
            f"{Q}\nA. x\nB. y",
            "image",
            1,
            -1,
        ),
        "MMVU": (
            {"video": "https://x/1.mp4", "question": Q, "choices": {"A": "x", "B": "y", "E": ""}, "answer": "A"},
            f"{Q}\nA. x\nB. y",
            "video",
            1,
            -1,
        ),
        "MMStar": ({"index": 1, "question": Q, "image": written, "answer": A, "category": "c"}, Q, "image", 1, 5),
        "LLaVA-Video": ({"video": "https://x/1.mp4", "conversations": talk}, Q, "video", 1, 5),
    }
    off = {}
    for name, (row, text, kind, number, answer) in sets.items():
        built = read(make, tmp_path, row)
        content = built.bodies[0]["messages"][-1]["content"]
        parts = [] if isinstance(content, str) else content
        sent = sum(part["type"] == f"{kind}_url" for part in parts)
        if (built.texts[0], sent, int(built.rows["output_len"][0])) != (text, number, answer):
            off[name] = built.texts[0], sent, int(built.rows["output_len"][0])
    assert not off
    with pytest.raises(DataError, match="media_not_taken"):
        read(make, tmp_path, sets["VisionArena"][0], backend="openai")


def test_pictures_that_are_not_here_leave_rows_out_aloud(make: Make, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    talk = [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]
    rows = [{"image": name, "conversations": talk} for name in ("a.png", "gone.png")]
    built = read(make, tmp_path, *rows, n=1)
    assert "1 of 2 rows left out: the picture" in notes(built)


def test_sets_of_speech_send_the_sound_and_not_what_was_said(make: Make, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", [0.0] * 800, 8000)
    sets: dict[str, dict[str, Any]] = {
        "librispeech": {"file": "a.flac", "audio": {"path": "a.wav"}, "text": A, "speaker_id": 1},
        "ami": {"meeting_id": "m", "audio": "a.wav", "text": A, "begin_time": 0.1, "microphone_id": "h"},
        "earnings22": {"audio": "a.wav", "sentence": A, "source_id": "1"},
        "spgispeech": {"wav_filename": "a.wav", "wav_filesize": 9, "transcript": A, "audio": "a.wav"},
        "voxpopuli": {"audio_id": "x", "audio": "a.wav", "raw_text": "", "normalized_text": A, "gender": "f"},
        "fleurs": {"audio": "a.wav", "transcription": A, "language": "en"},
    }
    off = {}
    for name, row in sets.items():
        built = read(make, tmp_path, row, backend="openai-audio")
        length = int(built.rows["output_len"][0])
        if length != 5 or A.encode() in built.raw[0] or b"RIFF" not in built.raw[0]:
            off[name] = length
    assert not off
