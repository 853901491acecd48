"""What is trained on when: the stages and the batches of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from tokenizers import Tokenizer

from . import corpus, drill, tool_choice, tool_corpus
from .chat import PAD, Span
from .words import Words

IGNORED = -100
FIRST_SEED = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """Training on batches of `TOKENS` tokens; the texts of one have about a length drawn from `lengths`.

    `drills`, `choices`, `tools` and `grids` are shares of the texts; the learning rate
    goes in a line from the first of `rates` to the second.
    """

    steps: int
    lengths: tuple[int, ...]
    drills: float
    choices: float
    tools: float
    grids: float
    rates: tuple[float, float]


TOKENS = 4096
# Short texts first: recall must be learnt before it can be stretched. Drills bring it about, grids teach
# to match both parts of a key, choices to match a request with a tool; the long fall of the rate sharpens.
STAGES = (
    Stage(400, (64,), drills=0.45, choices=0.2, tools=0.0, grids=0.3, rates=(6e-3, 6e-3)),
    Stage(1300, (64, 128), drills=0.1, choices=0.2, tools=0.05, grids=0.5, rates=(5e-3, 3e-3)),
    Stage(1200, (128, 256), drills=0.0, choices=0.15, tools=0.1, grids=0.5, rates=(3e-3, 2e-3)),
    Stage(2600, (256, 512, 1024), drills=0.0, choices=0.1, tools=0.15, grids=0.45, rates=(2e-3, 1.5e-3)),
    Stage(
        3500, (256, 512, 1024, 2048), drills=0.0, choices=0.05, tools=0.15, grids=0.45, rates=(1.5e-3, 0.0)
    ),
)
STEPS = sum(stage.steps for stage in STAGES)


@dataclass(frozen=True, slots=True)
class Batch:
    """`inputs` and `targets` are [batch, width] of int64; a target is `IGNORED` where nothing is learnt."""

    length: int
    rate: float
    inputs: torch.Tensor
    targets: torch.Tensor


def document(words: Words, stage: Stage, tokens: int) -> list[Span]:
    """One text of a kind drawn by the stage's shares."""
    kind = words.rng.random()
    if kind < stage.drills:
        return drill.document(words, tokens)
    kind -= stage.drills
    if kind < stage.choices:
        return tool_choice.document(words, tokens)
    kind -= stage.choices
    if kind < stage.tools:
        return tool_corpus.document(words, tokens)
    kind -= stage.tools
    if kind < stage.grids:
        return corpus.grid_document(words, tokens)
    return corpus.document(words, tokens)


def encode(tokenizer: Tokenizer, cut: list[Span], length: int) -> tuple[list[int], list[int]]:
    """Token ids and, for each, the id to predict after it."""
    ids: list[int] = []
    learnt: list[int] = []
    for span in cut:
        piece = tokenizer.encode(span.text, add_special_tokens=False).ids
        ids += piece
        learnt += piece if span.learn else [IGNORED] * len(piece)
    return ids[:length], [*learnt[1:], IGNORED][:length]


def batches(tokenizer: Tokenizer) -> Iterator[Batch]:
    """One batch per step, over all stages; the same ones every time."""
    for number, stage in enumerate(STAGES):
        words = Words(Random(FIRST_SEED + number))
        first, last = stage.rates
        for step in range(stage.steps):
            yield _batch(tokenizer, stage, first + (last - first) * step / stage.steps, words)


def _batch(tokenizer: Tokenizer, stage: Stage, rate: float, words: Words) -> Batch:
    pad = tokenizer.token_to_id(PAD)
    length = words.rng.choice(stage.lengths)
    tokens = round(length * words.rng.choice((0.6, 0.8, 0.95)))
    rows: list[tuple[list[int], list[int]]] = []
    while len(rows) < TOKENS // length:
        ids, learnt = encode(tokenizer, document(words, stage, tokens), length)
        if any(target != IGNORED for target in learnt):
            rows.append((ids, learnt))
    width = max(len(ids) for ids, _ in rows)
    return Batch(
        length,
        rate,
        torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows]),
        torch.tensor([learnt + [IGNORED] * (width - len(learnt)) for _, learnt in rows]),
    )
