"""Poison in a whole simulated cluster: real gateway, workers and engines."""

from __future__ import annotations

import asyncio

import pytest

from engine.modelled_runner import ModelledPending, ModelledRunner
from engine.step import Step
from protocol.errors import Quarantined
from protocol.limits import Limits
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


@pytest.mark.parametrize(("prefills", "decodes"), [(0, 1), (1, 1), (2, 2)])
def test_what_one_gateway_found_out_the_others_know(
    prefills: int, decodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poison that ended three engines through one gateway ends none through another, nor through one
    that starts later; and the quarantine ends for all of them at the same time."""
    poisonable = Poisonable(monkeypatch)
    poison = (1, 2, POISON_TOKEN, 3)

    async def act(cluster: SmallCluster) -> None:
        first = await cluster.ask("poison", poison)
        assert (first.error, len(poisonable.deaths)) == (Quarantined.code, 3)
        await cluster.clock.sleep(5.0)
        second = await cluster.ask("again", poison, gateway=1)
        assert (second.error, second.seconds) == (Quarantined.code, 0.0)
        await cluster.places[1].replace()
        await cluster.clock.sleep(2.0)
        assert (await cluster.ask("once more", poison, gateway=1)).error == Quarantined.code
        assert len(poisonable.deaths) == 3
        innocent = await cluster.ask("innocent", prompts(1)[0], gateway=1)
        assert (innocent.error, innocent.complaint()) == ("", "")
        await cluster.clock.sleep(Limits().poison_s - 5.0)
        assert (await cluster.ask("later", poison, gateway=1)).error == Quarantined.code
        assert len(poisonable.deaths) == 6, "ten minutes after the first finding it is tried again"

    play(act, prefills, decodes, gateways=2)


def test_a_like_request_that_is_under_way_elsewhere_ends_with_the_first_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through two gateways at once the same poison ends no more engines than it must."""
    poisonable = Poisonable(monkeypatch)
    poison = (1, 2, POISON_TOKEN, 3)

    async def act(cluster: SmallCluster) -> None:
        both = await asyncio.gather(*(cluster.ask(f"r{n}", poison, gateway=n) for n in range(2)))
        assert [one.error for one in both] == [Quarantined.code] * 2
        assert len(poisonable.deaths) <= 4

    play(act, 2, 2, gateways=2)
