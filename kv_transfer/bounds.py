"""What a read may name: checked before anything is posted, for a bad index would reach foreign memory."""

from __future__ import annotations

from collections.abc import Sequence

from engine.arena import Arena
from kv_transfer.transport import BlockPair
from protocol.errors import TransferFailed
from protocol.messages import SourceFacts

GENERATION_BYTES = 8


def check_pairs(source: SourceFacts, arena: Arena, pairs: Sequence[BlockPair]) -> None:
    """Raises TransferFailed unless all blocks exist on their side and no local block is named twice."""
    check_blocks(source, [pair.remote for pair in pairs])
    locals_ = [pair.local for pair in pairs]
    for block in locals_:
        if not 0 <= block < arena.num_blocks:
            raise TransferFailed(f"local block {block} is not one of {arena.num_blocks}")
    if len(set(locals_)) < len(locals_):
        raise TransferFailed("one read would fill a local block twice")


def check_blocks(source: SourceFacts, blocks: Sequence[int]) -> None:
    """Raises TransferFailed unless every block exists on the source."""
    for block in blocks:
        if not 0 <= block < source.num_blocks:
            raise TransferFailed(
                f"block {block} is not one of the {source.num_blocks} of {source.identity.worker}"
            )


def mismatch(source: SourceFacts, arena: Arena) -> str | None:
    """Why blocks of `source` cannot be read into `arena`; None when they can."""
    if source.block_bytes != arena.block_bytes:
        return f"its blocks have {source.block_bytes} bytes, ours {arena.block_bytes}"
    if source.num_blocks <= 0 or source.arena_address <= 0 or source.generations_address <= 0:
        return "it names no memory"
    if source.generations_address % GENERATION_BYTES:
        return "its generation numbers are not aligned"
    return None
