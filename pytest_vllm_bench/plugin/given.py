"""What options, environment and ini give beside the config: read once they are known to make sense."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_vllm_bench.plugin import chosen
from pytest_vllm_bench.text import say

READY_TIMEOUT = 600.0
LONGEST = 30 * 86400.0
LANGUAGES = ("en", "zh", "both")
#: How a switch is turned in an environment variable or an ini file; the option has no value.
SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def patience(config: pytest.Config) -> float:
    """How many seconds a server may take to become ready."""
    given = chosen(config, "ready-timeout")
    return float(given[0]) if given else READY_TIMEOUT


def strict(config: pytest.Config) -> bool:
    """Whether the unproven and the simulated fail."""
    return turned_on(config, "strict")


def turned_on(config: pytest.Config, name: str) -> bool:
    """Whether a switch is."""
    given = chosen(config, name)
    return SWITCH.get(str(given[0]).lower(), False) if given else False


def troubles(config: pytest.Config, lang: str) -> Iterator[str]:
    """What is wrong with the values that no config has a key for: a gate must not run otherwise than it was told to."""
    for name in ("config", "baseline", "save-baseline", "history", "ready-timeout", "lang", "strict", "resume"):
        if (given := chosen(config, name)) is None:
            continue
        value, origin = str(given[0]), given[1]
        if not value:
            yield f"{origin}: {say('config.given_empty', lang, origin=origin)}"
        elif name == "ready-timeout" and not _seconds(value):
            yield say("plugin.not_seconds", lang, origin=origin, value=value)
        elif name == "lang" and value not in LANGUAGES:
            yield say("plugin.not_one_of", lang, origin=origin, value=value, known=" | ".join(LANGUAGES))
        elif name in ("strict", "resume") and value.lower() not in SWITCH:
            yield say("plugin.not_one_of", lang, origin=origin, value=value, known=" | ".join(SWITCH))


def _seconds(text: str) -> bool:
    """Whether this is a time that can be waited for."""
    try:
        return 0 <= float(text) <= LONGEST
    except ValueError:
        return False
