"""Replays are deterministic, complete, and make sense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import InvalidSpec
from replay.engine_times import EngineTimes
from replay.outcome import possible_hits
from replay.replay import replay
from replay.settings import PolicyName, ReplaySettings
from replay.trace import BLOCK_TOKENS, TraceRequest

SMALL = ReplaySettings(prefills=2, decodes=2, kv_tokens=200_000)


def trace(count: int, rate: float, seed: int = 3) -> tuple[TraceRequest, ...]:
    """Conversations of growing prompts that share a system prompt."""
    draw = np.random.default_rng(seed)
    arrivals = np.cumsum(draw.exponential(1.0 / rate, count))
    chains: list[tuple[int, ...]] = [(0, 1)] * 8
    fresh, found = 2, []
    for arrival in arrivals:
        talk = int(draw.integers(8))
        if len(chains[talk]) > 40:
            chains[talk] = (0, 1)
        grown = int(draw.integers(1, 6))
        chains[talk] = chains[talk] + tuple(range(fresh, fresh + grown))
        fresh += grown
        tokens = len(chains[talk]) * BLOCK_TOKENS - int(draw.integers(BLOCK_TOKENS))
        found.append(TraceRequest(float(arrival), tokens, int(draw.integers(1, 200)), chains[talk]))
    return tuple(found)


@pytest.mark.parametrize("policy", list(PolicyName))
@pytest.mark.parametrize("kv_tokens", [40_000, 200_000])
def test_every_request_is_answered(policy: PolicyName, kv_tokens: int) -> None:
    """Under overload and with little KV room every policy's requests end, with sane figures."""
    outcome = replay(trace(150, 40.0), replace(SMALL, policy=policy, kv_tokens=kv_tokens))
    assert outcome.requests == 150
    assert 0.0 < outcome.ttft_p50_s <= outcome.ttft_p90_s <= outcome.ttft_p99_s
    assert 0.0 <= outcome.goodput <= min(outcome.ttft_met, outcome.itl_met)
    assert 0.0 <= outcome.hits <= 1.0 + 1e-9


@pytest.mark.parametrize("policy", list(PolicyName))
def test_deterministic(policy: PolicyName) -> None:
    """Two replays of one trace agree in every figure."""
    requests, settings = trace(120, 20.0), replace(SMALL, policy=policy)
    assert replay(requests, settings) == replay(requests, settings)


def test_one_request_alone_takes_the_formulas_time() -> None:
    """Cold prompt, idle cluster: TTFT is the prefill formula's, ITL the decode formula's."""
    one = TraceRequest(0.0, 4000, 50, tuple(range(8)))
    outcome = replay((one,), replace(SMALL, policy=PolicyName.ROUND_ROBIN))
    assert outcome.ttft_p50_s == pytest.approx(EngineTimes().prefill_s(4000))
    assert outcome.itl_p50_s == pytest.approx(EngineTimes().decode_s(8 * 512 / 200_000), rel=0.03)
    assert outcome.disaggregated == 1.0


def test_a_repeated_prompt_is_not_computed_again() -> None:
    """With memory enough and one turn after another, hits are those of an infinite cache."""
    requests = tuple(TraceRequest(10.0 * i, 8000, 10, tuple(range(16))) for i in range(10))
    outcome = replay(requests, SMALL)
    assert possible_hits(requests) == 9 * 7999
    assert outcome.hits == pytest.approx(1.0)


def test_the_halves_of_the_choice() -> None:
    """Always-local never disaggregates, always-remote always does."""
    requests = trace(60, 10.0)
    assert replay(requests, replace(SMALL, policy=PolicyName.ALWAYS_LOCAL)).disaggregated == 0.0
    assert replay(requests, replace(SMALL, policy=PolicyName.ALWAYS_REMOTE)).disaggregated == 1.0


def test_a_prompt_gets_room_when_a_transfer_gives_it_back() -> None:
    """A prefill worker with room for one prompt: the second waits until the first one's KV has moved."""
    requests = tuple(TraceRequest(0.0, 30_000, 5, tuple(range(60 * i, 60 * i + 59))) for i in range(3))
    tight = ReplaySettings(prefills=1, decodes=3, kv_tokens=40_000, policy=PolicyName.ROUND_ROBIN)
    assert replay(requests, tight).disaggregated == 1.0


def test_no_prefill_workers() -> None:
    """Decode workers then compute their own prompts, under every policy."""
    for policy in (PolicyName.OURS, PolicyName.DYNAMO, PolicyName.ROUND_ROBIN):
        alone = replace(SMALL, prefills=0, policy=policy)
        assert replay(trace(40, 5.0), alone).disaggregated == 0.0


def test_a_prompt_that_fits_nowhere_is_refused() -> None:
    """By name, before anything runs."""
    with pytest.raises(InvalidSpec, match="holds"):
        replay(trace(3, 1.0), replace(SMALL, kv_tokens=1000))
