"""One read over NIXL: written by the transfer thread, looked at by the step loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kv_transfer.nixl_agent import TransferHandle
from kv_transfer.transport import ReadState


@dataclass(slots=True)
class NixlRead:
    """Pieces by index on both sides. Only the transfer thread changes it; `state` is set last."""

    remote_at: Sequence[int]
    local_at: Sequence[int]
    """Blocks of the arena, or places in the staging area once a generation read is posted."""
    of_generations: bool
    state: ReadState = ReadState.PENDING
    handle: TransferHandle | None = None
    """Set while NIXL may still write."""
    post_s: float = 0.0
    """Seconds inside the post."""
    numbers: tuple[int, ...] = ()
