"""The KV of one request on one worker."""

from __future__ import annotations

from replay.job import Job
from replay.kv_room import KvRoom
from replay.trace import BLOCK_TOKENS


class Lodging:
    """Takes room for the whole prompt at once; what is cached already is shared."""

    def __init__(self, job: Job, room: KvRoom) -> None:
        self.job = job
        self._chain = job.request.chain
        self._room = room
        self.blocks = room.claim(self._chain, 0, len(self._chain))
        """Of the chain, whose KV is there."""
        self._loose = (len(self._chain) - self.blocks) * BLOCK_TOKENS + job.sent
        room.take(self._loose)

    def look_again(self) -> None:
        """Shares what others have computed since."""
        now = self._room.claim(self._chain, self.blocks, len(self._chain))
        self._loosen((now - self.blocks) * BLOCK_TOKENS)
        self._room.take((self.blocks - now) * BLOCK_TOKENS)
        self.blocks = now

    def fill(self, blocks: int) -> None:
        """KV of the first `blocks` blocks is there."""
        if blocks > self.blocks:
            self._room.fill(self._chain, self.blocks, blocks)
            self._loosen((blocks - self.blocks) * BLOCK_TOKENS)
            self.blocks = blocks

    def leave(self, grown: int = 0) -> None:
        """Gives all back; `grown` tokens were generated here."""
        self._room.release(self._chain, self.blocks, self._loose + grown)
        self.blocks, self._loose = 0, 0

    def _loosen(self, tokens: int) -> None:
        self._loose -= tokens
