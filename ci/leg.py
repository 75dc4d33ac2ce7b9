"""A leg of CI: what was checked → lines on the screen and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parent.parent


def cache() -> Path:
    """Where environments and models are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(base) / "pytest-vllm-bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


class Unavailable(Exception):
    """Something that the leg needs cannot be had on this machine."""


class Forbidden(Exception):
    """The machine's owner has not installed or does not permit it: no fault of the project's, in CI neither."""


@dataclass(slots=True)
class Findings:
    """What a leg checked; each check is one line."""

    failed: list[str] = field(default_factory=list)

    def check(self, what: str, *, holds: bool) -> None:
        print(f"{'ok    ' if holds else 'FAILED'}  {what}", flush=True)
        if not holds:
            self.failed.append(what)


def run(name: str, leg: Callable[[Findings], None]) -> int:
    """Run a leg.  What cannot be had skips it, with the reason; in CI (``CI=true``) that is a failure."""
    started, findings = monotonic(), Findings()
    print(f"== {name}", flush=True)
    try:
        leg(findings)
    except Unavailable as reason:
        must = os.environ.get("CI", "").lower() in ("1", "true")
        print(f"== {name}: {'FAILED, must run in CI' if must else 'skipped'}: {reason}", flush=True)
        return int(must)
    except Forbidden as reason:
        print(f"== {name}: skipped: {reason}", flush=True)
        return 0
    except RuntimeError as error:  # a server or a run that broke off
        findings.check(str(error), holds=False)
    verdict = f"FAILED: {len(findings.failed)} of the checks" if findings.failed else "passed"
    print(f"== {name}: {verdict}, {monotonic() - started:.0f} s", flush=True)
    return int(bool(findings.failed))


def main(name: str, leg: Callable[[Findings], None]) -> None:
    sys.exit(run(name, leg))
