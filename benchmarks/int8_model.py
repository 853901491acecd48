"""One model with one format of its weights and of its KV, computed by the product's own forward pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from engine.step import Draw, Slice, Step
from engine.torch_runner.forward import PagedForward
from engine.torch_runner.gate import gate
from engine.torch_runner.kv_dtype import kv_stored_in
from engine.torch_runner.kv_pool import allocate_arena, pool_over
from engine.torch_runner.model_folder import open_folder
from engine.torch_runner.model_load import load_model
from engine.torch_runner.native.library import load_native
from engine.torch_runner.native.native_attention import NativeAttention
from protocol.ids import AttemptKey, RequestId
from protocol.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Format:
    """What the spec says: "model" or "int8" each."""

    weights: str = "model"
    kv_dtype: str = "model"


BLOCK = 16
DTYPE = "bfloat16"
GREEDY = Sampling(seed=0, temperature=0.0)


class NoKernels(Exception):
    """Without the native kernels there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Work:
    """`batch` sequences that compute `tokens` each after `context` tokens."""

    batch: int
    tokens: int
    context: int

    @property
    def blocks(self) -> int:
        """Of one sequence."""
        return -(-(self.context + self.tokens) // BLOCK)

    def step(self) -> Step:
        """Every sequence in blocks of its own; the KV before them is whatever lies there."""
        draw = Draw(GREEDY, 0, (), ())
        return Step(
            tuple(
                Slice(
                    AttemptKey(RequestId(f"{row}"), 0),
                    [(7919 * at + row) % 1000 for at in range(self.tokens)],
                    self.context,
                    range(row * self.blocks, (row + 1) * self.blocks),
                    draw,
                )
                for row in range(self.batch)
            )
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """On one step, in seconds."""

    wall_s: float
    cpu_s: float
    """Of all threads; on a machine that is shared it says more."""


class PagedModel:
    """A loaded model over KV memory of its own."""

    def __init__(self, folder: Path, form: Format, tokens: int) -> None:
        """`tokens`: for how many there is KV memory."""
        native = load_native(torch.get_num_threads())
        if native is None:
            raise NoKernels
        self._model = load_model(open_folder(folder), DTYPE)
        attention = NativeAttention(native)
        stored = kv_stored_in(form.kv_dtype, DTYPE, native)
        layout = gate(self._model, BLOCK, stored, attention, native, form.weights)
        arena = allocate_arena(tokens // BLOCK, layout.block_bytes)
        arena.data.fill(0)
        self._forward = PagedForward(self._model, pool_over(arena, layout), attention)
        self.token_bytes = layout.block_bytes / BLOCK
        """KV of one token."""

    @property
    def weight_bytes(self) -> int:
        """What a step reads of the weights."""
        forwards = (module.__dict__.get("forward") for module in self._model.network.modules())
        return sum(getattr(forward, "num_bytes", 0) for forward in forwards)

    def spent(self, work: Work) -> Spent:
        """One step."""
        step = work.step()
        began, used = time.perf_counter(), time.process_time()
        self._forward.run(step)
        return Spent(time.perf_counter() - began, time.process_time() - used)

    def logits(self, tokens: Sequence[int], last: int) -> torch.Tensor:
        """[last, vocabulary] after the last tokens of one sequence, computed in one step."""
        table = range(-(-len(tokens) // BLOCK))
        one = Slice(AttemptKey(RequestId("one"), 0), tokens, 0, table, None)
        return self._forward.run(Step((one,)), torch.arange(len(tokens) - last, len(tokens)))

    def __call__(self, input_ids: torch.Tensor, use_cache: bool, logits_to_keep: int) -> Any:
        """As a transformers model is called."""
        return SimpleNamespace(logits=self.logits(input_ids[0].tolist(), logits_to_keep)[None])
