"""Token ids to text, one token at a time, at a cost that does not grow with the answer."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol

Decode = Callable[[Sequence[int]], str]

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_CHARACTER = 4
"""Tokens that one UTF-8 character can be split over."""


class Detokenizer(Protocol):
    """The text of one sequence. What it returns, joined, is the text of all tokens fed."""

    def feed(self, token: int) -> str:
        """The text that is complete once `token` is here; empty inside a character."""
        ...

    def finish(self) -> str:
        """What an unfinished character leaves behind."""
        ...


class ByteDetokenizer:
    """Looks each token's bytes up and lets an incremental UTF-8 decoder join them."""

    def __init__(self, table: Sequence[bytes], silent: frozenset[int]) -> None:
        self._table = table
        self._silent = silent
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int) -> str:
        """The characters that `token` completes."""
        if token in self._silent or token >= len(self._table):
            return ""
        return self._decoder.decode(self._table[token])

    def finish(self) -> str:
        """One replacement character for an unfinished one."""
        return self._decoder.decode(b"", True)


class WindowDetokenizer:
    """For any other decoder: decodes a window of a few tokens twice and returns the difference.

    The window begins before the new tokens because such decoders treat the first token of a text
    in a way of its own (they drop its leading space); the end of the prompt starts it.
    """

    def __init__(self, decode: Decode, silent: frozenset[int], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._silent = silent
        self._before = [token for token in prompt[-LONGEST_CHARACTER:] if token not in silent]
        self._held: list[int] = []

    def feed(self, token: int) -> str:
        """New text, unless it ends within a character."""
        if token in self._silent:
            return ""
        self._held.append(token)
        text = self._new_text()
        if text.endswith(REPLACEMENT) and len(self._held) < LONGEST_CHARACTER:
            return ""
        return self._release(text)

    def finish(self) -> str:
        """The rest, with replacement characters."""
        return self._release(self._new_text()) if self._held else ""

    def _new_text(self) -> str:
        return self._decode(self._before + self._held)[len(self._decode(self._before)) :]

    def _release(self, text: str) -> str:
        self._before, self._held = self._held, []
        return text
