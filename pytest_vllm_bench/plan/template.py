"""A prompt → the text that the model's chat template makes of it, from its BOS to where the answer begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from pytest_vllm_bench.errors import DataError
from pytest_vllm_bench.model import Backend, Prompt
from pytest_vllm_bench.tokenizer import Tokenizer

#: Keys of a chat request's body that are the template's, not the server's.
_VARIABLES = ("tools", "chat_template_kwargs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """``variables``: what the template knows besides the messages.

    ``front``: text that the server puts before every other by itself, and that must not stand there twice; ``added``:
    how many tokens it adds.
    """

    owner: Any = field(repr=False)  # the tokenizer, as transformers has it
    tokenizer: Tokenizer = field(repr=False)
    variables: Mapping[str, Any]
    front: str = ""
    added: int = 0

    @staticmethod
    def of(owner: Any, tokenizer: Tokenizer, backend: Backend, extra_body: Mapping[str, Any]) -> ChatTemplate:
        """For a backend; what it would be told of the template in a chat request's body is used here."""
        variables = {"tools": extra_body.get("tools"), **(extra_body.get("chat_template_kwargs") or {})}
        if backend.bare_text or not tokenizer.overhead:
            return ChatTemplate(owner=owner, tokenizer=tokenizer, variables=variables)
        front = owner.bos_token or ""
        return ChatTemplate(
            owner=owner, tokenizer=tokenizer, variables=variables, front=front, added=tokenizer.overhead
        )


def without_variables(extra_body: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``extra_body`` is for the server."""
    return {key: value for key, value in extra_body.items() if key not in _VARIABLES}


def rendered(template: ChatTemplate, prompt: Prompt) -> Prompt:
    """The prompt as text.

    Raises DataError for what is no text, and where the template does not take the messages (roles in another order).
    """
    import jinja2

    messages = [_plain(message, prompt) for message in prompt.messages or [{"role": "user", "content": prompt.text}]]
    if prompt.media:
        raise DataError("plan.template_text_only", row=prompt.row or "–", kind=prompt.media[0].kind)
    try:
        text = template.owner.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **template.variables
        )
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise DataError("plan.template_failed", row=prompt.row or "–", error=str(error)) from error
    return replace(prompt, text=text.removeprefix(template.front), messages=None)


def _plain(message: Mapping[str, Any], prompt: Prompt) -> Mapping[str, Any]:
    """Contents in parts as one text, as servers give them to templates that know no parts."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    other = [part for part in content if not isinstance(part, Mapping) or not isinstance(part.get("text"), str)]
    if other:
        kind = other[0].get("type") if isinstance(other[0], Mapping) else type(other[0]).__name__
        raise DataError("plan.template_text_only", row=prompt.row or "–", kind=kind)
    return {**message, "content": "\n".join(part["text"] for part in content)}


def around(template: ChatTemplate) -> int | None:
    """Tokens around a prompt of one message; None where that differs, or where one message is not enough."""
    texts = ["hello", "hello hello hello"]
    try:
        whole = template.tokenizer.count([rendered(template, Prompt(text=text)).text or "" for text in texts])
    except DataError:
        return None
    added = {template.added + n - alone for n, alone in zip(whole, template.tokenizer.count(texts), strict=True)}
    return added.pop() if len(added) == 1 else None


def counted(template: ChatTemplate, prompts: Iterator[Prompt]) -> Iterator[Prompt]:
    """The prompts with their lengths as they will be sent."""
    while batch := list(islice(prompts, 64)):
        lengths = template.tokenizer.count([rendered(template, prompt).text or "" for prompt in batch])
        for prompt, n in zip(batch, lengths, strict=True):
            yield replace(prompt, input_len=n + template.added)
