"""Two network namespaces with clocks of their own (± 300 ms), behind delay and jitter → what workers there measure
together is what one process measures.

python ci/leg_machines.py        (root, Linux)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from bench import Cell, bench
from leg import Findings, Forbidden, main

SERVER = "10.77.0.1"
AHEAD_MS = (300, -300)
VALID = {"lag_ms": 60_000, "rate": 0.01, "concurrency": 0.01, "cpu": 1, "steal": 1, "skew": "10s"}
CONFIG: dict[str, Any] = {
    "input_output": [[32, 16]],
    "concurrency_prompts": [[8, 160]],
    "request_rate": [40, "inf"],
    "validity": VALID,
}
#: Milliseconds by which figures may differ on a machine with other things to do, besides what is not known of clocks.
QUIET = 3.0
NEWTIME = 0x80
#: Runs its arguments where the monotonic clock is ahead.
CLOCK = (
    "import ctypes, subprocess, sys\n"
    f"assert ctypes.CDLL(None).unshare({NEWTIME}) == 0\n"
    "open('/proc/self/timens_offsets', 'w').write('monotonic {seconds} {rest}')\n"
    "sys.exit(subprocess.run(sys.argv[1:]).returncode)"
)


def leg(findings: Findings) -> None:
    if os.geteuid() or sys.platform != "linux" or not shutil.which("ip"):
        raise Forbidden("network namespaces take root, on Linux, and the command ip")
    if subprocess.run([sys.executable, "-c", CLOCK.format(seconds=0, rest=1), "true"], capture_output=True).returncode:
        raise Forbidden("time namespaces are not permitted here")
    os.environ["BENCH_TOKEN"] = "a-token-of-the-leg"
    with ExitStack() as stack:
        delayed = [stack.enter_context(namespace(number)) for number in (1, 2)]
        print(f"delay and jitter: {'5 ms ± 1 ms' if all(delayed) else 'no netem in this kernel'}", flush=True)
        simulate = [sys.executable, "-m", "pytest_vllm_bench", "simulate", "--host", SERVER]
        server = stack.enter_context(started(simulate))
        for number, ahead in zip((1, 2), AHEAD_MS, strict=True):
            where = ["--listen", f"10.77.{number}.2:7001", "--plain-text", "--token-env", "BENCH_TOKEN"]
            command = [sys.executable, "-m", "pytest_vllm_bench", "worker", *where]
            stack.enter_context(started(["ip", "netns", "exec", f"bench{number}", *command], ahead))
        hosts = {"hosts": [f"10.77.{number}.2:7001" for number in (1, 2)], "plain_text": True}
        alone = bench({**CONFIG, "workers": 2}, server)
        together = bench({**CONFIG, "machines": {**hosts, "token_env": "BENCH_TOKEN"}}, server)
    for one, both in zip(alone, together, strict=True):
        alike(findings, one, both, 10.0 if all(delayed) else 0.0)


def alike(findings: Findings, one: Cell, both: Cell, trip: float) -> None:
    """A closed loop finds its own step with the engine's, another each time: its figures are not compared."""
    machines, name = both.row["client"]["machines"], both.id
    error = max(m["error_ms"] for m in machines)
    for machine, ahead in zip(machines, AHEAD_MS, strict=True):
        seen, doubt = machine["ahead_ms"], machine["error_ms"]
        holds = abs(seen - ahead) <= doubt + 0.5
        findings.check(f"{name}: {seen:+.2f} ms ahead ± {doubt:.2f}, start {machine['start_ms']:+.2f} ms", holds=holds)
    findings.check(f"{name}: each request once", holds=[r["index"] for r in both.records] == [*range(len(one.records))])
    if both.row["request_rate"] == "inf":
        return
    for figure, more in (("median_ttft_ms", trip), ("median_tpot_ms", 0.0), ("median_e2el_ms", trip)):
        a, b = one.row[figure], both.row[figure]
        holds = abs(b - a - more) <= error + QUIET
        findings.check(f"{name}: {figure} {a:.2f} alone, {b:.2f} together, {more:g} on the way", holds=holds)
    late = median(abs(r["sent"] - r["due"]) for r in both.records if r["due"] is not None) * 1e3
    findings.check(f"{name}: half were sent within {late:.2f} ms of the plan", holds=late <= error + QUIET)


@contextmanager
def namespace(number: int) -> Iterator[bool]:
    """One with an address that reaches the server's; → whether there is delay on the way."""
    name, there = f"bench{number}", f"10.77.{number}"
    for command in (
        f"ip netns add {name}",
        f"ip link add {name} type veth peer name eth0 netns {name}",
        f"ip addr add {there}.1/24 dev {name}",
        f"ip link set {name} up",
        f"ip -n {name} addr add {there}.2/24 dev eth0",
        f"ip -n {name} link set eth0 up",
        f"ip -n {name} link set lo up",
        f"ip -n {name} route add default via {there}.1",
        f"ip addr replace {SERVER}/32 dev lo",
    ):
        done = subprocess.run(command.split(), capture_output=True, text=True)
        if done.returncode:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
            raise Forbidden(f"{command}: {done.stderr.strip()}")
    netem = [
        f"tc -n {name} qdisc add dev eth0 root netem delay 5ms 1ms",
        f"tc qdisc add dev {name} root netem delay 5ms 1ms",
    ]
    try:
        yield all(subprocess.run(command.split(), capture_output=True).returncode == 0 for command in netem)
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "addr", "del", f"{SERVER}/32", "dev", "lo"], capture_output=True)


@contextmanager
def started(command: Sequence[str], ahead_ms: int = 0) -> Iterator[str]:
    """A command that says where it listens; ``ahead_ms``: of its monotonic clock, in a time namespace."""
    seconds, rest = divmod(ahead_ms, 1000)
    clock = CLOCK.format(seconds=seconds, rest=rest * 1_000_000)
    whole = [sys.executable, "-c", clock, *command] if ahead_ms else [*command]
    process = subprocess.Popen(whole, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(command[:4])} … ended at once")
        yield line.split()[-1]
    finally:
        os.killpg(process.pid, 9)
        process.communicate()


if __name__ == "__main__":
    main("Machines: two network namespaces", leg)
