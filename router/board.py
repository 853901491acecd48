"""What one gateway knows of all workers, kept up to date as it hears and sends."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from protocol.ids import WorkerIdentity
from protocol.load_report import LoadReport
from protocol.messages import WorkerRecord
from router.columns import Columns, blank_columns
from router.desk import PROVEN, Desk
from router.pull_rates import PullRates
from router.step_model import StepModel
from router.ways import Ways

PLACES = 16
"""At first; doubled when they are taken."""
SAMPLES = 512
"""Steps that are learnt from while each worker reports once."""
OUTPUT_PRIOR = 256.0
"""Tokens of an answer, until one has ended."""
OUTPUT_WEIGHT = 0.01


class Board:
    """One place per life of a worker, from its first link to its end. Nothing is added up again for a
    request: every change of a worker writes its place alone."""

    def __init__(self) -> None:
        self.columns: Columns = blank_columns(PLACES)
        self.steps = StepModel(PLACES)
        self.pulls = PullRates(PLACES)
        self.ways = Ways()
        self.expected_output = OUTPUT_PRIOR
        """Tokens that requests generate, on average."""
        self.blocks: tuple[str, int] | None = None
        """Fingerprint and block size of the worker that came last: all that serve together agree."""
        self._desks: list[Desk | None] = [None] * PLACES
        self._places: dict[WorkerIdentity, int] = {}
        self._free = list(range(PLACES))
        self._answers = self._reports = 0

    def __len__(self) -> int:
        return len(self._places)

    def join(self, record: WorkerRecord) -> Desk:
        """A link to this life of a worker is open: a fresh account, in the place that the life has."""
        identity = record.address.identity
        self.blocks = (record.fingerprint, record.block_size)
        place = self._places.get(identity)
        if place is None:
            place = self._places[identity] = self._new_place()
        former = self._desks[place]
        desk = Desk(record, self._show, former.heard if former is not None else 0)
        self._desks[place] = desk
        self._show(desk)
        return desk

    def index(self, identity: WorkerIdentity, slot: int | None) -> None:
        """Where a worker stands in the prefix index; None: nowhere."""
        place = self._places.get(identity)
        if place is not None:
            self.columns.slot[place] = -1 if slot is None else slot

    def leave(self, identity: WorkerIdentity) -> None:
        """This life is over; an unknown one is no error."""
        place = self._places.pop(identity, None)
        if place is not None:
            self._desks[place] = None
            self.columns.clear(place)
            self.steps.forget(place)
            self.pulls.forget(place)
            heapq.heappush(self._free, place)

    def learn(self, identity: WorkerIdentity, load: LoadReport) -> None:
        """From steps and pulls that a worker has measured."""
        place = self._places.get(identity)
        if place is None:
            return
        samples = load.step_samples
        stride = max(1, len(samples) * len(self) // SAMPLES)
        self._reports += 1
        for step in samples[self._reports % stride :: stride]:
            self.steps.observe(place, step.prompt, step.context, step.decodes, step.kv_tokens, step.seconds)
        for pull in load.pull_samples:
            source = self._places.get(pull.source)
            if source is not None:
                self.pulls.observe(place, source, pull.tokens, pull.seconds)

    def learn_output(self, tokens: int) -> None:
        """An answer has ended after so many tokens."""
        self._answers += 1
        weight = max(OUTPUT_WEIGHT, 1.0 / self._answers)
        self.expected_output += weight * (tokens - self.expected_output)

    def place(self, identity: WorkerIdentity) -> int | None:
        """Where this worker stands in the columns."""
        return self._places.get(identity)

    def desk(self, place: int) -> Desk:
        """The account of the worker at that place. Raises KeyError if nobody is there."""
        desk = self._desks[place]
        if desk is None:
            raise KeyError(place)
        return desk

    def marked(self, identities: frozenset[WorkerIdentity]) -> npt.NDArray[np.bool_]:
        """[places]: which of them stand where."""
        flags = np.zeros(len(self.columns), np.bool_)
        for identity in identities:
            place = self._places.get(identity)
            if place is not None:
                flags[place] = True
        return flags

    def _new_place(self) -> int:
        if not self._free:
            places = len(self._desks)
            self._desks += [None] * places
            self._free = list(range(places, 2 * places))
            self.columns = self.columns.doubled()
            self.steps.grow(2 * places)
            self.pulls.grow(2 * places)
        return heapq.heappop(self._free)

    def _show(self, desk: Desk) -> None:
        """An account of an earlier link changes nothing."""
        place = self._places.get(desk.identity)
        if place is None or self._desks[place] is not desk:
            return
        columns, record = self.columns, desk.record
        columns.usable[place] = desk.usable
        columns.prefill[place] = record.role == "prefill"
        columns.decode[place] = record.role == "decode"
        columns.restrained[place] = desk.restrained
        columns.proven[place] = desk.heard >= PROVEN
        columns.refused[place] = desk.refused
        columns.capacity[place] = record.total_blocks * record.block_size
        columns.queued[place] = desk.queued_tokens()
        columns.step_tokens[place] = desk.step_tokens()
        columns.running[place] = desk.running()
        columns.kv[place] = desk.kv_tokens()
        columns.free[place] = desk.free_tokens()
