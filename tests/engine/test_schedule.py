"""The scheduler: a pure decision that keeps to its bounds and always lets somebody go on."""

from __future__ import annotations

from hypothesis import given, settings

from engine.engine import Engine
from engine.owner import Owner, OwnerKind
from engine.schedule import Admission, Schedule, SchedulePolicy, StepOrder, schedule
from engine.sequence import Sequence
from protocol.ids import AttemptKey, BlockId, RequestId, TransferId
from tests.engine.drive import STUCK, Drive
from tests.engine.load import LOADS, LOADS_AHEAD, Load
from tests.engine.modelled import admitted, assignment, modelled_engine, run, step

PIN = Owner.pinned(TransferId("t"))


def _decide(engine: Engine) -> Schedule:
    return schedule(engine.running, engine.waiting, engine.pool, engine.policy, engine.block_size)


def _everything(engine: Engine) -> str:
    """All that a decision could change, written out."""
    sequences = (*engine.running, *engine.waiting)
    fields = [[getattr(one, name) for name in Sequence.__slots__] for one in sequences]
    return repr((fields, vars(engine.pool)))


def _is_within_bounds(engine: Engine, decided: Schedule) -> None:
    counts = [*(one.count for one in decided.chunks), *(one.count for one in decided.admitted)]
    assert all(count > 0 for count in counts)
    assert sum(counts) <= engine.policy.max_batch_tokens
    chunked = [chunk.sequence for chunk in decided.chunks]
    assert len(set(chunked)) == len(chunked)
    assert not set(chunked) & set(decided.preempted)
    assert set(chunked) | set(decided.preempted) <= set(engine.running)
    running = len(engine.running) + len(decided.admitted)
    assert running <= max(engine.policy.max_running, len(engine.running))
    assert tuple(one.sequence for one in decided.admitted) == engine.waiting[: len(decided.admitted)]


def _is_fair(engine: Engine, decided: Schedule) -> None:
    largest = max((one.full_need for one in engine.running), default=0)
    kept = [one for one in engine.running if one not in decided.preempted]
    assert not kept or max(one.full_need for one in kept) == largest
    assert not (decided.preempted and decided.admitted)
    prompts_last = engine.policy.order is StepOrder.DECODE_FIRST
    chunked = [chunk.sequence for chunk in decided.chunks]
    if any((one.uncomputed > 1) is prompts_last for one in chunked):
        idle = [one for one in kept if (one.uncomputed == 1) is prompts_last and one not in chunked]
        assert all(one.full_need == largest for one in idle), "who goes last went before others"


def _is_within_prompt_budget(engine: Engine, budget: int) -> None:
    decided = schedule(
        engine.running, engine.waiting, engine.pool, engine.policy, engine.block_size, prompt_budget=budget
    )
    chunks = [chunk.count for chunk in decided.chunks if chunk.sequence.uncomputed > 1]
    starts = [one.count for one in decided.admitted if _left(engine, one) > 1]
    assert sum((*chunks, *starts)) <= budget


def _left(engine: Engine, admission: Admission) -> int:
    return len(admission.sequence.tokens) - len(admission.hits) * engine.block_size


def _goes_on(engine: Engine, decided: Schedule) -> None:
    if engine.pool.held(*STUCK) == 0:
        assert not (engine.running or engine.waiting) or decided.chunks or decided.admitted


@settings(max_examples=25)
@given(LOADS)
def test_deciding_changes_nothing(load: Load) -> None:
    """Sequences and pool are after a decision what they were before, to the last number."""

    def watch(engine: Engine) -> None:
        before = _everything(engine)
        _decide(engine)
        assert _everything(engine) == before

    Drive(load).play(watch)


@settings(max_examples=100)
@given(LOADS)
def test_every_decision_of_a_load_is_sound(load: Load) -> None:
    """The budgets and the number of places hold; the largest running sequence stays, tokens and prompts
    go in the policy's order, nobody overtakes; and somebody goes on unless transfers hold the blocks."""

    def watch(engine: Engine) -> None:
        decided = _decide(engine)
        _is_within_bounds(engine, decided)
        _is_within_prompt_budget(engine, 3)
        _is_fair(engine, decided)
        _goes_on(engine, decided)

    Drive(load).play(watch)


@settings(max_examples=50)
@given(LOADS_AHEAD)
def test_every_decision_ahead_is_within_bounds(load: Load) -> None:
    """Also while a step is in flight the budgets and the number of places hold; who cannot be planned
    before that step is over takes nothing of them; and deciding changes nothing."""

    def watch(engine: Engine) -> None:
        before = _everything(engine)
        decided = _decide(engine)
        _is_within_bounds(engine, decided)
        _is_within_prompt_budget(engine, 3)
        assert not any(chunk.sequence.ending for chunk in decided.chunks)
        assert _everything(engine) == before

    Drive(load).play(watch)


def _running(engine: Engine, *prompts: tuple[int, ...], max_tokens: int = 30) -> list[Sequence]:
    """Sequences that have computed their prompt and drawn one token."""
    for number, prompt in enumerate(prompts):
        admitted(engine, assignment(f"r{number}", prompt, max_tokens))
    while any(one.uncomputed > 1 for one in (*engine.waiting, *engine.running)):
        step(engine)
    return list(engine.running)


def test_hits_of_a_later_admission_are_not_evicted_by_an_earlier_one() -> None:
    """All hits are taken before any fresh block: else a fresh block could be the evicted hit, and two
    sequences would write and read the same block."""
    engine = modelled_engine(blocks=6, block_size=1)
    run(engine, assignment("old", (1, 2), 1))
    run(engine, assignment("filler", (5, 6, 7, 8), 1))
    admitted(engine, assignment("stranger", (9, 9, 9), 1))
    admitted(engine, assignment("again", (1, 2, 3), 1))
    decided = _decide(engine)
    assert [len(one.hits) for one in decided.admitted] == [0, 2]
    planned = engine.plan()
    assert planned is not None
    stranger, again = (set(piece.blocks) for piece in planned.slices)
    assert not stranger & again
    assert again >= set(decided.admitted[1].hits)


def test_youngest_is_preempted_and_nothing_admitted() -> None:
    """Who came last gives way; a step that had to preempt starts nothing new."""
    engine = modelled_engine(blocks=8, block_size=2)
    old, middle, young = _running(engine, (1, 2, 3), (4, 5, 6), (7, 8, 9), max_tokens=4)
    engine.pool.take(PIN, (), 2)
    admitted(engine, assignment("new", (1,), 1))
    while not (decided := _decide(engine)).preempted:
        assert step(engine)
    assert decided.preempted == (young,)
    assert decided.admitted == ()
    assert [chunk.sequence for chunk in decided.chunks] == [old, middle]


def _adopted(engine: Engine, name: str, max_tokens: int) -> Sequence:
    """A sequence whose one block is full, so that its next token needs another."""
    prompt = tuple(map(ord, (name * 4)[:4]))
    sequence = engine.sequence(assignment(name, prompt, max_tokens, sent=(7,)), 1 << 30)
    engine.pool.take(Owner.dest(TransferId(name)), (), 1)
    engine.adopt(sequence, Owner.dest(TransferId(name)))
    return sequence


def test_what_was_planned_for_a_victim_goes_to_others() -> None:
    """A sequence that had its part of the step and is then preempted gives back budget and new block."""
    engine = modelled_engine(blocks=5, policy=SchedulePolicy(max_batch_tokens=2))
    prefill = admitted(engine, assignment("p", (1, 2, 3, 4, 5, 6), 1))
    step(engine)
    victim, largest = _adopted(engine, "v", 3), _adopted(engine, "l", 9)
    engine.pool.take(PIN, [BlockId(block) for block in victim.blocks], 0)
    decided = _decide(engine)
    assert decided.preempted == (victim,)
    assert [(chunk.sequence, chunk.count, chunk.grow) for chunk in decided.chunks] == [
        (largest, 1, 1),
        (prefill, 1, 0),
    ]


def test_preempted_sequence_is_the_first_to_come_back() -> None:
    """Whoever lost its blocks goes before those that never ran."""
    engine = modelled_engine(blocks=3)
    victim, _ = _adopted(engine, "v", 3), _adopted(engine, "l", 9)
    new = admitted(engine, assignment("new", (1,), 1))
    engine.pool.take(PIN, (), 1)
    step(engine)
    assert engine.waiting == (victim, new)


def test_largest_waits_for_transfers_and_keeps_its_blocks() -> None:
    """Where even preempting everyone gives no room, the largest sequence computes nothing and loses
    nothing; it goes on when a transfer lets go."""
    engine = modelled_engine(blocks=4, block_size=2)
    (largest,) = _running(engine, (1, 2, 3), max_tokens=5)
    engine.pool.take(PIN, (), 2)
    step(engine)
    blocks = tuple(largest.blocks)
    assert _decide(engine) == Schedule((), (), ())
    assert engine.plan() is None
    assert (engine.running, tuple(largest.blocks)) == ((largest,), blocks)
    engine.pool.give_back(PIN)
    assert [chunk.grow for chunk in _decide(engine).chunks] == [1]


def test_a_token_goes_before_a_prompt() -> None:
    """A sequence that joins behind a long prompt draws its tokens at once, not when the prompt is done."""
    engine = modelled_engine(blocks=40, policy=SchedulePolicy(max_batch_tokens=8))
    admitted(engine, assignment("long", tuple(range(60)), 4))
    step(engine)
    joined = engine.sequence(assignment("joined", (1, 2, 3), 9, sent=(4,)), 1 << 30)
    engine.pool.take(Owner.dest(TransferId("t")), (), 1)
    engine.adopt(joined, Owner.dest(TransferId("t")))
    chunks = _decide(engine).chunks
    assert [(chunk.sequence.request.id, chunk.count) for chunk in chunks] == [("joined", 1), ("long", 7)]


def test_nobody_overtakes() -> None:
    """A short request waits behind a long one that has no room yet, so the long one cannot starve."""
    engine = modelled_engine(blocks=4, block_size=2)
    _running(engine, (1, 2, 3), max_tokens=2)
    admitted(engine, assignment("long", (1,) * 7, 2))
    admitted(engine, assignment("short", (1,), 1))
    assert _decide(engine).admitted == ()


def test_admission_leaves_the_largest_room_to_drain() -> None:
    """What transfers hold and the full need of the largest sequence must fit together, although the
    blocks for its prompt alone are there."""
    engine = modelled_engine(blocks=4, block_size=2)
    engine.pool.take(PIN, (), 2)
    admitted(engine, assignment("r", (1, 2), 4))
    assert _decide(engine).admitted == ()
    engine.pool.give_back(PIN)
    assert len(_decide(engine).admitted) == 1


def test_a_prefix_in_transfer_does_not_block_its_own_reuse() -> None:
    """Blocks that transfers pin count once, however many transfers share them."""
    engine = modelled_engine(blocks=6, block_size=2)
    (first,) = _running(engine, (1, 2, 3, 4, 5), max_tokens=2)
    for number in range(5):
        hits = engine.pool.match(first.hashes[:2])
        engine.pool.take(Owner.pinned(TransferId(f"t{number}")), hits, 0)
    engine.drop(first.key)
    admitted(engine, assignment("same prefix", (1, 2, 3, 4, 6), 2))
    assert [len(one.hits) for one in _decide(engine).admitted] == [2]


def test_a_hit_that_two_admissions_share_is_taken_once() -> None:
    """Two requests that revive the same cached blocks need room for them once."""
    engine = modelled_engine(blocks=4, block_size=2)
    run(engine, assignment("old", (1, 2, 3, 4), 1))
    for name, last in (("one", 5), ("other", 6)):
        admitted(engine, assignment(name, (1, 2, 3, 4, last), 1))
    assert [(len(one.hits), one.fresh) for one in _decide(engine).admitted] == [(2, 1), (2, 1)]


def test_an_idle_engine_decides_nothing() -> None:
    """Nothing to do is an empty decision."""
    assert _decide(modelled_engine(blocks=1)) == Schedule((), (), ())


def test_owner_names_tell_attempts_apart() -> None:
    """Two attempts at one request are two owners: dropping the old one takes nothing from the new."""
    request = RequestId("r/1")
    names = {Owner.request(AttemptKey(request, attempt)) for attempt in (0, 1, 11)}
    assert len(names) == 3
    assert Owner.request(AttemptKey(RequestId("r"), 1)).kind is OwnerKind.REQUEST
