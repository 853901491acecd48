"""Requests that end engines, and the innocent that are computed beside them."""

from __future__ import annotations

import asyncio

import pytest

from protocol.errors import Quarantined, RetriesSpent
from protocol.messages import Compute
from tests.gateway.fake_worker import FakeWorker
from tests.gateway.gateway_scene import LIMITS, Answer, Scene, play, request
from tests.gateway.mortal_worker import MortalWorker, adopt, mortals
from tests.gateway.test_service import said

POISON = frozenset({"poison"})


def cluster(prefills: int, decodes: int) -> tuple[FakeWorker, ...]:
    """Workers that all die of the same request."""
    names = [("prefill", i) for i in range(prefills)] + [("decode", i) for i in range(decodes)]
    return tuple(MortalWorker(f"{role}-{i}", role, POISON) for role, i in names)


async def _ask(scene: Scene, name: str, after_s: float, max_tokens: int = 60) -> Answer:
    await scene.clock.sleep(after_s)
    prompt = 41 if name == "poison" else 40
    return await scene.ask(request(name, prompt=prompt, max_tokens=max_tokens))


@pytest.mark.parametrize(("prefills", "decodes"), [(0, 1), (0, 2), (1, 1), (2, 2)])
def test_only_the_poison_fails_and_it_ends_three_engines(prefills: int, decodes: int) -> None:
    """Two deaths in company and one alone; everybody else gets the full answer. Sent again, it is
    refused at once and ends nothing."""

    async def act(scene: Scene) -> None:
        deaths = adopt(scene)
        names = ["poison", *(f"r{i}" for i in range(12))]
        answers = await asyncio.gather(*(_ask(scene, name, 0.01 * i) for i, name in enumerate(names)))
        poison, innocent = answers[0], answers[1:]
        assert type(poison.error) is Quarantined
        assert poison.error.http_status == 500 and not poison.error.retry_helps
        assert [one.error for one in innocent] == [None] * 12
        assert all(one.tokens == said(60) for one in innocent)
        assert len(deaths) == 3
        assert len(deaths[-1]) == 1
        again = await _ask(scene, "poison", 1.0)
        assert (type(again.error), again.seconds, len(deaths)) == (Quarantined, 0.0, 3)
        assert (await _ask(scene, "late", 0.0)).error is None
        assert scene.is_clean()

    play(act, *cluster(prefills, decodes))


def test_a_quarantine_ends() -> None:
    """After ten minutes the request is tried again."""

    async def act(scene: Scene) -> None:
        deaths = adopt(scene)
        assert type((await _ask(scene, "poison", 0.0)).error) is Quarantined
        await scene.clock.sleep(LIMITS.poison_s + 1.0)
        assert type((await _ask(scene, "poison", 0.0)).error) is Quarantined
        assert len(deaths) == 6

    play(act, *cluster(0, 1))


def test_the_innocent_outlive_many_deaths() -> None:
    """Killed again and again in the middle of the batch, more often than max_replans: alone each of
    them computes well, and all answers are whole."""

    async def act(scene: Scene) -> None:
        deaths = adopt(scene)
        asking = [asyncio.create_task(_ask(scene, f"r{i}", 0.0)) for i in range(6)]
        for _ in range(LIMITS.max_replans + 2):
            await scene.clock.sleep(1.0)
            await mortals(scene)[0].kill()
        answers = await asyncio.gather(*asking)
        assert [one.error for one in answers] == [None] * 6
        assert all(one.tokens == said(60) for one in answers)
        assert len(deaths) == LIMITS.max_replans + 2

    play(act, *cluster(0, 1))


def test_suspects_are_computed_one_at_a_time() -> None:
    """Each alone up to a token, on one worker; then it goes on in company."""

    async def act(scene: Scene) -> None:
        adopt(scene)
        asking = [asyncio.create_task(_ask(scene, f"r{i}", 0.0, 400)) for i in range(4)]
        for _ in range(2):
            await scene.clock.sleep(1.0)
            await mortals(scene)[0].kill()
        await scene.clock.sleep(0.5)
        worker = mortals(scene)[0]
        answers = await asyncio.gather(*asking)
        assert [one.error for one in answers] == [None] * 4
        heard = [frame.assignment for frame in worker.heard if isinstance(frame, Compute)]
        assert [one.alone for one in heard] == [True] * 4
        assert len({one.request.id for one in heard}) == 4

    play(act, *cluster(0, 1))


def test_even_announced_deaths_have_a_bound() -> None:
    """Then RetriesSpent: the request was never alone in its step, so it is not quarantined."""

    async def act(scene: Scene) -> None:
        deaths = adopt(scene)
        asking = asyncio.create_task(_ask(scene, "r", 0.0, 1000))
        while not asking.done():
            await scene.clock.sleep(0.1)
            for worker in mortals(scene):
                if worker.held:
                    await worker.end(())
        answer = await asking
        assert type(answer.error) is RetriesSpent
        assert len(deaths) == LIMITS.max_deaths + 1

    play(act, *cluster(0, 1))


def test_planned_ends_never_count() -> None:
    """A worker that says that it leaves may do so any number of times: no suspicion, no failure."""

    async def act(scene: Scene) -> None:
        adopt(scene)
        asking = asyncio.create_task(_ask(scene, "r", 0.0))
        for _ in range(3 * LIMITS.max_deaths):
            await scene.clock.sleep(0.05)
            for worker in mortals(scene):
                if worker.held:
                    await worker.end(None)
        answer = await asking
        assert (answer.error, answer.tokens) == (None, said(60))

    play(act, *cluster(0, 2))
