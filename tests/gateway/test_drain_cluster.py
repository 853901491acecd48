"""Workers that leave under load, in a whole simulated cluster: nobody notices."""

from __future__ import annotations

import asyncio

import pytest

from protocol.limits import Limits
from tests.gateway.small_cluster import SmallCluster, play, prompts
from tests.simulation.client import Outcome

LIMITS = Limits()
LONG_ANSWER = 400
"""Takes the model about two seconds."""


async def _load(cluster: SmallCluster, count: int, over_s: float) -> list[asyncio.Task[Outcome]]:
    async def client(number: int, prompt: tuple[int, ...]) -> Outcome:
        await cluster.clock.sleep(over_s * number / count)
        return await cluster.ask(f"r{number}", prompt, LONG_ANSWER if number % 3 == 0 else 20)

    return [asyncio.create_task(client(i, prompt)) for i, prompt in enumerate(prompts(count))]


async def _all_whole(asking: list[asyncio.Task[Outcome]]) -> None:
    for outcome in await asyncio.gather(*asking):
        assert (outcome.error, outcome.complaint()) == ("", "")


@pytest.mark.parametrize("at_s", [0.0, 0.03, 0.1, 0.7])
@pytest.mark.parametrize("leaving", ["prefill-0", "decode-0"])
def test_who_is_drained_finishes_what_it_has(leaving: str, at_s: float) -> None:
    """Nothing is planned again, let alone lost; the worker is out before its time is up."""

    async def act(cluster: SmallCluster) -> None:
        asking = await _load(cluster, 12, 1.0)
        await cluster.clock.sleep(at_s)
        former = cluster.node(leaving).life
        started = cluster.clock.now()
        await cluster.drain(leaving, LIMITS.drain_s)
        assert cluster.clock.now() - started < LIMITS.drain_s / 2
        assert cluster.node(leaving).life is not former
        await _all_whole(asking)
        assert cluster.replans == 0

    play(act, 2, 2)


@pytest.mark.parametrize("leaving", ["prefill-0", "decode-0"])
def test_what_is_not_finished_in_time_is_handed_over(leaving: str) -> None:
    """It goes on elsewhere from the tokens sent, and does not count as a failure; KV that a reader
    still wants is waited for, no longer than its lease."""

    async def act(cluster: SmallCluster) -> None:
        asking = await _load(cluster, 12, 1.0)
        for _ in range(LIMITS.max_replans + 2):
            await cluster.clock.sleep(0.2)
            started = cluster.clock.now()
            await cluster.drain(leaving, 0.0)
            assert cluster.clock.now() - started < LIMITS.lease_s + LIMITS.renew_every_s + 2.0
        await _all_whole(asking)

    play(act, 2, 2)


@pytest.mark.parametrize(("prefills", "decodes"), [(0, 1), (1, 1), (2, 2)])
def test_a_roll_out_fails_nothing(prefills: int, decodes: int) -> None:
    """Every worker is replaced, one after another, also the only one of its pool: requests wait for the
    next."""

    async def act(cluster: SmallCluster) -> None:
        asking = await _load(cluster, 24, 6.0)
        await cluster.clock.sleep(0.5)
        for node in cluster.nodes:
            await cluster.drain(node.name, LIMITS.drain_s)
        await _all_whole(asking)

    play(act, prefills, decodes)


def test_who_leaves_gets_no_new_work() -> None:
    """From the first moment: its gateways know before the directory does."""

    async def act(cluster: SmallCluster) -> None:
        leaver = cluster.node("decode-0").life
        assert leaver is not None and leaver.engine is not None
        holding = asyncio.create_task(cluster.ask("holds", prompts(1)[0], LONG_ANSWER))
        await cluster.clock.sleep(0.2)
        held = {s.request.id for s in leaver.engine.running}
        draining = asyncio.create_task(cluster.drain("decode-0", LIMITS.drain_s))
        await cluster.clock.sleep(0.01)
        asking = [asyncio.create_task(cluster.ask(f"n{i}", p)) for i, p in enumerate(prompts(6))]
        await cluster.clock.sleep(0.1)
        assert {s.request.id for s in leaver.engine.running} <= held
        await _all_whole([*asking, holding])
        await draining

    play(act, 0, 2)
