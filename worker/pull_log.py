"""Finished pulls, until a load report tells of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Seq

from kv_transfer.transfer_end import TransferEnd
from protocol.load_report import PullSample

MAX_SAMPLES = 16
"""Pulls of which one report tells: the last ones."""


class PullLog:
    """What the planner learns bandwidths from."""

    def __init__(self, block_size: int) -> None:
        """`block_size`: tokens in a block."""
        self._block_size = block_size
        self._samples: deque[PullSample] = deque(maxlen=MAX_SAMPLES)

    def note(self, ends: Seq[TransferEnd]) -> None:
        """Keeps those that brought something."""
        for end in ends:
            if end.pull is not None:
                tokens = end.pull.blocks * self._block_size
                self._samples.append(PullSample(end.pull.source, tokens, end.pull.seconds))

    def take(self) -> tuple[PullSample, ...]:
        """Those since the last call, or the last of them."""
        samples = tuple(self._samples)
        self._samples.clear()
        return samples
