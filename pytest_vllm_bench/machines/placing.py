"""A Ray cluster → machines that listen: an actor a node runs ``node``.  Ray places them and is on no request's path."""

from __future__ import annotations

import logging
import secrets
import threading
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest_vllm_bench
from pytest_vllm_bench.errors import BenchError
from pytest_vllm_bench.machines.line import Machine

#: Seconds in which a cluster that has room has placed all.
PLACED_S = 60.0


class Listener:
    """What an actor is: a listening machine, on a port of its node that only who has the token can use."""

    def listen(self, host: str, token: bytes, cores: int) -> int:
        from pytest_vllm_bench.load.worker import run_on_uvloop
        from pytest_vllm_bench.machines import node

        port: Future[int] = Future()

        async def serve() -> None:
            await node.serve((host, 0), token, port.set_result, welcome=await node.about(cores))

        def listening() -> None:
            try:
                run_on_uvloop(serve)
            except Exception as error:  # before there is a port: who waits for it is told
                with suppress(InvalidStateError):
                    port.set_exception(error)

        threading.Thread(target=listening, daemon=True).start()
        return port.result(30)


class Cluster:
    """Nodes of a Ray cluster that are taken for a session."""

    def __init__(self, address: str, nodes: int | None, per_node: int | None, avoid: frozenset[str]) -> None:
        self.address, self.nodes, self.per_node, self.avoid = address, nodes, per_node, avoid
        self._ray = connected(address)
        self._group: Any = None

    def place(self) -> tuple[Machine, ...]:
        """One machine a node, for as many nodes as are wanted; BenchError says what the cluster has instead."""
        self._leave()
        chosen, cores = self._chosen()
        ray, token = self._ray, secrets.token_bytes(32)
        bundles = [{"CPU": float(cores), f"node:{one['NodeManagerAddress']}": 0.001} for one in chosen]
        self._group = ray.util.placement_group(bundles, strategy="STRICT_SPREAD")
        if not self._group.wait(PLACED_S):
            self._leave()
            raise self._no_room(len(chosen), cores)
        actor = ray.remote(num_cpus=cores, max_restarts=0)(Listener)
        strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
        hosts = [str(one["NodeManagerAddress"]) for one in chosen]
        self._actors = [
            actor.options(scheduling_strategy=strategy(self._group, placement_group_bundle_index=i)).remote()
            for i in range(len(hosts))
        ]
        asked = [one.listen.remote(host, token, cores) for one, host in zip(self._actors, hosts, strict=True)]
        try:
            ports = ray.get(asked, timeout=PLACED_S)
        except ray.exceptions.RayError as error:
            words = str(error).strip().splitlines()
            raise BenchError("machines.not_placed", why=words[-1] if words else type(error).__name__) from None
        return tuple(Machine(host=host, port=port, token=token) for host, port in zip(hosts, ports, strict=True))

    def _chosen(self) -> tuple[list[Mapping[str, Any]], int]:
        """The nodes with the most cores, and how many are taken of each: as asked, else half of the smallest's."""
        fit = [one for one in self._there() if _cores(one) >= (self.per_node or 1)]
        fit = sorted(fit, key=_cores, reverse=True)[: self.nodes]
        if not fit or len(fit) < (self.nodes or 1):
            raise self._no_room(self.nodes or 1, self.per_node or 1)
        return fit, self.per_node or max(1, _cores(fit[-1]) // 2)

    def _there(self) -> list[Mapping[str, Any]]:
        return [one for one in self._ray.nodes() if one["Alive"] and one["NodeManagerAddress"] not in self.avoid]

    def _no_room(self, nodes: int, cores: int) -> BenchError:
        has = ", ".join(f"{one['NodeManagerAddress']} {_cores(one)} CPU" for one in self._there()) or "–"
        avoided = ", ".join(sorted(self.avoid)) or "–"
        return BenchError("machines.no_room", nodes=nodes, cores=cores, has=has, avoided=avoided)

    def _leave(self) -> None:
        if self._group is not None:
            with suppress(Exception):  # a cluster that is gone has nothing to give back
                self._ray.util.remove_placement_group(self._group)
            self._group = None

    def close(self) -> None:
        """Give the nodes back."""
        self._leave()
        with suppress(Exception):
            self._ray.shutdown()


def _cores(node: Mapping[str, Any]) -> int:
    return int(node["Resources"].get("CPU", 0))


def connected(address: str) -> Any:
    """Ray, connected to a cluster that is there; our own code goes along."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import ray
            import ray.util.scheduling_strategies
        except ImportError:
            raise BenchError("machines.no_ray") from None
        logging.getLogger("ray").setLevel(logging.ERROR)  # it would have liked the signals that are ours to hear
        ours = {"py_modules": [str(Path(pytest_vllm_bench.__file__).parent)]}
        try:
            ray.init(
                address=address,
                runtime_env=ours,
                log_to_driver=False,
                configure_logging=False,
                ignore_reinit_error=True,
            )
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise BenchError("machines.no_cluster", address=address, why=why) from None
    return ray
