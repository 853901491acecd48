"""What a call used, in OpenAI's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.door.voice import Voice

Json = dict[str, object]
"""A value on its way into an answer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """A prompt counts once, however many answers it gets."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    def as_json(self) -> Json:
        """The `usage` object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


def count_usage(voices: Sequence[Voice], choices: int) -> Usage:
    """Of voices in the order of the call: prompt by prompt, `choices` for each."""
    prompts = [voices[at : at + choices] for at in range(0, len(voices), choices)]
    return Usage(
        prompt_tokens=sum(len(same[0].request.prompt) for same in prompts),
        # Later choices find what the first one computed: only what all found was there before.
        cached_tokens=sum(min(voice.cached_tokens for voice in same) for same in prompts),
        completion_tokens=sum(voice.completion_tokens for voice in voices),
    )
