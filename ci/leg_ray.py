"""A Ray cluster of two nodes on this machine → a matrix and a search that both send, and what a node's end does.

python ci/leg_ray.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench import Cell, bench
from environments import environment
from leg import ROOT, Findings, Unavailable, main

#: Whether this machine is quiet is not what is tested.
VALID = {"lag_ms": 60_000, "rate": 0.01, "concurrency": 0.01, "cpu": 1, "steal": 1, "skew": "10s"}
CONFIG: dict[str, Any] = {"base_url": "simulator", "input_output": [[32, 8]], "validity": VALID}


def leg(findings: Findings) -> None:
    """In an environment that has Ray, which is too heavy for the tests' own."""
    if "ray" in sys.argv:
        inside(findings)
        return
    python = environment("ray", [[f"{ROOT}[ray]"]])
    command = [str(python), __file__, "ray"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT), "CI": "true"})
    findings.check("all with a cluster", holds=done.returncode == 0)


def inside(findings: Findings) -> None:
    with cluster() as (address, two):
        on_ray = {**CONFIG, "machines": {"ray": address, "nodes": 2, "per_node": 1, "beside_server": True}}
        cells = bench({**on_ray, "concurrency_prompts": [[2, 12], [6, 36]]}, None)
        for cell in cells:
            whole = cell.row["completed"] == cell.row["num_prompts"] == len(cell.records)
            findings.check(f"{cell.id}: two nodes, each request once", holds=whole and len(machines(cell)) == 2)
            findings.check(f"{cell.id}: {told(cell)}", holds=all(m["error_ms"] < 10 for m in machines(cell)))
        search = {"over": "concurrency", "max": 4}
        found = bench({**on_ray, "search": search}, None)
        capacity = next(cell for cell in found if cell.row["capacity"])
        findings.check("a search", holds=capacity.row["capacity"]["held"] == 4 and len(machines(capacity)) == 2)
        three = {**on_ray["machines"], "nodes": 3}
        more = bench({**on_ray, "machines": three, "concurrency_prompts": [[2, 12]]}, None, 1)
        findings.check("three nodes of two: nothing is sent", holds=more == [])
        threading.Thread(target=two.killed_under_load, daemon=True).start()
        (lost,) = bench({**on_ray, "concurrency_prompts": [[4, 8000]]}, None, 1)
        names = [m["name"] for m in machines(lost) if m["lost"]]
        kept = lost.row["verdict"] == "INVALID" and lost.row["completed"] > 0
        said = f"a node killed: {lost.row['verdict']}, {lost.row['completed']} kept, {names} lost"
        findings.check(said, holds=kept and len(names) == 1)


class Node:
    """The second one, which can be killed."""

    def __init__(self, cluster: Any) -> None:
        self.cluster, self.node = cluster, cluster.add_node(num_cpus=2)

    def killed_under_load(self) -> None:
        """Once two measuring processes have been at it for longer than any warm-up."""
        before, since = set[str](), time.monotonic()
        while time.monotonic() < since + 6 or len(before) < 2:
            time.sleep(0.2)
            if (there := set(sending())) != before:
                before, since = there, time.monotonic()
        self.cluster.remove_node(self.node, allow_graceful=False)


def sending() -> Iterator[str]:
    """Measuring processes of actors."""
    for one in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = Path("/proc") / (one / "stat").read_text().rpartition(")")[2].split()[1] / "cmdline"
            if b"pytest_vllm_bench.load" in (one / "cmdline").read_bytes() and b"ray::" in parent.read_bytes():
                yield one.name


@contextmanager
def cluster() -> Iterator[tuple[str, Node]]:
    try:
        from ray.cluster_utils import Cluster
    except ImportError as error:
        raise Unavailable(str(error)) from None
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        two = Node(made)
        made.wait_for_nodes()
        yield made.address, two
    finally:
        made.shutdown()


def machines(cell: Cell) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cell.row["client"]["machines"]
    return found


def told(cell: Cell) -> str:
    return ", ".join(f"{m['name']} +{m['start_ms']:.2f} ms ± {m['error_ms']:.2f}" for m in machines(cell))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main("Ray: two nodes", leg)
