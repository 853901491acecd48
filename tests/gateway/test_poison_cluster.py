"""Poison in a whole simulated cluster: real gateway, workers and engines."""

from __future__ import annotations

import asyncio

import pytest

from engine.modelled_runner import ModelledPending, ModelledRunner
from engine.step import Step
from protocol.errors import Quarantined
from tests.gateway.small_cluster import SmallCluster, play, prompts
from tests.simulation.client import Outcome
from tests.simulation.poison import VOCABULARY

POISON_TOKEN = VOCABULARY + 2


class Poisonable:
    """The runner's launch, with engines that die of one token; counts what it killed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._launch = ModelledRunner.launch
        self.deaths: list[int] = []
        """Slices in the step of each death."""
        patch.setattr(ModelledRunner, "launch", lambda runner, step: self.launch(runner, step))

    def launch(self, runner: ModelledRunner, step: Step) -> ModelledPending:
        """Raises what ends an engine."""
        if any(POISON_TOKEN in piece.tokens for piece in step.slices):
            self.deaths.append(len(step.slices))
            raise RuntimeError("poison")
        return self._launch(runner, step)


@pytest.mark.parametrize(("prefills", "decodes"), [(0, 1), (0, 2), (1, 1), (2, 2)])
def test_one_poisonous_request_costs_three_engines_and_no_answer_but_its_own(
    prefills: int, decodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its engines computed beside it ends well; no block is left behind."""
    poisonable = Poisonable(monkeypatch)

    async def act(cluster: SmallCluster) -> None:
        async def client(name: str, prompt: tuple[int, ...], after_s: float) -> Outcome:
            await cluster.clock.sleep(after_s)
            return await cluster.ask(name, prompt)

        clients = [client(f"r{i}", prompt, 0.02 * i) for i, prompt in enumerate(prompts(10))]
        clients.append(client("poison", (1, 2, POISON_TOKEN, 3), 0.05))
        *innocent, poison = await asyncio.gather(*clients)
        assert [one.complaint() for one in innocent] == [""] * 10
        assert [one.error for one in innocent] == [""] * 10
        assert poison.error == Quarantined.code

    play(act, prefills, decodes)
    assert len(poisonable.deaths) == 3
    assert poisonable.deaths[-1] == 1
