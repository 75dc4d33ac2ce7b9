"""A client that gets too little of the machine knows it: each check of its doing trips, and its limit can be set."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answering import answering, make_plan, measuring_process

from pytest_vllm_bench import load, plan
from pytest_vllm_bench.backends import BACKENDS
from pytest_vllm_bench.judge.validity import checks
from pytest_vllm_bench.measure.columns import sample, settings_of
from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import Cell, Check, Measurement, Scenario, Target, ValiditySettings

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(shutil.which("ps") is None, reason="no ps to find the measuring process with"),
]

CLOSED = Scenario(cell=Cell(place="c"), target=Target(), backend="vllm", concurrency=2, num_prompts=30)
OPEN = Scenario(cell=Cell(place="o"), target=Target(), backend="vllm", request_rate=50.0, num_prompts=30)
LENIENT = ValiditySettings(lag_ms=60_000, rate=0.01, cpu=10.0, steal=1.0)


AGAIN_AND_AGAIN = (0.0, *[0.15, 0.1] * 20)
#: Beyond when the last request of the open loop is due.
ONCE_FOR_LONG = (0.3, 1.0)


def starve(tape: Path, times: Sequence[float]) -> None:
    """Let the measuring process run and stop it, in turn, for so many seconds from its first tape segment on; for a
    thread."""
    while not list(tape.glob("*.tape")):
        time.sleep(0.005)
    pid = measuring_process()
    with suppress(ProcessLookupError):
        for number, seconds in enumerate(times):
            os.kill(pid, signal.SIGSTOP if number % 2 else signal.SIGCONT)
            time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)


async def judged(
    scenario: Scenario, tmp_path: Path, *, starved: Sequence[float] = (), strict: ValiditySettings
) -> dict[str, Check]:
    """The scenario's checks under its limits; ``starved``: when the client got nothing of the machine."""
    ask: dict[str, Any] = {"n": 3, "gap": 0.01}
    rate = scenario.request_rate
    dues = [0.2 + i / rate for i in range(30)] if scenario.open_loop else None
    tape = tmp_path / "tape"
    async with answering() as server:
        made = make_plan(tmp_path / "plan", [ask] * 30, cap=scenario.concurrency, dues=dues)
        if starved:
            threading.Thread(target=starve, args=[tape, starved], daemon=True).start()
        target = Target(base_url=f"http://127.0.0.1:{server.port}")
        facts = await load.send(made, target, load.SendSettings(), tape, asyncio.Event())
    rows: Any = plan.index(made)
    decoder = Decoder(made, BACKENDS["vllm"], rows, started=load.started(tape))
    records = [record for entry in load.read(tape) if (record := decoder.feed(entry)) is not None]
    assert len(records) == 30
    scenario = replace(scenario, validity=strict)
    one = Measurement(scenario=scenario, facts=facts, plan=made)
    found = checks(scenario, [one], [sample(records, settings_of(scenario))])
    return {check.id: check for check in found}


@pytest.mark.parametrize("scenario", [CLOSED, OPEN], ids=["closed", "open"])
async def test_a_starved_client_is_late_and_says_so(tmp_path: Path, scenario: Scenario) -> None:
    found = await judged(scenario, tmp_path, starved=AGAIN_AND_AGAIN, strict=ValiditySettings(steal=1.0))
    assert not found["sentinel_lag"].ok
    assert (found["sentinel_lag"].observed or 0) > 0.05
    if scenario is OPEN:
        assert not found["send_lag"].ok


async def test_the_same_under_limits_that_allow_it(tmp_path: Path) -> None:
    found = await judged(OPEN, tmp_path, starved=AGAIN_AND_AGAIN, strict=LENIENT)
    assert all(check.ok for check in found.values()), found


async def test_too_low_a_rate_is_said(tmp_path: Path) -> None:
    """A client that stood still sent its last request long after it was due."""
    found = await judged(OPEN, tmp_path, starved=ONCE_FOR_LONG, strict=replace(LENIENT, rate=0.98))
    assert not found["rate"].ok
    assert (found["rate"].observed or 0) < 40


async def test_too_busy_a_process_is_said(tmp_path: Path) -> None:
    found = await judged(CLOSED, tmp_path, strict=replace(LENIENT, cpu=1e-6))
    assert not found["cpu"].ok
    assert found["worker"].ok
