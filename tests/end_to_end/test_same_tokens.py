"""What one machine would say is what the cluster says: token for token, over real NIXL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.end_to_end.local_cluster import LocalCluster, greedy, local_cluster, tiny_spec
from tests.engine.tiny_models import clear_prompt, write_tiny_model

KINDS = ("llama", "qwen3", "gemma3", "gpt_oss", "mixtral")
LENGTHS = (1, 15, 16, 17, 700)
COUNT = 12
BATCH = 16

Case = tuple[list[int], list[int]]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tiny model folder of each kind."""
    kind = str(request.param)
    return write_tiny_model(kind, tmp_path_factory.mktemp("models") / kind)


@pytest.fixture(scope="module")
def cases(model: Path) -> list[Case]:
    """Prompts of every length with transformers' own greedy answers, every margin above the floor."""
    return [clear_prompt(model, length, COUNT) for length in LENGTHS]


@pytest.mark.parametrize("prefills", [1, 0], ids=["disaggregated", "decode-only"])
async def test_greedy_equals_generate(model: Path, cases: list[Case], prefills: int) -> None:
    """Alone, in a batch of 16 that starts at different times, and from a cached prefix."""
    async with local_cluster(tiny_spec(model, prefills, 1)) as cluster:
        for prompt, expected in cases:
            assert await cluster.tokens(prompt, COUNT, b"alone") == expected
        await _batch(cluster, cases)
        await _cached(cluster, cases)
        moved = cluster.counter("transferred_blocks")
        assert (moved > 0) == (prefills > 0)
        assert cluster.counter("failed_verifications") == 0


async def _batch(cluster: LocalCluster, cases: list[Case]) -> None:
    async def late(number: int, prompt: list[int]) -> list[int]:
        await asyncio.sleep(0.02 * number)
        return await cluster.tokens(prompt, COUNT, b"batch%d" % number)

    chosen = [cases[number % len(cases)] for number in range(BATCH)]
    answers = await asyncio.gather(*(late(n, prompt) for n, (prompt, _) in enumerate(chosen)))
    assert list(answers) == [expected for _, expected in chosen]


async def _cached(cluster: LocalCluster, cases: list[Case]) -> None:
    """The second time the whole prefix is found, on whichever side computed or received it."""
    prompt, expected = cases[-1]
    for _ in range(2):
        assert await cluster.tokens(prompt, COUNT, b"shared") == expected
    *_, last = await cluster.answer(greedy(prompt, COUNT, b"shared"))
    assert last.cached_tokens >= len(prompt) - 16
