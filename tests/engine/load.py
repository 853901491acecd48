"""Random loads for one engine: requests that share prefixes, arrive, are dropped and come back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from hypothesis import strategies as st

from engine.engine import Engine
from engine.modelled_runner import expected_tokens
from engine.schedule import SchedulePolicy, StepOrder
from protocol.request import Assignment
from protocol.sampling import Sampling
from tests.engine.modelled import GREEDY, VOCABULARY, answer, assignment, modelled_engine

SAMPLINGS = (
    GREEDY,
    Sampling(seed=3, temperature=1.0),
    Sampling(seed=4, temperature=1.0, choice=1),
    Sampling(seed=5, temperature=0.0, presence_penalty=0.5),
)
FIRST_TURN = (1, 2, 3, 4, 5)
SHARED = (
    tuple(range(100, 120)),
    (*range(100, 107), *range(200, 213)),
    # The next turn of a conversation: prompt and answer come back as a prompt.
    (*FIRST_TURN, *expected_tokens(FIRST_TURN, GREEDY, 15, VOCABULARY)),
)
"""What prompts begin with."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request and its fate. Times are counted in steps."""

    assignment: Assignment
    answer: tuple[int, ...]
    """All tokens that a healthy machine generates."""
    stop_after: int
    """Tokens after which this engine stops, counted from those sent (prefill: 1)."""
    at: int
    dropped_after: int | None
    """It comes back as another attempt, with the tokens it had."""
    pinned_for: int
    """How long a transfer holds its blocks after its end."""
    pulled_for: int | None
    """How long its KV is on its way from elsewhere; None: it is computed here."""


@dataclass(frozen=True, slots=True)
class Load:
    """An engine's size and what comes to it."""

    blocks: int
    block_size: int
    policy: SchedulePolicy
    arrivals: tuple[Arrival, ...]
    lookahead: int = 0

    def engine(self) -> Engine:
        """A fresh engine of this size."""
        return modelled_engine(self.blocks, self.block_size, self.policy, self.lookahead)


def random_arrival(random: Random, number: int) -> Arrival:
    """Any request, often like others before it."""
    shared = random.choice(SHARED)[: random.choice((0, 3, 4, 6, 8, 16))]
    tail = random.choices((7, 8), k=random.randint(0 if shared else 1, 3))
    prompt = (*shared, *tail)
    max_tokens = random.choice((1, 2, 12, 24, 24, 30))
    sampling = random.choice((GREEDY, GREEDY, *SAMPLINGS))
    whole = expected_tokens(prompt, sampling, max_tokens, VOCABULARY)
    one = assignment(
        f"r{number}",
        prompt,
        max_tokens,
        sampling=sampling,
        salt=random.choice((b"", b"", b"", b"other tenant")),
        tenant=random.choice(("default", "default", "another")),
        priority=random.choice((0, 0, 0, 1, 2)),
        stop_tokens=(random.choice(whole),) if random.random() < 0.2 else (),
    )
    tokens = answer(one.request)
    sent = tokens[: random.choice((0, 0, 0, 0, random.randrange(len(tokens))))]
    return Arrival(
        assignment=Assignment(one.request, 0, sent, 60.0),
        answer=tokens,
        stop_after=random.choice((1, 2, 100, 100, 100, 100)),
        at=random.randint(0, 6),
        dropped_after=random.choice((None, None, None, random.randint(0, 20))),
        pinned_for=random.choice((0, 0, 0, 0, 2, 8)),
        pulled_for=random.choice((None, None, None, random.randint(0, 4))),
    )


def random_load(random: Random) -> Load:
    """A pool that is a little too small, so that blocks are always short."""
    arrivals = tuple(random_arrival(random, number) for number in range(random.randint(2, 12)))
    size = random.randint(1, 4)
    longest = max(len(one.assignment.request.prompt) + len(one.answer) for one in arrivals)
    blocks = -(-longest // size) + random.choice((-2, 0, 1, 3, 6, 12, 20))
    policy = SchedulePolicy(
        max_batch_tokens=random.choice((1, 4, 12, 60)),
        max_running=random.choice((1, 4, 12, 12)),
        max_step_s=random.choice((0.5, 0.0046)),
        order=random.choice(tuple(StepOrder)),
    )
    return Load(max(2, blocks), size, policy, arrivals)


LOADS = st.randoms(use_true_random=True).map(random_load)
"""Drawn from seeds: hypothesis alone prefers loads so simple that nothing is ever short."""

LOADS_AHEAD = LOADS.map(lambda load: replace(load, lookahead=1))
"""The same for engines that plan a step while another is in flight."""
