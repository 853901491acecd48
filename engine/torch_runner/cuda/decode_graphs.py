"""Decode steps as recorded graphs: the whole forward pass is one call of the host."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch

from engine.torch_runner.cuda.device_draw import put_carried
from engine.torch_runner.cuda.device_forward import DeviceForward, Drawn
from engine.torch_runner.cuda.step_batch import StepBatch
from engine.torch_runner.cuda.step_inputs import StepInputs
from engine.torch_runner.cuda.streams import Streams

BUCKETS = (1, 2, 4, 8, 16, 32, 64)

logger = logging.getLogger(__name__)


def bucket_for(slices: int, buckets: tuple[int, ...] = BUCKETS) -> int | None:
    """The smallest bucket that holds so many sequences; None if none does."""
    return min((size for size in buckets if size >= slices), default=None)


@dataclass(frozen=True, slots=True)
class Recording:
    """One bucket: the same inputs, outputs and kernels at every replay."""

    inputs: StepInputs
    drawn: Drawn
    replay: Callable[[], None]


class DecodeGraphs:
    """Recordings of decode steps over inputs in fixed memory, which all buckets share."""

    def __init__(
        self,
        streams: Streams,
        forward: DeviceForward,
        max_context: int,
        block_size: int,
        buckets: tuple[int, ...] = BUCKETS,
    ) -> None:
        """Records every bucket, the largest first. Raises RuntimeError if the model cannot be recorded."""
        self._streams = streams
        self._forward = forward
        self._context = max_context
        most = max(buckets)
        size = StepInputs.size(most, most, most * -(-max_context // block_size))
        self._buffer = torch.zeros(size, dtype=torch.int64, device=streams.device)
        self._recordings = {bucket: self._record(bucket) for bucket in sorted(buckets, reverse=True)}

    def run(self, batch: StepBatch, carried: torch.Tensor | None) -> Drawn | None:
        """Asks for a decode step and returns copies of what it draws; None if no recording fits."""
        bucket = bucket_for(batch.slices, tuple(self._recordings)) if batch.decodes_only else None
        if bucket is None:
            return None
        used = StepInputs.size(bucket, bucket, len(batch.tables.blocks))
        if used > len(self._buffer):
            return None
        staging = self._streams.staging(used)
        StepInputs(staging, bucket, bucket).fill(batch)
        self._buffer[:used].copy_(staging, non_blocking=True)
        recording = self._recordings[bucket]
        if carried is not None:
            put_carried(recording.inputs.ids, recording.inputs.carry, carried)
        recording.replay()
        # The next replay overwrites them while this step's are still being fetched.
        tokens, logits = (one[: batch.slices] for one in (recording.drawn.tokens, recording.drawn.logits))
        return Drawn(tokens.clone(), logits)

    @torch.inference_mode()
    def _record(self, bucket: int) -> Recording:
        inputs = StepInputs(self._buffer, bucket, bucket)
        _pad(inputs)
        tables = inputs.tables(bucket, self._context, 0)
        drawn: list[Drawn] = []

        def work() -> None:
            fresh = self._forward.run(inputs, tables)
            if drawn:
                drawn[0].tokens.copy_(fresh.tokens)
                drawn[0].logits.copy_(fresh.logits)
            else:
                drawn.append(Drawn(fresh.tokens.clone(), fresh.logits.clone()))

        replay = self._streams.record(work)
        return Recording(inputs, drawn[0], replay)


def _pad(inputs: StepInputs) -> None:
    """Rows of nobody, to record with."""
    for section in (inputs.ids, inputs.positions, inputs.write_offsets, inputs.begins):
        section.zero_()
    for section in (inputs.write_blocks, inputs.carry, inputs.starts):
        section.fill_(-1)
    inputs.counts.fill_(1)
    for section in (inputs.last, inputs.rows):
        section.copy_(torch.arange(len(section)))
