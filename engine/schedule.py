"""What the next step computes: a pure function of the sequences and the pool."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from engine.block_pool import BlockPool
from engine.owner import OwnerKind
from engine.sequence import Sequence
from protocol.ids import BlockId
from protocol.wire_struct import Struct

PROMPT_STEPS = 4.0
"""So many times longer a step may be on a worker for prompts, while it decodes nothing."""


class StepOrder(Enum):
    """Who gets the budget of a step first, among those that run."""

    DECODE_FIRST = "decode_first"
    """A long prompt never stalls the batch."""
    PREFILL_FIRST = "prefill_first"
    """First tokens come soonest."""


@dataclass(frozen=True, slots=True)
class SchedulePolicy:
    """Bounds of one step."""

    max_batch_tokens: int = 512
    """Tokens that one forward pass computes at most."""
    max_running: int = 64
    """Sequences that hold blocks at the same time."""
    max_step_s: float = 0.5
    """Prompt chunks are cut so that a step takes no longer than this, as far as was measured."""
    order: StepOrder = StepOrder.DECODE_FIRST

    def step_s_beside(self, decodes: int) -> float:
        """Seconds that a step beside so many decoding sequences may take. Where prompts are all there is,
        each step costs its base time once more and nobody's next token waits for it."""
        undisturbed = not decodes and self.order is StepOrder.PREFILL_FIRST
        return self.max_step_s * (PROMPT_STEPS if undisturbed else 1.0)


class Chunk(Struct):
    """The next `count` tokens of a running sequence; `grow` blocks are added first."""

    sequence: Sequence
    count: int
    grow: int


class Admission(Struct):
    """A waiting sequence that starts: cached blocks, fresh blocks, and its first chunk."""

    sequence: Sequence
    hits: tuple[BlockId, ...]
    fresh: int
    count: int


class Schedule(Struct):
    """Decisions of one step, to be applied in this order, but for the hits of all admissions: they
    are taken before any fresh block is, because a fresh block may be an evicted one."""

    preempted: tuple[Sequence, ...]
    chunks: tuple[Chunk, ...]
    admitted: tuple[Admission, ...]

    @property
    def sequences(self) -> list[Sequence]:
        """All that the step computes, in its order."""
        return [chunk.sequence for chunk in self.chunks] + [one.sequence for one in self.admitted]

    @property
    def changes(self) -> bool:
        """Whether it decides anything."""
        return bool(self.preempted or self.chunks or self.admitted)


def schedule(
    running: Seq[Sequence],
    waiting: Seq[Sequence],
    pool: BlockPool,
    policy: SchedulePolicy,
    block_size: int,
    prompt_budget: int | None = None,
    together: int | None = None,
) -> Schedule:
    """Running sequences first, by the policy's order and then by admission; then waiting ones, in order.

    Of the budget, at most `prompt_budget` tokens go to prompts (None: all may); beside other prompts one
    only starts if that makes no more than `together` tokens (None: always). Without room the
    running sequence with the highest tag (the youngest, of equals) is preempted, but never the
    largest one, so the batch always drains. Nothing is admitted in a step that preempts. Changes nothing.

    Blocks that a step in flight still writes, or whose sequence it ends, come free when it is over:
    whoever needs them waits for that.
    """
    draft = _Draft(running, pool, policy.max_batch_tokens, prompt_budget, together)
    singles: list[tuple[Sequence, int]] = []
    prompts: list[tuple[Sequence, int]] = []
    for sequence in running:
        if uncomputed := sequence.uncomputed:
            (prompts if uncomputed > 1 else singles).append((sequence, uncomputed))
    decode_first = policy.order is StepOrder.DECODE_FIRST
    for sequence, uncomputed in singles + prompts if decode_first else prompts + singles:
        draft.continue_with(sequence, uncomputed)
    admitted: list[Admission] = []
    if waiting and not draft.preempted:
        places = policy.max_running - len(running)
        admitted = _admit(waiting, running, pool, draft, places, block_size)
    return Schedule(tuple(draft.preempted), tuple(draft.chunks.values()), tuple(admitted))


class _Draft:
    """A step being put together: what is left of the budget and of the pool."""

    def __init__(
        self,
        running: Seq[Sequence],
        pool: BlockPool,
        budget: int,
        prompt_budget: int | None,
        together: int | None,
    ) -> None:
        self._running = running
        self._pool = pool
        self._dropped: dict[BlockId, int] = {}
        self.budget = budget
        self._prompt_budget = budget if prompt_budget is None else prompt_budget
        self._together = together
        self._prompts = 0
        """Tokens that go to prompts."""
        self.free = pool.available
        self.chunks: dict[int, Chunk] = {}
        self.preempted: list[Sequence] = []

    @cached_property
    def _protected(self) -> Sequence | None:
        """The largest; asked only when room is short, as is what comes free."""
        return max(self._running, key=lambda s: s.full_need, default=None)

    @cached_property
    def _coming(self) -> int:
        """Blocks that come free when the steps in flight are over."""
        return self._pool.held(OwnerKind.FENCED) + sum(len(s.blocks) for s in self._running if s.ending)

    def continue_with(self, sequence: Sequence, uncomputed: int) -> None:
        """Adds the next chunk of a running sequence, preempting others if it needs room."""
        count = self.affordable(uncomputed)
        if count == 0 or (self.preempted and sequence in self.preempted):
            return
        grow = sequence.growth(count)
        while grow > self.free:
            if grow <= self.free + self._coming:
                self._coming -= grow - self.free
                self.free = 0
                return
            victim = self._victim()
            if victim is None:  # transfers hold the rest: the largest sequence waits for them
                return
            self._preempt(victim)
            if victim is sequence:
                return
        self.free -= grow
        self.spend(count, uncomputed)
        self.chunks[id(sequence)] = Chunk(sequence, count, grow)

    def affordable(self, uncomputed: int) -> int:
        """How many of a sequence's uncomputed tokens fit into the step; a single one is a decode."""
        if uncomputed == 1:
            return 1 if self.budget > 0 else 0
        return min(uncomputed, self.budget, self._prompt_budget)

    def spend(self, count: int, uncomputed: int) -> None:
        """Takes tokens of a sequence from the budget; a negative count gives them back."""
        self.budget -= count
        if uncomputed > 1:
            self._prompt_budget -= count
            self._prompts += count

    def is_crowded(self, uncomputed: int) -> bool:
        """Whether a prompt that has not begun had better wait for the next step."""
        if self._together is None or uncomputed == 1:
            return False
        return self._prompts > 0 and self._prompts + uncomputed > self._together

    def _victim(self) -> Sequence | None:
        candidates = [
            one
            for one in reversed(self._running)
            if one is not self._protected and one not in self.preempted and not one.ending
        ]
        return max(candidates, key=lambda one: one.tag, default=None)

    def _preempt(self, victim: Sequence) -> None:
        self.preempted.append(victim)
        chunk = self.chunks.pop(id(victim), None)
        if chunk is not None:
            self.spend(-chunk.count, victim.uncomputed)
            self.free += chunk.grow
        for block in map(BlockId, victim.blocks):
            self._dropped[block] = self._dropped.get(block, 0) + 1
            self.free += int(self._dropped[block] == self._pool.refs(block))
        self.free -= len(victim.unsettled)
        self._coming += len(victim.unsettled)


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
        if len(admitted) >= places or stuck + largest > pool.total:
            break
        hits = pool.match(sequence.findable)
        uncomputed = len(sequence.tokens) - len(hits) * block_size
        count = draft.affordable(uncomputed)
        revived = [b for b in hits if pool.refs(b) == 0 and b not in claimed]
        fresh = sequence.blocks_for(len(sequence.tokens)) - len(hits)
        if count == 0 or draft.is_crowded(uncomputed) or fresh + len(revived) > draft.free:
            break
        claimed.update(revived)
        draft.free -= fresh + len(revived)
        draft.spend(count, uncomputed)
        admitted.append(Admission(sequence, tuple(hits), fresh, count))
    return admitted
