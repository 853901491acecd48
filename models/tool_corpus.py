"""Conversations in which a tool is declared: it is called when it fits and left alone when not."""

from __future__ import annotations

import json
from dataclasses import dataclass

from . import words as w
from .chat import Message, Span, Tool, spans
from .corpus import SYSTEM, conversation, events, small_talk
from .filler import sentence
from .words import Words

NO_TOOL = "I have no tool for that."
# parameter name -> (JSON type, natural phrases)
PARAMETERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "city": ("string", ("in {}",)),
    "name": ("string", ("for {}",)),
    "code": ("string", ("with the code {}", "with code {}")),
    "room": ("string", ("in room {}",)),
    "minutes": ("integer", ("for {} minutes",)),
    "people": ("integer", ("for {} people",)),
    "day": ("string", ("on {}",)),
}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
OPENINGS = ("", "", "Please ", "Can you ", "Could you please ", "I want you to ", "I need you to ", "Now ")


@dataclass(frozen=True, slots=True)
class Sketch:
    """A tool as the generator sees it: what to do, to what, and with which parameters."""

    name: str
    verb: str
    noun: str
    parameters: tuple[str, ...]
    required: tuple[str, ...]


def draw(words: Words, verb: str | None = None) -> Sketch:
    """A tool with one to three parameters, its name on this source's side of the split."""
    while True:
        chosen, noun = verb or words.one(w.VERBS), words.one(w.NOUNS)
        if (w.is_held_out(f"{chosen}_{noun}")) is words.held_out:
            break
    names = tuple(words.rng.sample(list(PARAMETERS), words.rng.choice((1, 1, 2))))
    optional = words.rng.random() < 0.2 and len(names) > 1
    name = f"{chosen}_{noun}"
    return Sketch(name, chosen, noun, names, names[:-1] if optional else names)


def declare(words: Words, sketch: Sketch) -> Tool:
    """The tool in the shape of the OpenAI API."""
    properties: dict[str, dict[str, str]] = {}
    describe = words.rng.random() < 0.5
    for name in sketch.parameters:
        properties[name] = {"type": PARAMETERS[name][0]} | (
            {"description": f"The {name}."} if describe else {}
        )
    function: dict[str, object] = {"name": sketch.name}
    if words.rng.random() < 0.85:
        function["description"] = words.rng.choice(
            (
                f"{sketch.verb.capitalize()} the {sketch.noun}.",
                f"{sketch.verb.capitalize()} a {sketch.noun} for the user.",
            )
        )
    function["parameters"] = {"type": "object", "properties": properties, "required": list(sketch.required)}
    return {"type": "function", "function": function}


def argument(words: Words, name: str) -> str | int:
    if PARAMETERS[name][0] == "integer":
        return words.rng.randrange(1, words.rng.choice((10, 100, 1000)))
    if name == "city":
        return words.one(w.CITIES) if words.rng.random() < 0.7 else words.invented()
    if name == "name":
        return words.person()
    if name == "day":
        return words.one(DAYS)
    return words.code()


def request(words: Words, sketch: Sketch, arguments: dict[str, str | int]) -> str:
    """What the user says to have the tool called with `arguments`."""
    plain_names = words.rng.random() < 0.1
    parts = [
        f"{'with' if number == 0 else 'and'} {name} {value}"
        if plain_names
        else words.rng.choice(PARAMETERS[name][1]).format(value)
        for number, (name, value) in enumerate(arguments.items())
    ]
    article = words.rng.choice(("the", "the", "a"))
    thing = " ".join([sketch.noun, *parts])
    text = f"{sketch.verb} {article} {thing}"
    opening = words.rng.choice(OPENINGS)
    if words.rng.random() < 0.15:
        text = f"the {thing}"
        opening = words.rng.choice(("What is ", "What is ", "What's ", "How is ", "I need ", "Tell me "))
    said = opening + text
    return (
        said[0].upper()
        + said[1:]
        + ("?" if opening.startswith(("Can", "Could", "What", "How")) else words.rng.choice((".", ".", "")))
    )


def call(sketch: Sketch, arguments: dict[str, str | int], number: int) -> Message:
    function = {"name": sketch.name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"call_{number}", "type": "function", "function": function}],
    }


def result(words: Words) -> tuple[str, str]:
    """A tool's answer and what the assistant makes of it."""
    if words.rng.random() < 0.5:
        pairs = {
            words.rng.choice((*w.ATTRIBUTES, *w.NOUNS)): words.value()
            for _ in range(words.rng.choice((1, 1, 2)))
        }
        said = " and ".join(f"the {key} is {value}" for key, value in pairs.items())
        return json.dumps(pairs), said[0].upper() + said[1:] + "."
    text = words.value() if words.rng.random() < 0.6 else sentence(words).rstrip(".")
    return text, f"The result is {text}."


def used(words: Words, sketch: Sketch, number: int, before: str) -> list[Message]:
    """Turns in which the tool is asked for, called, answers, and is reported."""
    names = [name for name in sketch.parameters if name in sketch.required or words.rng.random() < 0.5]
    arguments = {name: argument(words, name) for name in names}
    content, said = result(words)
    messages: list[Message] = [
        {"role": "user", "content": before + request(words, sketch, arguments)},
        call(sketch, arguments, number),
    ]
    if words.rng.random() < 0.7:
        messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": content})
        messages.append({"role": "assistant", "content": said})
    return messages


def stranger(words: Words, sketches: list[Sketch]) -> Sketch:
    """A tool that shares neither verb nor noun with any of `sketches`."""
    taken = {part for sketch in sketches for part in (sketch.noun, sketch.verb)}
    other = draw(words)
    while other.noun in taken or other.verb in taken:
        other = draw(words)
    return other


def refused(words: Words, sketches: list[Sketch]) -> list[Message]:
    """A turn that asks for something no declared tool does."""
    other = stranger(words, sketches)
    arguments = {name: argument(words, name) for name in other.required}
    return [
        {"role": "user", "content": request(words, other, arguments)},
        {"role": "assistant", "content": NO_TOOL},
    ]


def document(words: Words, tokens: int) -> list[Span]:
    """One training conversation with tools of about `tokens` tokens, never much less than 80."""
    most = max(1, min(12, tokens // 80))
    first = draw(words)
    sketches = [first]
    while len(sketches) < words.rng.randint(1, most):
        other = draw(words, verb=first.verb if words.rng.random() < 0.2 else None)
        if other.name not in {sketch.name for sketch in sketches}:
            sketches.append(other)
    words.rng.shuffle(sketches)
    messages: list[Message] = []
    if words.rng.random() < 0.3:
        messages.append({"role": "system", "content": words.rng.choice(SYSTEM)})
    left = tokens - 30 * len(sketches)
    number = 0
    while number == 0 or (left > 0 and number < 8):
        kind = words.rng.random()
        before = f"{sentence(words)} " if words.rng.random() < 0.15 else ""
        if kind < 0.5:
            messages += used(words, words.rng.choice(sketches), number, before)
        elif kind < 0.78:
            messages += refused(words, sketches)
        elif kind < 0.81:
            messages += small_talk(words)
        else:
            messages += [
                m for m in conversation(words, events(words, max(40, left // 2))) if m["role"] != "system"
            ]
        number += 1
        left = tokens - 30 * len(sketches) - sum(len(str(m["content"])) + 20 for m in messages) // 3
    return spans(messages, [declare(words, sketch) for sketch in sketches])
