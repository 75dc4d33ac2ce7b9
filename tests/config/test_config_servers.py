"""``server`` and ``servers``: settings → flags, labels and order; what is wrong is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_vllm_bench.config import Config, Overrides, matrix, read
from pytest_vllm_bench.config.servers import flags
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.memory import without_secrets
from pytest_vllm_bench.model import Warmup
from pytest_vllm_bench.registry import builtin

LOAD: dict[str, Any] = {"model": "m", "input_output": [[16, 8]], "concurrency_prompts": [[1, 4]]}
Made = Callable[..., Config]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    def make(**keys: Any) -> Config:
        path = tmp_path / "config.yaml"
        written = {key: value for key, value in (LOAD | keys).items() if value is not None}
        path.write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
        return read(path, Overrides(), builtin())

    return make


def test_flags() -> None:
    given = {
        "max_num_seqs": 64, "--enforce-eager": True, "enable-prefix-caching": False, "quantization": None, "c": 4096,
        "no-warmup": False, "served-model-name": ["a", "b"], "compilation_config.cudagraph_mode": "FULL",
        "compilation_config.use_inductor": False, "override": {"a": [1]}, "gpu-memory-utilization": 0.9,
        "dtype": "bfloat16",
    }  # fmt: skip
    assert " ".join(flags(given)) == (
        "--max-num-seqs 64 --enforce-eager --no-enable-prefix-caching -c 4096 --warmup --served-model-name a b "
        "--compilation-config.cudagraph_mode FULL --compilation-config.use_inductor=false "
        '--override {"a": [1]} --gpu-memory-utilization 0.9 --dtype bfloat16'
    )


def test_settings_and_their_labels(made: Made, tmp_path: Path) -> None:
    sweep = [{"max_num_seqs": 32, "_benchmark_name": "narrow one"}, {"max_num_seqs": 64, "enforce-eager": True}]
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    (tmp_path / "named.json").write_text(json.dumps({"a": {"max_num_seqs": 32}, "b": {"max_num_seqs": 64}}))
    for args, labels in (
        ({}, [""]),
        ({"max-num-seqs": 64}, [""]),
        ({"max-num-seqs": [64, 256], "enable-prefix-caching": [True, False], "dtype": "auto"},
         ["mns64-epc1", "mns64-epc0", "mns256-epc1", "mns256-epc0"]),
        ({"max-num-seqs": [1, 2], "min-new-size": [3, 4]},
         ["maxnumseqs1-minnewsize3", "maxnumseqs1-minnewsize4", "maxnumseqs2-minnewsize3", "maxnumseqs2-minnewsize4"]),
        ({"compilation-config": [{"level": 0}, {"level": 3}]}, ["ccv1", "ccv2"]),
        ({"tp": [1, 2], "model-path": ["/a/very/long/path/of/a/model", "b/c"]},
         ["tp1-mpv1", "tp1-mpb_c", "tp2-mpv1", "tp2-mpb_c"]),
        ([{"label": "small", "max-num-seqs": 1}, {"max-num-seqs": 2}], ["small", "mns2"]),
        ("sweep.json", ["narrow_one", "mns64-ee1"]),
        ("named.json", ["a", "b"]),
    ):  # fmt: skip
        config = made(server={"command": "serve {model}", "args": args})
        assert [target.name for target in config.targets] == labels, args
        assert all(t.launch and t.launch.command[:2] == ("serve", "{model}") for t in config.targets)
        assert all(t.launch and t.launch.command[-2:] == ("--port", "{port}") for t in config.targets)


def ids(config: Config) -> list[str]:
    return [scenario.id.replace("-io16x8-mc1-np4", "") for scenario in matrix(config)]


def test_servers_are_the_outermost_axis_and_take_turns_where_they_are_compared(made: Made) -> None:
    two = {"a": "serve", "b": "serve"}
    assert ids(made(servers=two, repeats=2)) == ["a-r1", "a-r2", "b-r1", "b-r2"]
    again = {name: {"command": "serve", "restarts": 2} for name in two}
    assert ids(made(servers=again, repeats=4)) == ["a-r1", "a-r2", "b-r1", "b-r2", "b-r3", "b-r4", "a-r3", "a-r4"]
    held = made(servers=two, repeats=5, baseline={"target": "b"})
    assert " ".join(ids(held)) == "b-r1 a-r1 a-r2 b-r2 b-r3 a-r3 a-r4 b-r4 b-r5 a-r5"
    assert {s.id: s.start for s in matrix(held)}["a-io16x8-mc1-np4-r3"] == 2
    cells = made(server={"command": "serve", "args": {"c": [1, 2]}}, concurrency_prompts=[[1, 4], [2, 4]])
    assert [s.id for s in matrix(cells)] == [f"c{c}-io16x8-mc{n}-np4" for c in (1, 2) for n in (1, 2)]


def test_starts_that_are_measured_are_tests_of_their_own(made: Made) -> None:
    """After all loads, in rounds; with the rules on starts, which the loads then leave to them."""
    server = {"command": "serve", "args": {"c": [1, 2]}, "startup": {"cold": 2, "warm": 1}, "env": {"A": "b"}}
    keys: dict[str, Any] = {"sla": ["startup.ready_s <= 9", "startup.wake_s <= 1", "p99_ttft_ms <= 5"], "repeats": 3}
    keys |= {"goodput": {"ttft": 5}, "baseline": {"again": 1}, "warmup": 5}
    override = {"match": "c2-cold-start", "set": {"sla": ["startup.ready_s <= 99"]}}
    scenarios = matrix(made(server=server, overrides=[override], **keys))
    starts = [s for s in scenarios if s.of_start]
    assert scenarios[-len(starts) :] == (*starts,)
    assert [s.id for s in starts] == [
        "c1-cold-start-r1", "c1-warm-start", "c2-cold-start-r1", "c2-warm-start", "c1-cold-start-r2", "c2-cold-start-r2"
    ]  # fmt: skip
    cold, warm, other = starts[:3]
    assert [rule.text for rule in cold.rules] == ["startup.ready_s <= 9", "startup.wake_s <= 1", "failed == 0"]
    assert [rule.text for rule in other.rules] == ["startup.ready_s <= 99", "failed == 0"]
    assert {rule.text for rule in scenarios[0].rules} == {"p99_ttft_ms <= 5", "failed == 0", "goodput_ratio >= 0.99"}
    assert (cold.num_prompts, cold.concurrency, cold.input_len, cold.warmup, cold.goodput) == (1, 1, 16, Warmup(), {})
    assert [s.start for s in starts if s.id.startswith("c1-cold")] == [0, 1]
    assert cold.target.launch is not None
    assert warm.target.launch is not None
    assert cold.target.launch.env["VLLM_CACHE_ROOT"] == "{fresh}/vllm"
    assert warm.target.launch.env == {"A": "b"}
    assert not cold.compared
    alone = made(server=server, concurrency_prompts=None, search={"over": "concurrency", "max": 4})
    assert [s.id for s in matrix(alone)][:3] == ["c1-io16x8-capacity", "c2-io16x8-capacity", "c1-cold-start-r1"]


def test_rules_on_a_start_that_nobody_sees_are_refused(made: Made) -> None:
    for keys, why in (
        ({"base_url": "http://x", "sla": ["startup.ready_s <= 9"]}, "judge.lacks.started"),
        ({"server": "serve", "sla": ["startup.wake_s <= 9"]}, "judge.lacks.start_alone"),
    ):
        with pytest.raises(ConfigError) as caught:
            made(**keys)
        assert [p.message.values["why"].key for p in caught.value.problems] == [why]
    made(server={"command": "serve", "startup": {"warm": 1}}, sla=["startup.wake_s <= 9"])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "shell": ({"command": "cd x && vllm serve"}, "server_shell"),
    "variable": ({"command": "CUDA_VISIBLE_DEVICES=0 vllm serve"}, "server_shell"),
    "quotes": ({"command": "vllm serve 'x"}, "server_quotes"),
    "words": ({"command": {}}, "server_command"),
    "no words": ({"command": []}, "server_command"),
    "fixed port": ({"command": "vllm serve --port 8000"}, "server_port"),
    "fixed port in flags": ({"command": "vllm serve", "args": {"port": 8000}}, "server_port"),
    "container": ({"command": "docker run vllm/vllm-openai"}, "server_port"),
    "no flags": ({"command": "x", "args": [1]}, "server_args"),
    "no value": ({"command": "x", "args": {"a": []}}, "empty_list"),
    "number": ({"command": "x", "env": {"A": 1}}, "server_value"),
    "name": ({"command": "x", "env": {"A=B": "1"}}, "server_variable"),
    "many": ({"command": "x", "args": {"a": list(range(40)), "b": list(range(40))}}, "too_many"),
    "nothing": ({"command": ["x", "a\0b"]}, "control_character"),
    "nothing in flags": ({"command": "x", "args": {"a": "\0"}}, "control_character"),
    "twice": ({"command": "x", "args": [{"a": 1}, {"a": 1}]}, "server_label"),
    "restarts": ({"command": "x", "restarts": 2}, "server_restarts"),
    "file": ({"command": "x", "args": "none.json"}, "not_read"),
    "reset": ({"command": "x", "reset": "sometimes"}, "endpoint_path"),
    "unknown": ({"command": "x", "arg": {}}, "unknown_key"),
    "starts": ({"command": "x", "startup": {"cold": -1}}, "too_small"),
    "grace": ({"command": "x", "stop": {"grace": 0}}, "duration_range"),
}


def test_what_is_wrong_is_said(made: Made) -> None:
    wrong = []
    for name, (server, key) in WRONG.items():
        try:
            made(server=server)
        except ConfigError as error:
            if [p.message.key.partition(".")[2] for p in error.problems] == [key]:
                continue
            wrong.append((name, error.problems))
        else:
            wrong.append((name, ()))
    assert not wrong
    for keys in ({"base_url": "http://x"}, {"targets": {"a": "http://x"}}, {"servers": {"a": "x"}}):
        with pytest.raises(ConfigError) as caught:
            made(server="x", **keys)
        assert [p.message.key for p in caught.value.problems] == ["config.server_and"]
    with pytest.raises(ConfigError) as caught:
        made(server="serve {model}", model=None)
    assert caught.value.problems[0].message.key == "config.server_model"


def test_secrets_of_flags_and_variables_are_not_shown(made: Made) -> None:
    env = {"HF_TOKEN": "hf-sesame-1234", "VLLM_X": "plain"}
    config = made(
        server={"command": "serve --api-key sesame-1 --key=sesame-22", "args": {"api-key": "sesame-333"}, "env": env}
    )
    shown = json.dumps([config.in_force, repr(config.targets)])
    assert "sesame" not in shown.replace("hf-sesame", "sesame")
    (target,) = config.targets
    kept = without_secrets(matrix(config)[0]).target.launch
    assert kept is not None
    assert "sesame" not in repr([kept.command, kept.args, kept.env])
    assert target.discreet("sesame-1 sesame-22 sesame-333 hf-sesame-1234") == "*** *** *** ***"


def test_what_is_wrong_with_the_gate_on_the_best_setting_is_said(made: Made) -> None:
    for frontier, path, key in (
        ({"at": "p99_tpot_ms", "metric": "output_throughput", "at_least": 1}, "frontier.at", "judge.not_a_rule"),
        ({"metric": "output_troughput", "at_least": 1}, "frontier.metric", "judge.unknown_metric"),
        ({"metric": "mean_tpot_ms", "at_least": 1}, "frontier.metric", "config.frontier_metric"),
        ({"metric": "output_throughput_per_accelerator", "at_least": 1}, "frontier", "judge.cannot_have"),
        ({"metric": "output_throughput"}, "frontier.at_least", "config.missing_key"),
    ):
        with pytest.raises(ConfigError) as caught:
            made(base_url="http://elsewhere:8000", frontier=frontier)
        assert {(p.path, p.message.key) for p in caught.value.problems} == {(path, key)}, frontier
    asked = {"at": "p99_tpot_ms <= 30", "metric": "output_throughput", "at_least": 1}
    assert made(base_url="http://elsewhere:8000", frontier=asked).settings.frontier is not None
