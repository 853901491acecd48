"""The shipped fake of the runner: real blocks, time from a model, tokens that are a hash of the KV read.

KV of a token is a 64-bit cell that chains over all tokens before it (engine/cell_chain.py). The next token
is a digest of every cell as it lies in memory, so any foreign, stale or missing block changes the output;
where penalties need to know the generated tokens, also of these.
Fidelity: exact (every block is hashed at every step).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from engine.arena import Arena
from engine.cell_chain import CellChain, chain_cell
from engine.runner import RunnerFacts
from engine.step import Draw, Sampled, Slice, Step, StepResult
from protocol.messages import TokenLogprobs
from protocol.sampling import Sampling


class Cost(Protocol):
    """How long steps take."""

    def seconds(self, step: Step) -> float:
        """Of one step."""
        ...


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds of a step: base + per_token x tokens + per_sequence x slices."""

    base_s: float = 0.004
    per_token_s: float = 0.00002
    per_sequence_s: float = 0.0001

    def seconds(self, step: Step) -> float:
        """How long the step takes."""
        tokens = sum(len(piece.tokens) for piece in step.slices)
        return self.base_s + self.per_token_s * tokens + self.per_sequence_s * len(step.slices)


class ModelledPending:
    """A modelled step in flight; its KV lands when the result is taken, after that of the step before it."""

    def __init__(
        self, runner: ModelledRunner, step: Step, seconds: float, before: ModelledPending | None
    ) -> None:
        self._runner = runner
        self._step = step
        self._seconds = seconds
        self._before = before
        self._result: StepResult | None = None

    @property
    def seconds(self) -> float:
        """Virtual seconds that the step takes."""
        return self._seconds

    def result(self) -> StepResult:
        """Writes the KV and draws the tokens, once."""
        if self._result is None:
            drawn = () if self._before is None else self._before.result().sampled
            self._before = None
            self._result = StepResult(self._runner.compute(self._step, drawn), self._seconds)
        return self._result


class ModelledRunner:
    """Computes cells instead of KV. How far it looks ahead is as `facts` say."""

    def __init__(self, facts: RunnerFacts, num_blocks: int, cost: Cost) -> None:
        self._facts = facts
        self._cost = cost
        cells: npt.NDArray[np.uint64] = np.zeros((num_blocks, facts.block_size), dtype=np.uint64)
        self._cells = cells
        self._chain = CellChain()
        self._flat = cells.reshape(-1).data
        """The same memory, cell by cell: numpy takes ten times as long for one of them."""
        self._size = facts.block_size
        self._arena = Arena(cells.view(np.uint8), np.zeros(num_blocks, dtype=np.int64))
        self._last: ModelledPending | None = None

    @property
    def facts(self) -> RunnerFacts:
        """What this runner serves."""
        return self._facts

    @property
    def arena(self) -> Arena:
        """Cells as bytes: [num_blocks, block_size * 8]."""
        return self._arena

    def launch(self, step: Step) -> ModelledPending:
        """Starts one step."""
        self._last = ModelledPending(self, step, self._cost.seconds(step), self._last)
        return self._last

    def compute(self, step: Step, drawn: Seq[Sampled | None]) -> tuple[Sampled | None, ...]:
        """Writes the cells of all slices, then draws from all cells of each sequence. `drawn`: by the step
        before this one."""
        for piece in step.slices:
            self._write(piece, drawn)
        seen, vocabulary, begin = self._seen(step), self._facts.vocabulary, 0
        sampled: list[Sampled | None] = []
        for piece in step.slices:
            if piece.draw is None:
                sampled.append(None)
                continue
            end = piece.start + len(piece.tokens)
            sampled.append(_draw(seen[begin : begin + end], piece.draw, vocabulary))
            begin += -(-end // self._size) * self._size
        return tuple(sampled)

    def _write(self, piece: Slice, drawn: Seq[Sampled | None]) -> None:
        """Cells of a slice into its blocks."""
        size, blocks, position, tokens = self._size, piece.blocks, piece.start, piece.tokens
        if piece.carry is not None:
            carried = drawn[piece.carry]
            tokens = [*tokens[:-1], 0 if carried is None else carried.token]
        last = position - 1
        cell = self._flat[blocks[last // size] * size + last % size] if position else 0
        if len(tokens) == 1:
            self._flat[blocks[position // size] * size + position % size] = chain_cell(cell, tokens[0])
            return
        places = np.arange(position, position + len(tokens))
        rows = np.asarray(blocks, np.intp)[places // size]
        self._cells[rows, places % size] = self._chain.extend(cell, tokens)

    def _seen(self, step: Step) -> memoryview:
        """All blocks of every sequence that draws, one after another, cell by cell, as they lie in memory."""
        table = array("q")
        for piece in step.slices:
            if piece.draw is not None:
                table.extend(piece.blocks[: -(-(piece.start + len(piece.tokens)) // self._size)])
        return self._cells.take(table, 0).reshape(-1).data


def expected_tokens(prompt: Seq[int], sampling: Sampling, count: int, vocabulary: int) -> list[int]:
    """What one healthy machine would say: the reference of every simulation."""
    cells = array("Q")
    for token in prompt:
        cells.append(chain_cell(cells[-1] if cells else 0, token))
    generated: list[int] = []
    for index in range(count):
        drawn = _draw(cells, Draw(sampling, index, prompt, generated), vocabulary)
        generated.append(drawn.token)
        cells.append(chain_cell(cells[-1], drawn.token))
    return generated


def _draw(cells: array[int] | memoryview, draw: Draw, vocabulary: int) -> Sampled:
    digest = crc32(cells)
    if draw.sampling.counts_history:
        digest = crc32(array("Q", draw.generated), digest)
    if draw.sampling.temperature:
        digest = crc32(_draw_salt(draw), digest)
    token = digest % vocabulary
    logprobs = None if draw.sampling.logprobs is None else TokenLogprobs(-1.0, ((token, -1.0),))
    return Sampled(token, logprobs)


def _draw_salt(draw: Draw) -> array[int]:
    return array("Q", (draw.sampling.seed & 0xFFFFFFFFFFFFFFFF, draw.sampling.choice, draw.index))
