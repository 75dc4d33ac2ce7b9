"""``scripted.py --port N [--manner …]``: a small server that speaks completions, and behaves as it is told to."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--manner", default="", help="what it does, words with + between them")
parser.add_argument("--says", default="", help="what it writes to its log first")
parser.add_argument("--code", type=int, default=1)
parser.add_argument("--after", type=int, default=0, help="requests after which it dies")
parser.add_argument("--max-num-seqs", type=int, default=256)
parser.add_argument("--note", default="", help="a file to which each start and reset adds a line")
parser.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction)
args = parser.parse_args()
manner = args.manner.split("+")
answered = 0


def note(what: str) -> None:
    if args.note:
        with open(args.note, "a", encoding="utf-8") as file:
            file.write(f"{what} {args.max_num_seqs}\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def page(self, body: object, status: int = 200, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        info = {"vllm_config": {"scheduler_config": {"max_num_seqs": args.max_num_seqs + ("differs" in manner)}}}
        pages = {"/v1/models": {"data": [{"id": "m"}]}, "/version": {"version": "1"}, "/health": {}}
        pages |= {"/server_info?config_format=json": info}
        missing = self.path not in pages or (self.path == "/health" and "unhealthy" in manner)
        self.page({} if missing else pages[self.path], 404 if missing else 200)

    def do_POST(self) -> None:
        global answered
        asked = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/reset_prefix_cache" and "resets" in manner:
            note("reset")
            return self.page({"success": "stuck" not in manner})
        if self.path != "/v1/completions":
            return self.page({}, 404)
        answered += 1
        if args.after and answered > args.after:
            print("CUDA out of memory. Tried to allocate 2.00 GiB", flush=True)
            os._exit(args.code)
        body = json.loads(asked)
        tokens = [{"text": " a"}] * body["max_tokens"] + [{"text": "", "finish_reason": "length"}]
        usage = {"prompt_tokens": len(body["prompt"].split()), "completion_tokens": body["max_tokens"]}
        chunks = [{"choices": [{"index": 0, **token}]} for token in tokens] + [{"choices": [], "usage": usage}]
        told = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks)
        self.page(told + b"data: [DONE]\n\n", kind="text/event-stream")

    def log_message(self, *words: object) -> None:
        pass


def main() -> None:
    note("start")
    if args.says:
        print(args.says.replace("\\n", "\n"), flush=True)
    if root := os.environ.get("VLLM_CACHE_ROOT"):
        compiled = Path(root) / "compiled"
        print(f"torch.compile took {0.5 if compiled.exists() else 9.5} s in total", flush=True)
        compiled.mkdir(parents=True, exist_ok=True)
    if "taken" in manner and Path(args.note).read_text().count("start") == 1:  # the first time alone
        sys.exit("OSError: [Errno 98] Address already in use")
    if "stubborn" in manner:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "workers" in manner:  # that leave their group, and are given to others when their parent dies
        sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        for _ in range(2):
            worker = subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True)
            print(f"worker {worker.pid}", flush=True)
    if "floods" in manner:
        for _ in range(200):
            os.write(1, b"x" * 65535 + b"\n")
    if "leaves" in manner and os.fork():
        os._exit(0)
    if "dies" in manner:
        sys.exit(args.code)
    if "waits" in manner:
        time.sleep(600)
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    if "stubborn" not in manner:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


main()
