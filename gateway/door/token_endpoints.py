"""POST /tokenize and POST /detokenize."""

from __future__ import annotations

import msgspec

from gateway.door.chat_ask import read_conversation
from gateway.door.chat_endpoint import tokenize_chat
from gateway.door.completion_ask import read_token_ids
from gateway.door.content import MAX_CHARS
from gateway.door.door_parts import DoorParts
from gateway.door.exchange import Exchange
from gateway.door.fields import Fields
from gateway.door.intake import take_in, tell_ignored
from gateway.door.refused_fields import check_refused
from protocol.errors import InvalidRequest


class TokenizeEndpoint:
    """A prompt or a chat to token ids."""

    def __init__(self, parts: DoorParts) -> None:
        self._parts = parts

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        parts = self._parts
        intake = await take_in(exchange, parts, model_needed=False)
        check_refused(intake.fields)
        with_text = intake.fields.flag("return_token_strs")
        tokens = await self._tokens(intake.fields, intake.remaining_s())
        tell_ignored(exchange, parts, intake.fields)
        texts = [parts.text.tokenizer.token_bytes(token).decode(errors="replace") for token in tokens]
        body = {
            "count": len(tokens),
            "max_model_len": parts.card.max_context,
            "tokens": tokens,
            "token_strs": texts if with_text else None,
        }
        await exchange.answer(200, msgspec.json.encode(body))

    async def _tokens(self, fields: Fields, deadline_s: float) -> tuple[int, ...]:
        parts = self._parts
        if fields.value("messages") is not None:
            conversation, _ = read_conversation(fields, parts.limits)
            return await tokenize_chat(parts, conversation, deadline_s)
        prompt = fields.text("prompt", MAX_CHARS)
        special = fields.flag("add_special_tokens", default=True)
        if not prompt:
            raise InvalidRequest("'prompt' must not be empty", param="prompt")
        return await parts.executor.run(
            lambda: parts.text.tokenizer.encode(prompt, add_special_tokens=special), deadline_s
        )


class DetokenizeEndpoint:
    """Token ids to text."""

    def __init__(self, parts: DoorParts) -> None:
        self._parts = parts

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        parts = self._parts
        intake = await take_in(exchange, parts, model_needed=False)
        tokens = read_token_ids(intake.fields.value("tokens"), parts.card.vocabulary, "tokens")
        tell_ignored(exchange, parts, intake.fields)
        text = await parts.executor.run(lambda: parts.text.tokenizer.decode(tokens), intake.remaining_s())
        await exchange.answer(200, msgspec.json.encode({"prompt": text}))
