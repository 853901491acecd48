"""The operator's chat template: messages and tools to the prompt's text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.text.generation_tag import GenerationTag
from protocol.errors import InvalidRequest, UnsupportedModel

JsonObject = Mapping[str, object]
"""Part of a client's JSON that only a template reads."""

SHOWN_CHARS = 200
"""Of a template's own complaint."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a template renders."""

    messages: tuple[JsonObject, ...]
    """Each has a role and a content that is one string."""
    tools: tuple[JsonObject, ...] = ()
    options: JsonObject = field(default_factory=dict)
    """Allow-listed scalars such as enable_thinking."""


class ChatTemplate:
    """One compiled template, run in a sandbox. May be slow: run it off the event loop."""

    def __init__(self, source: str, words: Mapping[str, str], unix_time: Callable[[], float]) -> None:
        """`words`: names of special tokens to their text. Raises UnsupportedModel if it cannot compile."""
        self._words = dict(words)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            extensions=["jinja2.ext.loopcontrols", GenerationTag],
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _complain
        environment.globals["strftime_now"] = lambda form: datetime.fromtimestamp(unix_time(), UTC).strftime(
            form
        )
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as wrong:
            raise UnsupportedModel(f"the chat template does not compile: {wrong}") from wrong

    def render(self, conversation: Conversation) -> str:
        """The prompt, ending where the assistant goes on. Raises InvalidRequest if the template refuses."""
        try:
            return self._template.render(
                **conversation.options,
                **self._words,
                messages=conversation.messages,
                tools=list(conversation.tools) or None,
                add_generation_prompt=True,
            )
        except Exception as wrong:  # a template is foreign code: whatever it raises is a refusal
            text = str(wrong)[:SHOWN_CHARS]
            raise InvalidRequest(
                f"the model's chat template cannot render these messages: {text}", param="messages"
            ) from wrong


def _complain(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As templates expect it: Jinja's own filter would escape HTML characters."""
    pair = (separators[0], separators[1]) if separators else None
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=pair, sort_keys=sort_keys)
