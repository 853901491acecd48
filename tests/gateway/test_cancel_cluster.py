"""A client that leaves, or whose time is up: every worker involved stops, and KV comes back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from engine.modelled_runner import ModelledPending, ModelledRunner
from engine.step import Step
from protocol.clock import LoopClock
from protocol.errors import BatonError, DeadlineExceeded
from protocol.request import Request
from tests.gateway.small_cluster import SmallCluster, ask, play, prompts
from tests.simulation.profile import Profile

STEPS_S = 0.05
"""A few steps of the model: the longest takes 0.005 s."""
PROMPT = prompts(1, 600)[0]
LONG = Profile(blocks=400)


class Computed:
    """When each request was last part of a step, anywhere."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.last: dict[str, float] = {}
        self._launch = ModelledRunner.launch
        patch.setattr(ModelledRunner, "launch", lambda runner, step: self.launch(runner, step))

    def launch(self, runner: ModelledRunner, step: Step) -> ModelledPending:
        """Notes the time."""
        now = LoopClock().now()
        self.last |= {piece.key.request: now for piece in step.slices}
        return self._launch(runner, step)


async def _leave_after(cluster: SmallCluster, one: Request, seconds: float) -> None:
    asking = asyncio.create_task(_read(cluster, one))
    await cluster.clock.sleep(seconds)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


async def _read(cluster: SmallCluster, one: Request) -> None:
    async with aclosing(cluster.gateway.generate(one)) as events:
        async for _ in events:
            pass


@pytest.mark.parametrize("prefills", [0, 1])
@pytest.mark.parametrize("after_s", [0.0, 0.003, 0.01, 0.05, 0.1, 0.13, 0.15, 0.2, 0.5])
def test_a_client_that_leaves_stops_every_worker_at_once(
    prefills: int, after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it leaves - while it is placed, in any chunk of its prompt, in the transfer, between any
    two tokens: nothing of it is computed a few steps later, and no pool holds a block for it."""
    computed = Computed(monkeypatch)

    async def act(cluster: SmallCluster) -> None:
        await _leave_after(cluster, ask("r", PROMPT, 400), after_s)
        left_at = cluster.clock.now()
        await cluster.clock.sleep(STEPS_S)
        assert computed.last.get("r", 0.0) < left_at + STEPS_S / 2
        assert cluster.held() == []

    play(act, prefills, 1, LONG)


@pytest.mark.parametrize("prefills", [0, 1])
@pytest.mark.parametrize("timeout_s", [0.003, 0.05, 0.13, 0.2, 0.5])
def test_a_deadline_stops_every_worker_at_once(
    prefills: int, timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client hears of it on time, and every worker knows it by itself as well."""
    computed = Computed(monkeypatch)

    async def act(cluster: SmallCluster) -> None:
        started = cluster.clock.now()
        error: BatonError | None = None
        try:
            await _read(cluster, ask("r", PROMPT, 400, timeout_s))
        except BatonError as late:
            error = late
        assert type(error) is DeadlineExceeded
        assert cluster.clock.now() - started == pytest.approx(timeout_s, abs=0.02)
        await cluster.clock.sleep(STEPS_S)
        assert computed.last.get("r", 0.0) < started + timeout_s + STEPS_S / 2
        assert cluster.held() == []

    play(act, prefills, 1, LONG)
