"""Stop strings are found wherever the pieces are cut, and no part of one is ever shown."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.text.stop_matcher import StopMatcher

letters = st.text(alphabet="ab", max_size=30)
stop_lists = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), min_size=1, max_size=4)
cuts = st.lists(st.integers(0, 30), max_size=6)


def show(stops: list[str], pieces: list[str]) -> tuple[list[str], bool]:
    """What is shown after each piece, and at the end; whether a stop string was found."""
    matcher = StopMatcher(stops)
    shown = [matcher.feed(piece) for piece in pieces]
    return [*shown, matcher.finish()], matcher.matched


def cut_at(text: str, places: list[int]) -> list[str]:
    """The text in pieces."""
    ends = sorted({0, len(text), *(place for place in places if place < len(text))})
    return [text[a:b] for a, b in pairwise(ends)]


@given(stop_lists, letters, cuts)
def test_the_cut_of_the_text_does_not_matter(stops: list[str], text: str, places: list[int]) -> None:
    """Any chunking shows the same text as one character at a time."""
    pieces, matched = show(stops, cut_at(text, places))
    single, matched_single = show(stops, list(text))
    assert ("".join(pieces), matched) == ("".join(single), matched_single)


@given(stop_lists, letters, cuts)
def test_what_is_shown_never_holds_a_stop_string(stops: list[str], text: str, places: list[int]) -> None:
    """Not even across pieces; and without a stop string in the text nothing is lost."""
    pieces, matched = show(stops, cut_at(text, places))
    shown = "".join(pieces)
    assert not any(stop in shown for stop in stops)
    assert matched == any(stop in text for stop in stops)
    assert text.startswith(shown) and (matched or shown == text)


@given(stop_lists, letters)
def test_text_is_held_back_only_as_long_as_it_must_be(stops: list[str], text: str) -> None:
    """After each character, what is held is the beginning of a stop string."""
    matcher = StopMatcher(stops)
    shown = ""
    for count, character in enumerate(text, 1):
        shown += matcher.feed(character)
        held = text[len(shown) : count]
        assert matcher.matched or not held or any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize(
    ("stops", "text", "shown"),
    [
        (["END"], "go onEND and on", "go on"),
        (["abcd", "c"], "xabcd", "xab"),  # complete first
        (["bcd", "abcd"], "xabcd", "x"),  # the longer of two that end together
        (["\n\n"], "a\nb\n\nc", "a\nb"),
    ],
)
def test_examples(stops: list[str], text: str, shown: str) -> None:
    """The stop string that is complete first counts."""
    assert "".join(show(stops, [text])[0]) == shown
