"""Answers of /v1/completions."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.door.call import Call
from gateway.door.logprobs_json import completion_logprobs
from gateway.door.shape import Answer
from gateway.door.usage import Json
from gateway.text.text_tokenizer import TextTokenizer
from gateway.text.transcript import Ending, Piece, SpokenToken


class CompletionShape:
    """Streamed and whole answers look the same."""

    def __init__(self, call: Call, tokenizer: TextTokenizer) -> None:
        self._call = call
        self._tokenizer = tokenizer

    def chunk(self, number: int, piece: Piece) -> Json:
        """What one sequence adds."""
        return self._head([self._choice(number, piece.text, piece.tokens, piece.ending)])

    def empty_chunk(self) -> Json:
        """No choices."""
        return self._head([])

    def whole(self, answers: Sequence[Answer]) -> Json:
        """All choices."""
        return self._head([
            self._choice(number, "".join(answer.parts), answer.tokens, answer.ending)
            for number, answer in enumerate(answers)
        ])  # fmt: skip

    def _choice(self, number: int, text: str, tokens: Sequence[SpokenToken], ending: Ending | None) -> Json:
        wanted = self._call.ask.sampling.logprobs is not None
        return {
            "index": number,
            "text": text,
            "logprobs": completion_logprobs(tokens, self._tokenizer) if wanted else None,
            "finish_reason": ending.value if ending else None,
        }

    def _head(self, choices: list[Json]) -> Json:
        return {
            "id": f"cmpl-{self._call.id}",
            "object": "text_completion",
            "created": self._call.created,
            "model": self._call.model,
            "system_fingerprint": self._call.fingerprint or None,
            "choices": choices,
        }
