"""POST /v1/chat/completions."""

from __future__ import annotations

from gateway.door.answerer import Answerer
from gateway.door.call import Draft, build_call
from gateway.door.chat_ask import read_chat
from gateway.door.chat_shape import ChatShape
from gateway.door.door_parts import DoorParts
from gateway.door.exchange import Exchange
from gateway.door.intake import take_in, tell_ignored
from gateway.text.chat_template import ChatTemplate, Conversation
from protocol.errors import NotOffered


class ChatEndpoint:
    """Messages in, one assistant message per choice out."""

    def __init__(self, parts: DoorParts, answerer: Answerer) -> None:
        self._parts = parts
        self._answerer = answerer

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        parts = self._parts
        intake = await take_in(exchange, parts)
        chat = read_chat(intake.fields, parts.card, parts.tenant, parts.limits)
        tell_ignored(exchange, parts, intake.fields)
        prompt = await tokenize_chat(parts, chat.conversation, intake.remaining_s())
        draft = Draft(chat.ask, (prompt,), parts.card.max_context, "messages", chat.max_calls)
        call = build_call(parts, draft, exchange, intake.remaining_s())
        shape = ChatShape(call, parts.text.tokenizer, parts.sources.new_id)
        await self._answerer.answer(exchange, call, shape)


async def tokenize_chat(parts: DoorParts, conversation: Conversation, deadline_s: float) -> tuple[int, ...]:
    """The prompt's ids; the template itself writes the begin-of-text token. Raises NotOffered if
    the model has no template."""
    template = parts.text.template
    if template is None:
        raise NotOffered("this model has no chat template: use /v1/completions", param="messages")
    return await parts.executor.run(lambda: _encode(parts, template, conversation), deadline_s)


def _encode(parts: DoorParts, template: ChatTemplate, conversation: Conversation) -> tuple[int, ...]:
    return parts.text.tokenizer.encode(template.render(conversation), add_special_tokens=False)
