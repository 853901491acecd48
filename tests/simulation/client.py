"""A simulated client: asks, reads, perhaps leaves; and knows what it should have heard."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from engine.modelled_runner import expected_tokens
from gateway.service import Gateway
from protocol.clock import LoopClock
from protocol.errors import BatonError
from protocol.messages import FinishReason
from protocol.request import Request
from tests.simulation.poison import VOCABULARY, is_poisoned


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended for its client."""

    request: Request
    tokens: tuple[int, ...]
    finish: FinishReason | None
    error: str
    """Code of the typed error; "" without one."""
    left: bool
    """The client went away by its own will."""
    gap: bool
    """An event did not follow the one before."""
    seconds: float

    @property
    def poisoned(self) -> bool:
        """Nobody can answer it."""
        return is_poisoned(self.request.prompt)

    def complaint(self) -> str:
        """What is wrong with it; "" if nothing is."""
        expected = reference(self.request)
        if self.tokens != expected[: len(self.tokens)]:
            return f"{self.request.id}: wrong tokens {self.tokens} instead of {expected}"
        if self.gap:
            return f"{self.request.id}: a gap or a repeat after {len(self.tokens)} tokens"
        if self.seconds > self.request.timeout_s + 1.0:
            return f"{self.request.id}: ended {self.seconds:.1f} s after its start, too late"
        if self.finish is not None and self.tokens != expected:
            return f"{self.request.id}: finished with {len(self.tokens)} of {len(expected)} tokens"
        if self.finish is None and not self.error and not self.left:
            return f"{self.request.id}: ended without finish and without error"
        return ""


def reference(request: Request) -> tuple[int, ...]:
    """What one healthy machine would have answered."""
    said = expected_tokens(request.prompt, request.sampling, request.max_tokens, VOCABULARY)
    for index, token in enumerate(said):
        if token in request.stop_tokens:
            return tuple(said[: index + 1])
    return tuple(said)


async def ask(gateway: Gateway, request: Request, leave_after: int | None) -> Outcome:
    """One request from its start to its end; `leave_after` tokens the client disconnects. Cancelled, it
    has left."""
    clock = LoopClock()
    started = clock.now()
    tokens: list[int] = []
    finish: FinishReason | None = None
    error, left, gap = "", False, False
    try:
        async with aclosing(gateway.generate(request)) as events:
            async for event in events:
                if event.first_index != len(tokens):
                    gap = True
                    break
                tokens.extend(event.tokens)
                finish = event.finish
                if leave_after is not None and len(tokens) >= leave_after and finish is None:
                    left = True
                    break
    except BatonError as typed:
        error = typed.code
    except asyncio.CancelledError:
        left = True  # its own will, or the gateway died: the connection broke without an end
    return Outcome(request, tuple(tokens), finish, error, left, gap, clock.now() - started)
