"""Log-probabilities in the two forms that OpenAI has for them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.door.usage import Json
from gateway.text.text_tokenizer import TextTokenizer
from gateway.text.transcript import SpokenToken

LOWEST = -9999.0
"""JSON has no infinity; OpenAI writes this for what cannot happen."""


def chat_logprobs(tokens: Sequence[SpokenToken], tokenizer: TextTokenizer) -> Json:
    """`{"content": [...]}`, one entry per token."""
    return {"content": [_entry(token, tokenizer) for token in tokens], "refusal": None}


def completion_logprobs(tokens: Sequence[SpokenToken], tokenizer: TextTokenizer) -> Json:
    """Four parallel arrays."""
    return {
        "tokens": [_text(tokenizer.token_bytes(token.token)) for token in tokens],
        "token_logprobs": [_bounded(token.logprobs.chosen) for token in tokens],
        "top_logprobs": [_top(token, tokenizer) for token in tokens],
        "text_offset": [token.offset for token in tokens],
    }


def _entry(spoken: SpokenToken, tokenizer: TextTokenizer) -> Json:
    entry = _token(spoken.token, spoken.logprobs.chosen, tokenizer)
    entry["top_logprobs"] = [_token(token, value, tokenizer) for token, value in spoken.logprobs.top]
    return entry


def _token(token: int, logprob: float, tokenizer: TextTokenizer) -> Json:
    data = tokenizer.token_bytes(token)
    return {"token": _text(data), "logprob": _bounded(logprob), "bytes": list(data)}


def _top(spoken: SpokenToken, tokenizer: TextTokenizer) -> dict[str, float]:
    top: dict[str, float] = {}
    for token, value in ((spoken.token, spoken.logprobs.chosen), *spoken.logprobs.top):
        top.setdefault(_text(tokenizer.token_bytes(token)), _bounded(value))
    return top


def _text(data: bytes) -> str:
    """Part of a character has no text of its own: it is written as OpenAI writes it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _bounded(value: float) -> float:
    return max(value, LOWEST)
