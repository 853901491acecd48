"""How roles and transfers take part in the step loop without owning it."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Protocol

from engine.sequence import Sequence
from engine.step import Sampled
from protocol.errors import BatonError
from protocol.messages import FinishReason
from protocol.wire_struct import Struct


class Progress(Struct):
    """What one step did for one sequence, after its KV is in memory and its token is appended."""

    sequence: Sequence
    sampled: Sampled | None
    finish: FinishReason | None
    """Set when the sequence ended by itself; its blocks are still held."""
    error: BatonError | None = None
    """Set when nothing could be drawn from this sequence alone; it ended, the others go on."""


class StepHook(Protocol):
    """Called by the step loop, in the engine's one thread. Never blocks."""

    def before_plan(self, now: float) -> None:
        """Before each step, and while one lasts on a device: move what is due."""
        ...

    def after_commit(self, progress: Seq[Progress], began: float, now: float) -> None:
        """After a step that began at `began`: what advanced."""
        ...
