"""The made-up first prompt: it teaches the engine its own speed and leaves nothing behind."""

from __future__ import annotations

import pytest

from engine.owner import OwnerKind
from engine.step import Slice, Step
from protocol.ids import AttemptKey, RequestId
from tests.engine.modelled import answer, assignment, modelled_engine, tokens_of
from worker.warm_up import warm_up

KEY = AttemptKey(RequestId("r"), 0)


@pytest.mark.parametrize("blocks", [1, 2, 9, 200])
def test_it_leaves_nothing_behind(blocks: int) -> None:
    """No block is held or findable, however small the pool, and answers are what they were."""
    engine = modelled_engine(blocks)
    warm_up(engine)
    engine.check()
    assert engine.pool.counts()[OwnerKind.FREE] == blocks
    assert engine.running == engine.waiting == ()
    one = assignment("r", (1,), 2)
    assert tokens_of(engine, one) == answer(one.request)


def test_afterwards_both_kinds_of_step_are_predicted() -> None:
    """Before it, nothing is."""
    engine = modelled_engine(200)
    prompt = Step((Slice(KEY, range(100), 0, range(25), None),))
    token = Step((Slice(KEY, (1,), 0, (0,), None),))
    assert (engine.predict_s(prompt), engine.predict_s(token)) == (None, None)
    warm_up(engine)
    for step in (prompt, token):
        predicted = engine.predict_s(step)
        assert predicted is not None
        assert predicted == pytest.approx(engine.runner.launch(step).seconds, rel=0.5)
