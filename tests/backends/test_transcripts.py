"""What real servers sent decodes to what it means, however the bytes are split."""

from __future__ import annotations

import pytest
from every import every
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import cut, decode, facts
from transcripts import OPENAI, Transcript
from transcripts_captured import CAPTURED
from transcripts_native import NATIVE

from pytest_vllm_bench.backends import BACKENDS

TRANSCRIPTS = [*OPENAI, *NATIVE, *CAPTURED]
CASES = [(name, transcript) for transcript in TRANSCRIPTS for name in transcript.backends]


def decoded(name: str, transcript: Transcript, reads: list[bytes]) -> dict[str, object]:
    record = decode(BACKENDS[name], reads, transcript.ending, asked=transcript.asked, **transcript.of_plan)
    return facts(record)


@every(("name", "transcript"), CASES, ids=lambda case: f"{case[0]}: {case[1].name}")
def test_means_what_it_says(name: str, transcript: Transcript) -> None:
    found = decoded(name, transcript, [transcript.data])
    assert {key: found[key] for key in transcript.facts} == transcript.facts


@pytest.mark.slow
@every("transcript", TRANSCRIPTS, ids=lambda t: t.name)
def test_cut_at_every_byte(transcript: Transcript) -> None:
    name = transcript.backends[0]
    whole = decoded(name, transcript, [transcript.data])
    for place in range(1, len(transcript.data)):
        assert decoded(name, transcript, cut(transcript.data, [place])) == whole, place
    assert decoded(name, transcript, cut(transcript.data, range(len(transcript.data)))) == whole


@settings(deadline=None, max_examples=200)
@given(transcript=st.sampled_from(TRANSCRIPTS), data=st.data())
def test_cut_anywhere(transcript: Transcript, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(1, len(transcript.data)), max_size=8))
    name = data.draw(st.sampled_from(transcript.backends))
    assert decoded(name, transcript, cut(transcript.data, places)) == decoded(name, transcript, [transcript.data])


@every("name", BACKENDS)
def test_every_backend_has_a_transcript(name: str) -> None:
    assert any(name in transcript.backends for transcript in TRANSCRIPTS)
