"""The seam between the engine's bookkeeping and what computes KV and tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.arena import Arena
from engine.step import Step, StepResult


@dataclass(frozen=True, slots=True)
class RunnerFacts:
    """What a runner serves."""

    model: str
    dtype: str
    max_context: int
    vocabulary: int
    block_size: int
    fingerprint: str
    """sha256 hex of everything that must agree before KV may move between two engines:
    protocol version, model and weights digest, dtypes, layers, KV heads, head sizes, block size, layout,
    rope. Equal fingerprints mean interchangeable blocks."""
    lookahead: int = 0
    """Steps that may be in flight beyond the one being waited for: 0 or 1. With 1 a step is launched
    before the tokens of the step before it are known (`Slice.carry`)."""


class Pending(Protocol):
    """A step in flight."""

    @property
    def seconds(self) -> float:
        """Virtual seconds that the step takes; 0 for a runner that computes for real."""
        ...

    def result(self) -> StepResult:
        """Waits for the device if needed. KV of the step is complete in memory afterwards.
        Raises EngineFailed if the step raised."""
        ...


class Runner(Protocol):
    """Writes KV of each slice into its blocks and draws the tokens asked for."""

    @property
    def facts(self) -> RunnerFacts:
        """What this runner serves."""
        ...

    @property
    def arena(self) -> Arena:
        """Its KV memory."""
        ...

    def launch(self, step: Step) -> Pending:
        """Starts one step. What goes wrong with it is raised by its result, not here, so that the step
        before it can still be committed. At most `1 + facts.lookahead` are in flight; they take effect,
        and their results are asked for, in the order of their launches."""
        ...
