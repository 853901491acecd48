"""Prompts whose start is cached elsewhere: it is pulled before the rest is computed."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from engine.engine import Engine
from engine.owner import Owner
from engine.sequence import Sequence
from kv_transfer.sink import KvSink
from kv_transfer.transfer_end import TransferEnd
from protocol.ids import AttemptKey, TransferId
from protocol.limits import Limits
from protocol.messages import Prefix

WAIT_SHARE = 0.5
"""Of the time that a request has left: so long it may wait for its prefix."""


@dataclass(frozen=True, slots=True)
class PrefixFetch:
    """One of them."""

    sequence: Sequence
    transfer: TransferId
    deadline: float


class PrefixFetches:
    """Sequences that are not in the engine yet. A pull only saves time: whatever becomes of it, its sequence
    is admitted and computes what it lacks."""

    def __init__(self, engine: Engine, sink: KvSink, limits: Limits) -> None:
        self._engine = engine
        self._sink = sink
        self._limits = limits
        self._open: dict[TransferId, PrefixFetch] = {}
        self._by_key: dict[AttemptKey, TransferId] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def queued_tokens(self) -> int:
        """Prompt tokens of all who wait."""
        return sum(fetch.sequence.uncomputed for fetch in self._open.values())

    def begin(self, sequence: Sequence, prefix: Prefix | None, room: int, left_s: float, now: float) -> bool:
        """Asks the source for what is not here; False if there is nothing to ask for, or no place for it.
        `room`: blocks that may be held for it; `left_s`: seconds that the request has."""
        if prefix is None or self._sink.is_me(prefix.source):
            return False
        if prefix.transfer in self._open or self._sink.has(prefix.transfer):
            return False  # ids are drawn at random, so only confusion leads here
        pool, hashes = self._engine.pool, sequence.findable[: max(0, prefix.blocks)]
        hits = pool.match(hashes)
        room = min(room, pool.room(hits) - len(self._engine.running))
        wanted = tuple(hashes[len(hits) : len(hits) + max(0, room)])
        if not wanted:
            return False
        blocks = pool.take(Owner.dest(prefix.transfer), hits, len(wanted))
        self._sink.open(prefix.transfer, prefix.source, tuple(blocks), len(hits), now, wanted)
        deadline = now + min(self._limits.peer_deadline_s, WAIT_SHARE * left_s)
        self._open[prefix.transfer] = PrefixFetch(sequence, prefix.transfer, deadline)
        self._by_key[sequence.key] = prefix.transfer
        return True

    def cancel(self, key: AttemptKey, now: float) -> None:
        """Nobody wants this sequence any more; one that does not wait here is left alone."""
        transfer = self._by_key.pop(key, None)
        if transfer is not None:
            del self._open[transfer]
            self._sink.cancel(transfer, now)

    def settle(self, ends: Seq[TransferEnd], now: float) -> list[Sequence]:
        """Admits all whose prefix is here, or will not come. `ends`: what the sink says, of others too."""
        admitted: list[Sequence] = []
        for end in ends:
            fetch = self._open.get(end.transfer)
            if fetch is None:
                continue
            if end.error is None:
                self._keep(fetch, end.end_block)
            else:
                self._sink.cancel(end.transfer, now)  # should the id be in use again
            admitted.append(self._admit(fetch))
        for fetch in [fetch for fetch in self._open.values() if fetch.deadline <= now]:
            self._sink.cancel(fetch.transfer, now)
            admitted.append(self._admit(fetch))
        return admitted

    def _keep(self, fetch: PrefixFetch, end_block: int) -> None:
        """Verified blocks are cached now, and evicted last: the sequence finds them when it starts."""
        owner = Owner.dest(fetch.transfer)
        blocks = self._engine.pool.held_by(owner)[:end_block]
        for block, content in zip(blocks, fetch.sequence.hashes, strict=False):
            self._engine.pool.publish(block, content)
        self._engine.pool.give_back(owner)

    def _admit(self, fetch: PrefixFetch) -> Sequence:
        del self._open[fetch.transfer]
        del self._by_key[fetch.sequence.key]
        self._engine.admit(fetch.sequence)
        return fetch.sequence
