"""What a started server is asked: its settings in every form, and to forget; against the simulator and odd pages."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from raw import error, page, serving

from pytest_vllm_bench import simulator
from pytest_vllm_bench.model import Message, Target
from pytest_vllm_bench.serve import ask
from pytest_vllm_bench.simulator import SimulatorOptions


def test_settings_are_found_wherever_they_stand() -> None:
    told: dict[str, Any] = {
        ask.SETTINGS[0]: {"vllm_config": {"cache_config": {"enable_prefix_caching": False, "n": "0.9"},
                                          "scheduler_config": {"max_num_seqs": 64}, "x": [{"n": 1}]}},
        "/get_server_info": {"tp_size": 2, "internal_states": [{"max_num_seqs": 64}]},
        "/props": {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 4, "nan": "nan"},
    }  # fmt: skip
    found = {}
    for path, settings in told.items():
        labels = b'vllm:cache_config_info{block_size="16",enable_prefix_caching="False",sliding_window="None"} 1.0\n'
        with serving({path: page(settings), "/metrics": page(labels)}) as raw:
            found[path] = asyncio.run(ask.settings(Target(base_url=raw.url)))
    labels_say = {"block_size": (16.0,), "enable_prefix_caching": (False,)}
    vllm, sglang, llama = found.values()
    assert vllm == labels_say | {"max_num_seqs": (64,), "n": (0.9, 1)}
    assert sglang == labels_say | {"tp_size": (2,), "max_num_seqs": (64,)}
    assert llama == labels_say | {"n_ctx": (4096,), "total_slots": (4,)}


def test_flags_are_held_against_numbers_and_yes_or_no_alone() -> None:
    told = {"max_num_seqs": (64,), "enable_prefix_caching": (False,), "max_model_len": (4096, 2048), "dtype": (1,)}
    assert ask.unlike({"max-num-seqs": 64, "max_model_len": 2048, "no-enable-prefix-caching": True}, told) == {}
    assert ask.unlike({"--max-num-seqs": "64", "cache.enable-prefix-caching": False, "other": 1}, told) == {}
    assert ask.unlike({"dtype": "bfloat16", "max-model-len": -1, "max-num-seqs": None}, told) == {}
    differ = {"max-num-seqs": 65, "enable-prefix-caching": True, "max-model-len": 1024}
    assert ask.unlike(differ, told) == {
        "max_num_seqs": 64, "enable_prefix_caching": False, "max_model_len": 4096
    }  # fmt: skip


def test_how_many_accelerators_the_flags_ask_for() -> None:
    for command, count in (
        ("vllm serve m --max-num-seqs 4", None),
        ("vllm serve m --tensor-parallel-size 4", 4),
        ("vllm serve m -tp 2 -pp=2 --data_parallel_size 3", 12),
        ("python -m sglang.launch_server --tp-size 8 --dp-size 8 --enable-dp-attention", 8),
        ("sglang serve --tp 2 --dp-size 2", 4),
    ):
        assert ask.accelerators(command.split()) == count, command


def reset(url: str, how: str = "auto") -> list[str]:
    resets = ask.Resets(how)
    notes = asyncio.run(resets(Target(base_url=url)))
    return [f"{note.key} {note.values.get('path', '')}".strip() for note in notes]


def test_caches_are_emptied_or_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "TRIES", (0.0,))
    yes, no = page({"success": True}), page({"success": False})
    for pages, how, notes in (
        ({"/reset_prefix_cache": yes}, "auto", []),
        ({"/reset_prefix_cache": page(b"")}, "auto", []),
        ({"/flush_cache?timeout=30": page(b"Cache flushed.\n")}, "auto", []),
        ({"/reset_prefix_cache": no, "/reset_mm_cache": yes}, "auto", ["serve.reset_failed /reset_prefix_cache"]),
        ({"/reset_prefix_cache": lambda n, body: yes if n else no}, "auto", []),
        ({"/flush_cache?timeout=30": error(400, "busy")}, "auto", ["serve.reset_failed /flush_cache?timeout=30"]),
        ({}, "auto", ["serve.no_reset"]),
        ({}, "none", []),
        ({}, "/my/reset", ["serve.reset_failed /my/reset"]),
        ({"/my/reset": yes}, "/my/reset", []),
    ):
        with serving({**dict.fromkeys((*ask.RESETS, "/my/reset"), error(404, "Not Found")), **pages}) as raw:
            assert reset(raw.url, how) == notes, (pages, how)


def test_how_long_it_takes_to_wake_where_it_can_sleep(tmp_path: Path) -> None:
    script = tmp_path / "faults.json"
    script.write_text(json.dumps([{"fault": "status code=500 message=no_allocator", "path": "/sleep"}]))
    with simulator.start(SimulatorOptions(wake_s=0.05)) as running:
        woken = asyncio.run(ask.woken(Target(base_url=running.base_url), {}))
        assert isinstance(woken, float)
        assert woken >= 0.05
        assert asyncio.run(ask.woken(Target(base_url=running.base_url), {"enable_sleep_mode": (False,)})) is None
    with simulator.start(SimulatorOptions(wake_s=0.05, faults=str(script))) as running:
        woken = asyncio.run(ask.woken(Target(base_url=running.base_url), {}))
        assert isinstance(woken, Message)
        assert woken.values == {"path": "/sleep?level=1", "said": "500 no allocator"}
    for pages in ({}, {"/is_sleeping": page(b"<html>")}, {"/is_sleeping": page([])}):
        with serving({"/is_sleeping": error(404, "Not Found"), **pages}) as raw:
            assert asyncio.run(ask.woken(Target(base_url=raw.url), {})) is None


def test_the_simulator_tells_and_forgets_and_fails_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "TRIES", (0.0,))
    script = tmp_path / "faults.json"
    script.write_text(json.dumps([{"fault": "status code=500", "path": "/reset_prefix_cache", "requests": [0, 1]}]))
    with simulator.start(SimulatorOptions(max_model_len=4096, faults=str(script))) as running:
        assert asyncio.run(ask.settings(Target(base_url=running.base_url)))["max_model_len"] == (4096,)
        assert reset(running.base_url) == ["serve.reset_failed /reset_prefix_cache"]
        assert reset(running.base_url) == []
