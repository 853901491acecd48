"""The modelled cluster: requests arrive, are placed, computed, moved and finished in virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from replay.board import Board
from replay.gap_counts import GapCounts
from replay.holders import Holders
from replay.job import Job
from replay.kv_room import KvRoom
from replay.links import Links
from replay.lodging import Lodging
from replay.modelled_engine import ModelledEngine
from replay.policy import Policy
from replay.prompt_task import PromptTask
from replay.settings import ReplaySettings
from replay.timeline import Timeline
from replay.trace import BLOCK_TOKENS, TraceRequest
from router.cluster_view import ClusterView
from router.joint_planner import Placement
from router.overtaking import LOOK_AHEAD, Overtaking
from router.waiting_line import WaitingLine


class World:
    """One replay. Workers are numbered: prefill workers first, then decode workers."""

    def __init__(self, requests: Sequence[TraceRequest], settings: ReplaySettings, policy: Policy) -> None:
        self.timeline = Timeline()
        self.gaps = GapCounts()
        self.finished_jobs: list[Job] = []
        self._policy = policy
        self._times = settings.times
        self._board = Board(settings)
        workers = self._board.workers
        self._holders = Holders(workers)
        self._links = Links(workers, self._board.pulls)
        self._engines = [
            ModelledEngine(
                number,
                settings.times,
                KvRoom(number, settings.kv_tokens, self._holders),
                self.timeline,
                self.gaps,
                self._board.steps,
                self,
            )
            for number in range(workers)
        ]
        self._jobs = [self._job(number, one, settings) for number, one in enumerate(requests)]
        self._next = 0
        self._line = WaitingLine()
        self._overtaking = Overtaking()
        self._doorsteps: list[deque[tuple[Job, Placement]]] = [deque() for _ in range(workers)]
        for engine in self._engines:
            self._board.note(engine)
        self._arm()

    def step(self) -> bool:
        """Runs what happens next; false at the end."""
        return self.timeline.step()

    def _job(self, number: int, request: TraceRequest, settings: ReplaySettings) -> Job:
        cold_s = settings.times.cold_prefill_s(request.input_tokens)
        return Job(number, request, request.arrival_s + settings.slo.first_token_within_s(cold_s))

    def _arm(self) -> None:
        if self._next < len(self._jobs):
            self.timeline.at(self._jobs[self._next].request.arrival_s, self._arrive)

    def _arrive(self) -> None:
        job = self._jobs[self._next]
        self._next += 1
        self._arm()
        found = int(self._holders.matched(job.request.chain).max())
        work_s = self._times.cold_prefill_s(job.prompt - job.usable(found))
        self._line.enter(job.number, job.due_s - work_s, work_s)
        self._place()

    def _place(self) -> None:
        """Places who waits, in order, while anybody finds a place."""
        while self._policy.may_place(self._view()) and any(
            self._try(number)
            for number in self._overtaking.bounded(self._line.first(LOOK_AHEAD, self.timeline.now))
        ):
            pass

    def _view(self) -> ClusterView:
        return self._board.view(len(self._line))

    def _try(self, number: int) -> bool:
        job = self._jobs[number]
        matched = self._holders.matched(job.request.chain)
        found = self._policy.place(job, matched, self._view(), self.timeline.now)
        if found is None:
            return False
        self._line.leave(number)
        self._overtaking.placed(number)
        self._doorsteps[found.decode].append((job, found))
        self._open(self._engines[found.decode])
        return True

    def _open(self, engine: ModelledEngine) -> None:
        """Reserves for those who were sent to this decode worker, in order, while there is room."""
        line = self._doorsteps[engine.number]
        while line:
            job, found = line[0]
            busy = len(engine.batch) + self._board.seats[engine.number]
            needs = engine.room.missing(job.request.chain) + job.sent + busy
            if busy >= self._times.max_running or (busy and engine.room.free < needs):
                return
            line.popleft()
            self._seat(job, found, engine)

    def _seat(self, job: Job, found: Placement, engine: ModelledEngine) -> None:
        seat = Lodging(job, engine.room)
        self._board.seats[engine.number] += 1
        self._board.note(engine)
        computes = engine if found.prefill is None else self._engines[found.prefill]
        held = self._holders.matched(job.request.chain)
        blocks = int(held[computes.number if found.source is None else found.source])
        task = PromptTask(job, engine.number, found.source, job.prompt - job.usable(blocks))
        if found.prefill is None:
            task.lodging = seat
        else:
            task.seat, job.remote = seat, True
        computes.submit(task)

    def changed(self, engine: ModelledEngine) -> None:
        """From an engine: its load is another."""
        self._board.note(engine)

    def admitted(self, engine: ModelledEngine, task: PromptTask) -> None:
        """From an engine: the prompt has room, so its prefix can come."""
        if task.source is None or task.source == engine.number or task.lodging is None:
            return
        source, chain, lodging = self._engines[task.source], task.job.request.chain, task.lodging
        lodging.look_again()
        found = source.room.claim(chain, 0, len(chain))
        tokens = (found - lodging.blocks) * BLOCK_TOKENS
        if tokens <= 0:
            source.room.release(chain, found, 0)
            return
        task.pulling = True
        end = self._links.read(engine.number, source.number, tokens, self.timeline.now)

        def arrived() -> None:
            lodging.fill(found)
            source.room.release(chain, found, 0)
            source.roomier()
            task.pulling = False
            engine.poke()

        self.timeline.at(end, arrived)

    def prompt_done(self, engine: ModelledEngine, task: PromptTask) -> None:
        """From an engine: the next token of this request is there; its KV goes to where it decodes."""
        job, now = task.job, self.timeline.now
        if job.sent:
            self.gaps.add(now - job.last_s, 1)
        else:
            job.first_s = now
        job.sent, job.last_s = job.sent + 1, now
        if task.seat is None:
            self._arrived(task, engine)
            return
        lacking = task.job.prompt - task.seat.blocks * BLOCK_TOKENS
        early = int((now - task.begun_s) / self._links.token_s)
        exposed = max(min(task.last_chunk, lacking), lacking - early)
        end = self._links.read(task.decode, engine.number, exposed, now) if job.left else now
        self.timeline.at(end, lambda: self._arrived(task, engine))

    def _arrived(self, task: PromptTask, computed: ModelledEngine) -> None:
        """All KV is at the decode worker."""
        engine, job, seat = self._engines[task.decode], task.job, task.lodging
        if task.seat is not None and task.lodging is not None:
            task.lodging.leave()
            computed.roomier()
            seat = task.seat
            if job.left:
                seat.fill(len(job.request.chain))
        self._board.seats[engine.number] -= 1
        if seat is not None and job.left:
            engine.join(job, seat)
        elif seat is not None:
            seat.leave()
            self.finished(engine, job)
        self._relieved(engine)

    def finished(self, engine: ModelledEngine, job: Job) -> None:
        """From an engine: the request is answered."""
        self.finished_jobs.append(job)
        self._board.learn_output(job.request.output_tokens)
        self._relieved(engine)

    def preempted(self, engine: ModelledEngine, job: Job) -> None:
        """From an engine: the request is to be placed again, from what the client has."""
        job.preemptions += 1
        self._line.enter_again(job.number)
        self._relieved(engine)

    def _relieved(self, engine: ModelledEngine) -> None:
        """There may be a place where there was none."""
        self._board.note(engine)
        self._open(engine)
        if len(self._line):
            self._place()
