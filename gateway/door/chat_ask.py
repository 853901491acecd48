"""One chat call, validated."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.door.ask import Ask, read_ask
from gateway.door.fields import Fields
from gateway.door.messages_field import read_messages
from gateway.door.model_card import ModelCard
from gateway.door.tenant import Tenant
from gateway.door.tools_field import read_tools
from gateway.text.chat_template import Conversation
from protocol.limits import Limits

TEMPLATE_OPTIONS = ("enable_thinking", "thinking", "reasoning_effort")
"""The template is the operator's: a client may set these switches and no others."""


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """What to generate and from what."""

    ask: Ask
    conversation: Conversation
    max_calls: int
    """0: no tool may be called."""


def read_chat(fields: Fields, card: ModelCard, tenant: Tenant, limits: Limits) -> ChatAsk:
    """Raises InvalidRequest or NotOffered."""
    ask = read_ask(fields, _logprobs(fields, limits), card, tenant, limits)
    conversation, max_calls = read_conversation(fields, limits)
    return ChatAsk(ask, conversation, max_calls)


def read_conversation(fields: Fields, limits: Limits) -> tuple[Conversation, int]:
    """Messages, tools and template options; then how many calls the answer may hold."""
    tools = read_tools(fields, limits.max_tools)
    messages = read_messages(fields, limits.max_messages)
    return Conversation(messages, tools.declared, _options(fields)), tools.max_calls


def _logprobs(fields: Fields, limits: Limits) -> int | None:
    wanted = fields.flag("logprobs")
    top = fields.integer("top_logprobs", 0, limits.max_logprobs)
    if top and not wanted:
        raise fields.wrong("top_logprobs", "needs 'logprobs': true")
    return (top or 0) if wanted else None


def _options(fields: Fields) -> dict[str, object]:
    options = fields.inner("chat_template_kwargs")
    if options is None:
        return {}
    for name in options.names():
        if name not in TEMPLATE_OPTIONS:
            raise options.wrong(name[:64], f"is not one of {', '.join(TEMPLATE_OPTIONS)}")
        if isinstance(options.value(name), list | dict):
            raise options.wrong(name, "must be a string, a number or a boolean")
    return {name: options.value(name) for name in options.names()}
