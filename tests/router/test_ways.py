"""What commands and first tokens take on their way."""

from __future__ import annotations

from router.ways import Ways


def test_a_way_that_looked_slow_once_is_tried_again() -> None:
    """A first measurement, taken while everything was cold, does not bar a way for ever."""
    ways = Ways()
    ways.observe(1.0, remote=True)
    for _ in range(600):
        ways.observe(0.01, remote=False)
    assert ways.seconds(remote=True) < ways.seconds(remote=False)


def test_the_average_follows_what_is_measured() -> None:
    """After many equal measurements it is that value."""
    ways = Ways()
    for _ in range(100):
        ways.observe(0.02, remote=False)
    assert abs(ways.seconds(remote=False) - 0.02) < 1e-9
    assert ways.seconds(remote=True) == 0.0
