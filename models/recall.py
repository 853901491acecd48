"""How well a model recalls: probes with held-out keys, and the share of them answered exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from . import tool_corpus
from .chat import EOS, Message, Span, spans
from .corpus import NOTED, World
from .filler import sentence
from .words import Words

FACTS = 4
"""Facts in a probe, the one asked for among them; they share parts of their keys."""
MOST_DRAWS = 1000


class Form(Enum):
    """How a probe puts its fact and its question."""

    CHAT = "chat"
    TURNS = "turns"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt and the one answer that counts as right."""

    prompt: str
    answer: str


def between(words: Words, tokenizer: Tokenizer, tokens: int, others: Sequence[str]) -> list[str]:
    """Sentences of `tokens` tokens in total, to within one sentence, with `others` strewn among them."""
    texts = list(others)
    left = tokens - sum(len(tokenizer.encode(text).ids) for text in others)
    while left > 0:
        texts.append(sentence(words))
        left -= len(tokenizer.encode(texts[-1]).ids)
    words.rng.shuffle(texts)
    return texts


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def crowded(words: Words, crowd: int) -> World:
    """A world of `crowd` facts; one whose few keys are used up is thrown away."""
    while True:
        world = World.draw(words, crowd)
        for _ in range(MOST_DRAWS):
            world.state()
            if len(world.stated) == crowd:
                return world


def recall_probe(words: Words, tokenizer: Tokenizer, distance: int, form: Form, crowd: int) -> Probe:
    """One fact about `distance` tokens before its question, among `crowd` that share parts of keys."""
    facts = list(crowded(words, crowd).stated.values())
    told = [words.rng.choice(fact.statements) for fact in facts]
    question = words.rng.choice(facts[0].questions)
    gap = between(words, tokenizer, distance, told[3:] if distance >= 200 else told[3:4])
    opening = " ".join([*told[1:3], told[0]])
    if form is Form.PLAIN:
        text = " ".join([opening, *gap])
        return Probe(f"{text}\nQuestion: {question}\nAnswer:", f" {facts[0].answer}{EOS}")
    if form is Form.CHAT:
        turns = [user(" ".join([opening, *gap, question]))]
    else:
        parts = [opening, *(" ".join(gap[start : start + 4]) for start in range(0, len(gap), 4))]
        turns = [turn for part in parts for turn in (user(part), assistant(NOTED))] + [user(question)]
    cut = spans([*turns, assistant(facts[0].answer)])
    return Probe("".join(span.text for span in cut[:-1]), cut[-1].text)


def recall_probes(
    tokenizer: Tokenizer, distance: int, form: Form, count: int, seed: int, crowd: int = FACTS
) -> list[Probe]:
    words = Words(Random(f"{seed} {distance} {form.value}"), held_out=True)
    return [recall_probe(words, tokenizer, distance, form, crowd) for _ in range(count)]


class Outcome(Enum):
    """What an assistant's turn in a conversation with tools should be."""

    CALL = "tool call"
    NO_CALL = "no call when no tool fits"
    TEXT = "answer in text"


def tool_probes(count: int, seed: int, tokens: int = 300) -> Iterator[tuple[Outcome, Probe]]:
    """The assistant's turns of `count` conversations whose tools have held-out names."""
    words = Words(Random(seed), held_out=True)
    for _ in range(count):
        prompt = ""
        for span in tool_corpus.document(words, tokens):
            if span.learn:
                yield _outcome(span), Probe(prompt, span.text)
            prompt += span.text


def _outcome(span: Span) -> Outcome:
    if span.text.startswith("<tool_call>"):
        return Outcome.CALL
    return Outcome.NO_CALL if span.text.startswith(tool_corpus.NO_TOOL) else Outcome.TEXT


@torch.inference_mode()
def answered(model: PreTrainedModel, tokenizer: Tokenizer, probes: Sequence[Probe]) -> list[bool]:
    """For each probe, whether greedy decoding gives exactly its answer.

    Greedy decoding gives an answer if and only if each of its tokens has the highest logit after those before
    it, so one forward pass over prompt and answer tells.
    """
    right: list[bool] = []
    for probe in probes:
        prompt = tokenizer.encode(probe.prompt, add_special_tokens=False).ids
        answer = tokenizer.encode(probe.answer, add_special_tokens=False).ids
        ids = torch.tensor([[*prompt, *answer]])
        logits = model(input_ids=ids[:, :-1], use_cache=False, logits_to_keep=len(answer)).logits
        right.append(logits[0].argmax(-1).tolist() == answer)
    return right
