"""What a runner is started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Everything that TorchRunner.load needs to know."""

    model: str
    """A local folder, or a name on the Hugging Face hub."""
    kv_bytes: int
    """KV memory; the number of blocks follows from it."""
    now: Callable[[], float]
    """Monotonic seconds, to time the steps."""
    name: str = ""
    """What the model is called when served; empty: the last part of `model`."""
    dtype: str = "auto"
    """auto, fp32 or bf16."""
    device: str = "cpu"
    """cpu, cuda or cuda:N."""
    weights: str = "model"
    """model: in `dtype`; int8: quantised when they are loaded."""
    kv_dtype: str = "model"
    """What KV is stored in. model: as `dtype`; int8: half of it."""
    block_size: int = 16
    """Tokens in a block."""
    max_context: int = 0
    """Tokens in one sequence at most; 0 is what the model allows."""
    threads: int = 0
    """Compute threads of torch in this process; 0 leaves them as they are."""
