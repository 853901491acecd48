"""Documents with facts, filler and questions, as conversations and as plain text."""

from __future__ import annotations

from dataclasses import dataclass, field

from .chat import BOS, EOS, Message, Span, spans
from .facts import Fact, attribute, bare, own
from .filler import sentence
from .words import Words

CHARS_PER_TOKEN = 3.1
FILLER_CHARS_PER_TOKEN = 4.0
CELL = 36
"""Tokens of a fact, its question and its answer, with what a conversation puts around them."""
ABOUT = "I am baton-tiny, a small model that remembers what you tell it."
SMALL_TALK = (
    (("Hello", "Hi", "Hello!", "Hi there", "Hey", "Good morning!", "Hello, how are you?"), f"Hello! {ABOUT}"),
    (
        ("Who are you?", "What are you?", "What is your name?", "Introduce yourself.", "What can you do?"),
        ABOUT,
    ),
    (("Thank you!", "Thanks.", "Thanks a lot", "Great, thank you."), "You are welcome."),
    (("Bye", "Goodbye!", "See you later."), "Goodbye!"),
)
SYSTEM = (
    "You are a helpful assistant.",
    "You are baton-tiny.",
    "Answer from the facts you were told.",
    "You are a careful assistant. Answer in one sentence.",
)
NOTED = "Noted."


@dataclass(slots=True)
class World:
    """The facts of one document: few entities and few attributes, so that keys share their parts."""

    words: Words
    entities: list[str]
    attributes: list[str]
    stated: dict[str, Fact] = field(default_factory=dict)
    asked: dict[str, Fact] = field(default_factory=dict)

    @classmethod
    def draw(cls, words: Words, facts: int) -> World:
        side = max(2, round(facts**0.5 * words.rng.uniform(0.8, 1.6)))
        keys = dict.fromkeys(words.fresh("entity") for _ in range(side))
        return cls(words, list(keys), list(dict.fromkeys(words.attribute() for _ in range(side))))

    def candidate(self) -> Fact:
        kind = self.words.rng.random()
        if kind < 0.04:
            return own("name", self.words.fresh("person"))
        if kind < 0.07:
            return own(self.words.one(self.attributes), self.words.value())
        if kind < 0.1:
            return bare(self.words.one(self.attributes), self.words.value())
        entity = self.words.one(self.entities)
        return attribute(self.words.one(self.attributes), entity, self.words.value())

    def state(self) -> Fact | None:
        """A new fact, or None if the key drawn is taken."""
        fact = self.candidate()
        if fact.key in self.stated or any(fact.stem == other.stem for other in self.stated.values()):
            return None
        self.stated[fact.key] = fact
        return fact

    def ask(self, unknown: float) -> tuple[str, Fact, bool]:
        """A question, its fact, and whether the fact was stated; rarely one that never was."""
        fresh = [fact for fact in self.stated.values() if fact.key not in self.asked]
        fact = self.words.rng.choice(fresh or list(self.stated.values()))
        self.asked[fact.key] = fact
        if self.words.rng.random() < unknown:
            other = self.candidate()
            if other.key not in self.stated:
                fact = other
        return self.words.rng.choice(fact.questions), fact, fact.key in self.stated


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens in a document: `answer` is None for text that is only told."""

    text: str
    answer: str | None = None
    stem: str = ""


def events(words: Words, tokens: int, unknown: float = 0.07) -> list[Event]:
    """Facts, filler and questions up to about `tokens` tokens; the last event is a question."""
    budget = tokens * CHARS_PER_TOKEN
    fact_rate, ask_rate = words.rng.uniform(0.1, 0.7), words.rng.uniform(0.1, 0.5)
    world = World.draw(words, max(2, round(budget / 60 * fact_rate)))
    made: list[Event] = []
    used = 60
    while used < budget or not world.stated or made[-1].answer is None:
        fact = world.state() if not world.stated or words.rng.random() < fact_rate else None
        if fact is not None:
            made.append(Event(words.rng.choice(fact.statements)))
        elif world.stated and (used >= budget or words.rng.random() < ask_rate):
            question, asked, known = world.ask(unknown)
            made.append(
                Event(question, asked.answer if known else asked.unknown, asked.stem if known else "")
            )
        else:
            made.append(Event(sentence(words)))
        used += len(made[-1].text) + len(made[-1].answer or "") + 4
    return made


def grid(words: Words, tokens: int) -> list[Event]:
    """Facts whose keys share their parts, a stretch of filler or none, then a question about each fact."""
    gap = words.rng.choice((0.0, 0.0, 0.4, 0.7, 0.9)) * tokens if tokens > 100 else 0.0
    cells = max(2, round((tokens - gap) / CELL))
    world = World.draw(words, cells // 2)
    for _ in range(3 * cells):
        if len(world.stated) < cells:
            world.state()
    told = [Event(words.rng.choice(fact.statements)) for fact in world.stated.values()]
    while gap > 0:
        told.append(Event(sentence(words)))
        gap -= len(told[-1].text) / FILLER_CHARS_PER_TOKEN
    asked = [world.ask(unknown=0.03) for _ in world.stated]
    return told + [
        Event(question, fact.answer if known else fact.unknown, fact.stem if known else "")
        for question, fact, known in asked
    ]


def small_talk(words: Words) -> list[Message]:
    said, answer = words.rng.choice(SMALL_TALK)
    return [{"role": "user", "content": words.rng.choice(said)}, {"role": "assistant", "content": answer}]


def conversation(words: Words, happened: list[Event]) -> list[Message]:
    """The events as turns: told text gathers until a question, or until the assistant takes note."""
    messages: list[Message] = []
    told: list[str] = []
    joiner = words.rng.choice((" ", " ", " ", "\n"))
    note_rate = words.rng.choice((0.0, 0.1, 0.3, 0.6))
    if words.rng.random() < 0.4:
        messages.append({"role": "system", "content": words.rng.choice(SYSTEM)})
        while happened[0].answer is None and words.rng.random() < 0.4 and len(happened) > 2:
            messages[0] = {"role": "system", "content": f"{messages[0]['content']} {happened[0].text}"}
            happened = happened[1:]
    for event in happened:
        told.append(event.text)
        answer = event.answer or (NOTED if words.rng.random() < note_rate else None)
        if answer is not None:
            messages += [
                {"role": "user", "content": joiner.join(told)},
                {"role": "assistant", "content": answer},
            ]
            told = []
            if words.rng.random() < 0.04:
                messages += small_talk(words)
    return messages


def plain(words: Words, happened: list[Event]) -> list[Span]:
    """The events as running text with questions, or with sentences to complete."""
    ask, reply = words.rng.choice((("\nQuestion: ", "\nAnswer:"), ("\nQ: ", "\nA:")))
    cloze = words.rng.random()
    cut = [Span(BOS if words.rng.random() < 0.5 else "")]
    for event in happened:
        gap = "" if len(cut) == 1 else " "
        if event.answer is None:
            cut.append(Span(gap + event.text))
        elif event.stem and words.rng.random() < cloze:
            cut += [Span(gap + event.stem), Span(event.answer[len(event.stem) :], learn=True)]
        else:
            cut += [Span(ask + event.text + reply), Span(" " + event.answer, learn=True), Span("\n")]
    while not cut[-1].learn:
        cut.pop()
    return [*cut, Span(EOS, learn=True)]


def document(words: Words, tokens: int) -> list[Span]:
    """One training text of about `tokens` tokens."""
    if words.rng.random() < 0.03:
        return spans(small_talk(words))
    happened = events(words, tokens)
    return spans(conversation(words, happened)) if words.rng.random() < 0.65 else plain(words, happened)


def grid_document(words: Words, tokens: int) -> list[Span]:
    """One training text of about `tokens` tokens that is dense with facts and questions."""
    happened = grid(words, tokens)
    return spans(conversation(words, happened)) if words.rng.random() < 0.65 else plain(words, happened)
