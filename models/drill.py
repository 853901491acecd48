"""Copying drills: phrases that mean nothing, and the same again from a cue.

They teach in minutes to match more than one token and to copy from there.
"""

from __future__ import annotations

from . import words as w
from .chat import Span
from .words import Words

_POOLS = (
    w.SYLLABLES,
    w.THINGS,
    w.ADJECTIVES,
    w.ATTRIBUTES,
    w.FILLER_NOUNS,
    w.FILLER_VERBS,
    w.VERBS,
    w.NOUNS,
    w.CITIES,
)


def _item(words: Words) -> str:
    kind = words.rng.random()
    if kind < 0.35:
        return words.code()
    if kind < 0.55:
        return words.person()
    return words.one(words.rng.choice(_POOLS))


def document(words: Words, tokens: int) -> list[Span]:
    """About half of `tokens` tokens of phrases, then the first two words of each and its rest, learnt."""
    gap = words.rng.choice((" ", " ", "\n", ", ", " | "))
    phrases: dict[tuple[str, str], str] = {}
    left = tokens // 2
    while left > 0:
        items = [_item(words) for _ in range(words.rng.randint(3, 5))]
        phrases[items[0], items[1]] = " " + " ".join(items[2:])
        left -= sum(3 if item[0].islower() else 5 for item in items)
    order = list(phrases)
    cut = [Span(gap.join(f"{first} {second}{rest}" for (first, second), rest in phrases.items()) + "\n")]
    words.rng.shuffle(order)
    for first, second in order:
        cut += [Span(f"{first} {second}"), Span(phrases[first, second], learn=True), Span(gap)]
    return cut[:-1]
