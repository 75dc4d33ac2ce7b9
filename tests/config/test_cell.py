"""What a scenario is called, and what it has in common with which others."""

from __future__ import annotations

from dataclasses import replace

from every import every
from hypothesis import given
from hypothesis import strategies as st

from pytest_vllm_bench.model import Cell, read_cell

word = st.text("ab1._-é", min_size=1, max_size=6).map(lambda text: f"x{text}x")
bound = st.integers(1, 999).map("np{}".format) | st.sampled_from(["d60", "d1.5"])
repeat = st.none() | st.integers(1, 12)
plain = st.builds(Cell, target=st.just("") | word, place=word, bound=bound, repeat=repeat)
probes = st.builds(
    Cell,
    target=st.just("") | word,
    place=word,
    search=st.just("capacity"),
    level=st.sampled_from(["mc16", "rr0.5"]),
    bound=bound,
)


@given(plain | probes)
def test_an_id_is_read_back(cell: Cell) -> None:
    of = cell.of_search.id if cell.level else ""
    assert read_cell(cell.id, cell.key, target=cell.target, repeat=cell.repeat or 1, probe_of=of) == cell
    alone = read_cell(cell.id, repeat=cell.repeat)
    assert (alone.id, alone.key, alone.repeat) == (cell.id, cell.key, cell.repeat)


@every(
    ("id", "key"),
    [
        ("io8x8-mc1-np10", "io8x8-mc1"),
        ("vllm-128qps-concurrency16-llama-3-8b", "vllm-128qps-concurrency16-llama-3-8b"),
        ("deepseek-r1", "deepseek-r1"),
        ("x-np5-y", "x-np5-y"),
        ("np5", "np5"),
        ("", ""),
    ],
)
def test_a_name_from_elsewhere_stays_what_it_is(id: str, key: str) -> None:
    made = read_cell(id)
    assert (made.id, made.key, made.repeat) == (id, key, None)


def test_what_cells_have_in_common() -> None:
    one = Cell(target="a", place="io8x8-mc1", bound="np10", repeat=2)
    other = replace(one, target="b", repeat=1)
    assert one.repeated == replace(one, repeat=1).repeated != other.repeated
    assert one.anywhere == other.anywhere != one
    assert one.key == "a-io8x8-mc1"
    tiers = [Cell(place="io8x8", tier=tier, search="capacity") for tier in ("gold", "silver")]
    probe = replace(tiers[0].of_search, level="mc4", bound="np60")
    assert [tier.id for tier in tiers] == ["io8x8-gold-capacity", "io8x8-silver-capacity"]
    assert tiers[0].of_search == tiers[1].of_search == probe.of_search
    assert (probe.id, probe.of_search.id) == ("io8x8-capacity-mc4-np60", "io8x8-capacity")
