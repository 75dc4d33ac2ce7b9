"""Files of prompts: read without being held, sampled as documented, refused with every bad line named."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import Built

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.plan import tables
from pytest_vllm_bench.text import say
from pytest_vllm_bench.tokenizer import Tokenizer, common_words

Make = Callable[..., Built]
ANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = common_words()


def talk(*lengths: int, first: int = 0) -> dict[str, Any]:
    """A conversation whose turns have these many words, which are as many tokens."""
    turns = [
        {"from": "gpt" if i % 2 else "human", "value": " ".join(WORDS[first + i : first + i + n])}
        for i, n in enumerate(lengths)
    ]
    return {"id": str(first), "conversations": turns}


def write(path: Path, what: Any) -> str:
    path.write_text(json.dumps(what, ensure_ascii=False) if not isinstance(what, str) else what, "utf-8")
    return path.name


def lines(*found: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)


def told(make: Make, dataset: dict[str, Any], lang: str = "en", **fields: Any) -> str:
    with pytest.raises(DataError) as caught:
        make(dataset, **fields)
    return say(caught.value.message, lang)


# ------------------------------------------------------------------------------------------ ShareGPT


def test_sharegpt_asks_the_first_turn_and_for_as_much_as_was_answered(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "s.json", [talk(10, 20, first=7), talk(12, 30, 5, 5, first=40)])
    built = make({"name": "sharegpt", "path": name, "shuffle": False}, num_prompts=2, cache="warm")
    assert built.texts == [" ".join(WORDS[7:17]), " ".join(WORDS[40:52])]
    assert built.rows["input_len"].tolist() == [10, 12]
    assert built.rows["output_len"].tolist() == [20, 30]
    assert [body["max_tokens"] for body in built.bodies] == [20, 30]


def test_sharegpt_keeps_what_lies_within_its_limits(make: Make, tmp_path: Path) -> None:
    talks = [
        talk(3, 9),
        talk(4, 3),
        talk(5),
        talk(4, 4),
        talk(1024, 4),
        talk(1025, 4),
        talk(900, 1149),
        talk(900, 1148),
    ]
    name = write(tmp_path / "s.json", talks)
    built = make({"name": "sharegpt", "path": name, "shuffle": False}, num_prompts=3, cache="warm")
    assert built.rows["input_len"].tolist() == [4, 1024, 900]
    wider = {"name": "sharegpt", "path": name, "shuffle": False, "max_prompt": 2000, "max_total": 4000}
    assert make(wider, num_prompts=5, cache="warm").rows["input_len"].tolist() == [4, 1024, 1025, 900, 900]


def test_sharegpt_is_shuffled_by_its_seed(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "s.json", [talk(5, 5, first=9 * i) for i in range(60)])
    dataset = {"name": "sharegpt", "path": name}
    first = make(dataset, num_prompts=40, cache="warm").texts
    assert make(dataset, num_prompts=40, cache="warm").texts == first
    assert make(dataset, num_prompts=40, cache="warm", seed=1).texts != first
    assert len(set(first)) == 40


def test_given_text_is_salted_in_front_and_counted(make: Make, small: Tokenizer, tmp_path: Path) -> None:
    name = write(tmp_path / "s.json", [talk(5, 5, first=9 * i) for i in range(20)])
    dataset = {"name": "sharegpt", "path": name, "shuffle": False}
    built = make(dataset, num_prompts=20)
    assert small.count(built.texts) == built.rows["input_len"].tolist()
    assert [text.split("\n")[1] for text in built.texts] == make(dataset, num_prompts=20, cache="warm").texts
    assert len({text.split("\n")[0] for text in built.texts}) == 20
    again = make(dataset, num_prompts=20, context={"salt": "tomorrow"})
    assert not {t.split("\n")[0] for t in again.texts} & {t.split("\n")[0] for t in built.texts}
    assert again.plan.digest == built.plan.digest


def test_an_asked_output_length_replaces_the_recorded_one(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "s.json", [talk(5, 50)])
    assert make({"name": "sharegpt", "path": name}, num_prompts=1, output_len=9).rows["output_len"].tolist() == [9]


def test_other_spellings_of_a_conversation(make: Make, tmp_path: Path) -> None:
    asked = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the question of the day"}]
    row = {"messages": [*asked, {"role": "assistant", "content": "an answer that is long"}]}
    name = write(tmp_path / "s.json", [row])
    built = make({"name": "sharegpt", "path": name}, num_prompts=1, cache="warm")
    assert built.texts == ["be brief\n\nthe question of the day"]


def test_too_few_rows_are_an_error_unless_oversampled(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "s.json", [talk(5, 5), talk(6, 6), talk(2, 2)])
    dataset = {"name": "sharegpt", "path": name}
    assert "at most 2" in told(make, dataset, num_prompts=3)
    assert "oversample: true" in told(make, dataset, "zh", num_prompts=3)
    built = make({**dataset, "oversample": True}, num_prompts=5)
    assert len(built.rows) == 5
    assert len(set(built.texts)) == 5
    assert [note.key for note in built.plan.notes] == ["plan.oversampled", "plan.talk_outside"]


def test_oversampling_nothing_usable_ends(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "s.json", [talk(1, 1)])
    assert "only 0" in told(make, {"name": "sharegpt", "path": name, "oversample": True}, num_prompts=3)


def test_whole_conversations_are_played(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "s.json", [talk(5, 6, 7, 8, 9), talk(4, 4, 4, 4, 4, 4, first=50)])
    dataset = {"name": "sharegpt", "path": name, "multi_turn": True, "shuffle": False, "think": 1.5}
    built = make(dataset, num_prompts=5, backend="openai-chat")
    assert built.rows["chain"].tolist() == [0, 0, 1, 1, 1]
    assert built.rows["turn"].tolist() == [0, 1, 0, 1, 2]
    assert built.rows["think"].tolist() == [0, 1.5, 0, 1.5, 1.5]
    assert built.rows["output_len"].tolist() == [6, 8, 4, 4, 4]


# --------------------------------------------------------------------------------------- own prompts


def test_own_prompts_come_in_order_with_their_lengths(make: Make, tmp_path: Path) -> None:
    text = lines({"prompt": "one two", "output_tokens": 5}, {"prompt": "你好，世界"}, {"prompt": "three"})
    name = write(tmp_path / "p.jsonl", "\n" + text)
    built = make({"name": "custom", "path": name}, num_prompts=3, cache="warm")
    assert built.texts == ["one two", "你好，世界", "three"]
    assert built.rows["output_len"].tolist() == [5, -1, -1]
    assert [body.get("max_tokens") for body in built.bodies] == [5, None, None]
    assert ["ignore_eos" in body for body in built.bodies] == [True, False, False]


def test_own_prompts_in_every_kind_of_file(make: Make, tmp_path: Path) -> None:
    found = [{"prompt": f'line one of {i}\nand "two", 再来一行', "output_tokens": i + 1} for i in range(700)]
    write(tmp_path / "p.jsonl", lines(*found))
    write(tmp_path / "p.json", found)
    with (tmp_path / "p.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["prompt", "output_tokens"])
        writer.writeheader()
        writer.writerows(found)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found), tmp_path / "p.parquet", row_group_size=100)
    built = [
        make({"name": "custom", "path": f"p.{kind}", "shuffle": True}, num_prompts=600, cache="warm")
        for kind in ("jsonl", "json", "csv", "parquet")
    ]
    assert all(b.texts == built[0].texts for b in built)
    assert all(b.rows["output_len"].tolist() == built[0].rows["output_len"].tolist() for b in built)


def test_messages_go_to_chat_backends(make: Make, tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "short"}, {"role": "user", "content": "hello there"}]
    name = write(tmp_path / "p.jsonl", lines({"messages": messages, "output_tokens": 3}))
    built = make({"name": "custom", "path": name}, num_prompts=1, backend="openai-chat", cache="warm")
    assert built.bodies[0]["messages"] == messages
    salted = make({"name": "custom", "path": name}, num_prompts=1, backend="openai-chat").bodies[0]["messages"]
    assert salted[0]["content"].endswith("\nshort")
    assert salted[1] == messages[1]
    assert "openai-chat" in told(make, {"name": "custom", "path": name}, num_prompts=1)


def test_another_column_can_hold_the_prompt(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "p.jsonl", lines({"q": "what is it", "n": "7"}))
    built = make(
        {"name": "custom", "path": name, "prompt_column": "q", "output_column": "n"}, num_prompts=1, cache="warm"
    )
    assert (built.texts, built.rows["output_len"].tolist()) == (["what is it"], [7])


def test_own_prompts_need_no_tokenizer(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "p.jsonl", lines({"prompt": "hello"}))
    built = make({"name": "custom", "path": name}, num_prompts=1, tokenizer=None)
    assert (built.texts, built.rows["input_len"].tolist()) == (["hello"], [-1])


def test_rows_beyond_the_window_are_named_by_their_lines(make: Make, tmp_path: Path) -> None:
    found = [{"prompt": " ".join(WORDS[:n]), "output_tokens": 10} for n in (5, 90, 5, 91)]
    name = write(tmp_path / "p.jsonl", "\n" + lines(*found))
    message = told(make, {"name": "custom", "path": name}, num_prompts=4, cache="warm", context={"max_model_len": 99})
    assert "row(s) 3, 5" in message
    assert "99" in message


# ------------------------------------------------------------------------------------------ bad data


def test_every_broken_line_is_told_at_once(make: Make, tmp_path: Path) -> None:
    name = write(
        tmp_path / "p.jsonl", lines({"prompt": "a"}) + '{"prompt": \n[1]\n\n' + lines({"prompt": "b"}) + "no\n"
    )
    message = told(make, {"name": "custom", "path": name})
    assert [f"line {n}:" in message for n in range(1, 7)] == [False, True, True, False, False, True]
    assert "第 6 行" in told(make, {"name": "custom", "path": name}, "zh")


def test_every_row_without_a_prompt_is_told_at_once(make: Make, tmp_path: Path) -> None:
    found = [
        {"prompt": "a"},
        {"text": "b"},
        {"prompt": ["c"]},
        {"prompt": "d", "output_tokens": "many"},
        {"prompt": ""},
    ]
    name = write(tmp_path / "p.jsonl", lines(*found))
    message = told(make, {"name": "custom", "path": name}, num_prompts=5)
    assert [f"line {n}:" in message for n in range(1, 6)] == [False, True, True, True, True]
    assert "it has: text" in message
    assert "'many'" in message


def test_a_missing_column_names_those_there_are(make: Make, tmp_path: Path) -> None:
    name = write(tmp_path / "p.csv", "question,reply\nwhy,because\n")
    assert "question, reply" in told(make, {"name": "custom", "path": name})
    assert "prompt_column" not in told(make, {"name": "custom", "path": name, "prompt_column": "query"})


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("absent.jsonl", None, "no such file"),
        ("empty.jsonl", b"", "no rows"),
        ("blank.jsonl", b"\n \n", "no rows"),
        ("list.json", b"[]", "no rows"),
        ("head.csv", b"prompt\n", "no rows"),
        ("cut.json", b'[{"prompt": "a"},\n {"prompt": "b', "line 2"),
        ("comma.json", b'[{"prompt": "a"},\n\n {prompt}]', "line 3"),
        ("torn.jsonl", '{"prompt": "\u4f60\u597d"}\n{"prompt": "\u4f60'.encode()[:-1] + b'"}\n', "line 2"),
        ("cut.csv", "prompt\n\u4f60\u597d\n\u4f60".encode()[:-1], "line 3"),
        ("quote.csv", b'prompt,output_tokens\na,1\n"b,2\nc,3\n', "line 3"),
        ("inner.csv", b'prompt,output_tokens\na,1\n"say "b" now",2\n', "line 3"),
        ("comma.csv", b"prompt,output_tokens\na,1\nb, and c,2\n", "line 3"),
        ("deep.jsonl", b'{"prompt": "a"}\n' + b"[" * 200_000, "line 2"),
        ("deep.json", b"[" + b'{"a":' * 200_000, "line 1"),
        ("number.jsonl", b'{"prompt": "a"}\n7\n', "line 2"),
        ("more.json", b'[{"prompt": "a"}]\nand more', "line 2"),
        ("half.jsonl.gz", gzip.compress(b'{"prompt": "a"}\n' * 99, mtime=0)[:-9], "Unpack"),
        ("sheet.xlsx", b"PK\x03\x04 and so on", "CSV"),
        ("not.parquet", b"PAR1 and then nothing", "Parquet"),
    ],
)
def test_files_that_cannot_be_read(make: Make, tmp_path: Path, name: str, data: bytes | None, words: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    message = told(make, {"name": "custom", "path": name}, num_prompts=2)
    assert words in message
    assert name in message
    assert name in told(make, {"name": "custom", "path": name}, "zh", num_prompts=2)


def test_what_is_no_file_is_told_as_what_it_is(make: Make, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    found = {"folder": "folder", "pipe": "device or a pipe", "loop": "cannot be read", "/dev/zero": "device"}
    found |= {"a\0b": "cannot be read", "n" * 300: "cannot be read", "~nobody/x": "no such file"}
    for dataset in ("custom", "sharegpt", "sonnet", "trace", "image"):
        off = [n for n, words in found.items() if words not in told(make, {"name": dataset, "path": n}, **CHAT)]
        assert [name for name in off if (dataset, name) != ("image", "folder")] == []


CHAT: dict[str, Any] = {"backend": "openai-chat", "output_len": 3}
ROW = {"prompt": "你好，世界：早上好", "output_len": 8}


def test_the_spelling_of_a_file_does_not_matter(make: Make, tmp_path: Path) -> None:
    """What is not as it should be is read all the same, and said where it was a guess."""
    text = json.dumps(ROW, ensure_ascii=False)
    table = "prompt,output_len\n你好，世界：早上好,8\n"
    files: dict[str, tuple[str | bytes, str]] = {
        "mark.jsonl": (text.encode("utf-8-sig"), ""),
        "wide.jsonl": (text.encode("utf-16"), "UTF-16"),
        "wide.csv": (table.encode("utf-16"), "UTF-16"),
        "unmarked.json": (json.dumps([ROW]).encode("utf-16-be"), "UTF-16-BE"),
        "widest.jsonl": (text.encode("utf-32"), "UTF-32"),
        "old.jsonl": (text.encode("gbk"), "GB18030"),
        "old.csv": (table.encode("gbk"), "GB18030"),
        "lines.jsonl": ("\r\n\n" + text + ",\r\n \n", ""),
        "list.jsonl": (f"[\n{text},\n]", ""),
        "lines.json": (text + "\n", ""),
        "spread.json": (json.dumps(ROW, indent=2, ensure_ascii=False), ""),
        "one after another.json": (f"[{text}]\n[{text}]", ""),
        "wrapped.json": (json.dumps({"version": 1, "data": [ROW]}, indent=1), ""),
        "nan.jsonl": (text[:-1] + ', "score": NaN, "output_len": 8}', ""),
        "packed.jsonl.gz": (gzip.compress(text.encode()), ""),
        "packed.csv.gz": (gzip.compress(table.encode()), ""),
        "packed.jsonl.bz2": (bz2.compress(text.encode()), ""),
        "packed.jsonl.xz": (lzma.compress(text.encode()), ""),
        "semicolons.csv": (table.replace(",", ";"), ""),
        "tabs.csv": (table.replace(",", "\t"), ""),
        "tabs.tsv": (table.replace(",", "\t"), ""),
        "windows.csv": (table.replace("\n", "\r\n"), ""),
        "macintosh.csv": (table.replace("\n", "\r"), ""),
        "capitals.csv": (table.replace("prompt,output_len", " Prompt , Output Len "), ""),
        "名字 with spaces.csv": (table, ""),
        **{f"count{n}.csv": (table.replace(",8", f",{n}"), "") for n in ("8.0", " 8 ", '"8"', "8.00")},
        **{f"count{n}.jsonl": (text.replace("8", n), "") for n in ("8.0", '"8"', '" 8 "', '"8.0"', "8e0")},
    }
    off = {}
    for name, (content, said) in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        built = make({"name": "custom", "path": name}, num_prompts=1, cache="warm")
        notes = [say(note, lang) for note in built.plan.notes for lang in ("en", "zh")]
        found = built.texts, built.rows["output_len"].tolist(), [said in note for note in notes]
        if found != ([ROW["prompt"]], [8], [True, True] if said else []):
            off[name] = found
    assert not off
    latin = "prompt\nsome naïve café, déjà vu\n"
    (tmp_path / "latin.csv").write_bytes(latin.encode("latin-1"))
    built = make({"name": "custom", "path": "latin.csv"}, num_prompts=1, cache="warm")
    assert built.texts == [latin.splitlines()[1]]
    assert "(line 2): read as Windows-1252" in say(built.plan.notes[0])


def test_a_prompt_of_any_length_fits_into_a_field(make: Make, tmp_path: Path) -> None:
    text = " ".join(WORDS[:2000] * 20)
    assert len(text) > 140_000
    write(tmp_path / "long.csv", f"prompt\n{text}\n")
    assert make({"name": "custom", "path": "long.csv"}, num_prompts=1, cache="warm").texts == [text]


def test_what_grows_without_measure_is_refused(make: Make, tmp_path: Path) -> None:
    """A megabyte that becomes a gigabyte; a line without an end."""
    bomb = gzip.compress(bytes(1 << 22)) * 17
    (tmp_path / "bomb.jsonl.gz").write_bytes(bomb)
    with (tmp_path / "endless.jsonl").open("wb") as file:
        file.write(b'{"prompt": "a"}\n{"prompt": "')
        file.truncate(70 << 20)
    assert "MiB when unpacked" in told(make, {"name": "custom", "path": "bomb.jsonl.gz"})
    table = pyarrow.table({"prompt": ["a" * (1 << 20)] * 70})
    pyarrow.parquet.write_table(table, tmp_path / "bomb.parquet", compression="zstd", use_dictionary=False)
    assert "MiB when unpacked" in told(make, {"name": "custom", "path": "bomb.parquet"})
    assert "line 2: longer than 64 MiB" in told(make, {"name": "custom", "path": "endless.jsonl"})


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_a_byte_order_mark_is_no_part_of_the_data(make: Make, tmp_path: Path, kind: str) -> None:
    text = {"jsonl": '{"prompt": "你好"}\n', "json": '[{"prompt": "你好"}]', "csv": "prompt\n你好\n"}[kind]
    (tmp_path / f"p.{kind}").write_text(text, "utf-8-sig")
    assert make({"name": "custom", "path": f"p.{kind}"}, num_prompts=1, cache="warm").texts == ["你好"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@ANY
@given(
    found=st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), min_size=1, max_size=12),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    block=st.integers(1, 40),
)
def test_a_list_reads_alike_wherever_its_blocks_end(
    tmp_path: Path, found: list[dict[str, Any]], indent: int | None, ascii_only: bool, block: int
) -> None:
    path = tmp_path / "any.json"
    path.write_text(json.dumps(found, indent=indent, ensure_ascii=ascii_only), "utf-8", errors="surrogatepass")
    spans = list(tables.elements(path, block=block))
    data = path.read_bytes()
    assert [json.loads(data[a:b]) for a, b in spans] == found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_large_sharegpt_file_is_not_held(tmp_path: Path) -> None:
    """300 MB, in a process of its own, whose peak memory stays below 200 MB."""
    path = tmp_path / "large.json"
    row = json.dumps(talk(600, 600), ensure_ascii=False).encode()
    count = 300_000_000 // (len(row) + 2) + 1
    with path.open("wb") as file:
        file.write(b"[\n")
        for start in range(0, count, 1000):
            n = min(1000, count - start)
            file.write(b",\n".join([row] * n) + (b"\n]" if start + n == count else b",\n"))
    assert path.stat().st_size > 300_000_000
    code = (
        "import re, sys; from pathlib import Path\n"
        "from pytest_vllm_bench import plan, tokenizer\n"
        "from pytest_vllm_bench.backends import BACKENDS\n"
        "from pytest_vllm_bench.model import Cell, DatasetChoice, Scenario, Target\n"
        "choice = DatasetChoice(name='sharegpt', options={'path': sys.argv[1]})\n"
        "asked = Scenario(cell=Cell(place='s'), target=Target(), backend='openai', dataset=choice, num_prompts=1000)\n"
        "around = plan.BuildContext(backend=BACKENDS['openai'], tokenizer=tokenizer.load('simulator', 'm'), salt='x')\n"
        "made = plan.build(asked, around, Path(sys.argv[2]))\n"
        "print(made.n, re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "plan")], capture_output=True, text=True, check=True
    )
    n, peak_kb = map(int, ran.stdout.split())
    assert n == 1000
    assert peak_kb * 1024 < 200_000_000
