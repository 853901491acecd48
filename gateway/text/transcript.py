"""One sequence's tokens becoming text: the stages in order, and the state between two events."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from gateway.generator import TokenEvent
from gateway.text.detokenizer import Detokenizer
from gateway.text.stop_matcher import StopMatcher
from gateway.text.tool_call import ToolCall
from gateway.text.tool_call_parser import ToolCallParser
from protocol.messages import FinishReason, TokenLogprobs


class Ending(Enum):
    """Why an answer ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class SpokenToken:
    """One token with its log-probabilities."""

    token: int
    logprobs: TokenLogprobs
    offset: int
    """Where its text begins in the answer, in characters."""


class Piece(msgspec.Struct, frozen=True):
    """What one event adds to the answer. One is made for each token, so it is of the cheapest kind."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    tokens: tuple[SpokenToken, ...] = ()
    """Only when log-probabilities were asked for; held back together with their text."""
    ending: Ending | None = None

    @property
    def plain(self) -> bool:
        """Whether it is text and nothing else."""
        return bool(self.text) and not (self.calls or self.tokens or self.ending)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell yet."""
        return not (self.text or self.calls or self.tokens or self.ending)


class Transcript:
    """Detokenizes, cuts at stop strings, takes tool calls out, and counts."""

    def __init__(
        self,
        detokenizer: Detokenizer,
        stops: Sequence[str] = (),
        stop_tokens: Sequence[int] = (),
        tools: ToolCallParser | None = None,
    ) -> None:
        self._detokenizer = detokenizer
        self._stop = StopMatcher(stops)
        self._stop_tokens = tuple(stop_tokens)
        self._tools = tools
        self._passes_all = not stops and tools is None
        """Text goes out as it comes."""
        self._waiting: deque[SpokenToken] = deque()
        self._heard = 0
        """Characters that came out of the detokenizer."""
        self._released = 0
        """Characters that the stop matcher let pass."""
        self.completion_tokens = 0
        """Up to the end of the answer; what was generated beyond a stop string does not count."""

    def feed(self, event: TokenEvent) -> Piece:
        """What the event adds. After a piece with an ending nothing more may be fed."""
        return self._add(event, range(len(event.tokens)), event.finish)

    def feed_by_token(self, event: TokenEvent) -> list[Piece]:
        """The same, with a piece for each token, up to one with an ending."""
        last = len(event.tokens) - 1
        if self._passes_all and last >= 0 and event.finish is None and not event.logprobs:
            return self._pass_all(event.tokens)
        if last < 1:
            return [self.feed(event)]
        pieces: list[Piece] = []
        for place in range(last + 1):
            pieces.append(self._add(event, (place,), event.finish if place == last else None))
            if pieces[-1].ending is not None:
                break  # a stop string: the tokens behind it count for nothing
        return pieces

    def _pass_all(self, tokens: Sequence[int]) -> list[Piece]:
        """What nearly every event is: tokens that are text and nothing else."""
        self.completion_tokens += len(tokens)
        pieces = [Piece(self._detokenizer.feed(token)) for token in tokens]
        for piece in pieces:
            self._heard += len(piece.text)
        self._released = self._heard
        return pieces

    def _add(self, event: TokenEvent, places: Sequence[int], finish: FinishReason | None) -> Piece:
        passed = "".join([self._hear(event, place) for place in places])
        ended = finish is not None or self._stop.matched
        if ended and not self._stop.matched:
            passed += self._stop.feed(self._detokenizer.finish()) + self._stop.finish()
        self._released += len(passed)
        shown, calls = self._tools.feed(passed) if self._tools else (passed, ())
        ending = self._ending(finish)
        if ending is not None and self._tools is not None:
            shown += self._tools.finish()
        return Piece(shown, calls, self._spoken(ending), ending)

    def _hear(self, event: TokenEvent, place: int) -> str:
        if self._stop.matched:
            return ""
        token = event.tokens[place]
        self.completion_tokens += 1
        ends = event.finish is FinishReason.STOP and place == len(event.tokens) - 1
        text = "" if ends and token in self._stop_tokens else self._detokenizer.feed(token)
        if event.logprobs:
            self._waiting.append(SpokenToken(token, event.logprobs[place], self._heard))
        self._heard += len(text)
        return self._stop.feed(text)

    def _ending(self, finish: FinishReason | None) -> Ending | None:
        if self._tools is not None and self._tools.full:
            return Ending.TOOL_CALLS
        stopped = self._stop.matched or finish is FinishReason.STOP
        if stopped and self._tools is not None and self._tools.found:
            return Ending.TOOL_CALLS
        if stopped:
            return Ending.STOP
        return Ending.LENGTH if finish is FinishReason.LENGTH else None

    def _spoken(self, ending: Ending | None) -> tuple[SpokenToken, ...]:
        """Tokens whose text is out. A token that is partly a stop string goes with its first part."""
        cut = self._released
        ready = []
        while self._waiting and self._is_out(ending, cut):
            ready.append(self._waiting.popleft())
        return tuple(ready)

    def _is_out(self, ending: Ending | None, cut: int) -> bool:
        if ending is not None:
            return self._waiting[0].offset < cut or not self._stop.matched
        next_offset = self._waiting[1].offset if len(self._waiting) > 1 else self._heard
        return next_offset <= cut
