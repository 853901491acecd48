"""A prompt that one worker computes."""

from __future__ import annotations

from dataclasses import dataclass

from replay.job import Job
from replay.lodging import Lodging
from replay.trace import BLOCK_TOKENS


@dataclass(slots=True)
class PromptTask:
    """Waits for room, then perhaps for a pulled prefix, then is computed in chunks."""

    job: Job
    decode: int
    source: int | None
    """Whom the prefix is pulled from."""
    expected: int
    """Tokens that it counts for in its worker's queue until they are computed."""
    seat: Lodging | None = None
    """Where the batch will hold its KV, if this worker computes for another."""
    lodging: Lodging | None = None
    pulling: bool = False
    done: int = 0
    """Tokens in KV."""
    begun_s: float = -1.0
    last_chunk: int = 0

    @property
    def left(self) -> int:
        """Tokens to compute."""
        return self.job.prompt - self.done

    def start(self, lodging: Lodging, now: float) -> None:
        """First chunk: what is cached by now is not computed."""
        lodging.look_again()
        self.done = max(self.done, self.job.usable(lodging.blocks))
        self.begun_s = now
        if not self.job.sent:
            self.job.reused_tokens = self.done

    def computed(self, tokens: int, lodging: Lodging) -> None:
        """A chunk is done."""
        self.done += tokens
        self.last_chunk = tokens
        whole = self.done // BLOCK_TOKENS if self.left else len(self.job.request.chain)
        lodging.fill(min(whole, len(self.job.request.chain)))
