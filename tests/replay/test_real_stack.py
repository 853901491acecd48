"""The replay stands for the cluster: beside it, the same trace on the code that serves, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replay.replay import replay
from replay.settings import ReplaySettings
from replay.slo import Slo
from tests.replay.real_stack import replay_for_real
from tests.replay.test_replay import trace

PROMISED = Slo(ttft_s=4.0, ttft_per_prefill=0.0, itl_s=0.05)
"""The same for every prompt, as live gateways promise."""
MESSAGES_S = 0.1
"""What commands and answers take, that find engines in the middle of steps; the replay has none."""


@pytest.mark.parametrize("kv_tokens", [60_000, 400_000])
def test_the_replay_tells_what_the_cluster_would_do(kv_tokens: int) -> None:
    """Times, cache hits and choices agree, with KV room and, overloaded, without."""
    settings = ReplaySettings(prefills=2, decodes=2, kv_tokens=kv_tokens, slo=PROMISED)
    requests = trace(160, 8.0)
    modelled, real = replay(requests, settings), replay_for_real(requests, settings)
    assert real.ttft_p50_s == pytest.approx(modelled.ttft_p50_s, rel=0.3, abs=MESSAGES_S)
    assert real.ttft_p90_s == pytest.approx(modelled.ttft_p90_s, rel=0.3, abs=MESSAGES_S)
    assert real.itl_p50_s == pytest.approx(modelled.itl_p50_s, rel=0.1, abs=0.005)
    assert real.goodput == pytest.approx(modelled.goodput, abs=0.05)
    assert real.hits == pytest.approx(modelled.hits, abs=0.1)
    assert real.disaggregated == pytest.approx(modelled.disaggregated, abs=0.2)


def test_the_cluster_is_deterministic_in_virtual_time() -> None:
    """Two runs agree in every figure."""
    settings = replace(ReplaySettings(prefills=1, decodes=1, kv_tokens=200_000), slo=PROMISED)
    assert replay_for_real(trace(30, 4.0), settings) == replay_for_real(trace(30, 4.0), settings)


def test_gateways_do_not_get_in_each_others_way() -> None:
    """Each plans for half of the requests, and sees the others' in what workers report: no herd."""
    settings = ReplaySettings(prefills=2, decodes=2, kv_tokens=400_000, slo=PROMISED)
    requests = trace(160, 12.0)
    one, two = (replay_for_real(requests, settings, gateways) for gateways in (1, 2))
    assert two.goodput == pytest.approx(one.goodput, abs=0.05)
    assert two.ttft_p90_s == pytest.approx(one.ttft_p90_s, rel=0.3, abs=MESSAGES_S)
