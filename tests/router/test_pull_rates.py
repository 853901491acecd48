"""What is known of one pair is what is known of it among others."""

from __future__ import annotations

import numpy as np

from router.pull_rates import PRIOR_TOKENS_PER_S, PullRates


def test_a_pair_is_told_as_among_others() -> None:
    """Seen or not, and before anything was seen."""
    rates = PullRates(3)
    assert rates.rate(0, 1) == PRIOR_TOKENS_PER_S
    rates.observe(0, 1, 100, 0.5)
    rates.observe(2, 1, 100, 0.25)
    readers = np.arange(3)
    for source in range(3):
        assert rates.between(readers, source).tolist() == [rates.rate(n, source) for n in range(3)]
