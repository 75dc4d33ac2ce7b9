"""The server's own profiler, started before the load and stopped after it, as ``vllm bench serve --profile`` does."""

from __future__ import annotations

from pytest_vllm_bench.errors import ServerError
from pytest_vllm_bench.model import Message, Observed, Target
from pytest_vllm_bench.observe.pages import fetch, words

START, STOP = "/start_profile", "/stop_profile"
#: Seconds: it begins at once, and writes out what it saw before it says that it has ended.
BEGINS, ENDS, LEAVES = 60.0, 1800.0, 5.0


class Profiler:
    """Of one load; where the server does not let itself be profiled, that is said and the load goes on."""

    def __init__(self) -> None:
        self._target: Target | None = None  # None: it has not begun
        self._notes: list[Message] = []

    async def begin(self, target: Target) -> None:
        if await self._told(target, START, BEGINS):
            self._target = target

    async def end(self, interrupted: bool) -> Observed:
        if self._target is not None:
            self._notes.append(Message(key="server.profiled"))
            await self._told(self._target, STOP, LEAVES if interrupted else ENDS)
        return Observed(notes=tuple(self._notes))

    async def _told(self, target: Target, path: str, seconds: float) -> bool:
        try:
            page = await fetch(target, path, seconds, body={})
        except ServerError as error:
            said: object = error.message
        else:
            if page.status == 200:
                return True
            said = f"{page.status} {words(target, page.body)}".strip()
        self._notes.append(Message(key="server.no_profile", values={"path": path, "said": said}))
        return False
