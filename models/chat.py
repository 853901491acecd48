"""The chat format: the template that ships with the model, and the training spans of what it renders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

BOS, EOS, PAD = "<|bos|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
TOOL_MARKERS = ("<tool_call>", "</tool_call>")
TEMPLATE = Path(__file__).with_name("chat_template.jinja")
_ANSWER = re.compile(r"(<\|assistant\|>)(.*?<\|end\|>)", re.DOTALL)

Message = Mapping[str, Any]
Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a training text; the loss counts only the tokens of spans with `learn`."""

    text: str
    learn: bool = False


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE.read_text())


def render(messages: Sequence[Message], tools: Sequence[Tool] = (), *, answer_next: bool = False) -> str:
    """The prompt text of a conversation; with `answer_next` it ends where the assistant goes on."""
    return _template().render(
        messages=messages,
        tools=list(tools) or None,
        add_generation_prompt=answer_next,
        bos_token=BOS,
        eos_token=EOS,
    )


def spans(messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[Span]:
    """The rendered conversation, cut so that what the assistant says is learnt."""
    pieces = _ANSWER.split(render(messages, tools))
    cut: list[Span] = []
    for start in range(0, len(pieces) - 1, 3):
        cut += [Span(pieces[start] + pieces[start + 1]), Span(pieces[start + 2], learn=True)]
    return cut
