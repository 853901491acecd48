"""Whether a decode worker may hold one more request: a pure decision."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from decode_worker.reservation import Reservation
from engine.engine import Engine
from engine.owner import OwnerKind
from engine.sequence import Sequence
from protocol.errors import BatonError, Busy, ContextOverflow


def refuse_reservation(
    engine: Engine, reservations: Seq[Reservation], sequence: Sequence, hits: int, room: int
) -> BatonError | None:
    """Why `sequence` may not reserve its blocks now; None if it may.

    What cannot be preempted (reserved, pinned, quarantined) must always leave the full need of any
    single sequence, running or reserved, so the batch drains whatever comes.
    """
    pool = engine.pool
    blocks = sequence.blocks_for(len(sequence.tokens))
    if sequence.full_need > pool.total:
        return ContextOverflow(f"the request needs {sequence.full_need} KV blocks of {pool.total}")
    if engine.waiting:
        return Busy("sequences without blocks come first")
    if len(engine.running) + len(reservations) >= engine.policy.max_running:
        return Busy("the batch is full")
    if blocks - hits + len(engine.running) > room:
        return Busy("too few free KV blocks")
    stuck = blocks + pool.held(OwnerKind.DEST, OwnerKind.PINNED, OwnerKind.QUARANTINE)
    largest = max((s.full_need for s in engine.running), default=0)
    growth = max([r.growth for r in reservations] + [sequence.full_need - blocks])
    if stuck + max(largest, growth) > pool.total:
        return Busy("the batch could not drain beside one more reservation")
    return None


def spare_blocks(engine: Engine, reservations: Seq[Reservation]) -> int:
    """Blocks that may be held for readers, or for prefixes on their way, by the same rule."""
    pool = engine.pool
    stuck = pool.held(OwnerKind.DEST, OwnerKind.PINNED, OwnerKind.QUARANTINE)
    growth = max((reservation.growth for reservation in reservations), default=0)
    return min(engine.spare(), pool.total - stuck - growth)
