"""Prompts as token ids: the same for every system, and never the same twice."""

from __future__ import annotations

import random

from benchmarks.model_047b import FIRST_WORD, VOCABULARY


def prompt(label: str, length: int) -> list[int]:
    """`length` words drawn by `label` alone; another label shares no prefix, so no cache helps."""
    dice = random.Random(label)
    return [dice.randrange(FIRST_WORD, VOCABULARY) for _ in range(length)]


def prompts(label: str, count: int, length: int) -> list[list[int]]:
    """`count` different ones."""
    return [prompt(f"{label}/{number}", length) for number in range(count)]
