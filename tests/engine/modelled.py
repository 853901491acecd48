"""Small engines over the modelled runner, and what one healthy machine would answer."""

from __future__ import annotations

from dataclasses import dataclass

from engine.engine import Engine
from engine.modelled_runner import ModelledRunner, StepCost, expected_tokens
from engine.runner import RunnerFacts
from engine.schedule import SchedulePolicy
from engine.sequence import Sequence
from engine.step_hook import Progress
from protocol.ids import RequestId
from protocol.request import Assignment, Request
from protocol.sampling import Sampling

VOCABULARY = 50021
GREEDY = Sampling(seed=0, temperature=0.0)
POLICY = SchedulePolicy()


def facts(block_size: int, max_context: int = 4096, lookahead: int = 0) -> RunnerFacts:
    """Facts of a modelled runner."""
    return RunnerFacts("modelled", "cell", max_context, VOCABULARY, block_size, "f" * 64, lookahead)


def modelled_engine(
    blocks: int, block_size: int = 4, policy: SchedulePolicy = POLICY, lookahead: int = 0
) -> Engine:
    """An engine whose tokens are a hash of the KV that it reads."""
    return Engine(ModelledRunner(facts(block_size, lookahead=lookahead), blocks, StepCost()), policy)


def assignment(
    name: str,
    prompt: tuple[int, ...],
    max_tokens: int,
    *,
    sampling: Sampling = GREEDY,
    salt: bytes = b"",
    tenant: str = "default",
    priority: int = 0,
    stop_tokens: tuple[int, ...] = (),
    sent: tuple[int, ...] = (),
    attempt: int = 0,
) -> Assignment:
    """What a worker is told."""
    request = Request(
        id=RequestId(name),
        model="modelled",
        prompt=prompt,
        sampling=sampling,
        max_tokens=max_tokens,
        stop_tokens=stop_tokens,
        salt=salt,
        tenant=tenant,
        priority=priority,
    )
    return Assignment(request, attempt, sent, 60.0)


def answer(request: Request) -> tuple[int, ...]:
    """All tokens of the request: until the first stop token, or the limit."""
    tokens = expected_tokens(request.prompt, request.sampling, request.max_tokens, VOCABULARY)
    stops = [place for place, token in enumerate(tokens) if token in request.stop_tokens]
    return tuple(tokens[: stops[0] + 1] if stops else tokens)


def admitted(engine: Engine, one: Assignment, until: int = 1 << 30) -> Sequence:
    """A sequence that waits in the engine."""
    sequence = engine.sequence(one, until)
    engine.admit(sequence)
    return sequence


def step(engine: Engine) -> list[Progress]:
    """One step, blocks checked after it; empty when there is nothing to compute."""
    planned = engine.plan()
    engine.check()
    if planned is None:
        return []
    progress = engine.commit(planned, engine.runner.launch(planned).result())
    engine.release_ended()
    engine.check()
    return progress


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one request in `run`."""

    tokens: tuple[int, ...]
    """Prompt and generated."""
    cached: int | None


def run(engine: Engine, *assignments: Assignment) -> dict[str, Answered]:
    """Answers them all together, by request id. Fails if the engine stops before the last one ends."""
    answered: dict[str, Answered] = {}
    for one in assignments:
        admitted(engine, one)
    while len(answered) < len(assignments):
        progress = step(engine)
        assert progress, "nothing can be computed, and not everything is answered"
        for one_step in progress:
            sequence = one_step.sequence
            if sequence not in engine.running:
                answered[sequence.request.id] = Answered(tuple(sequence.tokens), sequence.cached)
    return answered


def tokens_of(engine: Engine, one: Assignment) -> tuple[int, ...]:
    """The generated tokens of one request that runs alone."""
    return run(engine, one)[one.request.id].tokens[len(one.request.prompt) :]
