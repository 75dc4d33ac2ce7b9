"""A backend, a scenario → what it cannot do of what is asked, to be said before the load and in the result."""

from __future__ import annotations

from pytest_vllm_bench.model import Backend, Message, Scenario


def knows(backend: Backend, key: str) -> bool:
    """Whether the backend can be told this of ``sampling``."""
    return key not in backend.drops and (backend.samples is None or key in backend.samples)


def notes(backend: Backend, scenario: Scenario) -> tuple[Message, ...]:
    """One message for each thing that will not be as one might think; empty if all will."""
    found = []

    def say(key: str, **values: str) -> None:
        found.append(Message(key=f"backends.{key}", values={"backend": backend.name, **values}))

    if scenario.chat_template == "client":
        say("template_here")
    wants_length = scenario.ignore_eos or (scenario.ignore_eos is None and scenario.output_len is not None)
    if backend.generates and wants_length and not backend.forces_length:
        say("cannot_force")
    if backend.generates and backend.framing == "json":
        say("no_stream")
    if backend.generates and scenario.token_detail == "on" and not backend.token_detail:
        say("no_token_detail")
    unknown = sorted(k for k, value in scenario.sampling.items() if value is not None and not knows(backend, k))
    if backend.generates and unknown:
        say("sampling_left_out", names=", ".join(unknown))
    if len(scenario.models) > 1 and not backend.names_model:
        say("one_model")
    return tuple(found)
