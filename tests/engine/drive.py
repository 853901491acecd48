"""Plays a load on an engine, and checks everything that must hold after every step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from engine.cell_chain import chain_cell
from engine.engine import Engine
from engine.owner import Owner, OwnerKind
from engine.runner import Pending
from engine.sequence import Sequence
from engine.step import Step
from engine.step_hook import Progress
from protocol.errors import ContextOverflow
from protocol.ids import AttemptKey, BlockId, TransferId
from protocol.request import Assignment
from tests.engine.load import Arrival, Load

STUCK = (OwnerKind.DEST, OwnerKind.PINNED, OwnerKind.QUARANTINE)
PATIENCE = 2000
"""Steps after which a load of this size counts as stuck for ever."""

Watch = Callable[[Engine], None]


class Drive:
    """The roles' part, at its simplest: admit, reserve, adopt, pin, drop, try again."""

    def __init__(self, load: Load) -> None:
        self.engine = load.engine()
        self.ended: dict[str, tuple[int, ...]] = {}
        """Generated tokens of each request that ended, by request id."""
        self.refused: list[str] = []
        self._load = load
        self._now = 0
        self._due = [(one.at, one, one.assignment) for one in load.arrivals]
        self._open: dict[AttemptKey, Arrival] = {}
        self._drops = {one.assignment.key: one.dropped_after for one in load.arrivals}
        self._pulls: dict[AttemptKey, tuple[int, Sequence]] = {}
        self._pins: dict[Owner, int] = {}
        self._generations: dict[tuple[Owner, BlockId], int] = {}
        self._flights: deque[tuple[Step, Pending]] = deque()

    def play(self, watch: Watch) -> None:
        """Until everything has ended and every block is free or cached; `watch` sees each step coming."""
        while self._due or self._open or self._pins or self._flights:
            assert self._now < PATIENCE, "something never ends"
            self._release_pins()
            self._drop()
            self._arrive()
            self._finish_pulls()
            watch(self.engine)
            self._step()
            self._now += 1
        assert (self.engine.running, self.engine.waiting) == ((), ())
        assert self.engine.pool.available == self.engine.pool.total

    def _step(self) -> None:
        planned = self.engine.plan()
        self._check()
        if planned is not None:
            self._check_room(planned)
            self._flights.append((planned, self.engine.runner.launch(planned)))
        full = len(self._flights) > self._load.lookahead
        if self._flights and (full or planned is None):
            step, pending = self._flights.popleft()
            for one in self.engine.commit(step, pending.result()):
                self._advance(one)
            self.engine.release_ended()
            self._check()

    def _advance(self, one: Progress) -> None:
        sequence = one.sequence
        arrival = self._open[sequence.key]
        generated = tuple(sequence.tokens[len(sequence.request.prompt) :])
        assert generated == arrival.answer[: len(generated)]
        if one.finish is not None:
            assert generated == arrival.answer
        if sequence in self.engine.running:
            return
        assert one.finish is not None or sequence.generated >= sequence.until
        if arrival.pinned_for:
            pin = Owner.pinned(_transfer(sequence.key))
            self.engine.pool.rename(Owner.request(sequence.key), pin)
            self._pins[pin] = self._now + arrival.pinned_for
        self._end(sequence.key, generated)

    def _arrive(self) -> None:
        due = [entry for entry in self._due if entry[0] <= self._now]
        for entry in due:
            _, arrival, assignment = entry
            if arrival.pulled_for is None:
                self._admit(arrival, assignment)
            elif not self._reserve(arrival, assignment, arrival.pulled_for):
                continue
            self._due.remove(entry)

    def _admit(self, arrival: Arrival, assignment: Assignment) -> None:
        sequence = self._sequence(arrival, assignment)
        try:
            self.engine.admit(sequence)
        except ContextOverflow:
            assert sequence.full_need > self.engine.pool.total
            self.refused.append(assignment.request.id)
            return
        self._open[assignment.key] = arrival

    def _reserve(self, arrival: Arrival, assignment: Assignment, steps: int) -> bool:
        sequence = self._sequence(arrival, assignment)
        pool = self.engine.pool
        if sequence.full_need > pool.total:
            self.refused.append(assignment.request.id)
            return True
        hits = pool.match(sequence.findable)
        fresh = sequence.blocks_for(len(sequence.tokens)) - len(hits)
        pulled = [sequence, *(one for _, one in self._pulls.values())]
        growth = [one.full_need - one.blocks_for(len(one.tokens)) for one in pulled]
        largest = max([one.full_need for one in self.engine.running] + growth)
        if fresh > pool.room(hits) or pool.held(*STUCK) + fresh + len(hits) + largest > pool.total:
            return False
        pool.take(Owner.dest(_transfer(assignment.key)), hits, fresh)
        self._open[assignment.key] = arrival
        self._pulls[assignment.key] = (self._now + steps, sequence)
        return True

    def _finish_pulls(self) -> None:
        """The KV lands only now, in blocks that must still be ours; then the sequence joins."""
        for key, (at, sequence) in list(self._pulls.items()):
            if at > self._now:
                continue
            del self._pulls[key]
            dest = Owner.dest(_transfer(key))
            write_cells(self.engine, sequence.tokens, self.engine.pool.held_by(dest))
            arrival = self._open[key]
            sequence.append(arrival.answer[sequence.generated])
            if sequence.generated == len(arrival.answer):
                self.engine.pool.give_back(dest)
                self._end(key, arrival.answer)
            else:
                self.engine.adopt(sequence, dest)

    def _drop(self) -> None:
        """Whoever is dropped comes back with the tokens it had, as a lost worker's requests do."""
        for key, arrival in list(self._open.items()):
            after = self._drops.get(key)
            if after is None or self._now < arrival.at + after:
                continue
            sequence = self._forget(key)
            sent = tuple(sequence.tokens[len(sequence.request.prompt) :])
            again = Assignment(sequence.request, key.attempt + 1, sent, 60.0)
            self._due.append((self._now + 1, arrival, again))

    def _forget(self, key: AttemptKey) -> Sequence:
        del self._open[key]
        if key in self._pulls:
            self.engine.pool.give_back(Owner.dest(_transfer(key)))
            return self._pulls.pop(key)[1]
        (sequence,) = (one for one in (*self.engine.running, *self.engine.waiting) if one.key == key)
        assert self.engine.drop(key)
        assert not self.engine.drop(key), "twice is harmless"
        return sequence

    def _end(self, key: AttemptKey, generated: tuple[int, ...]) -> None:
        self.ended[key.request] = generated
        del self._open[key]

    def _sequence(self, arrival: Arrival, assignment: Assignment) -> Sequence:
        pulled = arrival.pulled_for is not None  # then the first token comes from elsewhere, too
        return self.engine.sequence(assignment, len(assignment.sent) + arrival.stop_after + pulled)

    def _release_pins(self) -> None:
        for pin in [pin for pin, until in self._pins.items() if until <= self._now]:
            self.engine.pool.give_back(pin)
            del self._pins[pin]

    def _check_room(self, step: Step) -> None:
        """Every slice has blocks for all its tokens, its KV before it is whole, and the budget holds."""
        policy, size = self._load.policy, self._load.block_size
        assert sum(len(piece.tokens) for piece in step.slices) <= policy.max_batch_tokens
        for piece in step.slices:
            assert piece.tokens
            assert len(piece.blocks) * size >= piece.start + len(piece.tokens)
        written = [
            BlockId(block)
            for piece in step.slices
            for block in piece.blocks[piece.start // size : -(-(piece.start + len(piece.tokens)) // size)]
        ]
        assert all(self.engine.pool.refs(block) == 1 for block in written), "a shared block is written"
        assert len(set(written)) == len(written)

    def _check(self) -> None:
        """Blocks add up, and what somebody held before and holds now was never anyone else's between."""
        self.engine.check()
        pool = self.engine.pool
        held = {
            (owner, block): pool.generation(block)
            for kind in OwnerKind
            for owner in pool.owners(kind)
            for block in pool.held_by(owner)
        }
        for hold, generation in held.items():
            assert self._generations.get(hold, generation) == generation
        self._generations = held


def write_cells(engine: Engine, tokens: list[int], blocks: tuple[BlockId, ...]) -> None:
    """The KV of `tokens`, as another engine has computed it, lands in `blocks`."""
    size = engine.block_size
    cells = engine.runner.arena.data.view(np.uint64)
    cell = 0
    for position, token in enumerate(tokens):
        cell = chain_cell(cell, token)
        cells[blocks[position // size], position % size] = cell


def _transfer(key: AttemptKey) -> TransferId:
    return TransferId(f"{key.request}/{key.attempt}")
