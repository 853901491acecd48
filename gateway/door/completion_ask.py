"""One completions call, validated."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.door.ask import Ask, read_ask
from gateway.door.fields import Fields, kind
from gateway.door.model_card import ModelCard
from gateway.door.tenant import Tenant
from protocol.errors import InvalidRequest
from protocol.limits import Limits

MAX_PROMPT_TOKENS = 1 << 22
"""The limit on the body comes first; this one only keeps every array bounded."""

Prompt = str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CompletionAsk:
    """What to generate and from what."""

    ask: Ask
    prompts: tuple[Prompt, ...]


def read_completion(fields: Fields, card: ModelCard, tenant: Tenant, limits: Limits) -> CompletionAsk:
    """Raises InvalidRequest or NotOffered."""
    logprobs = fields.integer("logprobs", 0, limits.max_logprobs)
    ask = read_ask(fields, logprobs, card, tenant, limits)
    return CompletionAsk(ask, read_prompts(fields, card.vocabulary, limits.max_prompts))


def read_prompts(fields: Fields, vocabulary: int, max_prompts: int) -> tuple[Prompt, ...]:
    """Text, token ids, or an array of either; not mixed."""
    value = fields.value("prompt")
    if value is None:
        raise fields.wrong("prompt", "is missing")
    if isinstance(value, str):
        return (_text(value),)
    if not isinstance(value, list):
        raise fields.wrong("prompt", f"must be a string or an array, not {kind(value)}")
    if not value:
        raise _empty()
    if type(value[0]) is int:
        return (read_token_ids(value, vocabulary, "prompt"),)
    if len(value) > max_prompts:
        raise fields.wrong("prompt", f"may have at most {max_prompts} prompts")
    return _many(value, vocabulary)


def _many(values: list[object], vocabulary: int) -> tuple[Prompt, ...]:
    first = type(values[0])
    if first not in (str, list) or any(type(value) is not first for value in values):
        raise InvalidRequest("'prompt' must hold only strings, or only arrays of token ids", param="prompt")
    return tuple(
        _text(value) if isinstance(value, str) else read_token_ids(value, vocabulary, "prompt")
        for value in values
    )


def read_token_ids(values: object, vocabulary: int, param: str) -> tuple[int, ...]:
    """At least one id in [0, vocabulary)."""
    if not isinstance(values, list) or len(values) > MAX_PROMPT_TOKENS:
        raise InvalidRequest(f"'{param}' must be an array of token ids", param=param)
    if not values:
        raise _empty()
    other = {*map(type, values)} - {int}
    if other:
        wrong = next(value for value in values if type(value) in other)
        raise InvalidRequest(f"a token id must be an integer, not {kind(wrong)}", param=param)
    if min(values) < 0 or max(values) >= vocabulary:
        raise InvalidRequest(f"token ids must be between 0 and {vocabulary - 1}", param=param)
    return tuple(values)


def _text(prompt: str) -> str:
    if not prompt:
        raise _empty()
    return prompt


def _empty() -> InvalidRequest:
    return InvalidRequest("'prompt' must not be empty", param="prompt")
