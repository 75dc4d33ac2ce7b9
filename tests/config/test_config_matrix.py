"""Config → Scenarios."""

from __future__ import annotations

import math
import os
from decimal import Decimal

import pytest
from config_made import SHORT, Read
from every import every

from pytest_vllm_bench.config import Overrides, matrix
from pytest_vllm_bench.config.matrix import Axes
from pytest_vllm_bench.errors import ConfigError
from pytest_vllm_bench.model import DatasetChoice, RampUp, Search, Stage, Target, Warmup

OLD = """\
model: "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"
base_url: "http://localhost:8010"
tokenizer: "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"
input_output: [[256, 256], [512, 512], [1024, 1024]]
concurrency_prompts: [[1, 10], [4, 40], [8, 80], [16, 160]]
"""


def ids(config: Read, text: str, **kwargs: bool) -> list[str]:
    return [scenario.id for scenario in matrix(config(text, **kwargs))]


def test_the_file_that_users_have_works_unchanged(config: Read) -> None:
    scenarios = matrix(config(OLD, short=False))
    assert [s.id for s in scenarios] == [
        f"io{io}x{io}-mc{c}-np{c * 10}" for io in (256, 512, 1024) for c in (1, 4, 8, 16)
    ]
    last = scenarios[-1]
    assert (last.input_len, last.output_len, last.concurrency, last.num_prompts) == (1024, 1024, 16, 160)
    assert last.models == ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",)
    assert last.target == Target(base_url="http://localhost:8010")
    assert [(r.text, r.implied) for r in last.rules] == [("failed == 0", True)]
    assert math.isinf(last.request_rate)
    assert not last.open_loop


SEARCH = Search(over="concurrency", at_least=1, max=9, runs=3, seconds=1)
CELL = {
    "target": Target(),
    "dataset": DatasetChoice(),
    "input_len": 1024,
    "output_len": 256,
    "concurrency": 16,
    "num_prompts": 160,
    "request_rate": math.inf,
    "seconds": None,
}
IDS = [
    ({}, "io1024x256-mc16-np160", "io1024x256-mc16"),
    ({"concurrency": None}, "io1024x256-np160", "io1024x256"),
    ({"request_rate": 2.0}, "io1024x256-mc16-rr2-np160", "io1024x256-mc16-rr2"),
    ({"request_rate": 0.5}, "io1024x256-mc16-rr0.5-np160", "io1024x256-mc16-rr0.5"),
    ({"request_rate": 1e6}, "io1024x256-mc16-rr1000000-np160", "io1024x256-mc16-rr1000000"),
    ({"num_prompts": None, "seconds": 60.0}, "io1024x256-mc16-d60", "io1024x256-mc16"),
    ({"num_prompts": None, "seconds": 1.5}, "io1024x256-mc16-d1.5", "io1024x256-mc16"),
    ({"target": Target(name="a")}, "a-io1024x256-mc16-np160", "a-io1024x256-mc16"),
    ({"dataset": DatasetChoice(name="sonnet")}, "sonnet-io1024x256-mc16-np160", "sonnet-io1024x256-mc16"),
    ({"dataset": DatasetChoice(label="near")}, "near-io1024x256-mc16-np160", "near-io1024x256-mc16"),
    (
        {"dataset": DatasetChoice(name="sharegpt"), "input_len": None, "output_len": None},
        "sharegpt-mc16-np160",
        "sharegpt-mc16",
    ),
    (
        {"dataset": DatasetChoice(name="sharegpt"), "input_len": None, "output_len": 64},
        "sharegpt-out64-mc16-np160",
        "sharegpt-out64-mc16",
    ),
    (
        {
            "search": Search(over="concurrency", at_least=1, max=9, runs=3, seconds=1),
            "num_prompts": None,
            "concurrency": None,
        },
        "io1024x256-capacity",
        "io1024x256-capacity",
    ),
]


@every(("changed", "id", "key"), IDS, ids=[id for _, id, _ in IDS])
def test_an_id_leaves_out_what_is_usual(changed: dict[str, object], id: str, key: str) -> None:
    cell = Axes(**{**CELL, **changed}).cell  # type: ignore[arg-type]
    assert (cell.id, cell.key) == (id, key)


def test_every_axis_multiplies(config: Read) -> None:
    text = """\
base_url: simulator
input_output: [[8, 8], [16, 8]]
concurrency_prompts: [[1, 10], [null, 20]]
request_rate: [2, .inf]
dataset: [random, {name: random, label: long, prefix_len: 64}]
"""
    found = ids(config, text, short=False)
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert found[:4] == ["io8x8-mc1-rr2-np10", "io8x8-mc1-np10", "io8x8-rr2-np20", "io8x8-np20"]
    assert found[-1] == "long-io16x8-np20"


def test_what_only_anchors_are_kept_in_is_not_read(config: Read) -> None:
    text = f"x-same: &same {{warmup: 7}}\n{SHORT}overrides:\n  - {{match: '*', set: {{<<: *same}}}}\n"
    (scenario,) = matrix(config(text, short=False))
    assert scenario.warmup.requests == 7


def test_both_ways_to_write_infinity(config: Read) -> None:
    for text in ("inf", ".inf", "[inf]", "Infinity", "unlimited"):
        [scenario] = matrix(config(f"request_rate: {text}\n"))
        assert math.isinf(scenario.request_rate)


def test_multiples_become_numbers(config: Read) -> None:
    text = SHORT.replace("[16, 160]", "[16, 10x], [3, '1.5 x']")
    assert ids(config, text, short=False) == ["io256x32-mc16-np160", "io256x32-mc3-np5"]


def test_a_duration_bounds_what_has_no_number(config: Read) -> None:
    text = SHORT.replace("[16, 160]", "[16, null], [4, 40]") + "duration: 1m\n"
    one, other = matrix(config(text, short=False))
    assert (one.id, one.num_prompts, one.duration) == ("io256x32-mc16-d60", None, 60)
    assert (other.id, other.num_prompts, other.duration) == ("io256x32-mc4-np40", 40, 60)


def test_stages_need_nothing_else(config: Read) -> None:
    text = "base_url: simulator\ninput_output: [[8, 8]]\nstages: [{rate: 2, for: 30s}, {rate: 8, for: 1m}]\n"
    [scenario] = matrix(config(text, short=False))
    assert scenario.id == "io8x8-d90"
    assert scenario.stages == (Stage(seconds=30, rate=2), Stage(seconds=60, rate=8))
    assert scenario.open_loop


def test_a_dataset_with_its_own_lengths(config: Read) -> None:
    text = "base_url: simulator\nconcurrency_prompts: [[2, 20]]\ndataset: {name: sharegpt, path: x.json}\n"
    assert ids(config, text, short=False) == ["sharegpt-mc2-np20"]
    assert ids(config, text + "input_output: [[null, 64], [null, null]]\n", short=False) == [
        "sharegpt-out64-mc2-np20",
        "sharegpt-mc2-np20",
    ]


@pytest.mark.parametrize(
    ("dataset", "lengths", "found"),
    [
        ("{name: conversation}", "[[64, 8]]", ["conversation-io64x8-mc2-np20"]),
        ("{name: sonnet}", "", ["sonnet-mc2-np20"]),
        ("{name: sonnet}", "[[null, null], [64, 8]]", ["sonnet-mc2-np20", "sonnet-io64x8-mc2-np20"]),
        ("{name: azure, path: x.csv}", "[[null, null]]", ["azure-mc2-np20"]),
        ("[random, {name: azure, path: x.csv}]", "[[64, 8]]", ["io64x8-mc2-np20", "azure-mc2-np20"]),
    ],
)
def test_lengths_go_to_the_datasets_that_take_them(config: Read, dataset: str, lengths: str, found: list[str]) -> None:
    text = f"base_url: simulator\nconcurrency_prompts: [[2, 20]]\ndataset: {dataset}\n"
    text += f"input_output: {lengths}\n" if lengths else ""
    assert ids(config, text, short=False) == found


def test_repeats_run_round_robin(config: Read) -> None:
    text = SHORT.replace("[16, 160]", "[1, 10], [2, 20]") + "repeats: 2\n"
    scenarios = matrix(config(text, short=False))
    assert [s.id for s in scenarios] == [
        "io256x32-mc1-np10-r1",
        "io256x32-mc2-np20-r1",
        "io256x32-mc1-np10-r2",
        "io256x32-mc2-np20-r2",
    ]
    assert [(s.cell.key, s.repeat) for s in scenarios[1:3]] == [("io256x32-mc2", 1), ("io256x32-mc1", 2)]
    assert all(s.repeats.min == s.repeats.max == 2 for s in scenarios)


def test_repeats_until_plan_for_the_most(config: Read) -> None:
    scenarios = matrix(config("repeats: {min: 2, max: 3, until: 5%}\n"))
    assert [s.repeat for s in scenarios] == [1, 2, 3]
    assert (scenarios[0].repeats.min, scenarios[0].repeats.max, scenarios[0].repeats.until) == (2, 3, 0.05)


@every(
    ("baseline", "repeats", "expected"),
    [
        ("{target: b}", "5", []),
        ("{target: b}", "6", []),
        ("{target: c}", "5", ["config.unknown_target"]),
        ("{target: b}", "4", ["config.target_rounds"]),
        ("{target: c}", "4", ["config.unknown_target", "config.target_rounds"]),
        ("{target: b}", "{min: 5, max: 9, until: 5%}", ["config.target_rounds"]),
        ("{target: b}", "{min: 4, max: 9, until: decided}", ["config.target_rounds"]),
    ],
)
def test_a_target_to_hold_others_against(config: Read, baseline: str, repeats: str, expected: list[str]) -> None:
    text = f"""
targets: {{a: http://a, b: http://b}}
input_output: [[8, 8]]
concurrency_prompts: [[1, 10]]
baseline: {baseline}
repeats: {repeats}
"""
    if not expected:
        order = "".join(s.target.name for s in matrix(config(text, short=False)))
        assert order[-10:] == "baabbaabba", "the last round ends with those that are judged"
        assert len(order) == 2 * int(repeats)
        return
    with pytest.raises(ConfigError) as caught:
        config(text, short=False)
    assert [(p.message.key, p.path, p.line) for p in caught.value.problems] == [
        (key, "baseline.target", 5) for key in expected
    ]


def test_where_rounds_end_when_they_decide_each_look_is_behind_the_one_held_against(config: Read) -> None:
    text = """
targets: {{a: http://a, b: http://b}}
input_output: [[8, 8]]
concurrency_prompts: [[1, 10]]
repeats: {{min: {least}, max: {most}, until: decided}}
baseline: {baseline}
"""
    for least, most, looks in ((5, 12, (5, 7, 9, 11, 12)), (6, 6, (6,)), (6, 10, (6, 8, 10)), (5, 6, (5, 6))):
        for baseline, first in (("{target: b}", "b"), ("{}", "a")):
            found = matrix(config(text.format(least=least, most=most, baseline=baseline), short=False))
            assert {(s.repeats.min, s.repeats.max, s.repeats.until, s.repeats.looks) for s in found} == {
                (least, most, None, looks)
            }
            rounds = ["".join(s.target.name for s in found if s.repeat == n) for n in range(1, most + 1)]
            assert {rounds[n - 1][0] for n in looks} == {first}
            assert {rounds[n - 2][0] for n in looks if n < most and n > 1} == {"ab".replace(first, "")} - {
                ""
            } or least == most
    alone = matrix(config("repeats: {min: 2, max: 4, until: Decided}\n"))
    assert alone[0].repeats.looks == (2, 3, 4)


def test_a_target_alone_is_held_against_nothing(config: Read) -> None:
    text = "targets: {a: http://a}\ninput_output: [[8, 8]]\nconcurrency_prompts: [[1, 10]]\nbaseline: {target: a}\n"
    with pytest.raises(ConfigError) as caught:
        config(text + "repeats: 5\n", short=False)
    assert [p.message.key for p in caught.value.problems] == ["config.target_alone"]


def test_targets_take_turns(config: Read) -> None:
    text = """\
targets: {a: http://a/v1, b: {base_url: http://b, headers: {X: y}}}
input_output: [[8, 8]]
concurrency_prompts: [[1, 10], [2, 20]]
headers: {X: x, Z: z}
repeats: 3
"""
    scenarios = matrix(config(text, short=False))
    rounds = [[s.target.name for s in scenarios if s.repeat == r] for r in (1, 2, 3)]
    assert rounds == [["a", "b", "a", "b"], ["b", "a", "b", "a"], ["a", "b", "a", "b"]]
    assert scenarios[0].id == "a-io8x8-mc1-np10-r1"
    assert scenarios[0].target == Target(name="a", base_url="http://a", headers={"X": "x", "Z": "z"})
    assert scenarios[1].target == Target(name="b", base_url="http://b", headers={"X": "y", "Z": "z"})


def test_a_search_is_one_more_item_for_each_place_it_does_not_vary(config: Read) -> None:
    text = SHORT.replace("[16, 160]", "[1, 10], [2, 20]") + "request_rate: [4, inf]\nrepeats: 2\n"
    text += "search: {over: concurrency, at_least: 32, max: 512, runs: 5, time: 20m}\n"
    scenarios = matrix(config(text, short=False))
    found = [s for s in scenarios if s.search is not None]
    assert [s.id for s in found] == ["io256x32-rr4-capacity", "io256x32-capacity"]
    assert found[0].search == Search(over="concurrency", at_least=32, max=512, runs=5, seconds=1200, line=6)
    assert (found[0].concurrency, found[0].num_prompts, found[0].repeat) == (None, None, 1)
    assert len(scenarios) == 2 * 2 * 2 + 2


def test_each_tier_of_a_search_is_an_item(config: Read) -> None:
    text = """\
base_url: simulator
input_output: [[256, 32]]
sla: [p99_ttft_ms <= 900]
goodput: {ttft: 400}
search:
  over: concurrency
  max: 64
  tiers:
    interactive:
      at_least: 8
      sla: [p99_ttft_ms <= 100]
      goodput: {tpot: 50}
    batch: {at_least: 16}
overrides:
  - {match: "*-batch-capacity", set: {judge: {confidence: 0.99}}}
"""
    interactive, batch = matrix(config(text, short=False))
    assert [s.id for s in (interactive, batch)] == ["io256x32-interactive-capacity", "io256x32-batch-capacity"]
    assert [r.text for r in interactive.rules if not r.implied] == ["p99_ttft_ms <= 100"]
    assert (interactive.goodput, batch.goodput) == ({"tpot": 50}, {"ttft": 400})
    assert [(r.text, r.line) for r in batch.rules if not r.implied] == [("p99_ttft_ms <= 900", 3)]
    assert [r.line for r in interactive.rules if not r.implied] == [11]
    assert interactive.search is not None
    assert batch.search is not None
    assert (interactive.search.at_least, interactive.search.tier, interactive.search.line) == (8, "interactive", 10)
    assert (batch.search.at_least, batch.search.max, batch.judge.confidence) == (16, 64, 0.99)


def test_a_search_can_be_all_there_is(config: Read) -> None:
    text = "base_url: simulator\ninput_output: [[8, 8]]\nsearch: {over: request_rate, max: 64}\n"
    text += "burstiness: 2\nsla: [p90_response_ttft_ms <= 500]\n"
    [scenario] = matrix(config(text, short=False))
    assert (scenario.id, scenario.request_rate, scenario.open_loop) == ("io8x8-capacity", 64, True)


def test_a_url_from_outside_does_not_replace_several(config: Read) -> None:
    text = "targets: {a: http://a}\ninput_output: [[8, 8]]\nconcurrency_prompts: [[1, 10]]\n"
    with pytest.raises(ConfigError) as caught:
        config(text, Overrides(url=("http://h", "--vllm-url")), short=False)
    assert [(p.message.key, p.path) for p in caught.value.problems] == [("config.url_and_targets", "--vllm-url")]


def test_a_trace_needs_no_number(config: Read) -> None:
    assert ids(config, "base_url: simulator\ndataset: {name: azure, path: x.csv}\n", short=False) == ["azure"]


def test_settings_reach_the_scenario(config: Read) -> None:
    cpu = min(os.sched_getaffinity(0))
    text = """\
request_rate: 4
burstiness: 0.5
ramp_up: {over: 30s, shape: exponential}
warmup: 2x
seed: 7
cache: warm
ignore_eos: on
sampling: {top_p: 0.9}
extra_body: {a: {b: [1]}}
timeouts: {total: 5m}
keep_alive: false
workers: 2
worker_cpus: [CPU]
goodput: {ttft: 500, tpot: 50}
sla: [p99_ttft_ms <= 500]
judge: {mode: exact, confidence: 99%, inconclusive: fail}
validity: {length: 2%, lag_ms: auto}
token_detail: on
percentiles: [50, 99.9]
tape: keep
"""
    [s] = matrix(config(text.replace("CPU", str(cpu))))
    assert s.burstiness == 0.5
    assert s.ramp_up == RampUp(over=30, shape="exponential")
    assert s.warmup == Warmup(multiple=2)
    assert (s.seed, s.cache, s.ignore_eos, s.keep_alive, s.workers) == (7, "warm", True, False, 2)
    assert s.worker_cpus == (cpu,)
    assert s.sampling == {"temperature": 0, "top_p": 0.9}
    assert s.extra_body == {"a": {"b": [1]}}
    assert (s.timeouts.total, s.timeouts.connect) == (300, 10)
    assert s.goodput == {"ttft": 500, "tpot": 50}
    assert [(r.text, r.limit, r.implied, r.line) for r in s.rules] == [
        ("p99_ttft_ms <= 500", Decimal(500), False, 18),
        ("failed == 0", Decimal(0), True, None),
        ("goodput_ratio >= 0.99", Decimal("0.99"), True, None),
    ]
    assert (s.judge.mode, s.judge.confidence, s.judge.inconclusive) == ("exact", 0.99, "fail")
    assert (s.validity.length, s.validity.lag_ms, s.validity.rate) == (0.02, None, 0.98)
    assert (s.token_detail, s.percentiles, s.tape) == ("on", (50, 99.9), "keep")


@pytest.mark.parametrize(
    ("text", "warmup"),
    [("0", Warmup()), ("20", Warmup(requests=20)), ("1x", Warmup(multiple=1)), ("30s", Warmup(seconds=30))],
)
def test_ways_to_warm_up(config: Read, text: str, warmup: Warmup) -> None:
    [scenario] = matrix(config(f"warmup: {text}\n"))
    assert scenario.warmup == warmup


def test_presets_are_two_rules(config: Read) -> None:
    [scenario] = matrix(config("sla: preset:llama-2-70b\n"))
    assert [r.text for r in scenario.rules] == ["p99_ttft_ms <= 2000", "p99_tpot_ms <= 200", "failed == 0"]
    assert [r.line for r in scenario.rules] == [4, 4, None]


def test_later_overrides_win_and_lists_replace(config: Read) -> None:
    text = (
        SHORT.replace("[16, 160]", "[1, 10], [16, 160]")
        + """\
sla: [p99_ttft_ms <= 500]
timeouts: {connect: 1, total: 100}
overrides:
  - {match: "*", set: {sla: [p99_ttft_ms <= 900, failed_ratio <= 0.01], timeouts: {total: 200}}}
  - match: "*-mc16-*"
    set:
      sla: [p99_ttft_ms <= 1200]
      seed: 3
    xfail: out of memory
  - {match: "*-mc1-*", skip: too slow}
"""
    )
    one, sixteen = matrix(config(text, short=False))
    assert [r.text for r in one.rules] == ["p99_ttft_ms <= 900", "failed_ratio <= 0.01"]
    assert [(r.text, r.line) for r in sixteen.rules if not r.implied] == [("p99_ttft_ms <= 1200", 10)]
    assert (one.timeouts.connect, one.timeouts.total) == (1, 200)
    assert (one.seed, sixteen.seed) == (0, 3)
    assert (one.skip, one.xfail) == ("too slow", "")
    assert (sixteen.skip, sixteen.xfail) == ("", "out of memory")


def test_given_values_come_first_and_say_where_from(config: Read) -> None:
    text = SHORT + "model: a\ntokenizer: b\n"
    given = Overrides(
        url=("http://other:1/v1/", "--vllm-url"), model=("c", "PYTEST_VLLM_MODEL"), results=("out", "--vllm-results")
    )
    found = config(text, given, short=False)
    [scenario] = matrix(found)
    assert scenario.target.base_url == "http://other:1"
    assert scenario.models == ("c",)
    assert str(found.results_dir) == "out"
    assert found.in_force == (
        ("base_url", "http://other:1/v1/", "--vllm-url"),
        ("model", "c", "PYTEST_VLLM_MODEL"),
        ("tokenizer", "b", "config.yaml:5"),
        ("results_dir", "out", "--vllm-results"),
    )


def test_several_models_and_their_choice(config: Read) -> None:
    [scenario] = matrix(config("model: [base, lora-a]\nmodel_choice: [3, 1]\n"))
    assert scenario.models == ("base", "lora-a")
    assert scenario.model_choice == (3, 1)


def test_a_tokenizer_beside_the_config_is_found(config: Read) -> None:
    first = config("tokenizer: ./tok\n")
    assert matrix(first)[0].tokenizer == "./tok"
    (first.base_dir / "tok").mkdir()
    assert matrix(config("tokenizer: ./tok\n"))[0].tokenizer == str(first.base_dir / "tok")


@pytest.mark.parametrize(
    ("backend", "spoken"),
    [("openai-chat", "openai"), ("vllm-chat", "vllm"), ("vllm", "vllm"), ("llama.cpp", "llama.cpp"), ("tgi", "tgi")],
)
def test_a_chat_template_applied_here_wants_a_backend_for_text(config: Read, backend: str, spoken: str) -> None:
    (scenario,) = matrix(config(f"backend: {backend}\nchat_template: client"))
    assert (scenario.backend, scenario.chat_template) == (spoken, "client")
    (scenario,) = matrix(config(f"backend: {backend}"))
    assert (scenario.backend, scenario.chat_template) == (backend, "server")


def test_what_an_override_implies_again_has_its_line(config: Read) -> None:
    """An ``sla`` that speaks of failures and goodput, replaced by one that does not."""
    text = SHORT.replace("[16, 160]", "[1, 10], [16, 160]") + (
        "goodput: {ttft: 500}\nsla: [goodput_ratio >= 0.9]\noverrides:\n"
        '  - match: "*-mc16-*"\n    set:\n      sla: [p90_ttft_ms <= 900]\n'
    )
    one, sixteen = matrix(config(text, short=False))
    assert [r.text for r in one.rules] == ["goodput_ratio >= 0.9"]
    assert [(r.text, r.implied, r.line) for r in sixteen.rules] == [
        ("p90_ttft_ms <= 900", False, 9), ("failed == 0", True, 9), ("goodput_ratio >= 0.99", True, 9)
    ]  # fmt: skip
    text = SHORT.replace("[16, 160]", "[1, 10], [16, 160]") + (
        "goodput: {ttft: 500}\nsla: [p99_ttft_ms <= 500]\noverrides:\n"
        '  - {match: "*-mc16-*", set: {sla: [p90_ttft_ms <= 900]}}\n'
    )
    assert [r.line for r in matrix(config(text, short=False))[1].rules if r.implied] == [None, None]
