"""The text that baton-tiny is trained on, and the probes that measure it."""

from __future__ import annotations

import json
from random import Random
from types import ModuleType

import pytest
from tokenizers import Tokenizer

from models import corpus, drill, tool_choice, tool_corpus
from models.chat import EOS, Span
from models.recall import Form, Outcome, recall_probes, tool_probes
from models.tokenizer import FOLDER
from models.words import Words, is_held_out

TOKENIZER = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


@pytest.mark.parametrize("module", [corpus, tool_corpus, tool_choice, drill])
def test_a_seed_gives_one_text(module: ModuleType) -> None:
    """The same seed generates the same documents, so training can be repeated."""

    def some() -> list[list[Span]]:
        words = Words(Random(4))
        return [module.document(words, 120) for _ in range(20)]

    assert some() == some()


def test_keys_are_split() -> None:
    """Training draws no held-out key, and probing draws nothing else."""
    for held_out in (False, True):
        words = Words(Random(5), held_out=held_out)
        assert all(is_held_out(words.fresh("entity")) is held_out for _ in range(200))


def test_every_answer_learnt_was_stated_before() -> None:
    """In a document of facts, the value of each learnt answer stands in the text before it."""
    words = Words(Random(6))
    for _ in range(200):
        before = ""
        for span in corpus.plain(words, corpus.events(words, 200, unknown=0.0)):
            if span.learn and span.text != EOS:
                assert span.text.rstrip(".").split(" is ")[-1].split()[-1] in before
            before += span.text


def test_calls_are_json_with_declared_names() -> None:
    """Each call to be learnt parses, names a declared tool, and copies its arguments from the text."""
    words = Words(Random(7))
    calls = 0
    for _ in range(100):
        before = ""
        for span in tool_corpus.document(words, 200):
            if span.text.startswith("<tool_call>"):
                call = json.loads(span.text.removeprefix("<tool_call>").removesuffix(f"</tool_call>{EOS}"))
                assert f"\n{call['name']}" in before
                assert all(str(value) in before for value in call["arguments"].values())
                calls += 1
            before += span.text
    assert calls > 50


def test_choices_teach_the_name_alone() -> None:
    """A choosing drill has calls and refusals; of a call, what is learnt ends with a declared name."""
    words = Words(Random(10))
    calls = refusals = 0
    for _ in range(50):
        before = ""
        for span in tool_choice.document(words, 200):
            if span.learn and span.text.startswith("<tool_call>"):
                name = span.text.removeprefix('<tool_call>{"name": "').removesuffix('"')
                assert f"\n{name}" in before
                calls += 1
            elif span.learn:
                assert span.text == f"{tool_corpus.NO_TOOL}{EOS}"
                refusals += 1
            before += span.text
    assert calls > 50
    assert refusals > 50


def test_a_grid_asks_for_what_it_states() -> None:
    """A dense document has a question for each of its facts, however much filler lies between."""
    words = Words(Random(11))
    for _ in range(50):
        happened = corpus.grid(words, 300)
        asked = [event for event in happened if event.answer is not None]
        assert len(asked) >= 2
        assert happened[: -len(asked)] == [event for event in happened if event.answer is None]


@pytest.mark.parametrize("form", list(Form))
def test_probes_keep_their_distance(form: Form) -> None:
    """The value asked for stands about as many tokens before the question as the probe says."""
    for probe in recall_probes(TOKENIZER, 500, form, count=5, seed=8):
        value = probe.answer.removesuffix(f".{EOS}").split()[-1]
        head = probe.prompt[: probe.prompt.index(value)]
        back = len(TOKENIZER.encode(probe.prompt).ids) - len(TOKENIZER.encode(head).ids)
        assert 480 <= back <= 750


def test_tool_probes_cover_every_outcome() -> None:
    """Probing with tools asks for calls, for restraint and for plain answers."""
    assert {outcome for outcome, _ in tool_probes(40, seed=9)} == set(Outcome)
