"""A scenario's trial request → whether its server can answer it as the load would have to be answered."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field

from pytest_vllm_bench.errors import NotReady, ServerError
from pytest_vllm_bench.framing import Events
from pytest_vllm_bench.model import Backend, Target
from pytest_vllm_bench.observe.pages import (
    PAGE_BYTES,
    Page,
    asked,
    parsed,
    read,
    refusal,
    shown,
    told,
    url,
    web,
    words,
)
from pytest_vllm_bench.observe.ready import Server

#: Bytes read at most of an answer (a batch of embeddings is large).
MOST_BYTES = 64 << 20
#: An answer of so many tokens is read to its end; of a longer one the first token is enough.
WHOLE = 64
#: Characters of a field that is told of; the prompt is longer.
SMALL = 60
#: Refusals of one request's shape: other scenarios of the target may do.
OF_A_SHAPE = ("server.shape", "server.no_token")

_NO_MODEL = re.compile(r"model.{0,80}(not (exist|found|support)|unknown|invalid)|(invalid|unknown|no such) model", re.I)
#: A page that asks who is there will not pass; one that is shown until the server is there will.
_LOGIN = re.compile(
    rb"log ?in\b|sign[ -]?in\b|password|single sign|unauthori[sz]ed|access denied|forbidden|\xe7\x99\xbb\xe5\xbd\x95",
    re.I,
)
_INVALID = re.compile(r"invalid|bad.?request|validation|unprocessable|unauthorized|permission", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One request of a scenario's own shape."""

    backend: Backend
    path: str
    body: bytes = field(repr=False)
    model: str
    output_field: str = ""
    scenario: str = ""
    input_len: int = 0  # tokens, as far as they are known
    output_len: int | None = None
    forced: bool = False  # the answer's length: an answer without a token is not the model's choice
    seconds: float = 300.0

    @property
    def need(self) -> int:
        """Tokens of prompt and answer, as far as they are known."""
        return self.input_len + (self.output_len or 0)


@dataclass(slots=True)
class TrialAnswer:
    """What has come of a trial's answer so far."""

    start: bytes = b""
    events: int = 0  # that could be read
    token: bool = False
    finished: bool = False
    hint: ServerError | None = None  # at what is wrong, if nothing more comes


async def attempt(server: Server, trial: Trial, seconds: float) -> None:
    """Send the trial; whoever does not answer it as a load would be answered is a ServerError, with the server's words.

    A long answer is left after its first token, which proves the shape; its connection is closed.
    """
    seen = TrialAnswer()
    try:
        await answered(server, trial, seconds, seen)
    except NotReady as problem:
        if problem.message.key != "server.silent" or not seen.token:
            raise
        raise NotReady("server.unended", **problem.message.values) from None


async def answered(server: Server, trial: Trial, seconds: float, seen: TrialAnswer) -> None:
    """Read the answer into ``seen``, as far as it takes."""
    headers = {**trial.backend.headers, **server.target.headers, "Content-Type": trial.backend.content_type}
    async with (
        web(server.target, min(seconds, trial.seconds)) as session,
        asked(session, server.target, trial.path, data=io.BytesIO(trial.body), headers=headers) as response,
    ):
        if response.status != 200:
            raise unfit(server, trial, await read(response, PAGE_BYTES))
        events, size = Events(trial.backend.framing), 0
        async for part in response.content.iter_any():
            size += len(part)
            seen.start += part[: PAGE_BYTES if not seen.start else 0]
            if enough(server, trial, seen, events.feed(part)):
                return
            if size > MOST_BYTES:
                break
        if not enough(server, trial, seen, events.flush()):
            raise_silent(server, trial, seen, Page(status=200, headers=response.headers, body=seen.start))


def enough(server: Server, trial: Trial, seen: TrialAnswer, events: list[bytes]) -> bool:
    """Whether what has come shows that the server can do it; ServerError if it says that it cannot."""
    for event in events:
        try:
            delta = trial.backend.read(event)
        except RecursionError:
            continue
        if delta.error is not None and delta.error_kind != "protocol":
            seen.hint = complained(server, trial, event, delta.error)
            if not delta.hint:
                raise seen.hint
        if delta.error is None:
            counts = (delta.tokens, delta.total_tokens, delta.output_tokens)
            seen.events += 1
            seen.token |= bool(delta.text or delta.reasoning or delta.tool or any(counts))
            seen.finished |= delta.terminal or delta.finish_reason is not None
    if not trial.backend.generates:
        return seen.events > 0
    return seen.token and (seen.finished or trial.output_len is None or trial.output_len > WHOLE)


def raise_silent(server: Server, trial: Trial, seen: TrialAnswer, answer: Page) -> None:
    """Judge an answer that ended without having shown what it should."""
    values = {"url": url(server.target, trial.path), "backend": trial.backend.name}
    values["said"] = words(server.target, answer.body) or "–"
    if seen.hint is not None and not seen.token:
        raise seen.hint
    if not seen.events and (answer.html or not answer.body.strip()):
        kind = ServerError if answer.html and _LOGIN.search(answer.body) else NotReady
        raise kind("server.page" if answer.html else "server.blank", **values)
    if not seen.events:
        raise ServerError("server.empty", **values)
    if not seen.token and not seen.finished:
        raise NotReady("server.cut", **values)
    if not seen.token and trial.forced:
        raise ServerError("server.no_token", **values)


def complained(server: Server, trial: Trial, event: bytes, said: str) -> ServerError:
    """The error that an answer with status 200 holds: by its code or type it may be one that will stay."""
    found = parsed(event)
    around = found if isinstance(found, dict) else {}
    inner = around["error"] if isinstance(around.get("error"), dict) else {}
    fields = {**around, **inner}
    told = [str(fields.get(key)) for key in ("code", "status", "status_code", "http_status_code")]
    status = next((int(code) for code in told if re.fullmatch("[45][0-9][0-9]", code)), 0)
    if not status and any(_INVALID.search(str(fields.get(key))) for key in ("type", "code", "error_type")):
        status = 400
    if status:
        return unfit(server, trial, Page(status=status, headers={}, body=event))
    return NotReady("server.error", url=url(server.target, trial.path), said=shown(server.target.discreet(said)))


def unfit(server: Server, trial: Trial, answer: Page) -> ServerError:
    """The error that the trial's status stands for."""
    error = refusal(server.target, trial.path, answer)
    said, bare = str(error.message.values.get("said", "")), words(server.target, answer.body).replace(trial.path, "")
    values = {"url": url(server.target, trial.path), "status": answer.status, "said": said}
    passing, others = isinstance(error, NotReady), server.models and trial.model not in server.models
    of_model = "model" in bare.lower() or trial.model in bare or "模型" in bare
    if not passing and ((answer.status == 404 and of_model) or (others and _NO_MODEL.search(bare))):
        if not others:  # it may still be loading
            return NotReady("server.status", **values)
        return ServerError("server.model", asked=trial.model, served=told(server.models), **values)
    if passing or error.message.key not in ("server.status", "server.path"):
        return error
    if answer.status == 404:
        return ServerError("server.path", **values)
    limit = server.max_model_len.get(trial.model, trial.need)
    if trial.need > limit:
        lengths = {"need": trial.need, "input": trial.input_len, "output": trial.output_len, "limit": limit}
        return ServerError("server.context", scenario=trial.scenario, model=trial.model, **lengths, **values)
    return ServerError("server.shape", **values, sent=sent(server.target, trial))


def sent(target: Target, trial: Trial) -> str:
    """The small fields of a trial's body, also of the objects in it: what it asks for beside the prompt."""
    body = parsed(trial.body)
    fields = body if isinstance(body, dict) else {}
    for value in [value for value in fields.values() if isinstance(value, dict)]:
        fields = fields | value
    written = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return shown(target.discreet(", ".join(words for words in written if len(words) <= SMALL))) or "–"
