"""The engine's bookkeeping: plan a step, commit its result. Passive: it never waits or reads a clock."""

from __future__ import annotations

from array import array

from engine.block_pool import BlockPool
from engine.in_flight import InFlight
from engine.owner import Owner, OwnerKind
from engine.runner import Runner
from engine.schedule import Admission, Chunk, Schedule, SchedulePolicy, schedule
from engine.sequence import Sequence, SequenceState
from engine.step import Sampled, Slice, Step, StepResult
from engine.step_hook import Progress
from engine.step_times import StepTimes
from engine.turns import Turn, Turns
from engine.waiting_queue import WaitingQueue
from protocol.errors import ContextOverflow, EngineFailed
from protocol.ids import AttemptKey, BlockId
from protocol.messages import FinishReason
from protocol.request import Assignment


class Engine:
    """Sequences, blocks and steps of one worker. Touched by one thread only."""

    def __init__(self, runner: Runner, policy: SchedulePolicy) -> None:
        self.runner = runner
        self.block_size = runner.facts.block_size
        """Tokens in a block."""
        self.pool = BlockPool(runner.arena.generations)
        self._policy = policy
        self._running: list[Sequence] = []
        self._waiting = WaitingQueue()
        self._turns = Turns(policy.max_running)
        self._times = StepTimes()
        self._decodes = 0
        """Sequences that needed a single token when a step was planned last."""
        self._in_flight = InFlight()
        self._ended: list[Sequence] = []
        self._by_key: dict[AttemptKey, Sequence] = {}
        self.step_s = 0.0
        """Seconds that the last step took."""

    @property
    def running(self) -> tuple[Sequence, ...]:
        """Sequences that hold blocks, oldest first."""
        return tuple(self._running)

    @property
    def waiting(self) -> tuple[Sequence, ...]:
        """Sequences that hold nothing yet."""
        return tuple(self._waiting)

    @property
    def policy(self) -> SchedulePolicy:
        """The bounds of a step."""
        return self._policy

    def sequence(self, assignment: Assignment, until: int) -> Sequence:
        """A new sequence of this engine's layout; it is not admitted yet."""
        return Sequence(assignment, self.runner.facts.fingerprint.encode(), self.block_size, until)

    def admit(self, sequence: Sequence) -> None:
        """Queues a sequence whose KV is to be computed here, by priority, then by arrival.

        Raises ContextOverflow if all blocks together are too few for it, so it would wait for ever."""
        if sequence.full_need > self.pool.total:
            raise ContextOverflow(f"{sequence.full_need} KV blocks are needed, there are {self.pool.total}")
        self._check_unknown(sequence.key)
        self._by_key[sequence.key] = sequence
        self._waiting.arrive(sequence)

    def adopt(self, sequence: Sequence, holder: Owner) -> None:
        """Takes over the blocks of `holder`, which contain the KV of all tokens but the last.

        Raises EngineFailed if they are too few for that."""
        computed = len(sequence.tokens) - 1
        blocks = array("q", self.pool.held_by(holder))
        if len(blocks) < sequence.blocks_for(computed):
            raise EngineFailed(f"{holder} holds {len(blocks)} blocks, too few for {computed} tokens")
        self._check_unknown(sequence.key)
        self.pool.rename(holder, Owner.request(sequence.key))
        sequence.blocks = blocks
        sequence.computed = computed
        self._by_key[sequence.key] = sequence
        self._waiting.tag(sequence)
        sequence.move(SequenceState.RUNNING)
        self._running.append(sequence)
        self._publish(sequence, 0)

    def drop(self, key: AttemptKey) -> bool:
        """Forgets a sequence and gives its blocks back, those that a step in flight writes when it is
        over; False if there is none. Never between `plan` and the launch of its step."""
        sequence = self._by_key.pop(key, None)
        if sequence is None:
            return False
        self._remove(sequence)
        self._fence(sequence)
        sequence.move(SequenceState.ENDED)
        self.pool.give_back(Owner.request(key))
        return True

    def release_ended(self) -> None:
        """Gives back what ended sequences still hold; whoever wanted the blocks has renamed them."""
        for sequence in self._ended:
            self.pool.give_back(Owner.request(sequence.key))
        self._ended.clear()

    def plan(self) -> Step | None:
        """The next step, or None when nothing can be computed, perhaps until a step in flight is over.

        It is in flight until its commit, and so may `lookahead` of the runner's facts more be; raises
        EngineFailed beyond that."""
        if len(self._in_flight) > self.runner.facts.lookahead:
            raise EngineFailed(f"{len(self._in_flight)} steps are in flight, no more can be planned")
        if not self._running and not self._waiting:  # an idle engine is asked often: transfers are polled
            return None
        decided = self._decide()
        for victim in decided.preempted:
            self._preempt(victim)
        for admission in decided.admitted:
            self.pool.take(Owner.request(admission.sequence.key), admission.hits, 0)
        slices = [self._continue(chunk) for chunk in decided.chunks]
        slices += [self._start(admission) for admission in decided.admitted]
        if not slices:
            return None
        step = Step(tuple(slices))
        self._in_flight.depart(step, decided.sequences)
        return step

    def predict_s(self, step: Step) -> float | None:
        """Predicted seconds of a step; None where nothing like it was measured."""
        return self._times.predict_s(*step.shape)

    def prompt_budget(self) -> int:
        """Prompt tokens that keep the next step within its target, beside the batch that was last planned."""
        return self._budget_beside(self._decodes if self._running else 0)

    def _budget_beside(self, decodes: int) -> int:
        policy = self._policy
        longest_s = policy.step_s_beside(decodes)
        return self._times.prompt_budget(decodes, longest_s, self.block_size, policy.max_batch_tokens)

    def spare(self) -> int:
        """Blocks that transfers may hold beside those they hold already, so that the largest sequence still
        finishes whatever they do."""
        stuck = self.pool.held(OwnerKind.DEST, OwnerKind.PINNED, OwnerKind.QUARANTINE)
        largest = max((s.full_need for s in (*self._running, *self._waiting)), default=0)
        return self.pool.total - stuck - largest

    def commit(self, step: Step, result: StepResult) -> list[Progress]:
        """Applies the oldest step in flight: KV counts as computed, full blocks become findable, tokens
        are appended, and sequences that are done leave the batch. Rows of sequences that are gone, or
        were preempted since, change nothing."""
        if len(result.sampled) != len(step.slices):
            raise EngineFailed("the runner's result is that of another step")
        flight = self._in_flight.land(step)
        self.pool.give_back(flight.fence)
        self._measure(step, result.seconds)
        pieces, drawn = step.slices, result.sampled
        return [self._advance(sequence, pieces[row], drawn[row]) for sequence, row in flight.rows.items()]

    def _advance(self, sequence: Sequence, piece: Slice, sampled: Sampled | None) -> Progress:
        """Applies one row of a step that is over."""
        before = sequence.computed
        sequence.computed = before + len(piece.tokens)
        finish, error, done = None, None, False
        if sampled is not None:
            sequence.append(sampled.token)
            generated = sequence.generated
            if sampled.token in sequence.request.stop_tokens:
                finish = FinishReason.STOP
            elif generated >= sequence.limit:
                finish = FinishReason.LENGTH
            done = finish is not None or generated >= sequence.until
        elif piece.draw is not None:  # one broken row never breaks the others
            error = EngineFailed("the model's logits for this request are not finite")
        self._publish(sequence, before)
        if error is not None:
            self._retract(sequence)
        if done or error is not None:
            self._end(sequence)
        return Progress(sequence, sampled, finish, error)

    def _measure(self, step: Step, seconds: float) -> None:
        self.step_s = seconds
        self._times.observe(*step.shape, seconds)

    def _decide(self) -> Schedule:
        """What the next step computes, for whoever's turn it is and has something to compute. Nothing
        is planned ahead of or behind a step that a sequence wants to itself."""
        everybody: Turn = (self._running, self._waiting.sequences)
        alone = any([sequence.alone for part in everybody for sequence in part])
        decided = Schedule((), (), ())
        if alone and self._in_flight:
            return decided
        self._decodes = [sequence.uncomputed for sequence in self._running].count(1)
        for running, waiting in self._turns.next(*everybody) if alone else (everybody,):
            together = self._times.prompts_together(sum([sequence.uncomputed for sequence in waiting]))
            bounds = self.prompt_budget(), together
            decided = schedule(running, waiting, self.pool, self._policy, self.block_size, *bounds)
            if decided.changes:
                break
        return decided

    def check(self) -> None:
        """Raises EngineFailed if the blocks or the sequences do not add up."""
        self.pool.check()
        for sequence in self._running:
            if self.pool.held_by(Owner.request(sequence.key)) != tuple(sequence.blocks):
                raise EngineFailed(f"sequence {sequence.key} and the pool disagree on its blocks")
        known = {Owner.request(sequence.key) for sequence in (*self._running, *self._ended)}
        for owner in self.pool.owners(OwnerKind.REQUEST):
            if owner not in known:
                raise EngineFailed(f"{owner.name} holds blocks and is not in the batch")
        for owner in self.pool.owners(OwnerKind.FENCED):
            if owner not in self._in_flight.fences():
                raise EngineFailed(f"step {owner.name} holds blocks and is not in flight")

    def _check_unknown(self, key: AttemptKey) -> None:
        if key in self._by_key:
            raise EngineFailed(f"{key} is here already")

    def _continue(self, chunk: Chunk) -> Slice:
        sequence = chunk.sequence
        if chunk.grow:
            fresh = self.pool.take(Owner.request(sequence.key), (), chunk.grow)
            sequence.blocks = array("q", (*sequence.blocks, *fresh))
        return sequence.slice(chunk.count, self._in_flight.carry(sequence))

    def _start(self, admission: Admission) -> Slice:
        sequence = admission.sequence
        fresh = self.pool.take(Owner.request(sequence.key), (), admission.fresh)
        sequence.blocks = array("q", (*admission.hits, *fresh))
        sequence.computed = len(admission.hits) * self.block_size
        if sequence.cached is None:
            sequence.cached = sequence.computed
        self._waiting.start(sequence)
        sequence.move(SequenceState.RUNNING)
        self._running.append(sequence)
        return sequence.slice(admission.count, None)

    def _fence(self, sequence: Sequence) -> None:
        """Nothing that a step in flight does for this sequence counts any more; what it writes for it
        belongs to nobody else before it is over."""
        unsettled = sequence.unsettled
        fence = self._in_flight.leave(sequence)
        if fence is not None:
            self.pool.share(fence, unsettled)

    def _preempt(self, sequence: Sequence) -> None:
        self._fence(sequence)
        self.pool.give_back(Owner.request(sequence.key))
        sequence.blocks = array("q")
        sequence.computed = 0
        sequence.move(SequenceState.WAITING)
        self._running.remove(sequence)
        self._waiting.come_back(sequence)

    def _publish(self, sequence: Sequence, before: int) -> None:
        size = self.block_size
        for index in range(before // size, sequence.computed // size):
            self.pool.publish(BlockId(sequence.blocks[index]), sequence.hashes[index])

    def _retract(self, sequence: Sequence) -> None:
        """Whatever broke this sequence may lie in its KV: nobody else is to find it."""
        for block in sequence.blocks:
            self.pool.retract(BlockId(block))

    def _end(self, sequence: Sequence) -> None:
        self._remove(sequence)
        self._fence(sequence)
        del self._by_key[sequence.key]
        sequence.move(SequenceState.ENDED)
        self._ended.append(sequence)

    def _remove(self, sequence: Sequence) -> None:
        if sequence.state is SequenceState.RUNNING:
            self._running.remove(sequence)
        else:
            self._waiting.leave(sequence)
