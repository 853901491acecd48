"""One sequence inside an engine: its tokens, and how far their KV is computed."""

from __future__ import annotations

from array import array
from enum import Enum

from engine.step import Draw, Slice
from protocol.block_hash import chain_root, hash_chain
from protocol.errors import EngineFailed
from protocol.ids import AttemptKey, BlockHash, BlockId
from protocol.request import Assignment, Request


class SequenceState(Enum):
    """Where a sequence stands in the scheduler."""

    WAITING = "waiting"
    """Holds nothing."""
    RUNNING = "running"
    """Holds blocks for all of its tokens, and is part of steps."""
    ENDED = "ended"
    """Finished or dropped; never comes back."""


MOVES: dict[SequenceState, frozenset[SequenceState]] = {
    SequenceState.WAITING: frozenset({SequenceState.RUNNING, SequenceState.ENDED}),
    SequenceState.RUNNING: frozenset({SequenceState.WAITING, SequenceState.ENDED}),
    SequenceState.ENDED: frozenset(),
}


class Sequence:
    """Mutable, and touched by the engine's one thread only."""

    __slots__ = (
        "_knows_all",
        "_prompt",
        "_root",
        "_whole",
        "alone",
        "block_size",
        "blocks",
        "cached",
        "computed",
        "drawing",
        "hashes",
        "in_flight",
        "key",
        "limit",
        "request",
        "state",
        "tag",
        "tokens",
        "until",
    )

    def __init__(self, assignment: Assignment, fingerprint: bytes, block_size: int, until: int) -> None:
        """`until`: generated tokens after which this engine stops (the other role goes on, or nobody)."""
        self.key: AttemptKey = assignment.key
        self.request: Request = assignment.request
        self.tokens: list[int] = list(assignment.tokens)
        """Prompt, then everything generated."""
        self.alone = assignment.alone
        """It shares no step; until its first token here."""
        self.computed = 0
        """Leading tokens whose KV is in `blocks`."""
        self.in_flight = 0
        """Tokens after those that steps in flight compute."""
        self.drawing = 0
        """Tokens that steps in flight draw; none of them is in `tokens` yet."""
        self.cached: int | None = None
        """Leading tokens whose KV was found rather than computed, at the first admission."""
        self.blocks: array[int] = array("q")
        """Numbers of its blocks, from position 0 on: an array, which runners read at every step. It is
        replaced, never changed: a step in flight has the old one."""
        self.hashes: list[BlockHash] = []
        self.limit = self.request.max_tokens
        self.until = min(until, self.limit)
        self._prompt = len(self.request.prompt)
        self._whole = self._prompt + self.until
        self._knows_all = self.request.sampling.counts_history
        self.state = SequenceState.WAITING
        self.tag = 0.0
        """Its place among all sequences: the lowest starts first, the highest is preempted first."""
        self.block_size = block_size
        self._root = chain_root(fingerprint, self.request.salt)
        self.extend_hashes()

    @property
    def generated(self) -> int:
        """Tokens generated so far, those sent before this attempt included."""
        return len(self.tokens) - self._prompt

    @property
    def planned(self) -> int:
        """Leading tokens whose KV is in `blocks` when the steps in flight are over."""
        return self.computed + self.in_flight

    @property
    def uncomputed(self) -> int:
        """Tokens that still have to pass through the model and that a step may compute now. A token
        that is being drawn counts, unless it is the last one, or penalties must know it first."""
        known, drawing = len(self.tokens), self.drawing
        if drawing:
            known += drawing
            if known >= self._whole or self._knows_all:
                return 0
        return known - self.computed - self.in_flight

    @property
    def ending(self) -> bool:
        """Whether a step in flight draws its last token, whatever that is."""
        return self.drawing > 0 and len(self.tokens) + self.drawing >= self._whole

    @property
    def unsettled(self) -> list[BlockId]:
        """Blocks that steps in flight may still write. Nobody else holds or finds them."""
        if not self.in_flight:
            return []
        return [BlockId(block) for block in self.blocks[self.computed // self.block_size :]]

    @property
    def full_need(self) -> int:
        """Blocks that the sequence holds when it reaches its limit. The last token's KV is never needed."""
        return self.blocks_for(max(self._whole - 1, len(self.tokens)))

    @property
    def findable(self) -> list[BlockHash]:
        """Hashes that a prefix lookup may use: at least one token is always computed."""
        return self.hashes[: (len(self.tokens) - 1) // self.block_size]

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold this many tokens."""
        return -(-tokens // self.block_size)

    def growth(self, count: int) -> int:
        """Blocks that `count` tokens after the planned ones need beyond those that are here."""
        lacking = self.computed + self.in_flight + count - len(self.blocks) * self.block_size
        return -(-lacking // self.block_size) if lacking > 0 else 0

    def append(self, token: int) -> None:
        """Adds a generated token; its KV is not computed yet."""
        self.tokens.append(token)
        self.alone = False
        if len(self.tokens) % self.block_size == 0:
            self.extend_hashes()

    def slice(self, count: int, carry: int | None) -> Slice:
        """The next `count` uncomputed tokens; `carry`: where the last of them is drawn, if it is."""
        start = self.computed + self.in_flight
        end = start + count
        tokens = self.tokens[start:end]
        if carry is not None:
            tokens.append(0)
        draw = None
        if end == len(self.tokens) + self.drawing:
            request = self.request
            history = self.tokens[self._prompt :] if self._knows_all else ()
            draw = Draw(request.sampling, end - self._prompt, request.prompt, history)
        return Slice(self.key, tokens, start, self.blocks, draw, carry)

    def extend_hashes(self) -> None:
        """Brings `hashes` up to the last full block of `tokens`."""
        parent = self.hashes[-1] if self.hashes else self._root
        fresh = self.tokens[len(self.hashes) * self.block_size :]
        self.hashes += hash_chain(parent, fresh, self.block_size)

    def move(self, state: SequenceState) -> None:
        """Changes state by the table of allowed moves."""
        if state not in MOVES[self.state]:
            raise EngineFailed(f"sequence {self.key} cannot go from {self.state.value} to {state.value}")
        self.state = state
