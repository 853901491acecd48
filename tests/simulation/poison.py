"""Requests that kill every engine that computes them, at the prompt or some tokens later."""

from __future__ import annotations

from engine.modelled_runner import ModelledPending, ModelledRunner
from engine.step import Slice, Step

VOCABULARY = 997
POISON = VOCABULARY - 1
"""The first token of a poisoned prompt; no other prompt has it."""
LATEST = 6
"""A poisoned request kills at one of its first so many tokens; which one is the prompt's last token."""


class PoisonedStep(Exception):
    """A step that no engine survives."""


class MortalRunner(ModelledRunner):
    """As ModelledRunner, but a step with a poisoned slice raises."""

    def launch(self, step: Step) -> ModelledPending:
        """Starts one step. Raises PoisonedStep."""
        if any(_kills(piece) for piece in step.slices):
            raise PoisonedStep("a poisoned request")
        return super().launch(step)


def poisoned(prompt: tuple[int, ...]) -> tuple[int, ...]:
    """The prompt, made deadly."""
    return (POISON, *prompt)


def is_poisoned(prompt: tuple[int, ...]) -> bool:
    """Whether it is deadly."""
    return prompt[0] == POISON


def _kills(piece: Slice) -> bool:
    draw = piece.draw
    return draw is not None and draw.prompt[0] == POISON and draw.index >= draw.prompt[-1] % LATEST
