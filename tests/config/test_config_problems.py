"""Everything that can be wrong with a config: where it is said to be, and that it is said."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from config_made import Read, Wrong
from every import every

from pytest_vllm_bench.config import Overrides, read
from pytest_vllm_bench.config.urls import address
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.registry import builtin
from pytest_vllm_bench.text import say

# What stands after the three lines of every config → (message key, YAML path, line).
ONE_LINE = [
    ("modle: x", "unknown_key", "modle", 4),
    ("timeouts: {conect: 1}", "unknown_key", "timeouts.conect", 4),
    ("timeouts:\n  connect: 1\n  frist_token: 1", "unknown_key", "timeouts.frist_token", 6),
    ("judge: {mode: evidense}", "want_one_of", "judge.mode", 4),
    ("judge: 3", "want_mapping", "judge", 4),
    ("judge: {confidence: 1.0}", "confidence_range", "judge.confidence", 4),
    ("model: 7", "want_text", "model", 4),
    ("model: ''", "empty_text", "model", 4),
    ("model: []", "empty_list", "model", 4),
    ("model: [a, b]\nmodel_choice: [1]", "weights", "model_choice", 5),
    ("model_choice: rnadom", "want_one_of", "model_choice", 4),
    ("tokenizer: [a]", "want_text", "tokenizer", 4),
    ("backend: vlm", "unknown_backend", "backend", 4),
    ("backend: openai-chat\ntokenizer: ids", "plan.ids_not_taken", "tokenizer", 5),
    ("chat_template: vllm", "want_one_of", "chat_template", 4),
    ("backend: openai-responses\nchat_template: client", "template_backend", "backend", 4),
    ("backend: openai-embeddings\nchat_template: client", "template_backend", "backend", 4),
    ("backend: openai-audio\nchat_template: client", "template_backend", "backend", 4),
    ("chat_template: client\nendpoint: /v1/chat/completions", "template_endpoint", "endpoint", 5),
    ("endpoint: v1/completions", "endpoint_path", "endpoint", 4),
    ("endpoint: http://h/v1/completions", "endpoint_path", "endpoint", 4),
    ("headers: [a]", "want_mapping", "headers", 4),
    ("headers: {'a b': c}", "header_name", "headers", 4),
    ("headers: {a: [1]}", "header_value", "headers", 4),
    ("tls: {ca: nowhere.pem}", "no_such_file", "tls.ca", 4),
    ("keep_alive: 7", "want_bool", "keep_alive", 4),
    ("seed: 1.5", "want_integer", "seed", 4),
    ("seed: -1", "too_small", "seed", 4),
    ("seed: 99999999999999999999", "too_large", "seed", 4),
    ("workers: 0", "too_small", "workers", 4),
    ("workers: 1e308", "too_much", "workers", 4),
    ("repeats: 1000000", "too_much", "repeats.min", 4),
    ("request_rate: [1e9]\nduration: 10000", "too_large", "request_rate[0]", 4),
    (f"request_rate: {[*range(1, 901)]}\nrepeats: 12", "too_many_items", "request_rate", 4),
    (f"percentiles: {[50] * 1001}", "too_many", "percentiles", 4),
    (f"seed: {'9' * 4000}", "yaml_scalar", "seed", 4),
    ("request_rate: 1e999", "yaml_scalar", "request_rate", 4),
    ('seed: !!int "x"', "yaml_scalar", "seed", 4),
    ('seed: !!bool "x"', "yaml_scalar", "seed", 4),
    ("extra_body: {a: !!binary YQ==}", "yaml_tag", "extra_body.a", 4),
    ("extra_body: !a {b: 1}", "yaml_tag", "extra_body", 4),
    ("extra_body: {a: [{b: .inf}]}", "want_finite", "extra_body", 4),
    ("extra_body: " + "[" * 60 + "]" * 60, "yaml_deep", "", 4),
    ("extra_body: {<<: 3}", "yaml_merge", "", 4),
    ("burstiness: 1e-300", "too_small", "burstiness", 4),
    ("duration: 31d", "want_duration", "duration", 4),
    ("duration: 10000h", "duration_range", "duration", 4),
    ("warmup: '1.5'", "want_integer", "warmup", 4),
    ("warmup: 10000h", "duration_range", "warmup", 4),
    ("headers: {a: 010}", "header_value", "headers", 4),
    ('model: "a\\0b"', "control_character", "model", 4),
    ('model: "a\\nb"', "control_character", "model", 4),
    (f"dataset: {{name: random, label: {'a' * 61}}}", "label", "dataset[0]", 4),
    ("tls: {ca: ~nobody-of-that-name/x.pem}", "no_such_file", "tls.ca", 4),
    ("tls: {ca: /dev/zero}", "no_such_file", "tls.ca", 4),
    ("baseline: {tolerance: {mean_ttft_ms: 100000%}}", "want_tolerance", "baseline.tolerance.mean_ttft_ms", 4),
    ("workers: many", "want_integer", "workers", 4),
    ("worker_cpus: 1", "want_list", "worker_cpus", 4),
    ("worker_cpus: [0.5]", "want_integer", "worker_cpus[0]", 4),
    ("worker_cpus: [4095]", "cpu", "worker_cpus[0]", 4),
    ("proxy: http://p:3128", "proxy", "proxy", 4),
    ("tls: {https_proxy: http://p:3128}", "proxy", "tls.https_proxy", 4),
    ("duration: soon", "want_duration", "duration", 4),
    ("duration: 0", "duration_range", "duration", 4),
    ("duration: .inf", "duration_range", "duration", 4),
    ("timeouts: {total: 5 parsecs}", "want_duration", "timeouts.total", 4),
    ("warmup: lots", "want_warmup", "warmup", 4),
    ("warmup: -1", "too_small", "warmup", 4),
    ("validity: {rate: 98}", "share_range", "validity.rate", 4),
    ("validity: {rate: most}", "want_share", "validity.rate", 4),
    ("validity: {lag_ms: 0}", "not_above", "validity.lag_ms", 4),
    ("goodput: {ttft: 0}", "not_above", "goodput.ttft", 4),
    ("goodput: {ttft: fast}", "want_number", "goodput.ttft", 4),
    ("goodput: {ttft: .inf}", "want_finite", "goodput.ttft", 4),
    ("goodput: {tttf: 5}", "unknown_key", "goodput.tttf", 4),
    ("percentiles: [50, 100]", "percentile_range", "percentiles[1]", 4),
    ("percentiles: [0.99]", "percentile_range", "percentiles[0]", 4),
    ("percentiles: []", "empty_list", "percentiles", 4),
    ("percentiles: 99", "want_list", "percentiles", 4),
    ("request_rate: 0", "not_above", "request_rate[0]", 4),
    ("request_rate: [1, fast]", "want_number", "request_rate[1]", 4),
    ("request_rate: []", "empty_list", "request_rate", 4),
    ("burstiness: 2", "no_rate", "burstiness", 4),
    ("ramp_up: {over: requests}", "ramp_of_nothing", "ramp_up", 4),
    ("request_rate: [2, .inf]\nramp_up: {over: requests}", "ramp_of_nothing", "ramp_up", 5),
    ("request_rate: 2\nramp_up: {shape: linear}", "missing_key", "ramp_up.over", 5),
    ("request_rate: 2\nramp_up: {over: 1, shape: square}", "want_one_of", "ramp_up.shape", 5),
    ("stages: [{for: 1s}]", "stage_load", "stages[0]", 4),
    ("stages: [{rate: 1}]", "stage_for", "stages[0]", 4),
    ("stages: [{rate: 1, for: 1}]\nrequest_rate: 2", "stages_and_rate", "stages", 4),
    ("stages: [{concurrency: 1, for: 1}]", "stages_and_concurrency", "stages", 4),
    ("dataset: 3", "want_dataset", "dataset[0]", 4),
    ("dataset: {path: x}", "dataset_name", "dataset[0]", 4),
    ("dataset: []", "empty_list", "dataset", 4),
    ("dataset: {name: random, label: 'a/b'}", "label", "dataset[0]", 4),
    ("dataset: [random, random]", "same_twice", "concurrency_prompts", 3),
    ("dataset: [random, {name: random, prefix_len: 8}]", "same_twice", "dataset", 4),
    ("sla: p99_ttft_ms <= 500\nsla: []", "duplicate_key", "sla", 5),
    ("sla: [3]", "want_text", "sla[0]", 4),
    ("sla: ['preset:llama-9']", "preset", "sla[0]", 4),
    ("overrides: [{match: '*'}]", "override_empty", "overrides[0]", 4),
    ("overrides: [{skip: slow}]", "missing_key", "overrides[0].match", 4),
    ("overrides:\n  - match: 'io9*'\n    skip: no", "override_unmatched", "overrides[0].match", 5),
    ("overrides: [{match: '*', set: {seeds: 1}}]", "unknown_key", "overrides[0].set.seeds", 4),
    ("overrides: [{match: '*', set: {backend: vllm}}]", "override_identity", "overrides[0].set.backend", 4),
    ("overrides: [{match: '*', set: {sla: ['preset:x']}}]", "preset", "overrides[0].set.sla[0]", 4),
    ("repeats: {min: 5, max: 3}", "max_below_min", "repeats.max", 4),
    ("repeats: {until: 5%}", "until_without_max", "repeats.until", 4),
    ("search: {over: speed, max: 3}", "want_one_of", "search.over", 4),
    ("search: {over: concurrency}", "missing_key", "search.max", 4),
    ("search: {over: concurrency, max: 3, at_least: 4}", "at_least_above_max", "search.at_least", 4),
    ("search: {over: concurrency, max: 3, at_least: 2.5}", "want_integer", "search.at_least", 4),
    ("search: {over: concurrency, max: 9.5}", "want_integer", "search.max", 4),
    ("search: {over: concurrency, max: 3, at_least: 2, tiers: {a: {}}}", "at_least_of_tiers", "search.at_least", 4),
    ("search:\n  over: concurrency\n  max: 3\n  tiers:\n    a: {at_least: 4}", "at_least_above_max",
     "search.tiers.a.at_least", 8),
    ("search:\n  over: concurrency\n  max: 3\n  tiers:\n    a:\n      slo: []", "unknown_key",
     "search.tiers.a.slo", 9),
    ("search:\n  over: concurrency\n  max: 3\n  tiers:\n    a:\n      sla:\n        - preset:x",
     "preset", "search.tiers.a.sla[0]", 10),
    ("search: {over: concurrency, max: 3, tiers: {a b: {}}}", "label", "search.tiers.a b", 4),
    ("search: {over: concurrency, max: 3, tiers: [a]}", "want_mapping", "search.tiers", 4),
    ("repeats: often", "want_integer", "repeats.min", 4),
    ("targets: {a: http://a}", "base_url_and_targets", "targets", 4),
    ("baseline: {tolerance: {mean_ttft_ms: some}}", "want_tolerance", "baseline.tolerance.mean_ttft_ms", 4),
    ("baseline: {noise: {mean_ttft_ms: 5}}", "share_range", "baseline.noise.mean_ttft_ms", 4),
    ("baseline: {tolerance: {mean_tttf_ms: 5%}}", "judge.unknown_metric", "baseline.tolerance.mean_tttf_ms", 4),
    ("baseline: {noise: {zzz: 5%}}", "judge.unknown_metric", "baseline.noise.zzz", 4),
    ("baseline: {tolerance: {mean_concurrency: 5%}}", "no_worse", "baseline.tolerance.mean_concurrency", 4),
    ("baseline: {tolerance: {server.preemptions: 5%}}", "no_worse", "baseline.tolerance.server.preemptions", 4),
    ("baseline: {tolerance: {failed_ratio: 5%}}", "share_of_none", "baseline.tolerance.failed_ratio", 4),
    ("baseline: {target: before}\nrepeats: 5", "unknown_target", "baseline.target", 4),
    ("baseline: {keep: 0}", "too_small", "baseline.keep", 4),
    ("api_key_env: sk-abcdefghijklmnop", "key_pasted", "api_key_env", 4),
    ("api_key_env: PYTEST_VLLM_BENCH_NOT_SET", "variable_not_set", "api_key_env", 4),
    ("a: &x [*x]", "yaml_endless", "a[0]", 4),
    ("? [a]\n: 1", "key_not_text", "", 4),
    ("a: [1", "yaml_syntax", "", 4),
    ("judge:\n\tmode: exact", "yaml_tab", "", 5),
    ("---\nb: 1", "yaml_documents", "", 4),
    ("sla: !!python/name:os.system", "yaml_syntax", "", 4),
    ("sla: \x07", "yaml_character", "", 4),
]  # fmt: skip


@every(("text", "key", "path", "line"), ONE_LINE, ids=[f"{t[:40]}" for t, *_ in ONE_LINE])
def test_each_mistake_is_told_where_it_stands(wrong: Wrong, text: str, key: str, path: str, line: int) -> None:
    problems = [(p.message.key, p.path, p.line) for p in wrong(text)]
    assert (key if "." in key else f"config.{key}", path, line) in problems
    assert len(problems) == 1, "one mistake is told once, and nothing that only follows from it"


AXES = [
    ("input_output: [256, 256]", "pairs_not_nested", "input_output"),
    ("input_output: [[256]]", "pair_too_short", "input_output[0][1]"),
    ("input_output: [[1, 2, 3]]", "pair_too_long", "input_output[0]"),
    ("input_output: [256, [1, 2]]", "want_pair", "input_output[0]"),
    ("input_output: [[0, 1]]", "too_small", "input_output[0][0]"),
    ("input_output: [['256', 1]]", "want_integer", "input_output[0][0]"),
    ("input_output: []", "empty_list", "input_output"),
    ("input_output: [[256, null]]", "output_length_missing", "input_output[0][1]"),
    ("input_output: [[1, 2], [1, 2]]", "same_twice", "concurrency_prompts"),
    ("concurrency_prompts: [[16, 15]]", "prompts_below_concurrency", "concurrency_prompts[0]"),
    ("concurrency_prompts: [[null, 10x]]", "multiple_of_nothing", "concurrency_prompts[0]"),
    ("concurrency_prompts: [[16, 0.5x]]", "multiple_small", "concurrency_prompts[0][1]"),
    ("concurrency_prompts: [[16, lots]]", "want_prompts", "concurrency_prompts[0][1]"),
    ("concurrency_prompts: [[16, null]]", "prompts_unbounded", "concurrency_prompts[0][1]"),
    ("concurrency_prompts: [[0, 10]]", "too_small", "concurrency_prompts[0][0]"),
    ("concurrency_prompts: [16, 160]", "pairs_not_nested", "concurrency_prompts"),
    ("stages: [{rate: 1e5, for: 1h}]\nconcurrency_prompts: [[null, null]]", "too_many_requests", "stages"),
    ("request_rate: 0.001\nconcurrency_prompts: [[null, 100000]]", "too_many_days", "request_rate"),
    ("concurrency_prompts: [[null, 1e12]]", "too_much", "concurrency_prompts[0][1]"),
    ("concurrency_prompts: [[60000, 9999x]]", "too_much", "concurrency_prompts[0]"),
    ("concurrency_prompts: [[1e6, 1e7]]", "too_much", "concurrency_prompts[0][0]"),
    ("input_output: [[1e9, 8]]", "too_much", "input_output[0][0]"),
    ("input_output: [[9999999, 8]]\nconcurrency_prompts: [[1, 9999999]]", "too_many_tokens", "concurrency_prompts"),
]


@every(("text", "key", "path"), AXES, ids=[text for text, *_ in AXES])
def test_axes_are_looked_at_closely(wrong: Wrong, text: str, key: str, path: str) -> None:
    lines = {"base_url": "simulator", "input_output": "[[8, 8]]", "concurrency_prompts": "[[2, 20]]"}
    lines |= dict(line.split(": ", 1) for line in text.split("\n"))
    problems = wrong("\n".join(f"{k}: {v}" for k, v in lines.items()), short=False)
    assert [(p.message.key, p.path) for p in problems] == [(f"config.{key}", path)]


URLS = [
    ("localhost:8000", "url_scheme", "http://localhost:8000"),
    ("example.com/v1", "url_scheme", "http://example.com/v1"),
    ("ftp://h", "url_scheme", "http://h"),
    ("http://h:99999", "url_port", "65535"),
    ("http://h:port", "url_port", "65535"),
    ("http://h:0", "url_port", "65535"),
    ("http://", "url", "http://host:8000"),
    ("http://a b", "url", "http://host:8000"),
    ("http://[::1", "url", "http://host:8000"),
    ("http://h/?a=1", "url_query", "http://h/"),
    ("http://h/v1/chat/completions", "url_endpoint", "base_url: http://h"),
    ("unix://run/x.sock", "url_unix", "unix:///run/x.sock"),
    ("${VLLM_URL}", "url_variable", "PYTEST_VLLM_URL"),
    ("http://$HOST:8000", "url_variable", "PYTEST_VLLM_URL"),
    ("http://{{ host }}:8000", "url_variable", "PYTEST_VLLM_URL"),
    ("http://%HOST%:8000", "url_variable", "PYTEST_VLLM_URL"),
    ("http://h/${PREFIX}", "url_variable", "PYTEST_VLLM_URL"),
]


@every(("url", "key", "instead"), URLS)
def test_a_bad_url_is_told_with_what_to_write(wrong: Wrong, url: str, key: str, instead: str) -> None:
    [problem] = wrong("", Overrides(url=(url, "--vllm-url")))
    assert (problem.message.key, problem.path, problem.file) == (f"config.{key}", "--vllm-url", "")
    assert instead in say(problem.message, "en")
    assert instead in say(problem.message, "zh")


def test_what_looks_like_a_variable_in_a_path_is_none() -> None:
    for url in ("http://h:8000/%E4%BD%A0%E5%A5%BD", "http://h/a$b/$metadata", "http://u:pa$$word@h:8000"):
        assert not address(url).problem, url


def test_no_url_anywhere_names_both_ways_out(wrong: Wrong) -> None:
    [problem] = wrong("input_output: [[8, 8]]\nconcurrency_prompts: [[2, 20]]\n", short=False)
    for lang in ("en", "zh"):
        words = say(problem.message, lang)
        assert "base_url: " in words
        assert "--vllm-url=" in words


@pytest.mark.parametrize("name", ["url", "model", "tokenizer", "results"])
def test_an_empty_value_is_no_absence(wrong: Wrong, name: str) -> None:
    [problem] = wrong("", Overrides(**{name: ("", f"PYTEST_VLLM_{name.upper()}")}))
    assert (problem.message.key, problem.path) == ("config.given_empty", f"PYTEST_VLLM_{name.upper()}")


def test_without_axes_both_are_asked_for(wrong: Wrong) -> None:
    problems = wrong("base_url: simulator\n", short=False)
    assert {p.message.key for p in problems} == {"config.no_lengths", "config.no_prompts"}


@pytest.mark.parametrize(
    ("text", "key"), [("", "empty_file"), ("# nothing\n", "empty_file"), ("- a\n", "file_not_mapping")]
)
def test_a_file_that_says_nothing(wrong: Wrong, text: str, key: str) -> None:
    assert [p.message.key for p in wrong(text, short=False)] == [f"config.{key}"]


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path, Overrides(), builtin())
    assert all(p.file == str(path) for p in caught.value.problems)
    return [say(p.message) for p in caught.value.problems]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("a: 1\n")
    [words] = problems_of(tmp_path / "config.yaml")
    assert "config.yml" in words
    (tmp_path / "config.yml").unlink()
    [words] = problems_of(tmp_path / "config.yaml")
    assert "pytest-vllm-bench init" in words
    [words] = problems_of(tmp_path / "nowhere" / "config.yaml")
    assert "--vllm-config=" in words


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").mkdir()
    assert len(problems_of(tmp_path / "config.yaml")) == 1


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large.yaml").write_text("# " + "x" * (300 << 10))
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "large.yaml"):
        assert len(problems_of(path)) == 1


def test_yaml_that_multiplies_ends(wrong: Wrong) -> None:
    """A billion laughs, by aliases and by merges; and an alias of itself."""
    names = "abcdefghi"
    laughs = "x: &a [1]\n" + "".join(f"{n}x: &{n} [{', '.join([f'*{m}'] * 9)}]\n" for m, n in pairwise(names))
    merges = "x: &a {k: 1}\n" + "".join(
        f"{n}x: &{n} {{<<: [{', '.join([f'*{m}'] * 9)}]}}\n" for m, n in pairwise(names)
    )
    for text in (laughs, merges, "extra_body: &a {b: *a}\n", "extra_body: &a {<<: *a}\n"):
        assert "config.yaml_endless" in {p.message.key for p in wrong(text)}


def test_merged_keys_as_yaml_has_them(config: Read) -> None:
    text = "extra_body: {p: &p {a: 1, b: 1}, q: &q {b: 2, c: 2}, r: {<<: [*p, *q], c: 3}}\n"
    assert config(text).settings.extra_body["r"] == {"a": 1, "b": 1, "c": 3}


def test_a_file_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("base_url: simulator\n# 模型\n".encode("gb18030"))
    with pytest.raises(ConfigError) as caught:
        read(path, Overrides(), builtin())
    assert [(p.message.key, p.line) for p in caught.value.problems] == [("config.not_utf8", 2)]


def test_rules_are_read_before_any_load(wrong: Wrong) -> None:
    problems = wrong("sla:\n  - p99_tttf_ms <= 500\n  - p99_ttft_ms is good\n  - p99_ttft_ms <= 300000\n")
    assert [(p.path.partition("[")[0], p.line) for p in problems] == [("sla", 5), ("sla", 6), ("sla", 7)]
    assert "p99_ttft_ms" in say(problems[0].message)


def test_a_limit_that_only_timeouts_could_break(wrong: Wrong) -> None:
    [problem] = wrong("goodput: {e2el: 20000}\ntimeouts: {total: 10s}\n")
    assert (problem.path, problem.line) == ("goodput", 4)


def test_a_dataset_s_own_problems_have_lines(wrong: Wrong) -> None:
    problems = wrong("dataset:\n  name: random\n  range_ration: 0.1\n  prefix_len: many\n")
    assert [(p.path, p.line) for p in problems] == [("dataset.range_ration", 6), ("dataset.prefix_len", 7)]
    problems = wrong("dataset:\n  - random\n  - name: sharegtp\n")
    assert [(p.path, p.line) for p in problems] == [("dataset[1].name", 6)]


def test_lengths_that_nobody_takes_are_told(wrong: Wrong, config: Read, tmp_path: Path) -> None:
    (tmp_path / "chats.json").write_text("[]")
    [problem] = wrong("dataset: {name: sharegpt, path: chats.json}\n")
    assert (problem.message.key, problem.path) == ("config.own_lengths", "input_output[0]")
    assert "[[null, 32]]" in say(problem.message)


def test_one_problem_hides_no_other(wrong: Wrong) -> None:
    text = """\
modle: x
base_url: http://h
input_output: wrong
concurrency_prompts: [[16, 8], [a, 1], [4, 3]]
sla: [p99_ttft_sm <= 5]
overrides:
  - {skip: no match}
  - {match: "*", set: {sla: [p99_tpot_sm <= 5]}}
"""
    assert [(p.line, p.path) for p in wrong(text, short=False)] == [
        (1, "modle"),
        (3, "input_output"),
        (4, "concurrency_prompts[0]"),
        (4, "concurrency_prompts[1][0]"),
        (4, "concurrency_prompts[2]"),
        (5, "sla[0]"),
        (7, "overrides[0].match"),
        (8, "overrides[1].set.sla[0]"),
    ]


def test_each_target_s_url_is_looked_at(wrong: Wrong) -> None:
    text = "targets: {a: localhost, b: {base_url: 'http://h:99999'}}\n"
    text += "input_output: [[8, 8]]\nconcurrency_prompts: [[2, 20]]\n"
    assert [(p.message.key, p.path) for p in wrong(text, short=False)] == [
        ("config.url_scheme", "targets.a"),
        ("config.url_port", "targets.b.base_url"),
    ]


def test_two_ways_to_prove_who_one_is(wrong: Wrong) -> None:
    [problem] = wrong("headers: {Authorization: Bearer x}\n", Overrides(url=("http://u:p@h", "--vllm-url")))
    assert problem.message.key == "config.two_credentials"


def test_problems_come_in_the_order_of_the_file_and_once(wrong: Wrong) -> None:
    problems = wrong("seed: x\nmodle: y\nbackend: z\nseed: x\n")
    assert [p.line for p in problems] == [5, 6, 7, 7]


@pytest.mark.parametrize(
    ("text", "found", "line"),
    [
        ("base_url： simulator\n", "：", 1),
        ("base_url： simulator\nmodel: x\n", "：", 1),
        ("model: x\n- base_url：simulator\ngoodput: {ttft: 5}\n", "：", 2),
        ("base_url: simulator\ngoodput:\n  ttft：500\n", "：", 3),
        ("# 说明：无\nbase_url: simulator\ninput_output: [[32，8]]\nconcurrency_prompts: [[1, 4]]\n", "，", 3),
        ("base_url: http：//localhost:8000  # 地址，端口\n", "：", 1),
        ("base_url: simulator\ninput_output: [[１6, 4]]\nconcurrency_prompts: [[1, 4]]\n", "１", 2),
        ("base_url: simulator\ninput_output: 【[16, 4]]\nconcurrency_prompts: [[1, 4]]\n", "【", 2),
    ],
)
def test_full_width_punctuation_is_named_where_it_is_the_cause(wrong: Wrong, text: str, found: str, line: int) -> None:
    hints = [p for p in wrong(text, short=False) if p.message.key == "config.full_width"]
    assert [(p.message.values["found"], p.line) for p in hints] == [(found, line)]


@every(
    ("text", "line"),
    [
        ("base_url:simulator\ninput_output: [[32, 8]]\n", 1),
        ("base_url: simulator\ngoodput:\n  ttft:500\n  tpot: 5\n", 3),
        ("base_url: simulator\ninput_output:[[32, 8]]\n", 2),
        ("base_url: simulator\n- seed:3\n", 2),
    ],
)
def test_a_colon_without_its_space_is_named(wrong: Wrong, text: str, line: int) -> None:
    assert [(p.message.key, p.line) for p in wrong(text, short=False)] == [("config.yaml_space", line)]


def test_full_width_punctuation_elsewhere_is_text(wrong: Wrong) -> None:
    keys = [p.message.key for p in wrong("model: 模型，一\nseed: -1  # 种子：负数\n")]
    assert keys == ["config.too_small"]


@pytest.mark.parametrize("text", ["input_output: " + "[" * 5000, "extra_body: " + "{a: " * 5000])
def test_nesting_without_end(wrong: Wrong, text: str) -> None:
    assert [p.message.key for p in wrong(text, short=False)] == ["config.yaml_deep"]


def test_each_machine_has_ports_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_TOKEN", "a-token-of-many-machines")
    more = "base_url: http://h:1\ninput_output: [[8, 8]]\nconcurrency_prompts: [[100000, 200000]]\n"
    machines = 'machines: {hosts: ["localhost:1", "localhost:2"], token_env: BENCH_TOKEN}\n'
    path = tmp_path / "config.yaml"
    path.write_text(more + machines, encoding="utf-8")
    assert read(path, Overrides(), builtin())
    path.write_text(more, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(path, Overrides(), builtin())
    (problem,) = caught.value.problems
    assert (problem.message.key, problem.path) == ("config.too_much", "concurrency_prompts[0][0]")
