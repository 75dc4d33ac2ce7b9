"""One request to a server, by the barest means: a backend's body out, a Record back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from tapes import plan, row, sent

from pytest_vllm_bench.measure.decode import Decoder
from pytest_vllm_bench.model import Ask, Backend, Ending, Entry, EntryKind, Media, Prompt, Record

#: Backend → what the simulator is to imitate, where several servers share a path.
DIALECTS = {
    "sglang-oai": "sglang",
    "lmdeploy": "lmdeploy",
    "scalellm": "scalellm",
    "trtllm-serve": "trtllm",
    "deepspeed-mii-generate": "mii",
    "deepspeed-mii-openai": "mii",
    "llama.cpp": "llama.cpp",
    "llama.cpp-native": "llama.cpp",
}


def prompt(backend: Backend) -> Prompt:
    if backend.batch == "inputs":
        return Prompt(inputs=["one", "two of them", "three"])
    if backend.batch == "documents":
        return Prompt(text="a question", inputs=["one", "two of them", "three"])
    if backend.takes_media == {"audio"}:
        return Prompt(text="", media=(Media(kind="audio", data=b"RIFF" + bytes(4000), mime="audio/wav", seconds=1),))
    return Prompt(text="Say something about the sea.")


def ask(text: str = "Say something about the sea.", output_len: int = 16, **changed: object) -> Ask:
    """What a plan would ask; ``force_length`` and ``token_detail`` as the caller has them."""
    values: dict[str, object] = {
        "prompt": Prompt(text=text),
        "model": "tiny",
        "output_len": output_len,
        "force_length": False,
        "sampling": {"temperature": 0},
    }
    return Ask(**{**values, **changed})  # type: ignore[arg-type]


def exchange(
    url: str,
    backend: Backend,
    asked: Ask,
    *,
    headers: str = "",
    path: str = "",
    counter: Callable[[list[str]], list[int]] | None = None,
) -> Record:
    """Send it, read to the end, decode: with one timestamp a read, as the load does."""
    decoder = Decoder(
        plan(force_length=asked.force_length, streamed=asked.stream),
        backend,
        [row(asked.output_len or -1)],
        count_tokens=counter,
        keep_text=True,
        started=0.0,
    )
    record = None
    for entry in answer(url, backend, asked, headers=headers, path=path):
        record = decoder.feed(entry)
    assert record is not None
    return record


def answer(url: str, backend: Backend, asked: Ask, *, headers: str = "", path: str = "") -> Iterator[Entry]:
    """The request's tape, entry by entry."""
    where = urlsplit(url)
    body = backend.body(asked)
    own = "".join(f"{name}: {value}\r\n" for name, value in backend.headers.items())
    head = (
        f"POST {path or backend.path.replace('{model}', asked.model)} HTTP/1.1\r\nhost: {where.netloc}\r\n"
        f"content-type: {backend.content_type}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        f"{own}{headers}\r\n"
    )
    ending, words = Ending.EOF, ""
    with socket.create_connection((where.hostname or "", where.port or 80), timeout=60) as connection:
        yield sent(time=time.perf_counter())
        connection.sendall(head.encode() + body)
        try:
            while data := connection.recv(65536):
                yield Entry(EntryKind.READ, 0, time.perf_counter(), data)
        except ConnectionResetError as error:
            ending, words = Ending.RESET, str(error)
    yield Entry(EntryKind.END, 0, time.perf_counter(), bytes([ending]) + words.encode())
