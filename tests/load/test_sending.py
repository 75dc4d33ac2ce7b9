"""What a server does → what the tape says, through a real measuring process."""

# A tuple with an approx in it is compared with one of numbers, which mypy takes for unlike.
# mypy: disable-error-code=comparison-overlap

from __future__ import annotations

import asyncio
import math
import os
import resource
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import pytest
from answering import DONE, EVENT, Ending, answering, chunk, make_plan, measuring_process, sent, until

from pytest_vllm_bench import load
from pytest_vllm_bench.load.clock import Alarm
from pytest_vllm_bench.load.pool import Pool
from pytest_vllm_bench.load.tape import Tape
from pytest_vllm_bench.load.wire import Hooks, address
from pytest_vllm_bench.model import Target, Timeouts

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("ask", "ending"),
    [
        ({"do": "chunked"}, Ending.COMPLETE),
        ({"do": "continued"}, Ending.COMPLETE),
        ({"do": "length", "body": "{}"}, Ending.COMPLETE),
        ({"do": "length", "status": 400, "body": '{"error": "too long"}'}, Ending.COMPLETE),
        ({"do": "closing"}, Ending.COMPLETE),
        ({"do": "until closed"}, Ending.EOF),
        ({"do": "cut"}, Ending.EOF),
        ({"do": "reset"}, Ending.RESET),
        ({"do": "not http"}, Ending.PROTOCOL),
        ({"do": "upgrade"}, Ending.PROTOCOL),
    ],
    ids=lambda value: value.get("do", "") + str(value.get("status", "")) if isinstance(value, dict) else "",
)
async def test_each_way_to_end(tmp_path: Path, ask: dict[str, object], ending: int) -> None:
    """The end is what the wire said, and the requests after it are sent all the same."""
    async with answering() as server:
        requests, facts = await sent(
            make_plan(tmp_path / "plan", [ask, {}, ask, {}]), f"http://127.0.0.1:{server.port}", tmp_path
        )
    assert [requests[i].ending for i in range(4)] == [ending, Ending.COMPLETE] * 2
    assert facts.complete
    assert server.pipelined == 0
    for request in requests.values():
        assert facts.started <= request.ready <= request.sent <= request.arrivals[0] <= request.end <= facts.ended


async def test_the_tape_holds_the_bytes_as_they_came(tmp_path: Path) -> None:
    async with answering() as server:
        requests, facts = await sent(make_plan(tmp_path / "p", [{"n": 2}]), f"http://127.0.0.1:{server.port}", tmp_path)
    head, _, body = requests[0].data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == chunk(EVENT) * 2 + chunk(DONE) + b"0\r\n\r\n"
    assert facts.workers[0].bytes_in == len(requests[0].data)
    assert facts.workers[0].reads == len(requests[0].arrivals)


async def test_an_answer_in_many_reads_has_a_time_for_each(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"n": 5, "gap": 0.02}])
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert len(requests[0].arrivals) >= 5
    assert requests[0].arrivals == sorted(requests[0].arrivals)
    assert requests[0].arrivals[-1] - requests[0].arrivals[0] >= 0.08


async def test_keep_alive_uses_as_many_connections_as_slots(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"gap": 0.002}] * 40, cap=4)
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert server.connections == 4
    assert server.peak == 4
    assert [r.reused for r in requests.values()].count(False) == 4
    assert all(math.isnan(r.connect_s) == r.reused for r in requests.values())


async def test_a_fresh_connection_for_each_request(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{}] * 12, cap=3)
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path, keep_alive=False)
    assert server.connections == 12
    assert all(r.ending == Ending.COMPLETE and r.connect_s > 0 and not r.reused for r in requests.values())
    assert all("connection: close" in head for head in server.heads)


async def test_a_reused_connection_that_dies_before_any_byte_is_replaced_once(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"do": "once"}] * 3)
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE] * 3
    assert [r.reconnected for r in requests.values()] == [False, True, True]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["reset", "close"])
async def test_a_request_that_was_held_before_its_connection_broke_has_failed(tmp_path: Path, by: str) -> None:
    """Sent again, it would be a quick answer, and the wait would be nowhere."""
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"do": "held", "by": by}] * 4)
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    broken = Ending.RESET if by == "reset" else Ending.EOF
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE, broken] * 2
    assert not any(r.reconnected for r in requests.values())
    assert len(server.requests) == 4


async def test_a_request_sent_again_is_timed_from_its_first_sending(tmp_path: Path) -> None:
    """Two SENT entries with one time: ``understood`` compares them.  Its wait for a new connection is part of it."""
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"do": "once"}] * 2)
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    again = requests[1]
    assert (again.reconnected, again.ready) == (True, pytest.approx(requests[0].end, abs=1e-9))
    assert again.sent + again.connect_s < again.arrivals[0]


async def test_a_connection_that_was_never_used_may_be_gone_as_well(tmp_path: Path) -> None:
    """Opened ahead of need, closed by the server in the meantime, or in the moment of sending."""
    async with answering() as server:
        server.impatient = True
        plan = make_plan(tmp_path / "plan", [{}] * 4, cap=2)
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE] * 4


async def test_a_connection_that_says_more_than_it_was_asked_is_not_used_again(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"do": "chatty"}] * 3)
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE] * 3
    assert server.connections >= 3


@pytest.mark.parametrize(
    ("ask", "limits", "ending"),
    [
        ({"do": "silent"}, {"first_token": 0.15}, Ending.TIMEOUT_FIRST),
        ({"first": 5}, {"first_token": 0.15}, Ending.TIMEOUT_FIRST),
        ({"do": "stalls"}, {"between_tokens": 0.15}, Ending.TIMEOUT_BETWEEN),
        ({"n": 1000, "gap": 0.02}, {"total": 0.3}, Ending.TIMEOUT_TOTAL),
    ],
    ids=["head only", "first", "between", "total"],
)
async def test_no_server_can_hang_a_run(
    tmp_path: Path, ask: dict[str, object], limits: dict[str, float], ending: int
) -> None:
    timeouts = Timeouts(**{"connect": 5, "first_token": 10, "between_tokens": 10, "total": 20, **limits})
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [ask, {}], cap=1)
        requests, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path, timeouts=timeouts)
    assert [r.ending for r in requests.values()] == [ending, Ending.COMPLETE]
    assert requests[0].end - requests[0].sent >= min(limits.values())
    assert facts.complete


async def test_a_server_that_refuses(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        requests, facts = await sent(make_plan(tmp_path / "plan", [{}] * 5, cap=2), url, tmp_path)
    assert [r.ending for r in requests.values()] == [Ending.CONNECT] * 5
    assert all("refused" in r.words.lower() for r in requests.values())
    assert facts.complete


@contextmanager
def full_accept_queue() -> Iterator[str]:
    """The URL of a server to which connections hang."""
    with socket.socket() as busy, ExitStack() as fillers:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        for _ in range(8):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(busy.getsockname())
        yield f"http://127.0.0.1:{busy.getsockname()[1]}"


async def test_a_server_that_does_not_accept(tmp_path: Path) -> None:
    """The timeout for connecting ends it."""
    with full_accept_queue() as url:
        timeouts = Timeouts(connect=0.2, first_token=0.2, between_tokens=1, total=1)
        requests, _ = await sent(make_plan(tmp_path / "plan", [{}] * 2, cap=1), url, tmp_path, timeouts=timeouts)
    assert {r.ending for r in requests.values()} <= {Ending.TIMEOUT_CONNECT, Ending.TIMEOUT_FIRST}
    assert Ending.TIMEOUT_CONNECT in {r.ending for r in requests.values()}


async def test_stop_does_not_wait_for_connections_that_are_opened_ahead(tmp_path: Path) -> None:
    stop = asyncio.Event()
    timeouts = Timeouts(connect=3600, first_token=1, between_tokens=1, total=1)
    with full_accept_queue() as url:
        sending = asyncio.create_task(
            sent(make_plan(tmp_path / "plan", [{}] * 8, cap=8), url, tmp_path, stop=stop, timeouts=timeouts)
        )
        await asyncio.sleep(0.5)
        stop.set()
        async with asyncio.timeout(30):
            requests, facts = await sending
    assert not requests
    assert (facts.stop_reason, facts.complete) == ("stopped", False)
    assert facts.started <= facts.ended


async def test_connections_asked_for_again_before_they_are_begun_are_opened_once(tmp_path: Path) -> None:
    nothing = Hooks(
        ended=lambda *_: None,
        died_early=lambda _: None,
        connected=lambda _: True,
        failed=lambda *_: None,
        lost=lambda _: None,
        rested=lambda _: None,
    )
    async with answering() as server:
        tape = Tape(tmp_path, 0, asyncio.get_running_loop().call_later)
        pool = Pool(address(f"http://127.0.0.1:{server.port}"), None, 5.0, tape, nothing, True)
        for _ in range(3):  # several answers end in one turn of the loop, and after each of them is asked
            pool.expect(10)
        await until(lambda: len(pool.idle) >= 10)
        await until(lambda: not pool.connecting)
        pool.expect(12)
        await until(lambda: len(pool.idle) == 12)
        assert server.connections == pool.made == 12
        pool.close()
        await asyncio.sleep(0.05)


async def test_an_open_loop_without_a_cap_opens_what_it_needs(tmp_path: Path) -> None:
    async with answering() as server:
        dues = [0.4 + 0.001 * i for i in range(30)]
        plan = make_plan(tmp_path / "plan", [{"first": 0.3}] * 30, cap=None, dues=dues)
        requests, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE] * 30
    assert 1 < server.connections <= 30
    for i, request in requests.items():
        assert request.due == pytest.approx(facts.started + dues[i])
        assert request.due <= request.ready <= request.sent


async def test_what_is_due_under_a_full_cap_when_the_time_is_up_is_said(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(
            tmp_path / "plan", [{"first": 0.8}] * 6, cap=1, dues=[0.0, 0.01, 0.02, 0.03, 5.0, 6.0], duration=0.6
        )
        requests, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert {i: r.ending for i, r in requests.items()} == {
        0: Ending.COMPLETE, 1: Ending.NOT_SENT, 2: Ending.NOT_SENT, 3: Ending.NOT_SENT,
    }  # fmt: skip
    assert facts.complete


@pytest.mark.slow
async def test_stop_drains_and_then_cancels(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with answering() as server:
        asks = [{"n": 10, "gap": 0.05}, {"n": 10_000, "gap": 0.05}, {}, {}]
        plan = make_plan(tmp_path / "plan", asks, cap=2, dues=[0.2, 0.2, 600.0, 600.0])
        url = f"http://127.0.0.1:{server.port}"
        task = asyncio.create_task(sent(plan, url, tmp_path, stop=stop, drain_s=3, timeouts=Timeouts()))
        await until(lambda: len(server.requests) == 2)
        stop.set()
        requests, facts = await task
    assert {i: r.ending for i, r in requests.items()} == {0: Ending.COMPLETE, 1: Ending.CANCELLED}
    assert not facts.complete
    assert facts.stop_reason == "stopped"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps to find the process with")
async def test_a_measuring_process_too_far_behind_to_hear_stop_hears_it_later(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"gap": 0.05, "n": 1000}])
        url = f"http://127.0.0.1:{server.port}"
        sending = asyncio.create_task(sent(plan, url, tmp_path, stop=stop, drain_s=0.1))
        await until(lambda: server.in_flight)
        process = measuring_process()
        os.kill(process, signal.SIGSTOP)
        await asyncio.sleep(4)  # by then the ticks fill the socket
        stop.set()
        await asyncio.sleep(0.1)
        os.kill(process, signal.SIGCONT)
        requests, facts = await sending
    assert facts.stop_reason == "stopped"
    assert not any(worker.died for worker in facts.workers)
    assert requests[0].ending == Ending.CANCELLED


async def test_a_cancelled_send_leaves_no_process(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"n": 1000, "gap": 0.05}])
        task = asyncio.create_task(sent(plan, f"http://127.0.0.1:{server.port}", tmp_path))
        await until(lambda: server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not server.in_flight)  # the connection is cut as soon as the process is gone


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps to find the process with")
async def test_a_worker_that_dies_is_said_and_its_tape_is_kept(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"n": 1000, "gap": 0.01}])
        task = asyncio.create_task(sent(plan, f"http://127.0.0.1:{server.port}", tmp_path))
        await until(lambda: server.requests)
        await until(lambda: any(EVENT in entry.data for entry in load.read(tmp_path / "tape")))
        os.kill(measuring_process(), 9)
        requests, facts = await task
    assert "-9" in facts.workers[0].died
    assert not facts.complete
    assert [w.key for w in facts.warnings if "died" in w.key] == ["load.worker_died"]
    assert EVENT in requests[0].data
    assert requests[0].ending == -1


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps to find the process with")
async def test_when_the_parent_is_gone_so_is_the_measuring_process(tmp_path: Path) -> None:
    """A second Ctrl-C, or a kill: nobody is left to stop it, so it stops by itself."""
    async with answering() as server:
        make_plan(tmp_path / "plan", [{"n": 10_000, "gap": 0.05}])
        script = tmp_path / "parent.py"
        script.write_text(
            "import asyncio, sys\nfrom pathlib import Path\nfrom pytest_vllm_bench import load\n"
            "from pytest_vllm_bench.model import Plan, Target\nfolder = Path(sys.argv[1])\n"
            "plan = Plan(scenario_id='x', folder=folder, n=1, path='/', chains=1, max_in_flight=1)\n"
            "to = Target(base_url=sys.argv[2])\n"
            "asyncio.run(load.send(plan, to, load.SendSettings(), folder / 'tape', asyncio.Event()))\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(load.__file__).parents[2])}
        arguments = [str(script), str(tmp_path / "plan"), f"http://127.0.0.1:{server.port}"]
        parent = await asyncio.create_subprocess_exec(sys.executable, *arguments, env=environment)
        await until(lambda: server.requests)
        parent.kill()
        await parent.wait()
        await until(lambda: not server.in_flight)


async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """A limit on the length of files stands for it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"n": 500, "event": "x" * 1000}])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            requests, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert facts.workers[0].disk_full
    assert facts.workers[0].died == str(tmp_path / "tape")
    assert len(requests[0].data) > 1000


async def test_secrets_stay_in_memory(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{}] * 2)
        url = f"http://127.0.0.1:{server.port}/behind"
        headers = {"Authorization": "Bearer sesame-open"}
        target, settings = Target(base_url=url), load.SendSettings(headers=headers, request_id_prefix="run-")
        await load.send(plan, target, settings, tmp_path / "tape", asyncio.Event())
    assert "sesame" not in repr(settings)
    assert all("authorization: Bearer sesame-open" in head for head in server.heads)
    assert server.heads[0].startswith("POST /behind/v1/completions HTTP/1.1\r\n")
    assert [f"x-request-id: run-{i}" in head for i, head in enumerate(server.heads)] == [True, True]
    assert "accept-encoding: identity" in server.heads[0]
    assert not [path for path in _files(tmp_path) if b"sesame" in path.read_bytes()]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_body_larger_than_the_socket_takes(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"prompt": "word " * 2_000_000}] * 2)
        requests, _ = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE] * 2
    assert [len(ask["prompt"]) for ask in server.requests] == [10_000_000] * 2


async def test_after_an_answer_that_came_before_the_body_was_sent_the_connection_is_not_used_again(
    tmp_path: Path,
) -> None:
    """Else the next request is written into what is left of this one."""
    async with answering() as server:
        server.hasty = True
        large = {"image": "x" * 20_000_000}
        requests, _ = await sent(make_plan(tmp_path / "plan", [large] * 3), f"http://127.0.0.1:{server.port}", tmp_path)
    assert [requests[i].ending for i in range(3)] == [Ending.COMPLETE] * 3
    assert not any(r.reused or r.reconnected for r in requests.values())


async def test_a_unix_socket(tmp_path: Path) -> None:
    place = tmp_path / "s"
    async with answering(unix=place) as server:
        requests, _ = await sent(make_plan(tmp_path / "plan", [{}] * 3), f"unix://{place}", tmp_path)
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE] * 3
    assert server.connections == 1


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a_unix_socket_with_a_full_accept_queue_is_tried_again(tmp_path: Path, keep_alive: bool) -> None:
    place = tmp_path / "s"
    async with answering(unix=place, backlog=1) as server:
        plan = make_plan(tmp_path / "plan", [{}] * 80, cap=40)
        requests, _ = await sent(plan, f"unix://{place}", tmp_path, keep_alive=keep_alive)
    assert {r.ending for r in requests.values()} == {Ending.COMPLETE}
    assert server.connections >= 40


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_ipv6(tmp_path: Path) -> None:
    try:
        async with answering(host="::1") as server:
            plan = make_plan(tmp_path / "plan", [{}] * 3)
            requests, _ = await sent(plan, f"http://[::1]:{server.port}", tmp_path)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE] * 3
    assert f"host: [::1]:{server.port}" in server.heads[0]


async def test_a_name_with_two_addresses_of_which_one_answers(tmp_path: Path) -> None:
    async with answering() as server:  # 127.0.0.1 only; localhost may be ::1 first
        plan = make_plan(tmp_path / "plan", [{}] * 3)
        requests, _ = await sent(plan, f"http://localhost:{server.port}", tmp_path)
    assert [r.ending for r in requests.values()] == [Ending.COMPLETE] * 3


async def test_tls(tmp_path: Path, certificate: Path) -> None:
    """A private CA is believed when it is named, everybody when that was asked for, and else nobody unknown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    endings: list[set[int]] = []
    async with answering(context=context) as server:
        for verify in (str(certificate), False, True):
            plan = make_plan(tmp_path / "plan", [{"n": 20, "gap": 0.001}] * 4, cap=2)
            folder = tmp_path / str(len(endings))
            requests, _ = await sent(plan, f"https://localhost:{server.port}", folder, verify=verify)
            endings.append({r.ending for r in requests.values()})
            if verify is not True:
                assert all(chunk(DONE) in r.data for r in requests.values())
                assert sum(r.reused for r in requests.values()) == 2
    assert endings == [{Ending.COMPLETE}, {Ending.COMPLETE}, {Ending.CONNECT}]
    assert "certificate" in requests[0].words


@pytest.mark.parametrize("workers", [2, 3])
async def test_workers_share_the_work(tmp_path: Path, workers: int) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"gap": 0.005}] * 31, cap=5)
        requests, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path, workers=workers)
    assert sorted(requests) == list(range(31))
    assert {r.ending for r in requests.values()} == {Ending.COMPLETE}
    assert len(facts.workers) == workers
    assert server.connections == 5
    assert {w.started for w in facts.workers} == {facts.started}
    assert sum(w.reads for w in facts.workers) == sum(len(r.arrivals) for r in requests.values())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be pinned here")
async def test_workers_are_pinned_in_turn(tmp_path: Path) -> None:
    usable = sorted(os.sched_getaffinity(0))
    cpus = [usable[-1], usable[0]]
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{}] * 6, cap=3)
        _, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path, workers=3, worker_cpus=cpus)
    assert [worker.cpu for worker in facts.workers] == [cpus[0], cpus[1], cpus[0]]


async def test_the_sentinel_runs_beside_the_load(tmp_path: Path) -> None:
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"n": 20, "gap": 0.02}])
        _, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    worker = facts.workers[0]
    assert len(worker.sentinel_lags) >= 5
    assert all(lag >= 0 for lag in worker.sentinel_lags)
    assert worker.cpu_s > 0
    assert 0 < worker.peak_memory_bytes < 150e6
    assert worker.loop.startswith("uvloop") or worker.loop == "asyncio"


async def test_without_uvloop_it_works_on_asyncio_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with answering() as server:
        plan = make_plan(tmp_path / "plan", [{"gap": 0.002}] * 9, cap=3)
        requests, facts = await sent(plan, f"http://127.0.0.1:{server.port}", tmp_path)
    assert {r.ending for r in requests.values()} == {Ending.COMPLETE}
    assert facts.workers[0].loop == "asyncio"


@pytest.mark.parametrize("timerfd", [True, False])
async def test_the_alarm_rings_on_time_and_only_for_the_last_setting(timerfd: bool) -> None:
    if timerfd and sys.platform != "linux":
        pytest.skip("timerfd is Linux's")
    rung: list[float] = []
    alarm = Alarm(asyncio.get_running_loop(), lambda: rung.append(perf_counter()), timerfd=timerfd)
    alarm.set(perf_counter() + 100)
    alarm.set(wanted := perf_counter() + 0.03)
    await until(lambda: rung)
    assert rung[0] >= wanted
    alarm.set(perf_counter() - 1)  # in the past: at once
    await until(lambda: len(rung) == 2)
    alarm.close()
