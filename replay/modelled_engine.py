"""One modelled worker: its steps in virtual time."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from replay.batch import Batch
from replay.engine_times import EngineTimes
from replay.gap_counts import GapCounts
from replay.job import Job
from replay.kv_room import KvRoom
from replay.lodging import Lodging
from replay.prompt_task import PromptTask
from replay.timeline import Timeline
from router.step_model import StepModel

STEADY = 0.01
"""Share of all KV by which a batch may grow within steps of equal length."""


class Cluster(Protocol):
    """Whom an engine tells."""

    def changed(self, engine: ModelledEngine) -> None:
        """Its load is another."""

    def admitted(self, engine: ModelledEngine, task: PromptTask) -> None:
        """The prompt has room; its prefix may be pulled."""

    def prompt_done(self, engine: ModelledEngine, task: PromptTask) -> None:
        """The next token of this request is there."""

    def finished(self, engine: ModelledEngine, job: Job) -> None:
        """Its last token is there."""

    def preempted(self, engine: ModelledEngine, job: Job) -> None:
        """It lost its KV and has to be placed again."""


class ModelledEngine:
    """Prompts in order of arrival, in chunks beside the batch; one step, or a run of equal steps, at a
    time."""

    def __init__(
        self,
        number: int,
        times: EngineTimes,
        room: KvRoom,
        timeline: Timeline,
        gaps: GapCounts,
        steps: StepModel,
        cluster: Cluster,
    ) -> None:
        self.number = number
        self.times = times
        self.room = room
        self.batch = Batch(room, gaps)
        self.queued_tokens = 0
        self._timeline = timeline
        self._model = steps
        self._cluster = cluster
        self._waiting: deque[PromptTask] = deque()
        self._prompts: list[PromptTask] = []
        self._chunks: list[tuple[PromptTask, int]] = []
        self._run = 0
        self._step_s = 0.0
        self._began = 0.0
        self._flight = 0
        self._busy = False

    @property
    def used_share(self) -> float:
        """Of all KV."""
        return min(1.0, self.room.used / self.room.total)

    def submit(self, task: PromptTask) -> None:
        """A prompt to compute; one without a lodging waits for room first."""
        self.queued_tokens += task.expected
        self._waiting.append(task)
        self.admit()
        self.poke()

    def join(self, job: Job, lodging: Lodging) -> None:
        """A sequence whose KV is here decodes from now on."""
        self.batch.join(job, lodging)
        self.poke()

    def admit(self) -> None:
        """Gives room to waiting prompts, in order."""
        while self._waiting:
            task = self._waiting[0]
            if task.lodging is None:
                if self.room.free < task.job.held_tokens:
                    break
                task.lodging = Lodging(task.job, self.room)
            self._prompts.append(self._waiting.popleft())
            self._cluster.admitted(self, task)
        self._cluster.changed(self)

    def roomier(self) -> None:
        """KV was given back outside of a step: who waits for room may have it."""
        if self._waiting:
            self.admit()
            self.poke()

    def poke(self) -> None:
        """Something may be computed that was not before: starts a step, or ends a run at its next step."""
        if not self._busy:
            self._start()
        elif self._run > 1:
            passed = max(1, -int((self._began - self._timeline.now) // self._step_s))
            if passed < self._run:
                self._run = passed
                self._fly(self._began + passed * self._step_s)
        self._cluster.changed(self)

    def _fly(self, end: float) -> None:
        self._busy = True
        self._flight += 1
        flight = self._flight
        self._timeline.at(end, lambda: self._land(flight))

    def _start(self) -> None:
        now = self._timeline.now
        running = len(self.batch)
        self._chunks = self._cut(self.times.chunk_beside(running, self.used_share), now)
        tokens = sum(count for _, count in self._chunks)
        if not tokens and not running:
            return
        self._step_s = self.times.prefill_s(tokens)
        if running:
            self._step_s += self.times.decode_s(self.used_share)
        self._run = 1 if tokens else self._steady_steps(running)
        self._began = now
        self._observe(tokens, running)
        self._fly(now + self._run * self._step_s)

    def _cut(self, budget: int, now: float) -> list[tuple[PromptTask, int]]:
        chunks = []
        for task in self._prompts:
            if budget <= 0:
                break
            if task.pulling or task.lodging is None:
                continue
            if task.begun_s < 0.0:
                self.queued_tokens -= task.expected
                task.start(task.lodging, now)
                task.expected = task.left
                self.queued_tokens += task.expected
            count = min(budget, task.left)
            chunks.append((task, count))
            budget -= count
        return chunks

    def _steady_steps(self, running: int) -> int:
        grows = int(self.room.total * STEADY / running)
        return max(1, min(self.batch.steps_to_end(), grows, self.room.free // running))

    def _observe(self, tokens: int, running: int) -> None:
        context = sum(task.done * count for task, count in self._chunks) / tokens if tokens else 0.0
        kv = float(self.room.used) if running else 0.0
        self._model.observe(self.number, tokens, context, running, kv, self._step_s)

    def _land(self, flight: int) -> None:
        if flight != self._flight:
            return
        now, run, self._run = self._timeline.now, self._run, 1
        ended = self.batch.advance(run, self._step_s, now) if len(self.batch) else []
        for task, count in self._chunks:
            self._compute(task, count)
        done = [task for task, _ in self._chunks if not task.left]
        self._chunks = []
        self._prompts = [task for task in self._prompts if task.left]
        for task in done:
            self._cluster.prompt_done(self, task)
        for job in ended:
            self._cluster.finished(self, job)
        while self.room.free < len(self.batch) and len(self.batch) > 1:
            self._cluster.preempted(self, self.batch.preempt(now))
        self.admit()
        self._busy = False
        self._start()

    def _compute(self, task: PromptTask, count: int) -> None:
        lodging = task.lodging
        if lodging is not None:
            task.computed(count, lodging)
        task.expected -= count
        self.queued_tokens -= count
