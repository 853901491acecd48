"""POST /v1/completions."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.door.answerer import Answerer
from gateway.door.call import Draft, build_call
from gateway.door.completion_ask import Prompt, read_completion
from gateway.door.completion_shape import CompletionShape
from gateway.door.door_parts import DoorParts
from gateway.door.exchange import Exchange
from gateway.door.intake import take_in, tell_ignored
from gateway.text.text_tokenizer import TextTokenizer

DEFAULT_TOKENS = 16
"""As in OpenAI's API."""


class CompletionEndpoint:
    """Prompts in, `n` continuations of each out."""

    def __init__(self, parts: DoorParts, answerer: Answerer) -> None:
        self._parts = parts
        self._answerer = answerer

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        parts = self._parts
        intake = await take_in(exchange, parts)
        completion = read_completion(intake.fields, parts.card, parts.tenant, parts.limits)
        tell_ignored(exchange, parts, intake.fields)
        prompts = await self._tokens(completion.prompts, intake.remaining_s())
        draft = Draft(completion.ask, prompts, DEFAULT_TOKENS, "prompt")
        call = build_call(parts, draft, exchange, intake.remaining_s())
        await self._answerer.answer(exchange, call, CompletionShape(call, parts.text.tokenizer))

    async def _tokens(self, prompts: Sequence[Prompt], within_s: float) -> tuple[tuple[int, ...], ...]:
        """Off the event loop, unless there is nothing to do."""
        if not any(isinstance(prompt, str) for prompt in prompts):
            return tokenize_prompts(self._parts.text.tokenizer, prompts)
        tokenizer = self._parts.text.tokenizer
        return await self._parts.executor.run(lambda: tokenize_prompts(tokenizer, prompts), within_s)


def tokenize_prompts(tokenizer: TextTokenizer, prompts: Sequence[Prompt]) -> tuple[tuple[int, ...], ...]:
    """Ids of each prompt; those that are ids already stay as they are."""
    return tuple(
        tokenizer.encode(prompt, add_special_tokens=True) if isinstance(prompt, str) else prompt
        for prompt in prompts
    )
