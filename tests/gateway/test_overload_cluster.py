"""More load than a simulated cluster can carry: it goes on answering as much as it can, and says no soon."""

from __future__ import annotations

import asyncio

import pytest

from protocol.errors import Overloaded
from tests.gateway.small_cluster import SmallCluster, ask, play, prompts
from tests.simulation.client import Outcome
from tests.simulation.client import ask as read
from tests.simulation.profile import Profile

SMALL = Profile(blocks=64)
"""Room for three or four requests of the kind below."""
TIMEOUT_S = 2.0
OVER_S = 10.0
SATURATING = 25
"""Requests a second that such a cluster just carries."""
PROMPTS = prompts(5 * SATURATING * int(OVER_S))


def _flood(prefills: int, decodes: int, per_s: int) -> list[Outcome]:
    """What became of everybody who came at this rate."""
    found: list[Outcome] = []

    async def act(cluster: SmallCluster) -> None:
        async def client(number: int) -> Outcome:
            await cluster.clock.sleep(number / per_s)
            return await read(cluster.gateway, ask(f"r{number}", PROMPTS[number], 40, TIMEOUT_S), None)

        found.extend(await asyncio.gather(*(client(i) for i in range(int(per_s * OVER_S)))))

    play(act, prefills, decodes, SMALL)
    return found


def _good(found: list[Outcome]) -> int:
    return sum(one.finish is not None for one in found)


@pytest.mark.parametrize(("prefills", "decodes"), [(0, 1), (1, 1)])
def test_goodput_stays_at_its_peak_whatever_comes(prefills: int, decodes: int) -> None:
    """At five times the load that saturates, at least 90 % of its goodput. Whoever is not answered is
    refused with a word on when to come again, nearly all at once, and hardly anybody in vain: work for
    those who miss their deadline is what eats goodput."""
    peak, flood = _flood(prefills, decodes, SATURATING), _flood(prefills, decodes, 5 * SATURATING)
    assert _good(peak) >= 0.7 * len(peak), "the load is too high to be the peak's"
    assert _good(flood) >= 0.9 * _good(peak)
    assert all(one.complaint() == "" for one in flood)
    refused = [one.seconds for one in flood if one.error == Overloaded.code]
    late = [one for one in flood if one.error not in ("", Overloaded.code)]
    assert len(late) <= 0.05 * _good(flood)
    assert sum(seconds > 0.05 for seconds in refused) <= 0.15 * len(refused)


def test_a_flood_of_one_tenant_is_its_own() -> None:
    """Somebody who asks twice a second is answered every time, however much another sends."""
    found: list[Outcome] = []

    async def act(cluster: SmallCluster) -> None:
        async def client(name: str, number: int, per_s: int) -> Outcome:
            await cluster.clock.sleep(number / per_s)
            one = ask(f"{name}{number}", PROMPTS[number], 40, TIMEOUT_S, tenant=name)
            return await read(cluster.gateway, one, None)

        flood = [client("much", i, 5 * SATURATING) for i in range(5 * SATURATING * int(OVER_S))]
        modest = [client("little", i, 2) for i in range(2 * int(OVER_S))]
        found.extend((await asyncio.gather(*flood, *modest))[len(flood) :])

    play(act, 1, 1, SMALL)
    assert [one.error for one in found] == [""] * len(found)
