"""Several gateways over the same workers: each sees the others' load in the workers' reports."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from protocol.ids import RequestId
from tests.gateway.small_cluster import PROFILE, SmallCluster, ask, play, prompts
from tests.simulation.profile import Profile

COUNT = 24
"""Requests through each gateway."""


def _computed(cluster: SmallCluster, names: list[str]) -> Counter[str]:
    """How many requests were decoded where."""
    found: Counter[str] = Counter()
    for place in cluster.places:
        for name in names:
            record = place.gateway.logbook.find(RequestId(name), 0.0)
            if record is not None and record.placed is not None:
                found[record.placed.plan.decode.worker] += 1
    return found


@pytest.mark.parametrize("spread_s", [0.0, 0.2])
def test_a_burst_through_two_gateways_does_not_herd(spread_s: float) -> None:
    """All at one moment, before any report could tell, or within a fifth of a second: no worker gets more
    than its share and a half."""
    said = prompts(2 * COUNT)
    names = [f"r{number}" for number in range(2 * COUNT)]

    async def act(cluster: SmallCluster) -> None:
        async def client(number: int) -> None:
            await cluster.clock.sleep(spread_s * number / (2 * COUNT))
            place = cluster.places[number % 2]
            answer = await place.answer(ask(names[number], said[number], 8), None)
            assert answer.error == ""

        await asyncio.gather(*(client(number) for number in range(2 * COUNT)))
        used = _computed(cluster, names)
        assert sum(used.values()) == 2 * COUNT
        assert max(used.values()) <= 1.5 * 2 * COUNT / 4

    play(act, 0, 4, PROFILE, gateways=2)


def test_what_another_gateway_keeps_busy_is_left_alone() -> None:
    """One gateway fills one worker; the other, which sent nothing yet, sends to the idle one."""
    said = [tuple(range(first, first + 200)) for first in range(4)]

    async def act(cluster: SmallCluster) -> None:
        busy, other = cluster.places
        longs = [asyncio.create_task(busy.answer(ask(f"long{i}", said[i], 120), None)) for i in range(3)]
        await cluster.clock.sleep(0.3)
        used = _computed(cluster, [f"long{i}" for i in range(3)])
        assert set(used.values()) == {1, 2}
        least = min(used, key=lambda name: used[name])
        await other.answer(ask("mine", said[3], 2), None)
        assert _computed(cluster, ["mine"]) == {least: 1}
        for answer in await asyncio.gather(*longs):
            assert answer.error == ""

    play(act, 0, 2, Profile(blocks=400), gateways=2)
