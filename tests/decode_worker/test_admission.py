"""Whatever is admitted, the batch drains."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from engine.schedule import SchedulePolicy
from protocol.messages import Admitted, Refused
from protocol.request import Assignment
from tests.decode_worker.decode_bench import DecodeBench, job
from tests.engine.modelled import answer

PATIENCE = 3000


@dataclass(frozen=True, slots=True)
class Visit:
    """One request and its fate, in steps."""

    told: Assignment
    at: int
    pulled_for: int | None
    """How long its KV is on its way; None: it is computed here."""
    joins_after: int
    """How long its first token is on its way."""


def random_visit(dice: Random, number: int, blocks: int) -> Visit:
    """Sizes from one block to all there are; some share a prefix."""
    most = blocks * 4
    length = dice.randint(1, most - 1)
    shared = dice.choice((0, 8))
    prompt = tuple(range(min(shared, length))) + tuple(100 * (number + 1) + i for i in range(length - shared))
    told = job(f"r{number}", prompt, dice.randint(2, most - length + 2))
    pulled_for = dice.choice((None, 0, 1, 5, 40))
    return Visit(told, dice.randint(0, 30), pulled_for, dice.randint(0, 40))


class Ward:
    """Lets visits in as the admission decides; those it refuses ask again at every step."""

    def __init__(self, blocks: int, policy: SchedulePolicy, visits: list[Visit]) -> None:
        self.bench = DecodeBench(blocks, policy)
        self.overflowed: list[Visit] = []
        self._due = list(visits)
        self._moving: list[tuple[int, int, Visit]] = []
        """When its KV lands, when its token comes."""

    def play(self) -> None:
        """Until nobody is left."""
        for now in range(PATIENCE):
            if (
                not self._due
                and not self._moving
                and not self.bench.engine.running
                and not self.bench.engine.waiting
            ):
                return
            for visit in [one for one in self._due if one.at <= now]:
                self._ask(visit, now)
            self._move(now)
            self.bench.turn()
            self.bench.sent()
            self.bench.held()
        raise AssertionError("the batch does not drain")

    def _ask(self, visit: Visit, now: int) -> None:
        name = str(visit.told.request.id)
        if visit.pulled_for is None:
            self.bench.compute(visit.told)
        else:
            self.bench.reserve(visit.told, name)
        (said,) = [frame for frame in self.bench.sent() if isinstance(frame, Admitted | Refused)]
        if isinstance(said, Refused) and said.code == "worker_busy":
            return
        self._due.remove(visit)
        if isinstance(said, Refused):
            self.overflowed.append(visit)
        elif visit.pulled_for is not None:
            self._moving.append((now + visit.pulled_for, now + visit.joins_after, visit))

    def _move(self, now: int) -> None:
        for lands, joins, visit in list(self._moving):
            if joins == now:
                self.bench.join(visit.told)
            if lands == now:
                self.bench.arrive(visit.told, str(visit.told.request.id))
            if max(lands, joins) <= now:
                self._moving.remove((lands, joins, visit))


@given(seed=st.integers(0, 1 << 32))
def test_every_request_that_is_admitted_ends(seed: int) -> None:
    """Reservations and prompts of any size come at any time, KV and first tokens as late as they
    like: everyone is let in at last, and gets its whole answer."""
    dice = Random(seed)
    blocks = dice.choice((4, 8, 16, 30))
    visits = [random_visit(dice, number, blocks) for number in range(dice.randint(1, 9))]
    ward = Ward(
        blocks,
        SchedulePolicy(max_batch_tokens=dice.choice((4, 64)), max_running=dice.choice((1, 2, 8))),
        visits,
    )
    ward.play()
    assert ward.bench.held() == {}
    for visit in visits:
        told = visit.told
        if visit in ward.overflowed:
            assert len(told.request.prompt) + told.request.max_tokens - 1 > blocks * 4
            continue
        said = answer(told.request)
        assert tuple(ward.bench.tokens[told.key]) == (said if visit.pulled_for is None else said[1:])
