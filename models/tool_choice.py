"""Choosing drills: many tools, many short requests; the loss counts what is chosen, not its arguments."""

from __future__ import annotations

from dataclasses import replace

from .chat import Message, Span, spans
from .tool_corpus import NO_TOOL, Sketch, call, declare, draw, request, stranger
from .words import Words

_NAMED = '", "arguments"'


def document(words: Words, tokens: int) -> list[Span]:
    """Tools without parameters and requests of which half fit one of them, about `tokens` tokens in all."""
    few = max(1, min(16, tokens // 48))
    sketches = _distinct(words, words.rng.randint(1, few))
    messages: list[Message] = []
    for number in range(max(2, (tokens - 20 * len(sketches)) // 26)):
        fits = words.rng.random() < 0.6
        sketch = words.rng.choice(sketches) if fits else stranger(words, sketches)
        messages.append({"role": "user", "content": request(words, sketch, {})})
        messages.append(call(sketch, {}, number) if fits else {"role": "assistant", "content": NO_TOOL})
    return chosen_alone(spans(messages, [declare(words, sketch) for sketch in sketches]))


def chosen_alone(cut: list[Span]) -> list[Span]:
    """The same text; of a tool call only the part up to the tool's name is learnt."""
    made: list[Span] = []
    for span in cut:
        head, named, rest = span.text.partition(_NAMED)
        if span.learn and named:
            made += [Span(head + '"', learn=True), Span(named[1:] + rest)]
        else:
            made.append(span)
    return made


def _distinct(words: Words, count: int) -> list[Sketch]:
    made: dict[str, Sketch] = {}
    while len(made) < count:
        sketch = replace(draw(words), parameters=(), required=())
        made[sketch.name] = sketch
    return list(made.values())
