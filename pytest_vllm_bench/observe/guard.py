"""Watchers are begun and ended within their time: one that hangs or breaks is done without, which is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from pytest_vllm_bench.model import Beside, Message, Observed, Target

T = TypeVar("T")


async def begun(besides: Sequence[Beside], target: Target) -> tuple[list[Beside], list[Message]]:
    """Those that have begun, one after another, and why others have not."""
    there, notes = list[Beside](), list[Message]()
    try:
        for one in besides:
            there.append(one)
            if isinstance(why := await _within(one, one.begin(target)), Message):
                there.remove(one)
                notes.append(why)
                await _within(one, one.end(True))
    except BaseException:
        await ended(there, True)
        raise
    return there, notes


async def ended(besides: Sequence[Beside], interrupted: bool) -> list[Observed]:
    """What they have seen; of one that does not say, why."""
    found = [await _within(one, one.end(interrupted)) for one in besides]
    return [Observed(notes=(one,)) if isinstance(one, Message) else one for one in found]


async def _within(one: Beside, doing: Awaitable[T]) -> T | Message:
    if (seconds := getattr(one, "patience", Beside.patience)) is None:  # one of others need not be made of ours
        return await doing
    what = type(one).__name__
    try:
        async with asyncio.timeout(seconds):
            return await doing
    except TimeoutError:
        return Message(key="observe.beside_hung", values={"what": what, "seconds": f"{seconds:g}"})
    except Exception as error:  # a mistake of whoever wrote it is not the run's concern
        return Message(
            key="observe.beside_broke", values={"what": what, "said": str(error)[:200] or type(error).__name__}
        )
