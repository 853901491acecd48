"""On the next turn of a conversation the KV of the turns before is used, over real NIXL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from transformers import AutoConfig

from protocol.ids import WorkerIdentity
from router.ask import Ask
from router.joint_router import Avoid, JointRouter
from router.route_plan import RoutePlan
from tests.end_to_end.local_cluster import LocalCluster, greedy, local_cluster, tiny_spec
from tests.engine.tiny_models import (
    CONTEXT,
    MARGIN_FLOOR,
    VOCABULARY,
    greedy_reference,
    random_prompt,
    write_model,
)

BLOCK = 16
COUNT = 48
TOLD_S = 0.3
"""Within this time a gateway has heard what workers hold."""


class ForcedRouter(JointRouter):
    """Goes where the test says; a worker that lacks the prefix pulls it from whoever holds the most."""

    decode = ""
    prefill: str | None = None

    def plans(self, ask: Ask, avoid: Avoid) -> tuple[RoutePlan, ...]:
        """One plan."""
        held = self.held(ask)
        names = {str(identity.worker): identity for identity in held}
        at = names[self.prefill or self.decode]
        source = max(held, key=lambda identity: held[identity])
        pulls = held[source] > held[at]
        tokens = min(max(held[source], held[at]) * BLOCK, ask.tokens - 1)
        return (
            RoutePlan(
                decode=names[self.decode],
                prefill=names[self.prefill] if self.prefill else None,
                source=source if pulls else None,
                source_blocks=held[source] if pulls else 0,
                held_tokens=tokens,
                pulled_tokens=tokens - held[at] * BLOCK,
                lacking_tokens=0,
                tokens=ask.tokens,
                first_token_s=0.0,
                cost_s=0.0,
            ),
        )

    def held(self, ask: Ask) -> dict[WorkerIdentity, int]:
        """Blocks of the prompt by worker."""
        matched = self._matched(ask, frozenset())
        desks = [self._board.desk(place) for place in range(len(self._board))]
        return {desk.identity: int(matched[place]) for place, desk in enumerate(desks)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is dearer to compute than its KV is to pull."""
    sizes = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6, "head_dim": 32}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": VOCABULARY}
    config = AutoConfig.for_model("llama", **sizes, **heads, max_position_embeddings=CONTEXT)
    return write_model(config, tmp_path_factory.mktemp("models") / "wide")


class Conversation:
    """One user who adds to what was said."""

    def __init__(self, model: Path, number: int, system: list[int]) -> None:
        self.cached = self.reusable = 0
        """Tokens whose KV was used again in later turns, and could have been."""
        self._model = model
        self._number = number
        self._said = list(system)
        self._held = 0

    async def turn(self, cluster: LocalCluster, salt: bytes) -> None:
        """The next question and its answer, which is what transformers says."""
        prompt, expected = self._question()
        events = await cluster.answer(greedy(prompt, COUNT, salt))
        tokens = [token for event in events for token in event.tokens]
        assert tokens == expected
        self.cached += events[-1].cached_tokens if self._held else 0
        self.reusable += self._held
        self._said = prompt + tokens
        self._held = (len(self._said) - 1) // BLOCK * BLOCK  # the last token's KV was never needed

    def _question(self) -> tuple[list[int], list[int]]:
        for seed in range(100):
            prompt = self._said + random_prompt(40, 1000 * self._number + len(self._said) + seed)
            tokens, margins = greedy_reference(self._model, prompt, COUNT)
            if min(margins) > MARGIN_FLOOR:
                return prompt, tokens
        raise AssertionError("no question has a clear answer")


async def test_whoever_is_chosen_uses_what_decoding_has_made(model: Path) -> None:
    """In place, pulled by the other decode worker, or pulled by the prefill worker from the decode worker:
    of the first turn's KV, that of the answer included, nothing is computed again."""
    async with local_cluster(tiny_spec(model, 1, 2), ForcedRouter) as cluster:
        router = cluster.router
        assert isinstance(router, ForcedRouter)
        second_turns = (("decode-0", None), ("decode-1", None), ("decode-0", "prefill-0"))
        for number, (decode, prefill) in enumerate((*second_turns, ("decode-1", "prefill-0"))):
            salt = b"forced%d" % number
            conversation = Conversation(model, number, random_prompt(200, number))
            router.decode, router.prefill = "decode-0", None
            await conversation.turn(cluster, salt)
            await asyncio.sleep(TOLD_S)
            router.decode, router.prefill = decode, prefill
            await conversation.turn(cluster, salt)
            assert conversation.cached >= 0.9 * conversation.reusable > 0, (decode, prefill)
        assert cluster.counter("failed_verifications") == 0


async def test_conversations_find_their_kv_again(model: Path) -> None:
    """Four that share a system prompt and take turns, on workers of the router's choice: of what is reusable
    at least 90 % is used, and every token is right."""
    system = random_prompt(160, 7)
    async with local_cluster(tiny_spec(model, 1, 2)) as cluster:
        conversations = [Conversation(model, number, system) for number in range(4)]
        for _ in range(3):
            for one in conversations:
                await one.turn(cluster, b"")
                await asyncio.sleep(TOLD_S)
    cached, reusable = sum(one.cached for one in conversations), sum(one.reusable for one in conversations)
    assert cached >= 0.9 * reusable > 0
