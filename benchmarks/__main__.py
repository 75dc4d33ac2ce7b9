"""``python -m benchmarks``: build the truth server, find the clients, run rounds in turn, print the table, draw it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks import chart, clients, foresight, kernel, limits, machines, rounds, truth, watching
from benchmarks.chinese import chinese
from benchmarks.truth import Case
from pytest_vllm_bench import environment

DOCS = Path(__file__).parents[1] / "docs"
STANDARD = [Case(concurrency=c, requests=4 * c) for c in (16, 256, 1024)]
#: Beside the standard case: nothing is tuned to it.
OTHERS = [
    Case(name="long", concurrency=1024, requests=16 * 1024),  # so long that decoding has to keep up with the load
    Case(name="slow", ttft_ms=200, itl_ms=20, concurrency=512, requests=2048),
    Case(name="multi-token", tokens=4, concurrency=256, requests=1024),
    Case(name="coalesced", events=5, concurrency=256, requests=1024),
    Case(name="chat", chat=True, concurrency=256, requests=1024),
    Case(name="8k prompts", input_len=8192, concurrency=256, requests=1024),
    Case(name="TLS", secure=True, concurrency=256, requests=1024),
]


def main() -> int:
    asked = arguments()
    try:
        truth.build(asked.out)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    for part in asked.parts or PARTS:
        text = PARTS[part](asked)
        print(text, flush=True)
        if asked.write_docs:
            write_docs(part, text)
    return 0


def write_docs(part: str, text: str) -> None:
    """Replace what stands between ``<!-- part -->`` and the next ``<!-- end -->`` on both pages."""
    for page in DOCS.glob("*/accuracy.md"):
        before, mark, rest = page.read_text("utf-8").partition(f"<!-- {part} -->\n")
        if not mark:  # it is printed alone
            continue
        _, end, after = rest.partition("<!-- end -->")
        said = chinese(text) if page.parent.name == "zh" else text
        page.write_text(f"{before}{mark}\n{said}\n\n{end}{after}", "utf-8")


def foreseen(asked: argparse.Namespace) -> str:
    """A twin's own speed."""
    return foresight.table()


def watched(asked: argparse.Namespace) -> str:
    """What watching the server costs."""
    return watching.report(asked.out, asked.rounds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS), help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, nargs="*", help="of the standard case (default 16 256 1024)")
    parser.add_argument("--clients", nargs="*", help="names; default: every one that is there")
    parser.add_argument("--no-fetch", action="store_true", help="do not download vLLM's Rust client (336 MB, once)")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "vllm-bench-benchmarks")
    parser.add_argument("--write-docs", action="store_true", help="put tables and picture into docs/*/accuracy.md")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    return asked


def compare(asked: argparse.Namespace) -> str:
    """The standard case: every client in turn."""
    cache = environment.cache_dir() / "vllm-rs"
    found = clients.found(cache, fetch=not asked.no_fetch)
    chosen = {name: client for name, client in found.items() if not asked.clients or name in asked.clients}
    cases = [case for case in STANDARD if not asked.concurrency or case.concurrency in asked.concurrency]
    errors = rounds.run(cases, chosen, asked.rounds, asked.out)
    save(errors, asked.out / "rounds.json")
    for lang in ("en", "zh"):
        picture = (DOCS / lang / "pictures" if asked.write_docs else asked.out / lang) / "accuracy.png"
        picture.parent.mkdir(exist_ok=True)
        chart.save(errors, picture, lang)
        print(picture, file=sys.stderr)
    mine = [error for error in errors if error.client == clients.PATH]
    return rounds.table(errors) + "\n\n" + rounds.table(mine, rounds.INSIDE)


def others(asked: argparse.Namespace) -> str:
    """Other shapes of load; ours only, since most other clients measure something else there."""
    errors = rounds.run(OTHERS, {clients.WHOLE: clients.whole}, asked.rounds, asked.out)
    save(errors, asked.out / "others.json")
    return rounds.table(errors)


def save(errors: list[rounds.Error], path: Path) -> None:
    path.write_text(json.dumps([asdict(error) for error in errors], indent=1))


def beyond(asked: argparse.Namespace) -> str:
    """How fast, how much memory, how much of each stage."""
    return limits.report(asked.out)


def times(asked: argparse.Namespace) -> str:
    """The kernel's receive timestamps: what they would say, and cost."""
    return kernel.report(asked.out)


def nodes(asked: argparse.Namespace) -> str:
    """Two nodes beside one."""
    return machines.table(asked.out, asked.rounds, *(asked.concurrency or [1024])[:1])


PARTS = {
    "rounds": compare,
    "others": others,
    "limits": beyond,
    "kernel": times,
    "machines": nodes,
    "foresight": foreseen,
    "watching": watched,
}

sys.exit(main())
