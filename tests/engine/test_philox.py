"""The counter-based generator is the published one, and its uniforms are uniform."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.philox import Words, philox4x32, uniform

# The vectors of Random123's kat_vectors for philox4x32 with 10 rounds: counter, key, result.
KNOWN: list[tuple[Words, tuple[int, int], Words]] = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_vectors(counter: Words, key: tuple[int, int], expected: Words) -> None:
    """Any implementation of Philox4x32-10 draws the same numbers as ours."""
    assert philox4x32(counter, key) == expected


@given(
    st.integers(-(1 << 63), (1 << 64) - 1), st.integers(0, (1 << 40)), st.integers(0, 7), st.integers(0, 7)
)
def test_a_uniform_is_a_pure_function_in_the_unit_interval(
    seed: int, index: int, choice: int, other: int
) -> None:
    """Equal arguments give equal numbers below 1, and each choice of one seed has its own."""
    number = uniform(seed, index, choice)
    assert 0.0 <= number < 1.0
    assert (uniform(seed, index, other) == number) == (choice == other)


def test_uniforms_of_one_seed_cover_the_interval_evenly() -> None:
    """Over 10,000 positions every tenth of the interval gets its share, within five sigma."""
    tenths = [0] * 10
    for index in range(10_000):
        tenths[int(uniform(2024, index, 0) * 10)] += 1
    assert all(abs(count - 1000) < 150 for count in tenths)
