"""Which cell of the matrix a scenario is: what it is called, and what it has in common with which others."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, Self

#: What bounds a load, at the end of an id.
_BOUND = re.compile(r"-(np\d+|d[\d.]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The parts of an id, in their order; those that are empty do not stand in it."""

    target: str = ""  # its name, where there are several
    place: str = ""  # dataset, lengths and load: io1024x256-mc16
    tier: str = ""  # of a search
    search: Literal["", "capacity"] = ""  # it is one, or a probe of one
    level: str = ""  # that the probe is run at: mc16
    bound: str = ""  # np160, d60
    repeat: int | None = None  # 1-based; None: the only one

    @property
    def key(self) -> str:
        """Without requests, seconds and repeat: what baselines are matched on."""
        return "-".join(filter(None, (self.target, self.place, self.tier, self.search, self.level)))

    @property
    def id(self) -> str:
        """io1024x256-mc16-np160-r2"""
        return "-".join(filter(None, (self.key, self.bound, f"r{self.repeat}" if self.repeat else "")))

    @property
    def repeated(self) -> Self:
        """What its repeats have in common, and no other scenario has."""
        return replace(self, repeat=None)

    @property
    def anywhere(self) -> Self:
        """What it has in common with the same on other targets, in whichever round."""
        return replace(self, target="", repeat=None)

    @property
    def of_search(self) -> Self:
        """What the tiers of a search and its probes have in common."""
        return replace(self, tier="", level="", bound="", repeat=None)


def read_cell(id: str, key: str = "", *, target: str = "", repeat: int | None = None, probe_of: str = "") -> Cell:
    """Of what says no more than an id (and, as our files do, what of it is what): nowhere else is one taken apart."""
    whole = id.removesuffix(f"-r{repeat}")
    if not key or not whole.startswith(key):
        key = _BOUND.sub("", whole)
    place = key.removeprefix(f"{target}-" if target else "")
    level = key.removeprefix(f"{probe_of}-") if probe_of and key.startswith(f"{probe_of}-") else ""
    if search := bool(level):
        place = place.removesuffix(f"-{level}").removesuffix("capacity").removesuffix("-")
    return Cell(
        target=target if place != key else "",
        place=place,
        search="capacity" if search else "",
        level=level,
        bound=whole[len(key) :].removeprefix("-"),
        repeat=repeat if whole != id else None,
    )
