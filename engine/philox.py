"""Philox4x32-10: random numbers as a pure function of key and counter.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), Random123.
"""

from __future__ import annotations

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF

Words = tuple[int, int, int, int]


def philox4x32(counter: Words, key: tuple[int, int]) -> Words:
    """Four 32-bit words for a counter of four and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        low, high = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = high >> 32 ^ c1 ^ k0, high & WORD, low >> 32 ^ c3 ^ k1, low & WORD
        k0, k1 = k0 + WEYL[0] & WORD, k1 + WEYL[1] & WORD
    return c0, c1, c2, c3


def uniform(seed: int, index: int, choice: int) -> float:
    """A number in [0, 1) with 53 random bits: key is `seed` (64 bits), counter is (index, choice)."""
    counter = (index & WORD, index >> 32 & WORD, choice & WORD, choice >> 32 & WORD)
    first, second, _, _ = philox4x32(counter, (seed & WORD, seed >> 32 & WORD))
    return ((first >> 5) * 0x4000000 + (second >> 6)) / (1 << 53)
