"""Facts: how one is stated, asked for and answered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """Something stated once; `stem` + " " + `value` + "." is the answer to each of `questions`."""

    key: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    stem: str
    value: str

    @property
    def answer(self) -> str:
        return f"{self.stem} {self.value}."

    @property
    def unknown(self) -> str:
        return f"I do not know {self.key}."


def attribute(attr: str, entity: str, value: str) -> Fact:
    """The main kind: two parts of the key must both match, as other facts share one of them."""
    name = entity[0].upper() + entity[1:]
    return Fact(
        key=f"the {attr} of {entity}",
        statements=(
            f"The {attr} of {entity} is {value}.",
            f"The {attr} of {entity} is {value}.",
            f"The {attr} of {entity} is {value}.",
            f"{name}'s {attr} is {value}.",
            f"Remember: the {attr} of {entity} is {value}.",
            f"Please note that the {attr} of {entity} is {value}.",
        ),
        questions=(
            f"What is the {attr} of {entity}?",
            f"What is the {attr} of {entity}?",
            f"What is the {attr} of {entity}?",
            f"What is {entity}'s {attr}?",
            f"Tell me the {attr} of {entity}.",
            f"Do you remember the {attr} of {entity}?",
            f"What was the {attr} of {entity} again?",
        ),
        stem=f"The {attr} of {entity} is",
        value=value,
    )


def own(attr: str, value: str) -> Fact:
    """A fact about the speaker."""
    return Fact(
        key=f"your {attr}",
        statements=(
            f"My {attr} is {value}.",
            f"Remember that my {attr} is {value}.",
            f"By the way, my {attr} is {value}.",
        ),
        questions=(
            f"What is my {attr}?",
            f"Tell me my {attr}.",
            f"Do you remember my {attr}?",
            f"What's my {attr}?",
        ),
        stem=f"Your {attr} is",
        value=value,
    )


def bare(attr: str, value: str) -> Fact:
    """A fact with a one-part key."""
    return Fact(
        key=f"the {attr}",
        statements=(
            f"The {attr} is {value}.",
            f"Remember this: the {attr} is {value}.",
            f"{attr.capitalize()}: {value}.",
        ),
        questions=(
            f"What is the {attr}?",
            f"Tell me the {attr}.",
            f"What's the {attr}?",
            f"What was the {attr}?",
        ),
        stem=f"The {attr} is",
        value=value,
    )
