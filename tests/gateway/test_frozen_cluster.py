"""Engines that stop without dying, in a whole simulated cluster."""

from __future__ import annotations

import asyncio

import pytest

from protocol.limits import Limits
from tests.gateway.small_cluster import SmallCluster, play, prompts

NOTICED_S = Limits().frozen_s + 2.0
"""Found, planned again, and gone on elsewhere."""


@pytest.mark.parametrize("at_s", [0.0, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("frozen", ["prefill-0", "decode-0"])
def test_a_frozen_engine_costs_its_requests_a_pause(frozen: str, at_s: float) -> None:
    """Whenever it freezes: every answer is whole, and comes a few seconds later at most. The engine is
    replaced, and nobody waits for it to thaw."""

    async def act(cluster: SmallCluster) -> None:
        asking = [
            asyncio.create_task(cluster.ask(f"r{i}", prompt, 60)) for i, prompt in enumerate(prompts(6))
        ]
        await cluster.clock.sleep(at_s)
        first = cluster.node(frozen).life
        assert first is not None
        first.freeze()
        for outcome in await asyncio.gather(*asking):
            assert (outcome.error, outcome.complaint()) == ("", "")
            assert outcome.seconds < NOTICED_S + 1.0
        await cluster.clock.sleep(NOTICED_S)
        assert cluster.node(frozen).life not in (None, first)
        first.thaw()

    play(act, 2, 2)
