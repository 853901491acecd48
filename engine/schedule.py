"""What the next step computes: a pure function of the sequences and the pool."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from engine.block_pool import BlockPool
from engine.owner import OwnerKind
from engine.sequence import Sequence
from protocol.ids import BlockId


@dataclass(frozen=True, slots=True)
class SchedulePolicy:
    """Bounds of one step."""

    max_batch_tokens: int = 512
    """Tokens that one forward pass computes at most."""
    max_running: int = 64
    """Sequences that hold blocks at the same time."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next `count` tokens of a running sequence; `grow` blocks are added first."""

    sequence: Sequence
    count: int
    grow: int


@dataclass(frozen=True, slots=True)
class Admission:
    """A waiting sequence that starts: cached blocks, fresh blocks, and its first chunk."""

    sequence: Sequence
    hits: tuple[BlockId, ...]
    fresh: int
    count: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Decisions of one step, to be applied in this order, but for the hits of all admissions: they
    are taken before any fresh block is, because a fresh block may be an evicted one."""

    preempted: tuple[Sequence, ...]
    chunks: tuple[Chunk, ...]
    admitted: tuple[Admission, ...]


def schedule(
    running: Seq[Sequence], waiting: Seq[Sequence], pool: BlockPool, policy: SchedulePolicy, block_size: int
) -> Schedule:
    """Running sequences first, in order of admission, those that decode before those that still
    compute their prompt, so that a long prompt never stalls the batch; then waiting ones, in order.

    Without room the youngest running sequence is preempted, but never the largest one, so the
    batch always drains. Nothing is admitted in a step that preempts. Changes nothing.
    """
    draft = _Draft(running, pool, policy.max_batch_tokens)
    for sequence in sorted(running, key=lambda s: s.uncomputed > 1):
        draft.continue_with(sequence)
    admitted: list[Admission] = []
    if waiting and not draft.preempted:
        places = policy.max_running - len(running)
        admitted = _admit(waiting, running, pool, draft, places, block_size)
    return Schedule(tuple(draft.preempted), tuple(draft.chunks.values()), tuple(admitted))


class _Draft:
    """A step being put together: what is left of the budget and of the pool."""

    def __init__(self, running: Seq[Sequence], pool: BlockPool, budget: int) -> None:
        self._running = running
        self._pool = pool
        self._protected = max(running, key=lambda s: s.full_need, default=None)
        self._dropped: dict[BlockId, int] = {}
        self.budget = budget
        self.free = pool.available
        self.chunks: dict[int, Chunk] = {}
        self.preempted: list[Sequence] = []

    def continue_with(self, sequence: Sequence) -> None:
        """Adds the next chunk of a running sequence, preempting others if it needs room."""
        count = min(sequence.uncomputed, self.budget)
        if count == 0 or sequence in self.preempted:
            return
        grow = max(0, sequence.blocks_for(sequence.computed + count) - len(sequence.blocks))
        while grow > self.free:
            victim = self._victim()
            if victim is None:  # transfers hold the rest: the largest sequence waits for them
                return
            self._preempt(victim)
            if victim is sequence:
                return
        self.free -= grow
        self.budget -= count
        self.chunks[id(sequence)] = Chunk(sequence, count, grow)

    def _victim(self) -> Sequence | None:
        for candidate in reversed(self._running):
            if candidate is not self._protected and candidate not in self.preempted:
                return candidate
        return None

    def _preempt(self, victim: Sequence) -> None:
        self.preempted.append(victim)
        chunk = self.chunks.pop(id(victim), None)
        if chunk is not None:
            self.budget += chunk.count
            self.free += chunk.grow
        for block in victim.blocks:
            self._dropped[block] = self._dropped.get(block, 0) + 1
            self.free += int(self._dropped[block] == self._pool.refs(block))


def _admit(
    waiting: Seq[Sequence],
    running: Seq[Sequence],
    pool: BlockPool,
    draft: _Draft,
    places: int,
    block_size: int,
) -> list[Admission]:
    """The longest leading run of `waiting` that fits; nobody overtakes, so nobody starves."""
    stuck = pool.held(OwnerKind.DEST, OwnerKind.PINNED, OwnerKind.QUARANTINE)
    largest = max((s.full_need for s in running), default=0)
    claimed: set[BlockId] = set()
    admitted: list[Admission] = []
    for sequence in waiting:
        largest = max(largest, sequence.full_need)
        if len(admitted) >= places or draft.budget == 0 or stuck + largest > pool.total:
            break
        hits = pool.match(sequence.findable)
        revived = [b for b in hits if pool.refs(b) == 0 and b not in claimed]
        fresh = sequence.blocks_for(len(sequence.tokens)) - len(hits)
        if fresh + len(revived) > draft.free:
            break
        claimed.update(revived)
        draft.free -= fresh + len(revived)
        count = min(len(sequence.tokens) - len(hits) * block_size, draft.budget)
        draft.budget -= count
        admitted.append(Admission(sequence, tuple(hits), fresh, count))
    return admitted
