"""What a door must know about the model it serves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Facts that the workers and the gateway agree on."""

    name: str
    """As clients write it."""
    max_context: int
    """Prompt and generated tokens together."""
    vocabulary: int
    """Token ids are in [0, vocabulary)."""
    created: int
    """Unix seconds."""
    fingerprint: str = ""
    """Answers with another one may differ in rounding."""
