"""A generator that says what it is told to, and notes what happens to it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from gateway.generator import TokenEvent
from protocol.errors import BatonError
from protocol.messages import FinishReason, TokenLogprobs
from protocol.request import Request
from protocol.stamp import Phase, Stamp
from tests.gateway.text.tiny_text import tiny_text

Reply = str | Callable[[Request], str]
STAMPS = (Stamp(Phase.PREFILL, 0.25), Stamp(Phase.TRANSFER, 0.125))


@dataclass(slots=True)
class ScriptedGenerator:
    """Answers every request with `reply`, `size` tokens at a time."""

    reply: Reply = "hello world"
    size: int = 1
    pause_s: float = 0.0
    """Before each event."""
    endless: bool = False
    """Says the reply again and again."""
    fails: BatonError | Exception | None = None
    fails_after: int = 0
    """Events before the failure."""
    ends_early: bool = False
    """Stops without a finish: what no generator may do."""
    cached_tokens: int = 3
    requests: list[Request] = field(default_factory=list)
    open: int = 0
    told: int = 0
    """Tokens that were generated."""

    async def generate(self, request: Request) -> AsyncGenerator[TokenEvent, None]:
        """Events as the seam promises them."""
        self.requests.append(request)
        self.open += 1
        try:
            for number, event in enumerate(self._script(request)):
                if self.fails is not None and number >= self.fails_after:
                    raise self.fails
                await asyncio.sleep(self.pause_s)
                self.told += len(event.tokens)
                yield event
            while self.endless:
                await asyncio.sleep(self.pause_s)
                self.told += 1
                yield replace(event, finish=None)
        finally:
            self.open -= 1

    def _script(self, request: Request) -> list[TokenEvent]:
        tokens = self._tokens(request)
        finish = FinishReason.STOP
        if len(tokens) > request.max_tokens:
            tokens, finish = tokens[: request.max_tokens], FinishReason.LENGTH
        events = [
            self._event(request, at, tokens[at : at + self.size]) for at in range(0, len(tokens), self.size)
        ]
        if not self.endless and not self.ends_early:
            events[-1] = replace(events[-1], finish=finish, stamps=STAMPS)
        return events

    def _tokens(self, request: Request) -> tuple[int, ...]:
        text = self.reply if isinstance(self.reply, str) else self.reply(request)
        tokens = tiny_text().tokenizer.encode(text, add_special_tokens=False)
        return tokens if self.endless else tokens + request.stop_tokens[:1]

    def _event(self, request: Request, at: int, tokens: tuple[int, ...]) -> TokenEvent:
        wanted = request.sampling.logprobs
        top = tuple((token, -1.0 - token if token < 10 else -math.inf) for token in range(wanted or 0))
        known = TokenLogprobs(-0.5, top)
        logprobs = () if wanted is None else (known,) * len(tokens)
        return TokenEvent(at, tokens, logprobs, None, self.cached_tokens)
