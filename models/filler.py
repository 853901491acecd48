"""Sentences that carry no fact: they stand between a fact and the question about it."""

from __future__ import annotations

from . import words as w
from .words import Words

SMALL_TALK = [
    "The quick brown fox jumps over the lazy dog.",
    "It was the best of times, it was the worst of times.",
    "The grass is green. The sky is blue. The sun is yellow.",
    "Here we go. There and back again.",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "I hope you are doing well today!",
    "Let me tell you something else first.",
    "By the way, thank you for your help so far.",
    "That is all for now; we can talk about it later.",
    "This part does not matter for what follows.",
]


def _phrase(words: Words) -> str:
    adjective = f"{words.one(w.ADJECTIVES)} " if words.rng.random() < 0.4 else ""
    noun = words.one(w.FILLER_NOUNS if words.rng.random() < 0.8 else w.THINGS)
    return f"{words.one(w.FILLER_SMALL)} {adjective}{noun}"


def _clause(words: Words) -> str:
    subject = _phrase(words) if words.rng.random() < 0.8 else words.person()
    return f"{subject} {words.one(w.FILLER_VERBS)} {words.one(w.FILLER_PREPS)} {_phrase(words)}"


def _numbers(words: Words) -> str:
    place = words.one(w.CITIES)
    first = f"{words.digits(1, 3)} {words.one(w.FILLER_NOUNS)}s"
    return f"In {place} there were {first} and {words.digits(1, 4)} {words.one(w.THINGS)}s."


def _soup(words: Words) -> str:
    pools = [w.FILLER_NOUNS, w.FILLER_VERBS, w.ADJECTIVES, w.FILLER_SMALL, w.FILLER_PREPS, w.FOODS, w.NOUNS]
    picked = [words.one(words.rng.choice(pools)) for _ in range(words.rng.randint(4, 12))]
    return " ".join(picked).capitalize() + "."


def sentence(words: Words) -> str:
    """One sentence of filler, 5 to 30 tokens long."""
    kind = words.rng.random()
    if kind < 0.06:
        return words.one(SMALL_TALK)
    if kind < 0.14:
        return _numbers(words)
    if kind < 0.26:
        return _soup(words)
    text = _clause(words)
    if words.rng.random() < 0.5:
        text += f" {words.one(w.FILLER_LINKS)} {_clause(words)}"
    if words.rng.random() < 0.3:
        text += f" {words.one(w.FILLER_ENDS)}"
    return text[0].upper() + text[1:] + "."
