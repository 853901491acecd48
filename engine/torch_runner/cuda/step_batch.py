"""A step as host arrays, checked: a wrong number would end the device's context, not just the step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.step import Step
from engine.torch_runner.cuda.slice_tables import HostTables
from engine.torch_runner.packed_batch import PackedBatch, pack
from protocol.errors import EngineFailed

KNOWN = -1
"""The carry of a token that the host knows."""


@dataclass(frozen=True, slots=True)
class StepBatch:
    """All slices of a step, one after another."""

    packed: PackedBatch
    tables: HostTables
    carry: npt.NDArray[np.int64]
    """[N] row of the step before whose drawn token this is, or KNOWN."""
    last: npt.NDArray[np.int64]
    """[S] packed row of each slice's last token, in the step's order."""

    @classmethod
    def of(cls, step: Step, block_size: int) -> StepBatch:
        """The arrays of a step with at least one slice. Raises IndexError if a block table is too short."""
        packed = pack(step, block_size)
        last = np.array([piece.row + piece.count - 1 for piece in packed.pieces], np.int64)
        carry = np.full(packed.input_ids.shape[1], KNOWN, np.int64)
        carry[last] = [KNOWN if part.carry is None else part.carry for part in step.slices]
        return cls(packed, HostTables.of(packed.pieces), carry, last)

    @property
    def tokens(self) -> int:
        """N."""
        return len(self.carry)

    @property
    def slices(self) -> int:
        """S."""
        return len(self.last)

    @property
    def decodes_only(self) -> bool:
        """Whether each slice has one token."""
        return self.tables.singles == self.slices

    @property
    def carries(self) -> bool:
        """Whether a token of the step before is among the inputs."""
        return bool((self.carry >= 0).any())

    def check(self, vocabulary: int, num_blocks: int, drawn_before: int) -> None:
        """Raises EngineFailed for a token, a block or a carried row that does not exist."""
        tokens, blocks = self.packed.input_ids.numpy(), self.tables.blocks
        if tokens.min() < 0 or tokens.max() >= vocabulary:
            raise EngineFailed(f"an input token is not one of {vocabulary}")
        if blocks.min() < 0 or blocks.max() >= num_blocks:
            raise EngineFailed(f"a block table names a block that is not one of {num_blocks}")
        if self.carry.max() >= drawn_before:
            raise EngineFailed(f"a token is carried from row {self.carry.max()} of {drawn_before}")
