"""`baton chat`: a conversation on the terminal, with the times of every turn below it."""

from __future__ import annotations

import sys

from cluster.chat_turn import ChatTurn, Message
from cluster.run_folder import RunState
from cluster.screen import Screen
from protocol.errors import BatonError

EXIT = ("/exit", "/quit")
PHASES = ("door", "queue", "reserve", "prefill_queue", "prefill")
"""The ones before the first token, in order; the rest lies between first and second."""


class Chat:
    """Remembers what was said."""

    def __init__(
        self, state: RunState, screen: Screen, max_tokens: int, temperature: float, system: str
    ) -> None:
        self._state = state
        self._screen = screen
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._messages = [Message("system", system)] if system else []

    def converse(self) -> None:
        """Turn after turn until /exit or the end of input. A turn that fails is not remembered."""
        self._screen.say(f"{self._state.model} at {self._state.endpoint}; /exit ends the chat.")
        while True:
            try:
                said = input("> " if sys.stdin.isatty() else "").strip()
            except EOFError:
                return
            if said in EXIT:
                return
            if said:
                self._try(said)

    def say(self, text: str) -> None:
        """One turn. Raises one BatonError if it does not end well."""
        turn = ChatTurn(self._state.endpoint, self._state.model, self._max_tokens, self._temperature)
        asked = [*self._messages, Message("user", text)]
        answer = ""
        for piece in turn.text(asked):
            answer += piece
            self._screen.write(piece)
        self._messages = [*asked, Message("assistant", answer)]
        self._screen.write("\n")
        self._screen.note(footer(turn))

    def _try(self, said: str) -> None:
        try:
            self.say(said)
        except BatonError as wrong:
            self._screen.fail(wrong.message)


def footer(turn: ChatTurn) -> str:
    """Time to first token by phase, pace, cached tokens: whatever the gateway told."""
    parts: list[str] = []
    if turn.timing is not None and turn.timing.ttft_s is not None:
        parts.append(
            f"first token {ms(turn.timing.ttft_s)} ({phases(turn.timing.timing, turn.timing.ttft_s)})"
        )
        parts.append(f"{turn.timing.tokens_per_s:.0f} tokens/s")
    if turn.usage is not None:
        cached = turn.usage.prompt_tokens_details.cached_tokens
        parts.append(f"prompt {turn.usage.prompt_tokens} tokens, {cached} cached")
        parts.append(f"answer {turn.usage.completion_tokens} tokens")
    return " · ".join(parts)


def phases(timing: dict[str, float], ttft_s: float) -> str:
    """The phases before the first token, and what of it no phase explains."""
    known = [(name, timing[name]) for name in PHASES if name in timing]
    other = ttft_s - sum(seconds for _, seconds in known)
    shown = [f"{name.replace('_', ' ')} {ms(seconds)}" for name, seconds in known]
    if other > 0:
        shown.append(f"other {ms(other)}")
    after = [f"{name.replace('_', ' ')} {ms(timing[name])}" for name in timing if name not in PHASES]
    return ", ".join(shown) + (f"; then {', '.join(after)}" if after else "")


def ms(seconds: float) -> str:
    """Milliseconds with as many digits as matter."""
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
