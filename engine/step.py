"""One engine step as data: what is computed, and what came out. Structs: these are made for every token."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from msgspec import structs

from protocol.ids import AttemptKey
from protocol.messages import TokenLogprobs
from protocol.sampling import Sampling
from protocol.wire_struct import Struct


class Draw(Struct):
    """Sample the token that follows a slice."""

    sampling: Sampling
    index: int
    """Position of the new token among the generated ones: the Philox counter."""
    prompt: Seq[int]
    """Prompt tokens (repetition penalty counts them)."""
    generated: Seq[int]
    """Generated tokens so far (all penalties count them)."""


class Slice(Struct):
    """The part of one sequence that a step computes."""

    key: AttemptKey
    tokens: Seq[int]
    """Input ids, at least one."""
    start: int
    """Position of tokens[0]; KV of [0, start) is in the blocks already."""
    blocks: Seq[int]
    """Block table from position 0 on; covers start + len(tokens)."""
    draw: Draw | None
    """None while more of the prompt follows."""
    carry: int | None = None
    """Index, among the slices of the step launched before this one, of the slice whose drawn token is
    the last input token here: `tokens[-1]` is then a placeholder, and the runner puts the token there.
    That slice has a draw; if it fails, any token serves here, because nobody wants the output.
    None: all tokens are known."""


class Step(Struct):
    """All slices of one forward pass, in batch order."""

    slices: tuple[Slice, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Single tokens, and the tokens of longer slices."""
        sizes = [len(piece.tokens) for piece in self.slices]
        decodes = sizes.count(1)
        return decodes, sum(sizes) - decodes

    def filled(self, drawn: Seq[Sampled | None]) -> Step:
        """The step with every carried token in its place; `drawn`: what the step before it drew.

        For runners that know it in time. Raises IndexError if a slice carries from a row that is not there.
        """
        if all(piece.carry is None for piece in self.slices):
            return self
        return Step(tuple(_filled(piece, drawn) for piece in self.slices))


class Sampled(Struct):
    """One drawn token."""

    token: int
    logprobs: TokenLogprobs | None


class StepResult(Struct):
    """What a step produced: one entry per slice, None where nothing was drawn."""

    sampled: tuple[Sampled | None, ...]
    seconds: float
    """How long the forward pass took."""


def _filled(piece: Slice, drawn: Seq[Sampled | None]) -> Slice:
    if piece.carry is None:
        return piece
    sampled = drawn[piece.carry]
    token = 0 if sampled is None else sampled.token
    return structs.replace(piece, tokens=(*piece.tokens[:-1], token), carry=None)
