"""A prompt → the index rows and bodies of its turns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_vllm_bench.backends import asked_by, field_of, knows, length_field
from pytest_vllm_bench.backends.payload import merged
from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Ask, Backend, Prompt, Scenario
from pytest_vllm_bench.plan.template import ChatTemplate, rendered, without_variables
from pytest_vllm_bench.plan.writer import IndexRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """What every request of a plan has in common.

    ``marker.format(turn=k)`` stands in a later turn's body where the server's answer to turn k will be put.
    """

    backend: Backend
    models: tuple[str, ...]
    force: bool
    detail: bool
    sampling: Mapping[str, Any] = field(repr=False)
    extra_body: Mapping[str, Any] = field(repr=False)
    marker: str
    usual_field: str = ""  # by which the backend asks for a length
    output_field: str = ""  # by which this plan does, if otherwise
    template: ChatTemplate | None = None

    @staticmethod
    def of(
        scenario: Scenario,
        backend: Backend,
        models: tuple[str, ...],
        *,
        detail: bool | None,
        salt: str,
        template: ChatTemplate | None,
    ) -> Asks:
        secret = hashlib.blake2b(f"{salt}/{scenario.id}/{scenario.seed}".encode(), digest_size=8).hexdigest()
        return Asks(
            backend=backend,
            models=models,
            force=scenario.ignore_eos is not False and backend.forces_length,
            detail=(scenario.token_detail != "off" if detail is None else detail) and backend.token_detail,
            sampling={
                k: v for k, v in scenario.sampling.items() if v is not None and knows(backend, k)
            },  # null: not sent
            extra_body=scenario.extra_body if template is None else without_variables(scenario.extra_body),
            usual_field=length_field(backend),
            output_field=scenario.output_field,
            marker=f"@@answer-{secret}-{{turn}}@@",
            template=template,
        )

    @property
    def sent_field(self) -> str:
        """The field that asks for the output length in the end."""
        return field_of(self.backend, self.output_field, self.extra_body)

    def turns(self, prompt: Prompt, model: int, most: int) -> Iterator[tuple[IndexRow, bytes]]:
        """The request; of a conversation all its turns, at most ``most``."""
        yield self._row(prompt, model), self._body(prompt, model)
        before = (prompt.input_len or 0) + (prompt.output_len or 0)
        for turn, later in enumerate(prompt.turns[: most - 1], 1):
            whole = self._with_history(prompt, turn)
            row = self._row(later, model)
            # The answers' real lengths are not known yet; all that was said before is shared with the turn before.
            yield (
                replace(row, turn=turn, think=later.think_s, input_len=None, shared_len=before),
                self._body(replace(whole, output_len=later.output_len), model),
            )
            before += (later.input_len or 0) + (later.output_len or 0)

    def _row(self, prompt: Prompt, model: int) -> IndexRow:
        seconds = [m.seconds for m in prompt.media if m.seconds is not None]
        return IndexRow(
            model=model,
            input_len=prompt.input_len,
            output_len=prompt.output_len,
            shared_len=prompt.shared_len,
            audio_s=sum(seconds) if seconds else math.nan,
        )

    def _body(self, prompt: Prompt, model: int) -> bytes:
        asked = asked_by(self.output_field, self.usual_field, prompt.output_len)
        return self.backend.body(
            Ask(
                prompt=prompt if self.template is None else rendered(self.template, prompt),
                model=self.models[model] if self.models else "",
                output_len=prompt.output_len,
                force_length=self.force and prompt.output_len is not None,
                token_detail=self.detail,
                sampling=self.sampling,
                extra_body=merged(asked, self.extra_body) if asked else self.extra_body,
                templated=self.template is not None,
            )
        )

    def _with_history(self, prompt: Prompt, turn: int) -> Prompt:
        """The prompt of a later turn: all turns up to it, with a marker for each answer."""
        said = [prompt, *prompt.turns[:turn]]
        if any(p.token_ids is not None for p in said):
            raise DataError("plan.conversation_ids")
        if not self.backend.takes_messages:
            texts = [p.text or "" for p in said]
            answers = [self.marker.format(turn=k) for k in range(turn)]
            return Prompt(
                text="\n".join(t for pair in zip(texts, [*answers, ""], strict=True) for t in pair).rstrip("\n")
            )
        messages: list[Mapping[str, Any]] = []
        for k, p in enumerate(said):
            messages += p.messages if p.messages is not None else [{"role": "user", "content": p.text or ""}]
            if k < turn:
                messages.append({"role": "assistant", "content": self.marker.format(turn=k)})
        return Prompt(messages=messages)
