"""A made-up prompt through every part of an engine before it serves."""

from __future__ import annotations

from engine.engine import Engine
from engine.sequence import SequenceState
from protocol.errors import EngineFailed
from protocol.ids import BlockId, RequestId
from protocol.request import Assignment, Request
from protocol.sampling import Sampling

PROMPT_TOKENS = 256
ANSWER_TOKENS = 3


def warm_up(engine: Engine) -> None:
    """Computes one prompt and a few tokens, and leaves nothing behind but what the engine learnt: how
    long its steps take. So no first request pays for what is made at first use, and a step that takes
    longer than it should is known as such from the start. Raises EngineFailed."""
    facts = engine.runner.facts
    room = min(facts.max_context, engine.pool.total * engine.block_size) - ANSWER_TOKENS
    length = min(PROMPT_TOKENS, engine.policy.max_batch_tokens, room)
    if length < 1:
        return
    prompt = tuple(i % facts.vocabulary for i in range(length))
    request = Request(RequestId("warm-up"), facts.model, prompt, Sampling(seed=0), ANSWER_TOKENS)
    sequence = engine.sequence(Assignment(request, 0, (), 1.0), ANSWER_TOKENS)
    engine.admit(sequence)
    while sequence.state is not SequenceState.ENDED:
        step = engine.plan()
        if step is None:
            raise EngineFailed("the engine computes nothing of its first prompt")
        engine.commit(step, engine.runner.launch(step).result())
    for block in sequence.blocks:
        engine.pool.retract(BlockId(block))
    engine.release_ended()
