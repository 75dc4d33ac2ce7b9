"""What a hostile or careless server sends back: no key, no password, no command of a CI service leaves the session."""

from __future__ import annotations

import base64
import gzip
import json
import os
import socketserver
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

PASSWORD, USER, KEY, QUERY = "pa ss/w0rd&<x>", "someone-long", "sk-live-0123456789", "query-secret-77"
COOKIE = "cookie-secret-5"
PAIR = f"{USER}:{PASSWORD}"
FORMS = [
    PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD, safe="").lower(), USER,
    base64.b64encode(PAIR.encode()).decode(),
    base64.urlsafe_b64encode(PAIR.encode()).decode().rstrip("="), json.dumps(PASSWORD)[1:-1], KEY, QUERY, COOKIE,
]  # fmt: skip
COMMANDS = (
    "x\n::add-mask::y\r\n##vso[task.setvariable]z\n##teamcity[buildStop]\n\x1b]0;title\x07\u202eabc <img src=x> | @you"
)

Bench = Callable[..., pytest.RunResult]


@contextmanager
def echoing(words: str) -> Iterator[int]:
    """A server that says ``words`` of its model, answers a trial, and then says them with status 500, cut in the middle
    of a secret."""
    seen: list[int] = []

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                path, length = line.split(b" ")[1], 0
                while (head := self.rfile.readline()) not in (b"\r\n", b""):
                    name, _, value = head.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self.rfile.read(length)
                self.answer(path)

        def answer(self, path: bytes) -> None:
            usage = {"prompt_tokens": 64, "completion_tokens": 8, "total_tokens": 72}
            parts = [
                {"choices": [{"index": 0, "text": "w " * 8, "finish_reason": "length"}]},
                {"choices": [], "usage": usage},
            ]
            body = "".join(f"data: {json.dumps(part)}\n\n" for part in parts).encode() + b"data: [DONE]\n\n"
            status = b"200 OK\r\nContent-Type: text/event-stream"
            if path.startswith(b"/v1/models"):
                status, body = b"200 OK", json.dumps({"data": [{"id": "m", "root": words}]}).encode()
            elif not path.startswith(b"/v1/completions"):
                status, body = b"404 Not Found", b""
            elif len(seen) >= 6:
                status, body = b"500 Oh", json.dumps({"error": {"message": words}}).encode()
            seen.append(1)
            self.wfile.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
            cut = body.find(KEY.encode()) + 7
            for piece in (body[:cut], body[cut:]):
                self.wfile.write(piece)
                self.wfile.flush()
                threading.Event().wait(0.02)  # another read

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


KEYS = {
    "model": "m", "tokenizer": "ids", "input_output": [[64, 8]], "concurrency_prompts": [[1, 12]], "tape": "keep",
    "base_url": None,
    "endpoint": f"/v1/completions?api_key={QUERY}", "extra_body": {"api_key": KEY}, "cache": "warm",
    "headers": {"Cookie": f"theme=dark; sid={COOKIE}"},
}  # fmt: skip
TEST = """
import pytest

@pytest.mark.asyncio
async def test_serving(scenario, vllm_bench):
    headers = dict(scenario.target.headers)
    await vllm_bench(scenario)
    assert headers == {}, (headers, scenario)

def test_values(scenario, vllm_bench):
    headers = dict(scenario.target.headers)
    print(headers)
    assert headers == {}
"""


@pytest.mark.slow
def test_no_secret_comes_back_in_any_form(
    bench: Bench, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("PYTHONUTF8", "1")
    test = TEST.replace("def test_values", "@pytest.mark.skip\ndef test_values")
    umask = os.umask(0)
    try:
        with echoing(f"you said {' '.join(FORMS)} {COMMANDS}") as port:
            url = f"http://{quote(USER)}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
            result = bench(f"--vllm-url={url}", "-vv", "-l", "--junitxml=junit.xml", test=test, **KEYS)
    finally:
        os.umask(umask)
    result.assert_outcomes(failed=1, skipped=1)
    shown = result.stdout.str() + result.stderr.str()
    assert "you said" in shown
    written = {"the terminal": shown.encode().replace(url.encode(), b"")}
    for path in pytester.path.rglob("*"):
        if path.is_file() and "cases" not in path.parts:
            data = path.read_bytes()
            written[path.name] = gzip.decompress(data) if path.suffix == ".gz" else data
    assert {"junit.xml", "report.html", "verdict.json", "summary.md"} <= written.keys()
    found = {(name, form) for name, data in written.items() for form in FORMS if form.encode() in data}
    assert found == set()
    for path in pytester.path.rglob("*"):
        if ".tape" in path.name or ".records." in path.name:
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    for name in ("the terminal", "summary.md"):
        text = written[name].decode()
        begins = ("::add-mask", "::stop", "::set-output")
        assert not [line for line in text.splitlines() if line.strip().startswith(begins)], name
        anywhere = ("##vso[", "##teamcity[", "##[", "section_start:1", "\x1b]0", "\x1b[0K", "\u202e", "(http://evil)")
        assert not [one for one in anywhere if one in text and (name, one) != ("the terminal", "(http://evil)")], name
    assert "<img" not in written["summary.md"].decode()


def test_locals_and_assertions_show_no_secret(bench: Bench, pytester: pytest.Pytester) -> None:
    test = TEST.replace("@pytest.mark.asyncio", "@pytest.mark.skip")
    with echoing("x") as port:
        url = f"http://{quote(USER)}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
        result = bench(f"--vllm-url={url}", "-vv", "-l", "--tb=long", "--junitxml=junit.xml", test=test, **KEYS)
    result.assert_outcomes(failed=1, skipped=1)
    shown = result.stdout.str().replace(url, "") + (pytester.path / "junit.xml").read_text()
    assert "***" in shown
    assert {form for form in FORMS if form in shown} == set()
