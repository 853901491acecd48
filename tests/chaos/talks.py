"""What the clients ask: seeded talks of one turn or several, greedy and sampled, some sharing a prefix."""

from __future__ import annotations

import random
from dataclasses import dataclass

SUBJECTS = ("the runner", "Anna", "the old lighthouse", "a small engine", "the blue door", "our neighbour")
VERBS = ("carries", "remembers", "counts", "forgets", "follows", "repeats", "keeps", "answers")
OBJECTS = ("the baton", "seven codes", "a long letter", "every step", "the last word", "two keys", "the song")
SHARED_SENTENCES = 40
SAMPLED = 0.8
TOP_K = 8


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn adds, and how long its answer is."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Talk:
    """Turns that follow each other: each sees what was said before it."""

    number: int
    temperature: float
    seed: int
    turns: tuple[Turn, ...]


def make_talks(seed: int, streams: int) -> list[Talk]:
    """Talks with `streams` turns altogether."""
    dice = random.Random(seed)
    shared = _sentences(dice, SHARED_SENTENCES)
    talks: list[Talk] = []
    left = streams
    while left:
        turns = min(left, 1 if len(talks) % 3 else dice.choice((2, 3)))
        opening = shared if len(talks) % 3 == 1 else ""
        talks.append(_talk(dice, len(talks), opening, turns))
        left -= turns
    return talks


def _talk(dice: random.Random, number: int, opening: str, turns: int) -> Talk:
    said = [opening + _sentences(dice, dice.randint(2, 30))]
    said += [" " + _sentences(dice, dice.randint(1, 6)) for _ in range(turns - 1)]
    return Talk(
        number=number,
        temperature=SAMPLED if number % 2 else 0.0,
        seed=dice.getrandbits(48),
        turns=tuple(Turn(text, dice.randint(24, 160)) for text in said),
    )


def _sentences(dice: random.Random, count: int) -> str:
    return " ".join(
        f"{dice.choice(SUBJECTS).capitalize()} {dice.choice(VERBS)} {dice.choice(OBJECTS)} "
        f"{dice.randint(2, 999)} times."
        for _ in range(count)
    )
