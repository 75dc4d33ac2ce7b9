"""Real vLLM (its CPU build, a tiny model) → our figures held against the server's own and against its own client's.

python ci/leg_vllm_cpu.py
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench import Cell, bench
from leg import ROOT, Findings, main
from models import llama
from vllm_server import ENVIRON, installed, vllm

from pytest_vllm_bench.observe import trial

LENGTHS = ((128, 64), (512, 32))
LOADS = ((1, 8), (4, 32))
COMPARED = ("output_throughput", "mean_tpot_ms", "mean_ttft_ms")
ASSERTED = COMPARED[:2]
LIKE = 0.30
LATER_MS = 20
PAIRS = 3
#: Server and client share the machine; how late that makes the client is seen in the comparison with the server.
SHARED = {"lag_ms": 100, "steal": 0.5}
CLIENT = (  # the package's command line looks for the metadata of a package called vllm, which this build lacks
    "import argparse; from vllm.benchmarks.serve import add_cli_args, main; "
    "p = argparse.ArgumentParser(); add_cli_args(p); main(p.parse_args())"
)


def leg(findings: Findings) -> None:
    python = installed()
    model = llama()
    common = {"model": "tiny", "tokenizer": str(model), "sla": ["failed == 0"], "validity": SHARED}
    sweep(findings, python, model, common)
    profile(findings, python, model, common)
    compared(findings, python, model, common)
    # Another name of the same model stands for an adapter.
    with vllm(python, model, "--max-model-len", "4096", "--served-model-name", "tiny", "other") as url:
        random = {**common, "input_output": LENGTHS, "concurrency_prompts": LOADS}
        cells = bench(random, url)
        findings.check(f"{len(cells)} scenarios of random prompts", holds=len(cells) == len(LENGTHS) * len(LOADS))
        for cell in cells:
            lengths(findings, cell)
            counters(findings, cell)
        talk = {"name": "sharegpt", "path": str(ROOT / "bench_cases" / "data" / "conversations.json")}
        before = totals(url)
        (cell,) = bench({**common, "dataset": talk, "concurrency_prompts": [[4, 48]], "warmup": 0}, url)
        counters(findings, cell)
        everything(findings, cell, before, totals(url))
        templates(findings, {**common, "dataset": {"name": "custom"}, "input_output": [[None, 16]]}, url)
        several(findings, {**common, "input_output": [[64, 16]]}, url)
        for lens in LENGTHS:
            one = {**common, "input_output": [lens], "concurrency_prompts": LOADS[1:]}
            other_client(findings, url, partial(bench, one, url), partial(theirs, python, model, url))


def sweep(findings: Findings, python: Path, model: Path, common: Mapping[str, Any]) -> None:
    """Servers that the test starts: a 2 × 2 sweep of flags, and settings with a flag that there is not, and with a
    length that the model has not."""
    args: list[dict[str, Any]] = [
        {"max-num-seqs": n, "enable-prefix-caching": cached} for n in (2, 8) for cached in (True, False)
    ]
    args += [{"label": "typo", "with-such-a-thing": 2}, {"label": "long", "max-model-len": 10_000_000}]
    server = started(python, model, args)
    load = {"input_output": [[64, 16]], "concurrency_prompts": [[4, 16]], "warmup": 0}
    cells = bench({**common, **load, "server": server}, None, code=1)
    findings.check("four settings run, two are errors of their own", holds=len(cells) == 4)
    for cell in cells:
        launch, counters = cell.row["environment"]["launch"], cell.row["server"]
        asked = (2 if "mns2" in cell.id else 8, "epc1" in cell.id)
        told = {name: launch["settings"].get(name) for name in ("max_num_seqs", "enable_prefix_caching")}
        same = told == {"max_num_seqs": [asked[0]], "enable_prefix_caching": [asked[1]]} and not launch["unlike"]
        findings.check(f"{cell.id}: the server has the flags that were asked: {told}", holds=same)
        start = {key: value for key, value in counters.items() if key.startswith("startup.")}
        needed = {"startup.ready_s", "startup.first_token_s", "startup.engine_s", "startup.kv_tokens"}
        findings.check(f"{cell.id}: {start}", holds=needed <= start.keys())
        unsaid = [note["key"] for note in cell.row["notes"] if note["key"].startswith("serve.")]
        findings.check(f"{cell.id}: its caches were emptied before the load", holds=not unsaid)


def started(python: Path, model: Path, args: list[dict[str, Any]], **keys: Any) -> dict[str, Any]:
    """The config's ``server``: vLLM with the tiny model, once for each of these settings."""
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "tiny", "--load-format", "dummy", "--enforce-eager", "--max-model-len", "2048"]
    return {"command": command, "args": args, "env": {**ENVIRON, "VLLM_SERVER_DEV_MODE": "1"}, **keys}


def compared(findings: Findings, python: Path, model: Path, common: Mapping[str, Any]) -> None:
    """Two settings in turn over five rounds, side by side, with a verdict; and a start that is a test of its own."""
    args = [{"label": "wide", "max-num-seqs": 8}, {"label": "narrow", "max-num-seqs": 1}]
    load = {"input_output": [[64, 32]], "concurrency_prompts": [[8, 32]], "warmup": 0, "repeats": 5}
    server = started(python, model, args, restarts=1, startup={"cold": 1})
    rules = [*common["sla"], "startup.ready_s <= 600"]
    rounds = {"baseline": {"target": "wide", "tolerance": {"mean_ttft_ms": "5%"}}, "server": server, "sla": rules}
    cells = {cell.id: cell.row for cell in bench({**common, **load, **rounds}, None, code=1)}
    findings.check(f"ten rounds and two starts: {len(cells)}", holds=len(cells) == 12)
    numbers = {row["environment"]["launch"]["start"] for id, row in cells.items() if "start" not in id}
    findings.check(f"both are up side by side: starts {numbers}", holds=numbers == {1})
    held = [row["baseline"]["comparisons"] for id, row in cells.items() if row.get("baseline") and "narrow" in id]
    found = {one["metric"]: (one["verdict"], f"{one['change']:+.0%}") for one in held[0]} if held else {}
    # One at a time instead of eight: what waits for its turn shows it even on a machine that others use.
    findings.check(f"narrow against wide: {found}", holds=found.get("mean_ttft_ms", ("",))[0] == "FAIL")
    for id, row in cells.items():
        if "start" in id:
            told = {key: value for key, value in row["server"].items() if key.startswith("startup.")}
            fresh = "VLLM_CACHE_ROOT" in row["environment"]["launch"]["env"] and "startup.wake_s" not in told
            findings.check(f"{id}: {row['verdict']} {told}", holds=fresh and row["verdict"] == "PASS")


def profile(findings: Findings, python: Path, model: Path, common: Mapping[str, Any]) -> None:
    """Real torch traces of a second load, with the client's requests on their time axis."""
    with tempfile.TemporaryDirectory() as folder:
        config = json.dumps({"profiler": "torch", "torch_profiler_dir": folder})
        one = {"input_output": [[64, 16]], "concurrency_prompts": [[2, 8]], "profile": {"requests": 3}}
        with vllm(python, model, "--max-model-len", "512", "--profiler-config", config) as url:
            (cell,) = bench({**common, **one}, url, kept=(results := Path(folder) / "results"))
            spans, operations = traces(cell.row, results)
        (notes,) = [note["values"] for note in cell.row["notes"] if note["key"] == "server.profiled_apart"]
        holds = (cell.row["completed"], cell.row["taints"], notes["n"]) == (8, [], 3) and len(cell.row["traces"]) > 1
        findings.check(f"{cell.id}: profiled apart, {notes['files']} files", holds=holds)
        inside = [begin for begin, end in spans if any(begin <= at <= end for at in operations)]
        told = f"{len(operations):,} operations of torch's, within {len(inside)} of {len(spans)} requests"
        findings.check(f"{cell.id}: {told}", holds=len(inside) == len(spans) == 3)


def traces(row: Mapping[str, Any], results: Path) -> tuple[list[tuple[float, float]], list[float]]:
    """The requests of the client's trace, and when the server's operations began."""
    paths = [results / path for path in row["traces"] if "json" in path]
    own, *theirs = [json.loads(gzip.decompress(path.read_bytes())) for path in paths]
    spans = [event for event in own["traceEvents"] if event.get("name") == "request" and event["ph"] == "X"]
    operations = [event["ts"] for one in theirs for event in one["traceEvents"] if event.get("cat") == "cpu_op"]
    return [(span["ts"], span["ts"] + span["dur"]) for span in spans], operations


def templates(findings: Findings, config: Mapping[str, Any], url: str) -> None:
    """Messages of several turns: the model is given the same tokens, whoever applies its chat template."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talks.jsonl"
        path.write_text("\n".join(json.dumps({"messages": talk(n)}) for n in range(1, 13)), "utf-8")
        both = {**config, "backend": "vllm-chat", "cache": "warm", "warmup": 0, "concurrency_prompts": [[4, 12]]}
        both["dataset"] = {"name": "custom", "path": str(path)}
        (server,) = bench(both, url)
        (client,) = bench({**both, "chat_template": "client"}, url)
    theirs, ours = (sorted(r["prompt_tokens"] for r in cell.records) for cell in (server, client))
    findings.check(f"chat template here or there: {sum(ours)} prompt tokens", holds=ours == theirs)
    counted = all(r["asked_input"] == r["prompt_tokens"] for r in client.records)
    findings.check("chat template here: lengths known beforehand", holds=counted)


def talk(turns: int) -> list[Mapping[str, str]]:
    said: list[Mapping[str, str]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"Count to {turns}."},
    ]
    return [*said, *[{"role": "assistant", "content": "One."}, {"role": "user", "content": "And then?"}] * turns]


def several(findings: Findings, config: Mapping[str, Any], url: str) -> None:
    """Two models share the requests, three to one."""
    shared = {"model": ["tiny", "other"], "model_choice": [3, 1], "concurrency_prompts": [[4, 64]]}
    (cell,) = bench({**config, **shared}, url)
    found = {name: of["completed"] for name, of in cell.row["by_model"].items()}
    holds = set(found) == {"tiny", "other"} and sum(found.values()) == 64 and found["tiny"] > found["other"] > 0
    findings.check(f"{cell.id}: by model {found}", holds=holds)


def lengths(findings: Findings, cell: Cell) -> None:
    """Every prompt and every answer is as long as was asked, as the server counts."""
    asked = (cell.row["input_len"], cell.row["output_len"])
    wrong = [r for r in cell.records if (r["prompt_tokens"], r["output_tokens"]) != asked]
    findings.check(f"{cell.id}: {len(cell.records)} × {asked[0]} → {asked[1]} tokens", holds=not wrong)


def counters(findings: Findings, cell: Cell) -> None:
    """The server's own counters, over the measured requests, agree with ours."""
    server, records = cell.row["server"], cell.records
    made = sum(r["output_tokens"] for r in records)
    findings.check(f"{cell.id}: server made {server['generation_tokens']:.0f} tokens, we counted {made}",
                   holds=server["generation_tokens"] == made)  # fmt: skip
    gaps = sum(r["output_tokens"] - 1 for r in records)
    ours = {
        "ttft": sum(r["first_token"] - r["sent"] for r in records) / len(records) * 1000,
        "itl": sum(r["last_token"] - r["first_token"] for r in records) / gaps * 1000,
    }
    for name, seen in ours.items():
        true = server[f"mean_{name}_ms"]
        # Between the server's clock and any client lie its HTTP layer and the machine's scheduler, whose share of a
        # TTFT grows and shrinks with the machine's speed: how much of it is ours is seen in other_client.
        most = true + LATER_MS if name == "itl" else 2 * true + LATER_MS
        findings.check(f"{cell.id}: mean {name} {seen:.2f} ms, the server's {true:.2f} ms",
                       holds=true - 1 <= seen <= most)  # fmt: skip


def server_ttft(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The server's own mean TTFT between two reads of its counters, in ms."""
    total, count = (
        after[key] - before[key]
        for key in ("vllm:time_to_first_token_seconds_sum", "vllm:time_to_first_token_seconds_count")
    )
    return total / count * 1000


def totals(url: str) -> dict[str, float]:
    """The server's counters, added up over their labels."""
    with urllib.request.urlopen(f"{url}/metrics") as page:
        lines = [line for line in page.read().decode().splitlines() if line.startswith("vllm:")]
    found: dict[str, float] = {}
    for name, value in (line.rsplit(" ", 1) for line in lines):
        key = name.partition("{")[0]
        found[key] = found.get(key, 0.0) + float(value)
    return found


def everything(findings: Findings, cell: Cell, before: Mapping[str, float], after: Mapping[str, float]) -> None:
    """Read by this leg itself, around the whole run: what is not of the measured requests is of the trial alone.

    That has the scenario's shape: read to its end up to ``trial.WHOLE`` tokens, else cut off after the first ones, and
    then no success to the server.  That the measured tokens are exact is held by the counters around the load."""
    tokens, requests = (
        after[key] - before[key] for key in ("vllm:generation_tokens_total", "vllm:request_success_total")
    )
    trials = requests - len(cell.records)
    made = sum(r["output_tokens"] for r in cell.records)
    findings.check(
        f"{cell.id}: {tokens:.0f} tokens in {requests:.0f} requests, {trials:.0f} of them trials; we counted {made}",
        holds=0 <= trials <= 1 and 0 < tokens - made <= trial.WHOLE,
    )


def theirs(python: Path, model: Path, url: str, cell: Cell) -> Mapping[str, Any]:
    """What ``vllm bench serve`` of the same package measures with the same load."""
    row = cell.row
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-c", CLIENT, "--backend", "openai", "--model", "tiny", "--tokenizer", str(model)]
        command += ["--base-url", url, "--dataset-name", "random", "--ignore-eos", "--temperature", "0"]
        command += ["--random-input-len", str(row["input_len"]), "--random-output-len", str(row["output_len"])]
        command += ["--num-prompts", str(row["num_prompts"]), "--max-concurrency", str(row["max_concurrency"])]
        command += ["--disable-tqdm", "--save-result", "--result-dir", folder, "--result-filename", "result.json"]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRON})
        if done.returncode:
            raise RuntimeError(f"vllm bench serve ended with {done.returncode}:\n{done.stderr[-2000:]}")
        result: Mapping[str, Any] = json.loads((Path(folder) / "result.json").read_text("utf-8"))
        return result


def other_client(
    findings: Findings, url: str, ours: Callable[[], list[Cell]], others: Callable[[Cell], Mapping[str, Any]]
) -> None:
    """Theirs beside ours, in turn; of what a client hardly changes, the median of the pairs is asserted.

    A server's TTFT differs from run to run, so TTFTs are compared by what each client adds to the server's own.
    """
    ratios: dict[str, list[float]] = {key: [] for key in ASSERTED}
    later: list[float] = []
    for _ in range(PAIRS):
        (cell,) = ours()
        before = totals(url)
        other = others(cell)
        added = cell.row["mean_ttft_ms"] - cell.row["server"]["mean_ttft_ms"]
        theirs = other["mean_ttft_ms"] - server_ttft(before, totals(url))
        for key in COMPARED:
            print(f"        {cell.id}: {key} {cell.row[key]:.2f}, vllm bench serve {other[key]:.2f}", flush=True)
        print(
            f"        {cell.id}: added to the server's TTFT {added:.2f} ms, vllm bench serve {theirs:.2f}", flush=True
        )
        for key in ASSERTED:
            ratios[key].append(cell.row[key] / other[key] - 1)
        later.append(added - theirs)
    for key, found in ratios.items():
        off = median(found)
        findings.check(f"{cell.id}: {key} {off:+.1%} against vllm bench serve", holds=abs(off) <= LIKE)
    findings.check(f"{cell.id}: TTFT {median(later):+.2f} ms against vllm bench serve", holds=median(later) <= LATER_MS)


if __name__ == "__main__":
    main("vLLM (CPU build)", leg)
