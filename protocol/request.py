"""One validated request: the whole state of a generation, together with the tokens sent."""

from __future__ import annotations

from protocol.ids import AttemptKey, RequestId
from protocol.sampling import Sampling
from protocol.wire_struct import Struct


class Request(Struct):
    """What a door makes of bytes. Nothing in it can be malformed."""

    id: RequestId
    model: str
    prompt: tuple[int, ...]
    """Token ids, each in [0, vocabulary); at least one."""
    sampling: Sampling
    max_tokens: int
    """Generated tokens at most; prompt + max_tokens fit the context."""
    stop_tokens: tuple[int, ...] = ()
    """Token ids that end the answer (end of sequence); empty with ignore_eos."""
    tenant: str = "default"
    salt: bytes = b""
    """Keeps tenants' prefix caches apart: the seed of the block-hash chain."""
    session: str = ""
    priority: int = 0
    """Higher is more urgent."""
    timeout_s: float = 600.0
    """From arrival at the door to the last token."""


class Assignment(Struct):
    """What a worker is told: the request, the tokens already sent, the time that is left."""

    request: Request
    attempt: int
    sent: tuple[int, ...]
    remaining_s: float
    """Deadlines travel as what remains, so clocks are never compared."""
    alone: bool = False
    """Up to its first token the attempt shares no step: engines died while they computed the request
    among others."""

    @property
    def key(self) -> AttemptKey:
        """The attempt that this assignment starts."""
        return AttemptKey(self.request.id, self.attempt)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Everything whose KV must exist before the next token: prompt, then tokens sent."""
        return self.request.prompt + self.sent
