"""Which prompts start in one step."""

from __future__ import annotations

from hypothesis import given, settings

from engine.engine import Engine
from engine.schedule import Admission, SchedulePolicy, schedule
from tests.engine.drive import Drive
from tests.engine.load import LOADS, Load
from tests.engine.modelled import assignment, modelled_engine


def _is_not_crowded(engine: Engine, together: int) -> None:
    decided = schedule(
        engine.running, engine.waiting, engine.pool, engine.policy, engine.block_size, together=together
    )
    prompts = sum(chunk.count for chunk in decided.chunks if chunk.sequence.uncomputed > 1)
    for admission in decided.admitted:
        if (left := _left(engine, admission)) > 1:
            assert prompts == 0 or prompts + left <= together
            prompts += admission.count


def _left(engine: Engine, admission: Admission) -> int:
    return len(admission.sequence.tokens) - len(admission.hits) * engine.block_size


@settings(max_examples=25)
@given(LOADS)
def test_prompts_start_together_only_up_to_a_bound(load: Load) -> None:
    """One prompt always starts; another beside it only if both are few enough."""

    def watch(engine: Engine) -> None:
        for together in (1, 20, 400):
            _is_not_crowded(engine, together)

    Drive(load).play(watch)


def test_whoever_is_one_too_many_starts_in_the_next_step() -> None:
    """The first prompt is taken whole however long it is, and nobody overtakes."""
    engine = modelled_engine(100, 4, SchedulePolicy(max_batch_tokens=256))
    for name, length in (("long", 60), ("b", 20), ("c", 20), ("d", 20)):
        engine.admit(engine.sequence(assignment(name, tuple(range(length)), max_tokens=1), 1))
    started: list[list[int]] = []
    while engine.waiting:
        waiting, pool = engine.waiting, engine.pool
        decided = schedule(engine.running, waiting, pool, engine.policy, engine.block_size, together=45)
        started.append([one.count for one in decided.admitted])
        for admission in decided.admitted:
            engine.drop(admission.sequence.key)
    assert started == [[60], [20, 20], [20]]
