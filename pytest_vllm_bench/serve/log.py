"""A server's log → its last words, what they mean where it died, and the figures of its start."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_vllm_bench.model import Message

#: Bytes read at most of a log: its end, for last words; its beginning, for the figures of a start.
END_BYTES, START_BYTES = 64 << 10, 64 << 20
#: Lines of a log that are shown, and characters of each.
LINES, LETTERS = 80, 400

#: What only a terminal understands.
_COLOURS = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\))")

#: What a server's last words mean: the first that matches, from the last line up.
DIAGNOSES: dict[str, re.Pattern[str]] = {
    f"serve.why.{name}": re.compile(words, re.IGNORECASE)
    for name, words in {
        "kv_cache": r"no available memory for the cache blocks|KV cache.{0,80}(larger|exceeds|needed)",
        "memory": r"out of memory|cannot allocate memory|MemoryError|bad_alloc|less than desired GPU memory",
        "port": r"address (is )?already in use|couldn't bind",
        "model": r"not a valid model identifier|repository not found|can't load the configuration of|"
        r"failed to load model|no such file or directory.{0,80}(config\.json|\.gguf)|does not appear to have a file",
        "length": r"max seq len|max_model_len|maximum (sequence|context) length",
        "flag": r"(unrecognized|invalid|unknown) (arguments?|option|choice)|no such option",
        "access": r"gated repo|40[13] client error|access to model .{0,80} is restricted",
        "package": r"ModuleNotFoundError|ImportError|no module named",
    }.items()
}
#: How a download shows itself in a log.
DOWNLOAD = re.compile(r"downloading|fetching \d+ files|\d+%\|.*([kMG]i?B|B/s)|Retrying.*download", re.I)

#: A figure of the start → the line that tells it; its group is the figure.
FIGURES: dict[str, re.Pattern[str]] = {
    "weights_s": re.compile(r"Loading weights took ([\d.]+) sec|Load weight end\. .*?elapsed[= ]([\d.]+) ?s"),
    "compile_s": re.compile(r"torch\.compile (?:takes|took) ([\d.]+) s"),
    "graphs_s": re.compile(r"Graph capturing finished in ([\d.]+) s|Capture cuda graph end\. Time elapsed: ([\d.]+) s"),
    "engine_s": re.compile(r"init engine \(profile, create kv cache, warmup model\) took ([\d.]+) s"),
    "kv_gib": re.compile(r"Available KV cache memory: ([\d.]+) GiB"),
    "kv_tokens": re.compile(r"KV cache size: ([\d,]+) tokens|max_total_num_tokens=(\d+)"),
    "max_concurrency": re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x"),
}  # fmt: skip
#: Several workers tell the same: the slowest counts, the smallest cache.
_LEAST = ("kv_gib", "kv_tokens", "max_concurrency")


def lines(log: Path) -> list[str]:
    """The last ones, as a terminal shows them: of a line that was written over, what came last."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - END_BYTES))
            text = file.read(END_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    found = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in _COLOURS.sub("", text).split("\n")]
    return [line[:LETTERS] for line in found if line.strip()][-LINES:]


def words(log: Path, most: int = LINES) -> tuple[Message, ...] | Message:
    """The last lines, to be shown."""
    said = lines(log)[-most:]
    return tuple(Message(key="serve.line", values={"line": line}) for line in said) or Message(key="serve.silent")


def last(log: Path) -> str:
    return next(reversed(lines(log)), "–")


def diagnosis(said: list[str]) -> Message | None:
    """What the last words mean, where they are known."""
    for line in reversed(said):
        for key, pattern in DIAGNOSES.items():
            if pattern.search(line):
                return Message(key=key, values={"line": line})
    return None


def downloads(log: Path) -> bool:
    """Whether what is written at the moment is a download's progress."""
    return any(DOWNLOAD.search(line) for line in lines(log)[-3:])


def figures(log: Path) -> dict[str, float]:
    """What the log tells of the start; what it does not tell is not there."""
    try:
        with log.open("rb") as file:
            text = _COLOURS.sub("", file.read(START_BYTES).decode("utf-8", "replace"))
    except OSError:
        return {}
    found: dict[str, float] = {}
    for name, pattern in FIGURES.items():
        told = [float(next(filter(None, match.groups())).replace(",", "")) for match in pattern.finditer(text)]
        if told:
            found[name] = min(told) if name in _LEAST else max(told)
    return found
